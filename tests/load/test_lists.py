"""Lists as long as they may be: 10,000 tools, in 100 pages."""

from __future__ import annotations

import pytest

from mcp_sync import MCPProtocolError
from tests.load.conftest import Loaded
from tests.soak.tools import listing
from tests.support.clock import within

COUNT = 10_000
HANG_GUARD = 100.0


@pytest.mark.parametrize("tools", [COUNT])
def test_a_list_of_10_000_tools_is_read(loaded: Loaded, tools: int) -> None:
    with within(HANG_GUARD), loaded.client(timeout=HANG_GUARD) as client:
        listed = client.list_tools()
        assert [tool.name for tool in listed] == [tool["name"] for tool in listing(tools)]
        assert len(dir(client.tools)) >= tools
        assert client.call_tool("echo", {"key": "after"}).text.startswith("after|")


@pytest.mark.parametrize("tools", [COUNT + 1])
@pytest.mark.parametrize("loaded", ["sse", "modern"], indirect=True)
def test_a_longer_list_is_an_error_and_not_a_memory_leak(loaded: Loaded, tools: int) -> None:
    with within(HANG_GUARD), loaded.client(timeout=HANG_GUARD) as client:
        with pytest.raises(MCPProtocolError):
            client.list_tools()
        assert client.call_tool("echo", {"key": "after"}).text.startswith("after|")
