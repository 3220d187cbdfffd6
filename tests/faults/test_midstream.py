"""Faults while calls are under way: faults.md, Mid-stream."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from mcp_sync import (
    MCPClient,
    MCPClientError,
    MCPConnectionError,
    MCPProtocolError,
    MCPStreamError,
    MCPTimeoutError,
    Progress,
    StreamLostError,
)
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, Asked, FaultServer, hold, sse, status
from tests.support.inside import session_of, socket_of_stream

Connect = Callable[..., MCPClient]


def lose_stream(server: FaultServer, client: MCPClient) -> None:
    """Reset the client's stream, and wait until it knows."""
    stream = server.session.stream
    assert stream is not None
    stream.reset()
    assert session_of(client).lost.wait(10)


# No answer


def test_a_cancellation_that_nobody_takes_does_not_hold_the_caller_up(server: FaultServer, client: MCPClient) -> None:
    server.instead("notifications/cancelled", hold, ALWAYS)
    with within(), pytest.raises(MCPTimeoutError):
        client.call_tool("never", timeout=0.3)
    with within():
        assert client.call_tool("echo", {"message": "next"}, timeout=LONG).text == "next"


def test_a_post_without_an_answer_is_no_obstacle_when_the_answer_comes_by_the_stream(
    server: FaultServer, client: MCPClient
) -> None:
    def answer_and_hold(wire: Any, request: Any) -> None:
        server.handle(server.session, wire, request)
        wire.hold()

    server.instead("tools/call", answer_and_hold)
    with within():
        assert client.call_tool("echo", {"message": "hi"}, timeout=LONG).text == "hi"


# A lost stream

LOSSES: dict[str, Callable[[Any], None]] = {
    "end of body": lambda stream: stream.end(),
    "FIN": lambda stream: stream.cut(),
    "RST": lambda stream: stream.reset(),
}


@pytest.fixture(params=list(LOSSES))
def lose(request: pytest.FixtureRequest) -> Callable[[Any], None]:
    """A way to lose a stream."""
    return LOSSES[request.param]


def test_after_a_lost_stream_the_next_call_opens_a_new_one_and_nothing_is_sent_twice(
    lose: Any, server: FaultServer, client: MCPClient
) -> None:
    def cut(asked: Asked) -> None:
        lose(asked.session.stream)

    server.tools["cut"] = cut
    first = client.session_id
    with within(), pytest.raises(MCPConnectionError) as caught:
        client.call_tool("cut", timeout=LONG)
    assert caught.value.outcome == "unknown"
    with within(8):
        assert client.call_tool("echo", {"message": "again"}, timeout=LONG).text == "again"
    assert client.session_id != first
    assert server.tool_calls == {"cut": 1, "echo": 1}


def test_a_stream_lost_between_two_calls_costs_neither(server: FaultServer, client: MCPClient) -> None:
    assert client.call_tool("echo", {"message": "1"}).text == "1"
    lose_stream(server, client)
    with within(8):
        assert client.call_tool("echo", {"message": "2"}, timeout=LONG).text == "2"
    assert server.tool_calls["echo"] == 2


def test_a_lost_stream_is_opened_again_with_subscriptions_and_log_level(server: FaultServer, client: MCPClient) -> None:
    client.set_logging_level("warning")
    client.subscribe_resource("test://one")
    client.subscribe_resource("test://two")
    client.unsubscribe_resource("test://two")
    lose_stream(server, client)
    client.ping(timeout=LONG)
    assert [m["params"] for m in server.sent("logging/setLevel")] == [{"level": "warning"}] * 2
    assert [m["params"]["uri"] for m in server.sent("resources/subscribe")] == [
        "test://one",
        "test://two",
        "test://one",
    ]


def test_one_thread_opens_the_new_stream_for_all(server: FaultServer, client: MCPClient) -> None:
    lose_stream(server, client)
    start = threading.Barrier(8)

    def call(number: int) -> str:
        start.wait(10)
        return client.call_tool("echo", {"message": str(number)}, timeout=LONG).text

    with ThreadPoolExecutor(8) as pool, within(8):
        assert list(pool.map(call, range(8))) == [str(number) for number in range(8)]
    assert server.count("GET") == 2
    assert len(server.sent("initialize")) == 2
    assert server.tool_calls["echo"] == 8


def test_a_server_that_ends_every_session_is_approached_ever_more_slowly(
    server: FaultServer, make_client: Connect
) -> None:
    """Five GETs in three seconds at most: half a second at least between two, doubling without progress."""
    usual = server.methods["initialize"]

    def initialize(asked: Asked) -> None:
        usual(asked)
        server.wait_for_method("notifications/initialized", len(server.sent("initialize")))
        asked.session.stream.send("retry: 0\r\n\r\n")  # type: ignore[union-attr]
        asked.session.stream.end()  # type: ignore[union-attr]

    server.methods["initialize"] = initialize
    client = make_client(server.sse_url, transport="sse", timeout=LONG)
    at = time.monotonic() + 3.0
    while time.monotonic() < at:
        try:
            client.ping(timeout=max(0.05, at - time.monotonic()))
        except MCPClientError:
            pass
    times = server.times("GET")
    assert 2 <= len(times) <= 5
    assert all(later - earlier > 0.3 for earlier, later in zip(times, times[1:]))


