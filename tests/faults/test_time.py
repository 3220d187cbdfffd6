"""Clocks and numbers of seconds: faults.md, Time."""

from __future__ import annotations

import datetime
import math
import time
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPTimeoutError, MCPUsageError
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked, FaultServer

Connect = Callable[..., MCPClient]


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_wall_clock_that_jumps_has_no_effect(
    jump: float, server: FaultServer, client: MCPClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    assert client.call_tool("echo", {"message": "hi"}, timeout=LONG).text == "hi"
    with within(), pytest.raises(MCPTimeoutError) as caught:
        client.call_tool("never", timeout=0.3)
    assert caught.value.elapsed is not None
    assert 0.3 <= caught.value.elapsed < 4


def test_no_timeout_is_read_off_the_wall_clock() -> None:
    """A test of the source: what measures a wait must be monotonic."""
    from pathlib import Path

    import mcp_sync

    package = Path(mcp_sync.__file__).parent
    users = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "time.time()" in path.read_text(encoding="utf-8") and "demo" not in path.parts
    }
    # A date in Retry-After, and the expiry of a token, are on the wall clock.
    assert {user for user in users if not user.startswith("oauth/")} <= {"transports/http/response.py"}


def test_a_timeout_of_zero_is_over_before_anything_is_sent(server: FaultServer, client: MCPClient) -> None:
    for call in (client.call_tool, client.submit):
        with within(), pytest.raises(MCPTimeoutError) as caught:
            result: Any = call("echo", timeout=0)
            result.result(LONG)
        assert caught.value.outcome == "not_sent"
    with within(), pytest.raises(MCPTimeoutError):
        client.ping(timeout=0)
    assert server.tool_calls["echo"] == 0


@pytest.mark.parametrize("wrong", [-1, -0.001, math.nan, "5", True, -math.inf, datetime.timedelta(seconds=1)])
def test_what_is_no_number_of_seconds_is_a_value_error(wrong: Any, server: FaultServer, client: MCPClient) -> None:
    for call in (
        lambda: client.call_tool("echo", timeout=wrong),
        lambda: client.ping(timeout=wrong),
        lambda: client.stream_tool("echo", timeout=wrong),
        lambda: client.submit("echo", timeout=wrong),
        lambda: client.map("echo", [{}], timeout=wrong),
        lambda: client.list_tools(timeout=wrong),
        lambda: client.request("ping", timeout=wrong),
        lambda: client.notify("notifications/x", timeout=wrong),
        lambda: client.listen(tools=True, timeout=wrong),
        lambda: client.connect(timeout=wrong),
        lambda: client.close(timeout=wrong),
    ):
        with pytest.raises(ValueError, match="timeout") as caught:
            call()
        assert isinstance(caught.value, MCPUsageError)
    assert client.connected
    assert server.tool_calls["echo"] == 0


@pytest.mark.parametrize("forever", [math.inf, 1e10, 1e300, 2**80])
def test_a_timeout_of_any_size_is_waited_out(forever: float, server: FaultServer, connect: Connect) -> None:
    client = connect(timeout=forever)
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    assert client.call_tool("progress", timeout=forever, on_progress=lambda progress: None).text == "3 steps"
    assert len(list(client.stream_tool("progress", timeout=forever))) == 4
    assert client.submit("echo", {"message": "hi"}, timeout=forever).result(LONG).text == "hi"
    with client.listen(tools=True, timeout=forever) as events:
        server.session.notify("notifications/tools/list_changed")
        assert events.get(timeout=forever) is not None
    client.close(timeout=forever)


def test_a_timeout_of_none_is_the_clients_own(server: FaultServer, connect: Connect) -> None:
    client = connect(timeout=0.3)
    with within(), pytest.raises(MCPTimeoutError, match=r"0\.3 s"):
        client.call_tool("never", timeout=None)


def test_progress_does_not_move_the_deadline(server: FaultServer, client: MCPClient) -> None:
    def steps(asked: Asked) -> None:
        for number in range(1000):
            asked.progress(number)
            if server.closing.wait(0.02):
                return

    server.tools["steps"] = steps
    seen: list[Any] = []
    with within(), pytest.raises(MCPTimeoutError):
        client.call_tool("steps", timeout=0.5, on_progress=seen.append)
    assert len(seen) > 3


def test_the_deadline_covers_the_opening_of_the_session(server: FaultServer, make_client: Connect) -> None:
    server.methods["initialize"] = lambda asked: None
    client = make_client(server.sse_url, transport="sse", timeout=LONG)
    with within(), pytest.raises(Exception) as caught:
        client.call_tool("echo", timeout=0.4)
    assert type(caught.value).__module__.startswith("mcp_sync")
    assert server.tool_calls["echo"] == 0


def test_one_callers_short_deadline_is_not_anothers(server: FaultServer, client: MCPClient) -> None:
    slow = client.submit("slow", timeout=LONG)
    server.wait_for_call("slow")
    with pytest.raises(MCPTimeoutError):
        client.call_tool("slow", timeout=0.2)
    server.gate.set()
    assert slow.result(LONG).text == "slow"


def test_a_short_deadline_meets_a_slow_handshake_that_another_waits_for_longer(
    server: FaultServer, make_client: Connect
) -> None:
    """The thread that opens the session for all gives up first; the others need one all the same."""
    usual = server.methods["initialize"]

    def slow(asked: Asked) -> None:
        asked.wait(server.gate)
        usual(asked)

    server.methods["initialize"] = slow
    client = make_client(server.sse_url, transport="sse", timeout=LONG)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        hasty = pool.submit(client.ping, 0.5)
        server.wait_for_method("initialize")
        patient = pool.submit(client.ping, LONG)
        assert hasty.exception(10) is not None
        server.gate.set()
        with within(8):
            assert patient.exception(10) is None
