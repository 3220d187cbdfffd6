"""Streams that end before their answer, and go on: 2025-11-25, Transports, Resumability and Redelivery."""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPConnectionError, MCPTimeoutError, Progress, StreamLostError
from tests.support import inside
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, FaultServer, Request, Wire, status

Connect = Callable[..., MCPClient]


@pytest.fixture
def server(http_server: FaultServer) -> FaultServer:
    """A server without a GET stream, so that every GET that counts here is a resumption."""
    http_server.instead(
        lambda request: request.method == "GET" and "last-event-id" not in request.headers, status(405), ALWAYS
    )
    return http_server


def resumptions(server: FaultServer) -> list[Request]:
    return [request for request in server.requests if request.method == "GET" and "last-event-id" in request.headers]


def result_of(text: str, id: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": text}]}}


def begin(
    ids: list[object], *, event_id: str = "e1", retry: int = 0, how: str = "end"
) -> Callable[[Wire, Request], None]:
    """Begin the stream of a call with a priming event, and end it."""

    def do(wire: Wire, request: Request) -> None:
        ids.append(request.messages[0]["id"])
        stream = wire.stream()
        stream.event("", event=None, id=event_id, retry=retry)
        getattr(stream, how)()

    return do


def go_on(ids: list[object], text: str = "resumed") -> Callable[[Wire, Request], None]:
    """The rest of the stream, which stays open as real servers leave it."""

    def do(wire: Wire, request: Request) -> None:
        stream = wire.stream()
        stream.event(result_of(text, ids[0]), id="e9")
        wire.hold()

    return do


@pytest.mark.parametrize("how", ["end", "cut", "reset"])
def test_a_stream_that_ends_early_is_resumed_by_get_and_the_call_is_not_sent_again(
    how: str, server: FaultServer, client: MCPClient
) -> None:
    ids: list[object] = []
    server.instead("tools/call", begin(ids, how=how))
    server.instead(lambda request: "last-event-id" in request.headers, go_on(ids))
    with within():
        assert client.call_tool("echo", timeout=LONG).text == "resumed"
    (get,) = resumptions(server)
    assert get.headers["last-event-id"] == "e1"
    assert get.headers["accept"] == "text/event-stream"
    assert get.headers["mcp-session-id"] == client.session_id
    assert get.headers["mcp-protocol-version"] == "2025-11-25"
    assert server.tool_calls["echo"] == 1
    assert client.call_tool("echo", {"message": "next"}).text == "next"


def test_an_id_of_any_characters_comes_back_as_it_was(server: FaultServer, client: MCPClient) -> None:
    ids: list[object] = []
    server.instead("tools/call", begin(ids, event_id="日本 é\x1b7"))
    server.instead(lambda request: "last-event-id" in request.headers, go_on(ids))
    with within():
        assert client.call_tool("echo", timeout=LONG).text == "resumed"
    (get,) = resumptions(server)
    assert get.headers["last-event-id"].encode("latin-1").decode("utf-8") == "日本 é\x1b7"


def test_the_server_says_how_long_to_wait_before_that(server: FaultServer, client: MCPClient) -> None:
    ids: list[object] = []
    server.instead("tools/call", begin(ids, retry=600))
    server.instead(lambda request: "last-event-id" in request.headers, go_on(ids))
    client.call_tool("echo", timeout=LONG)
    posted = max(server.times("POST"))
    assert resumptions(server)[0].at - posted >= 0.58


def test_each_stream_is_resumed_by_its_own_last_id(server: FaultServer, client: MCPClient) -> None:
    ids: dict[str, object] = {}

    def begin_both(wire: Wire, request: Request) -> None:
        message = request.messages[0]
        name = message["params"]["arguments"]["message"]
        ids[name] = message["id"]
        stream = wire.stream()
        stream.event("", event=None, id=f"{name}-1", retry=100)
        stream.event({"jsonrpc": "2.0", "method": "x/y"}, id=f"{name}-2")
        stream.end()

    def go_on_as_asked(wire: Wire, request: Request) -> None:
        name, number = request.headers["last-event-id"].split("-")
        assert number == "2"
        stream = wire.stream()
        stream.event(result_of(name, ids[name]))
        stream.end()

    server.instead("tools/call", begin_both, 8)
    server.instead(lambda request: "last-event-id" in request.headers, go_on_as_asked, 8)
    names = [f"call{number}" for number in range(8)]
    with within():
        results = client.map("echo", [{"message": name} for name in names], max_workers=8, timeout=LONG)
    assert [result.text for result in results] == names
    assert server.tool_calls["echo"] == 8


def test_events_on_both_sides_of_the_break_are_seen_in_order(server: FaultServer, client: MCPClient) -> None:
    tokens: list[Any] = []

    def progress(number: int) -> dict[str, Any]:
        params = {"progressToken": tokens[0], "progress": number}
        return {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}

    def first(wire: Wire, request: Request) -> None:
        tokens.append(request.messages[0]["params"]["_meta"]["progressToken"])
        stream = wire.stream()
        stream.event(progress(1), id="1", retry=0)
        stream.end()

    def second(wire: Wire, request: Request) -> None:
        stream = wire.stream()
        stream.event(progress(2), id="2")
        stream.event(result_of("done", tokens[0]), id="3")
        stream.end()

    server.instead("tools/call", first)
    server.instead(lambda request: "last-event-id" in request.headers, second)
    with within(), client.stream_tool("echo", timeout=LONG) as stream:
        events = list(stream)
    assert [event.progress for event in events if isinstance(event, Progress)] == [1, 2]
    assert stream.result.text == "done"


def test_a_stream_that_ends_again_and_again_is_given_up(
    server: FaultServer, client: MCPClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside.resume_after(monkeypatch, 0.01)
    ids: list[object] = []

    def end_at_once(wire: Wire, request: Request) -> None:
        wire.stream().end()

    server.instead("tools/call", begin(ids, retry=0))
    server.instead(lambda request: "last-event-id" in request.headers, end_at_once, ALWAYS)
    with within(8), pytest.raises(MCPConnectionError) as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.outcome == "unknown"
    assert len(resumptions(server)) == 5
    assert server.tool_calls["echo"] == 1


def test_a_stream_that_primes_and_ends_again_and_again_is_given_up(
    server: FaultServer, client: MCPClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event without a message is no progress."""
    inside.resume_after(monkeypatch, 0.01)
    ids: list[object] = []
    server.instead("tools/call", begin(ids, retry=0))
    server.instead(lambda request: "last-event-id" in request.headers, begin_again, ALWAYS)
    with within(8), pytest.raises(MCPConnectionError) as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.outcome == "unknown"
    assert len(resumptions(server)) == 5
    assert server.tool_calls["echo"] == 1


@pytest.mark.parametrize("how", ["end", "cut", "reset"])
def test_resumptions_are_half_a_second_apart_also_where_each_brings_something(
    how: str, server: FaultServer, client: MCPClient
) -> None:
    def report(wire: Wire, request: Request) -> None:
        stream = wire.stream()
        stream.event(
            {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info"}}, id="x", retry=0
        )
        getattr(stream, how)()

    server.instead("tools/call", begin([], retry=0))
    server.instead(lambda request: "last-event-id" in request.headers, report, ALWAYS)
    with within(), pytest.raises(MCPTimeoutError):
        client.call_tool("echo", timeout=2.2)
    times = [request.at for request in resumptions(server)]
    assert 1 <= len(times) <= 4
    assert all(later - sooner >= 0.48 for sooner, later in zip(times, times[1:]))


def test_max_retries_0_resumes_nothing(server: FaultServer, connect: Connect) -> None:
    server.instead("tools/call", begin([], retry=0))
    with within(), pytest.raises(MCPConnectionError):
        connect(max_retries=0).call_tool("echo", timeout=LONG)
    assert resumptions(server) == []


def begin_again(wire: Wire, request: Request) -> None:
    stream = wire.stream()
    stream.event("", event=None, id="again", retry=0)
    stream.end()


@pytest.mark.parametrize("code", [400, 404, 405, 406])
def test_a_stream_that_cannot_be_resumed_is_a_lost_call(code: int, server: FaultServer, client: MCPClient) -> None:
    server.instead("tools/call", begin([], retry=0))
    server.instead(lambda request: "last-event-id" in request.headers, status(code), ALWAYS)
    with within(), pytest.raises(MCPConnectionError, match="cannot be resumed") as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.outcome == "unknown"
    assert caught.value.__cause__ is not None
    assert len(resumptions(server)) == 1
    assert server.tool_calls["echo"] == 1
    assert client.call_tool("echo", {"message": "next"}).text == "next"


def test_a_stream_without_ids_is_a_lost_call(server: FaultServer, client: MCPClient) -> None:
    def end(wire: Wire, request: Request) -> None:
        wire.stream().end()

    server.instead("tools/call", end)
    with within(), pytest.raises(MCPConnectionError, match="before its answer") as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.outcome == "unknown"
    assert resumptions(server) == []
    assert server.tool_calls["echo"] == 1


def test_a_tool_stream_that_is_lost_says_how_far_it_came(server: FaultServer, client: MCPClient) -> None:
    def end(wire: Wire, request: Request) -> None:
        stream = wire.stream()
        stream.message({"jsonrpc": "2.0", "method": "x/y"})
        stream.cut()

    server.instead("tools/call", end)
    with within(), pytest.raises(StreamLostError) as caught:
        list(client.stream_tool("echo", timeout=LONG))
    assert caught.value.events_received == 1
    assert caught.value.outcome == "unknown"
    assert server.tool_calls["echo"] == 1


def test_with_retry_a_lost_call_is_sent_again(server: FaultServer, client: MCPClient) -> None:
    def end(wire: Wire, request: Request) -> None:
        wire.stream().end()

    server.instead("tools/call", end)
    assert client.call_tool("echo", {"message": "hi"}, retry=True, timeout=LONG).text == "hi"
    assert server.tool_calls["echo"] == 2


def test_the_pause_before_a_resumption_ends_at_the_deadline(server: FaultServer, client: MCPClient) -> None:
    server.instead("tools/call", begin([], retry=20_000))
    with within(), pytest.raises((MCPTimeoutError, MCPConnectionError)) as caught:
        client.call_tool("echo", timeout=0.5)
    assert caught.value.outcome == "unknown"
    assert resumptions(server) == []


def test_the_pause_before_a_resumption_ends_with_the_client(server: FaultServer, client: MCPClient) -> None:
    server.instead("tools/call", begin([], retry=20_000))
    call = client.submit("echo", timeout=LONG)
    server.wait_for_call("echo")
    with within():
        client.close()
        error = call.exception(LONG)
    assert getattr(error, "outcome", None) == "unknown"
    assert resumptions(server) == []


def test_a_later_answer_of_another_call_on_a_resumed_stream_is_not_taken(
    server: FaultServer, client: MCPClient
) -> None:
    ids: list[object] = []
    slow = client.submit("slow", timeout=LONG)
    server.wait_for_call("slow")
    other = server.sent("tools/call")[0]["id"]

    def forge(wire: Wire, request: Request) -> None:
        stream = wire.stream()
        stream.event(result_of("forged", other))
        stream.event(result_of("mine", ids[0]))
        stream.end()

    server.instead("tools/call", begin(ids))
    server.instead(lambda request: "last-event-id" in request.headers, forge)
    assert client.call_tool("echo", timeout=LONG).text == "mine"
    server.gate.set()
    assert slow.result(LONG).text == "slow"
    assert json.dumps(server.sent("tools/call")[1]["id"]) == json.dumps(ids[0])
