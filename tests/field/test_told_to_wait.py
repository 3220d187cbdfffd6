"""Servers that ask to be tried again later, and servers that forget each session at once."""

from __future__ import annotations

import time
from typing import Callable

import pytest

from mcp_sync import HTTPStatusError, MCPClient, MCPConnectionError, RateLimitedError, SessionExpiredError
from tests.support.beds import HTTP, Bed, over
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, FaultServer, Request, Wire, status

Connect = Callable[..., MCPClient]


def told(code: int, seconds: str) -> Callable[[Wire, Request], None]:
    return status(code, "later", {"retry-after": seconds})


def is_request(request: Request) -> bool:
    return request.method in ("GET", "POST")


# retry=True


@over(*HTTP)
@pytest.mark.parametrize("code", [429, 503])
def test_a_call_with_retry_waits_as_long_as_it_is_told_and_is_sent_again(bed: Bed, code: int) -> None:
    bed.server.instead("tools/call", told(code, "1"))
    client = bed.connect(retry_delay=0.01)
    start = time.monotonic()
    assert client.call_tool("echo", {"message": "hi"}, timeout=LONG, retry=True).text == "hi"
    assert time.monotonic() - start >= 1.0
    assert bed.server.tool_calls["echo"] == 2


@over("http-json", "stateless")
@pytest.mark.parametrize("way", ["stream", "submit", "map"])
def test_other_ways_to_call_wait_too(bed: Bed, way: str) -> None:
    bed.server.instead("tools/call", told(503, "0"))
    client = bed.connect(retry_delay=0.01)
    arguments = {"message": "hi"}
    if way == "stream":
        with client.stream_tool("echo", arguments, timeout=LONG, retry=True) as stream:
            assert stream.result.text == "hi"
    elif way == "submit":
        assert client.submit("echo", arguments, timeout=LONG, retry=True).result(LONG).text == "hi"
    else:
        assert client.map("echo", [arguments], timeout=LONG, retry=True)[0].text == "hi"
    assert bed.server.tool_calls["echo"] == 2


@over(*HTTP)
@pytest.mark.parametrize("code", [429, 503])
def test_a_call_that_has_no_time_to_wait_fails_at_once(bed: Bed, code: int) -> None:
    bed.server.instead("tools/call", told(code, "30"), ALWAYS)
    client = bed.connect()
    with within(), pytest.raises(HTTPStatusError) as caught:
        client.call_tool("echo", timeout=20, retry=True)
    assert caught.value.retry_after == 30
    assert caught.value.outcome == ("refused" if code == 429 else "unknown")
    assert isinstance(caught.value, RateLimitedError) == (code == 429)
    assert bed.server.tool_calls["echo"] == 1


@over("http-json", "stateless")
@pytest.mark.parametrize(("code", "headers"), [(503, {}), (502, {"retry-after": "0"}), (500, {"retry-after": "0"})])
def test_nothing_else_is_tried_again(bed: Bed, code: int, headers: dict[str, str]) -> None:
    bed.server.instead("tools/call", status(code, "no", headers), ALWAYS)
    with within(), pytest.raises(HTTPStatusError):
        bed.connect(retry_delay=0.01).call_tool("echo", timeout=LONG, retry=True)
    assert bed.server.tool_calls["echo"] == 1


@over("http-json", "stateless")
def test_without_retry_nobody_waits(bed: Bed) -> None:
    bed.server.instead("tools/call", told(429, "1"))
    with within(), pytest.raises(RateLimitedError):
        bed.connect().call_tool("echo", timeout=LONG)
    assert bed.server.tool_calls["echo"] == 1


@over("http-json", "stateless")
def test_a_server_that_always_says_so_is_asked_a_few_times(bed: Bed) -> None:
    bed.server.instead("tools/call", told(503, "0"), ALWAYS)
    with within(), pytest.raises(HTTPStatusError) as caught:
        bed.connect(retry_delay=0.01, max_retries=2).call_tool("echo", timeout=LONG, retry=True)
    assert caught.value.outcome == "unknown"
    assert bed.server.tool_calls["echo"] == 3


