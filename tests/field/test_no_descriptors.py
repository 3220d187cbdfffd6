"""The very first connection when no file descriptor is left: an error of ours, and all is well when there are some."""

from __future__ import annotations

import json
import sys

import pytest

from tests.support.beds import ALL, Bed, over
from tests.support.scripts import run_script

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no limit to set")

SCRIPT = """
import json, os, resource, sys
from mcp_sync import MCPClient, MCPClientError

address, left = json.loads(sys.argv[1]), int(sys.argv[2])
client = MCPClient(address, timeout=20)
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
lowest = os.dup(0)
os.close(lowest)
resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + left, hard))
for way in (
    client.connect, client.ping, client.list_resources, lambda: client.call_tool("echo"),
    lambda: client.submit("echo").result(20), lambda: client.map("echo", [{}]), lambda: client.submit_task("echo"),
    lambda: client.listen(tools=True).close(), lambda: client.tools.echo(message="hi"),
):
    try:
        way()
    except MCPClientError as exc:
        assert left or exc.outcome == "not_sent", exc
        print(type(exc).__name__)
    else:
        print("well")
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(client.call_tool("echo", {"message": "hi"}).text)
client.close()
"""


@over(*ALL)
@pytest.mark.parametrize("left", range(7))
def test_without_descriptors_no_session_can_be_opened_and_that_is_said(bed: Bed, left: int) -> None:
    ended = run_script(SCRIPT, json.dumps(bed.address), str(left), timeout=60)
    assert ended.code == 0, ended
    said = ended.out.split()
    assert said[-1] == "hi"
    if not left:
        assert said[:9] == ["MCPConnectionError"] * 9
