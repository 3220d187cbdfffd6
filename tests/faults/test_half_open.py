"""Links that die without a word: faults.md, Mid-stream, half-open link, and Time, suspend or NAT drop."""

from __future__ import annotations

import logging
import math
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mcp_sync import MCPClient, MCPTimeoutError
from tests.conftest import Connect
from tests.support.beds import HTTP, Bed, over
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked, FaultServer
from tests.support.freezing_proxy import FreezingProxy
from tests.support.inside import open_session_of, session_of

URI = "test://one"
UPDATED = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": URI}}


@pytest.fixture
def proxy(server: FaultServer) -> Iterator[FreezingProxy]:
    with FreezingProxy(server.port) as running:
        yield running


def through(proxy: FreezingProxy, make_client: Connect, **options: Any) -> MCPClient:
    """A client over HTTP+SSE, with the proxy in between."""
    return make_client(f"http://127.0.0.1:{proxy.port}/sse", transport="sse", **options).connect()


@pytest.mark.clock
def test_an_idle_stream_that_has_died_is_noticed_and_the_next_call_opens_another(
    server: FaultServer, proxy: FreezingProxy, make_client: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "mcp_sync")
    client = through(proxy, make_client, ping_interval=0.2, timeout=LONG)
    session = session_of(client)
    proxy.freeze()
    assert session.lost.wait(10)
    assert not client.connected
    assert "not even the answer to a ping" in caplog.text
    with within(8):
        assert client.call_tool("echo", {"message": "again"}).text == "again"
    assert server.tool_calls["echo"] == 1
    assert session_of(client) is not session


@pytest.mark.clock
def test_who_listens_on_a_stream_that_has_died_hears_the_next_change(
    server: FaultServer, proxy: FreezingProxy, make_client: Connect
) -> None:
    """Without a sign of life a listener would listen for ever."""
    client = through(proxy, make_client, ping_interval=0.2, timeout=LONG)
    with client.listen(resources=[URI]) as changes:
        assert len(server.sent("resources/subscribe")) == 1
        proxy.freeze()
        got: list[Any] = []
        listener = threading.Thread(target=lambda: got.append(next(changes)), daemon=True)
        listener.start()
        server.wait_for_method("resources/subscribe", 2)
        server.wait_until(lambda: len(server.sessions) >= 2, "the new session")
        stream = server.session.stream
        assert stream is not None
        while listener.is_alive():  # it may not listen again yet: then it has missed nothing, but hears nothing either
            stream.event(UPDATED)
            listener.join(0.05)
    assert got[0].method == "notifications/resources/updated"


@pytest.mark.clock
def test_a_server_that_answers_pings_keeps_its_session(server: FaultServer, make_client: Connect) -> None:
    client = make_client(server.sse_url, transport="sse", ping_interval=1.5).connect()
    session = session_of(client)
    server.wait_for_method("ping", 2)
    assert open_session_of(client) is session
    assert len(server.sent("initialize")) == 1


@pytest.mark.clock
def test_a_server_that_refuses_pings_keeps_its_session(server: FaultServer, make_client: Connect) -> None:
    server.methods["ping"] = lambda asked: asked.error(-32601, "Method not found")
    client = make_client(server.sse_url, transport="sse", ping_interval=1.5).connect()
    session = session_of(client)
    server.wait_for_method("ping", 2)
    assert open_session_of(client) is session


@pytest.mark.clock
def test_a_call_that_waits_is_never_cut_short_and_costs_no_ping(server: FaultServer, make_client: Connect) -> None:
    client = make_client(server.sse_url, transport="sse", ping_interval=0.1).connect()

    def slow(asked: Asked) -> None:
        before = len(server.sent("ping"))
        server.closing.wait(1.5)
        assert len(server.sent("ping")) <= before + 1  # one may have been on its way
        asked.text("done")

    server.tools["quiet"] = slow
    assert client.call_tool("quiet", timeout=LONG).text == "done"


@pytest.mark.clock
@pytest.mark.parametrize("interval", [math.inf, 1e12])
def test_without_end_there_are_no_pings(interval: float, server: FaultServer, make_client: Connect) -> None:
    client = make_client(server.sse_url, transport="sse", ping_interval=interval).connect()
    assert session_of(client).heartbeat is None
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"


@over(*HTTP)
def test_a_call_on_a_link_that_has_died_ends_at_its_deadline_and_close_does_not_wait(bed: Bed) -> None:
    with FreezingProxy(bed.server.port) as proxy:
        url = bed.address.replace(str(bed.server.port), str(proxy.port))
        client = bed._make_client(url, transport="sse" if bed.name == "sse" else "http").connect()

        def freeze(asked: Asked) -> None:
            proxy.freeze()
            asked.text("never arrives")

        bed.tool("freeze", freeze)
        with within(8), pytest.raises(MCPTimeoutError) as caught:
            client.call_tool("freeze", timeout=0.5)
        assert caught.value.outcome == "unknown"
        assert bed.server.tool_calls["freeze"] == 1
        with within(8):
            client.close()
        with within(8):
            assert client.connect().call_tool("echo", {"message": "again"}, timeout=LONG).text == "again"
        client.close()


# A network of its own, whose only interface can be taken down.

_SCRIPT = """
import subprocess, sys, threading, time
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
from mcp_sync import MCPClient, MCPConnectionError
from tests.support.fault_server import FaultServer
from tests.support.inside import with_keepalive

import socket
with_keepalive({socket.TCP_KEEPIDLE: 1, socket.TCP_KEEPINTVL: 1, socket.TCP_KEEPCNT: 2, socket.TCP_USER_TIMEOUT: 2000})
with FaultServer(sys.argv[1]) as server:
    url = server.sse_url if sys.argv[1] == "sse" else server.mcp_url
    client = MCPClient(url, transport=sys.argv[1], ping_interval=float("inf"), max_retries=0)
    client.connect()
    def cut():
        server.wait_for_call("never")
        subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
    threading.Thread(target=cut).start()
    started = time.monotonic()
    try:
        client.call_tool("never", timeout=60)
    except MCPConnectionError as exc:
        print(type(exc).__name__, exc.outcome, time.monotonic() - started < 30)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    print(client.call_tool("echo", {"message": "again"}, timeout=20).text)
    client.close()
"""


def _can_have_a_network() -> bool:
    if not all(map(shutil.which, ("unshare", "ip"))) or not hasattr(socket, "TCP_USER_TIMEOUT"):
        return False
    tried = subprocess.run(["unshare", "-n", "ip", "link", "set", "lo", "up"], capture_output=True, timeout=20)
    return tried.returncode == 0


@pytest.mark.long
@pytest.mark.parametrize("transport", ["sse", "http"])
def test_a_peer_that_cannot_be_reached_any_more_is_found_by_keepalive(transport: str) -> None:
    """The real thing, with keepalive times of seconds instead of a minute."""
    if not _can_have_a_network():
        pytest.skip("needs the right to make a network namespace")
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", _SCRIPT, transport],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split("\n") == ["MCPConnectionError unknown True", "again", ""], done.stderr
