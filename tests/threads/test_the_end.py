"""The end of a client at the end of its program, and of many clients at once."""

from __future__ import annotations

import gc
import math
import threading
import warnings

import pytest

from mcp_sync import MCPClient
from tests.support.clock import AT_ONCE
from tests.support.fault_server import FaultServer, Request, Wire
from tests.support.scripts import run_script

_GUARD = """
import os, sys
from mcp_sync import MCPClient

class Guard:
    def __init__(self, client):
        self.client = client
    def __del__(self, work={work!r}, run=exec):
        client = self.client
        try:
            run(work, {{"client": client}})
        except BaseException as exc:
            os.write(1, f"{{type(exc).__name__}}: {{exc}}".encode())

client = MCPClient(sys.argv[1])
{before}
guard = Guard(client)
del client
"""

CALLS = (
    "client.call_tool('echo')",
    "client.connect()",
    "client.list_resources()",
    "client.read_resource('test://one')",
    "client.submit('echo').result()",
    "next(client.stream_tool('echo'))",
    "client.listen(tools=True)",
    "client.subscribe_resource('test://one')",
)


@pytest.mark.parametrize("before", ["", "client.connect()", "client.connect(); client.close()"])
def test_a_finalizer_at_the_end_may_close_a_client(http_server: FaultServer, before: str) -> None:
    done = run_script(_GUARD.format(work="client.close()", before=before), http_server.mcp_url)
    assert (done.code, done.out, done.err) == (0, "", ""), done
    assert done.seconds < AT_ONCE + 1.0


@pytest.mark.parametrize("before", ["", "client.connect()"])
def test_a_finalizer_at_the_end_that_calls_is_told_so(http_server: FaultServer, before: str) -> None:
    for work in CALLS:
        done = run_script(_GUARD.format(work=work, before=before), http_server.mcp_url)
        assert done.code == 0, done
        assert done.out.startswith("MCPClosedError: "), (work, done)
        assert done.err == "", (work, done)
    assert http_server.tool_calls["echo"] == 0


def test_many_clients_that_are_dropped_at_once_are_closed_by_a_few_threads(http_server: FaultServer) -> None:
    http_server.standing_stream = False
    gate = threading.Event()
    most = 0

    def late(wire: Wire, request: Request) -> None:
        nonlocal most
        closers = sum(thread.name == "mcp-sync-closer" for thread in threading.enumerate())
        most = max(most, closers)
        http_server.wait(gate)
        http_server.serve(wire, request)

    http_server.instead("DELETE", late, math.inf)
    clients = [MCPClient(http_server.mcp_url, transport="http", timeout=60).connect() for _ in range(50)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        clients.clear()
        gc.collect()
    http_server.wait_until(lambda: sum(each.method == "DELETE" for each in http_server.requests) >= 10)
    gate.set()
    http_server.wait_until(lambda: not http_server.sessions)
    assert 0 < most <= 16
