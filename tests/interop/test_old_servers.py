"""Servers that do not survive a question of the newest revision (quirks of the official SDK up to 1.9.3)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mcp_sync import MCPClient

from .behaviour import answers
from .conftest import started
from .real_servers import OLD_SERVERS, Running

pytestmark = pytest.mark.interop


@pytest.fixture(params=OLD_SERVERS)
def old(request: pytest.FixtureRequest) -> Iterator[Running]:
    with started(OLD_SERVERS[request.param]) as running:
        yield running


def test_it_is_found_out_and_works(old: Running) -> None:
    echo = old.server.dialect.echo
    assert echo is not None
    starts = []
    for _ in range(2):
        with MCPClient(old.target, timeout=30) as client:
            assert (client.transport, client.protocol_version) == (old.server.transport, "2024-11-05")
            assert [tool.name for tool in client.list_tools()] == ["echo"]
            answers(client, echo("still here"))
        starts.append(old.diary().count("started"))
    # Over stdio the probe costs a process, once; over HTTP+SSE nobody asks.
    assert starts == ([2, 3] if old.server.transport == "stdio" else [1, 1])
    assert old.diary().count("echo") == 2