# The first connection


@over(*HTTP)
@pytest.mark.parametrize("code", [429, 503])
def test_a_first_connection_that_is_told_to_wait_waits(bed: Bed, code: int) -> None:
    bed.server.instead(is_request, told(code, "1"))
    start = time.monotonic()
    client = bed.make(retry_delay=0.01)
    assert client.call_tool("echo", {"message": "hi"}, timeout=LONG).text == "hi"
    assert time.monotonic() - start >= 1.0


@over(*HTTP)
def test_a_first_connection_without_the_time_to_wait_fails_at_once(bed: Bed) -> None:
    bed.server.instead(is_request, told(503, "60"), ALWAYS)
    with within(), pytest.raises(HTTPStatusError) as caught:
        bed.make().connect(timeout=30)
    assert (caught.value.outcome, caught.value.retry_after, caught.value.retryable) == ("not_sent", 60, True)


@over(*HTTP)
def test_a_first_connection_that_is_not_told_to_wait_is_tried_once(bed: Bed) -> None:
    bed.server.instead(is_request, status(503, "no"), ALWAYS)
    with within(), pytest.raises(HTTPStatusError):
        bed.make(retry_delay=0.01).connect(timeout=LONG)
    assert len(bed.server.requests) == 1


# Sessions that are forgotten


@pytest.mark.parametrize("call", ["call_tool", "list_tools", "retry", "ping"])
def test_a_server_that_forgets_each_session_at_once(call: str, http_server: FaultServer, make_client: Connect) -> None:
    """What the caller hears is what is wrong, as soon as no session can be had within the call's time."""
    # After the handshake: each session takes what belongs to it, and not one call.
    http_server.instead(
        lambda request: bool({"tools/call", "tools/list", "ping"} & set(request.rpc_methods)),
        status(404, "no such session"),
        ALWAYS,
    )
    client = make_client(http_server.mcp_url, timeout=3)
    client.connect()
    calls: dict[str, Callable[[], object]] = {
        "call_tool": lambda: client.call_tool("echo"),
        "retry": lambda: client.call_tool("echo", retry=True),
        "list_tools": client.list_tools,
        "ping": client.ping,
    }
    for _ in range(5):
        start = time.monotonic()
        with within(6), pytest.raises(SessionExpiredError) as caught:
            calls[call]()
        assert caught.value.status == 404
        assert caught.value.outcome in ("not_sent", "refused")
        at_once = time.monotonic() - start < 1.5
    assert at_once  # the next session would come after the call's time
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 0


def test_who_has_more_time_waits_for_the_next_session(http_server: FaultServer, make_client: Connect) -> None:
    http_server.instead("tools/call", status(404, "no such session"))
    client = make_client(http_server.mcp_url).connect()
    with pytest.raises(SessionExpiredError):
        client.call_tool("echo", timeout=LONG)
    with pytest.raises(SessionExpiredError):
        client.call_tool("echo", timeout=0.05)
    assert client.call_tool("echo", {"message": "hi"}, timeout=LONG).text == "hi"


def test_a_session_that_is_lost_at_once_by_its_stream_is_a_lost_connection(bed: Bed) -> None:
    if not bed.is_shared:
        pytest.skip("its calls have streams of their own")
    bed.tool("cut", lambda asked: bed.break_off(asked, "cut"))
    client = bed.connect()
    with pytest.raises(MCPConnectionError):
        client.call_tool("cut", timeout=LONG)
    with within(), pytest.raises(MCPConnectionError) as caught:
        client.call_tool("echo", timeout=0.05)
    assert caught.value.outcome == "not_sent"
    assert client.call_tool("echo", {"message": "hi"}, timeout=LONG).text == "hi"
