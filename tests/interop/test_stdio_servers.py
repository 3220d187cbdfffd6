"""Our client against real servers over stdio, each a child process that the client starts and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mcp_sync import MCPClient, MCPConnectionError

from .behaviour import Behaviour, answers, need
from .conftest import Connect, children, started
from .real_servers import LEGACY, MODERN, SERVERS, Running

pytestmark = pytest.mark.interop
TRANSPORT = "stdio"


class TestBehaviour(Behaviour):
    """The whole suite."""


def child_of(client: MCPClient, before: set[int]) -> int:
    """The pid of the server that `client` started after `before` was taken."""
    started_since = children() - before
    assert len(started_since) == 1, f"{client!r} has the children {started_since}"
    return started_since.pop()


def test_a_killed_server_fails_the_call_at_once(connect: Connect, running: Running, revision: str) -> None:
    need("slow", running, revision)
    slow = running.server.dialect.slow
    assert slow is not None
    before = children()
    client = connect(running, max_retries=0)
    pid = child_of(client, before)
    call = slow(60, 600)
    under_way = threading.Event()
    already = running.diary().count("slow started")
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(
            client.call_tool,
            call.tool,
            dict(call.arguments),
            timeout=50,
            on_progress=lambda progress: under_way.set(),
        )
        if "diary" in running.server.lacks:
            assert under_way.wait(10)
        else:
            running.wait_for("slow started", already + 1)
        died = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(MCPConnectionError) as caught:
            pending.result(20)
        assert time.monotonic() - died < 1.0
    assert caught.value.outcome == "unknown"
    assert pid not in children(), "the dead server was not waited for"


def test_the_next_call_starts_a_new_server(connect: Connect, running: Running, revision: str) -> None:
    before = children()
    client = connect(running, retry_delay=0.1)
    pid = child_of(client, before)
    os.kill(pid, signal.SIGKILL)
    expires = time.monotonic() + 5
    while client.connected:
        assert time.monotonic() < expires, "the client did not notice that its server is gone"
        time.sleep(0.01)
    assert running.server.dialect.tools <= {tool.name for tool in client.list_tools()}
    assert child_of(client, before) != pid


def test_a_server_that_ignores_the_end_of_its_input_is_ended(connect: Connect, running: Running) -> None:
    if running.name != "everything-stdio":
        pytest.skip(f"{running.name} ends by itself")
    before = children()
    # It asks for the roots soon after the handshake; without an answer it stays for a minute, whatever stdin says.
    client = connect(running, roots=["file:///work"], close_timeout=5)
    pid = child_of(client, before)
    begun = time.monotonic()
    client.close()
    assert time.monotonic() - begun < 5.5
    assert pid not in children()


# mcp-server-time: a server that people really use


@pytest.fixture(params=[MODERN, LEGACY])
def clock(request: pytest.FixtureRequest) -> Iterator[MCPClient]:
    version = None if request.param == MODERN else LEGACY
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(started(SERVERS["time-stdio"]))
        client = stack.enter_context(MCPClient(running.target, timeout=20, protocol_version=version))
        assert client.protocol_version == request.param
        yield client


def test_the_time_is_told(clock: MCPClient) -> None:
    told = clock.call_tool("get_current_time", {"timezone": "Europe/Oslo"}).data
    assert told["timezone"] == "Europe/Oslo"
    assert "T" in told["datetime"]


def test_a_time_is_converted(clock: MCPClient) -> None:
    asked = {"source_timezone": "Europe/Oslo", "time": "16:30", "target_timezone": "Asia/Tokyo"}
    told = clock.call_tool("convert_time", asked).data
    assert told["target"]["timezone"] == "Asia/Tokyo"


def test_eight_threads_share_one_server(connect: Connect, running: Running, revision: str) -> None:
    need("echo", running, revision)
    echo = running.server.dialect.echo
    assert echo is not None
    before = children()
    client = connect(running)
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(answers, client, echo(f"<{worker}>")) for worker in range(8)]:
            done.result(20)
    child_of(client, before)