def test_a_server_that_is_being_restarted_is_waited_for(server: FaultServer, connect: Connect) -> None:
    client = connect(retry_delay=0.1)
    lose_stream(server, client)
    server.instead("GET", status(503, "restarting"), 2)
    with within(20):
        assert client.call_tool("echo", {"message": "hi"}, timeout=LONG).text == "hi"
    assert server.tool_calls["echo"] == 1


def test_attempts_to_come_back_are_bounded(server: FaultServer, connect: Connect) -> None:
    client = connect(max_retries=2, retry_delay=0.01)
    lose_stream(server, client)
    server.instead("GET", status(503, "gone"), ALWAYS)
    with within(10), pytest.raises(MCPConnectionError) as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.outcome == "not_sent"
    assert server.count("GET") == 1 + 3
    assert server.tool_calls["echo"] == 0


def test_the_way_back_ends_with_the_callers_deadline(server: FaultServer, connect: Connect) -> None:
    client = connect(max_retries=1000, retry_delay=0.05)
    lose_stream(server, client)
    server.stop_listening()
    server.drop_connections()
    with within(), pytest.raises(MCPClientError) as caught:
        client.call_tool("echo", timeout=0.8)
    assert caught.value.outcome == "not_sent"


# Frames that were cut

ANSWER = {"jsonrpc": "2.0", "result": {"content": [{"type": "text", "text": "TRUNCATED"}]}}


def cut_frame(frame: Callable[[Any], bytes], chunked: bool = True) -> Callable[[Asked], None]:
    def cut(asked: Asked) -> None:
        stream = asked.session.stream
        assert stream is not None
        stream.send(frame({**ANSWER, "id": asked.id}))
        stream.end()

    return cut


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("keep", [-2, -4, 0.5, 0.1], ids=["no blank line", "no line end", "half", "a tenth"])
def test_a_frame_that_the_end_cut_off_is_never_a_result(
    keep: float, chunked: bool, server: FaultServer, connect: Connect
) -> None:
    server.stream_options["chunked"] = chunked

    def frame(message: Any) -> bytes:
        whole = sse(message)
        return whole[: int(keep) if keep < 0 else int(len(whole) * keep)]

    server.tools["cut"] = cut_frame(frame)
    client = connect(timeout=LONG)
    with within(), pytest.raises(MCPConnectionError) as caught:
        client.call_tool("cut")
    assert not isinstance(caught.value, MCPProtocolError)
    assert caught.value.outcome == "unknown"
    assert server.tool_calls["cut"] == 1


def test_what_came_whole_before_the_end_is_delivered(server: FaultServer, client: MCPClient) -> None:
    server.tools["last"] = cut_frame(lambda message: sse(message) + b"data: {")
    with within():
        assert client.call_tool("last", timeout=LONG).text == "TRUNCATED"


# One call's fault


@pytest.mark.parametrize("code", [400, 500])
def test_one_of_eight_calls_refused_leaves_seven_answers(code: int, server: FaultServer, client: MCPClient) -> None:
    server.instead(lambda request: b'"message":"3"' in request.body, status(code, "no"))
    with within():
        results = [
            future.exception() or future.result().text
            for future in [client.submit("echo", {"message": str(number)}, timeout=LONG) for number in range(8)]
        ]
    assert isinstance(results.pop(3), MCPConnectionError)
    assert results == ["0", "1", "2", "4", "5", "6", "7"]


# Connections that are kept


def test_a_connection_that_the_server_closes_after_each_answer_is_not_used_again(
    server: FaultServer, client: MCPClient
) -> None:
    def close_after(wire: Any, request: Any) -> None:
        wire.respond(202, "", {"connection": "close"})
        server.handle(server.session, wire, request)
        wire.finish()

    server.serve_post = close_after  # type: ignore[method-assign]
    for number in range(20):
        assert client.call_tool("echo", {"message": str(number)}, timeout=LONG).text == str(number)
    assert server.tool_calls["echo"] == 20


def test_a_dead_peer_is_found_by_keepalive(server: FaultServer, client: MCPClient) -> None:
    """A half-open link says nothing: the kernel has to ask, or the deadline to pass."""
    sock = socket_of_stream(client)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    if hasattr(socket, "TCP_KEEPIDLE"):
        idle, every, count = (
            sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
        )
        assert idle + every * count <= 60


# Streams


def test_a_tool_stream_that_breaks_says_how_far_it_came(lose: Any, server: FaultServer, client: MCPClient) -> None:
    def half(asked: Asked) -> None:
        asked.progress(1, 3)
        asked.progress(2, 3)
        lose(asked.session.stream)

    server.tools["half"] = half
    seen = []
    with within(), pytest.raises(StreamLostError) as caught:
        for event in client.stream_tool("half", timeout=LONG):
            seen.append(event)
    assert [event.progress for event in seen if isinstance(event, Progress)] == [1, 2]
    assert caught.value.events_received == 2
    assert caught.value.outcome == "unknown"
    assert isinstance(caught.value, MCPStreamError)
    assert isinstance(caught.value, MCPConnectionError)
    assert server.tool_calls["half"] == 1


def test_a_tool_stream_is_never_begun_again_once_it_was_seen(server: FaultServer, client: MCPClient) -> None:
    def half(asked: Asked) -> None:
        asked.progress(1)
        asked.session.stream.reset()  # type: ignore[union-attr]

    server.tools["half"] = half
    with within(), pytest.raises(StreamLostError):
        list(client.stream_tool("half", timeout=LONG, retry=True))
    assert server.tool_calls["half"] == 1
