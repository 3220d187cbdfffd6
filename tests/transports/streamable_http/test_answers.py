"""What a POST is answered with: faults.md, HTTP; quirks.md, C (2025-11-25, Transports, Streamable HTTP)."""

from __future__ import annotations

import gzip
import json
from typing import Any, Callable

import pytest

from mcp_sync import (
    AuthorizationError,
    CallToolResult,
    HTTPStatusError,
    LogMessage,
    MCPClient,
    MCPClientError,
    MCPConnectionError,
    MCPProtocolError,
    Notification,
    Progress,
)
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, Asked, FaultServer, gzip_bomb, raw, reset, sse, status
from tests.transports.streamable_http.waiting import wait_for_requests

Connect = Callable[..., MCPClient]


@pytest.fixture(params=["json", "sse"])
def answers(request: pytest.FixtureRequest, server: FaultServer) -> str:
    """Both ways to answer a POST."""
    server.answers = request.param
    return server.answers


def result_of(text: str, request: Any) -> dict[str, Any]:
    """The answer to the one request in a POST."""
    content = {"content": [{"type": "text", "text": text}]}
    return {"jsonrpc": "2.0", "id": request.messages[0]["id"], "result": content}


def body_of(text: str, request: Any) -> bytes:
    return json.dumps(result_of(text, request), ensure_ascii=False).encode()


# Both kinds of answers


def test_every_operation_works_whichever_way_the_server_answers(
    answers: str, server: FaultServer, client: MCPClient
) -> None:
    assert client.transport == "http"
    assert client.call_tool("echo", {"message": "Grüße"}, timeout=LONG).text == "Grüße"
    assert [tool.name for tool in client.list_tools()][:1] == ["echo"]
    assert client.read_resource("test://one").contents
    assert client.get_prompt("greet").messages
    assert client.complete("greet", "name", "o").completion.values == ["one", "two"]
    client.ping()
    client.set_logging_level("info")
    client.subscribe_resource("test://one")
    client.unsubscribe_resource("test://one")
    assert server.sent("resources/unsubscribe")


@pytest.mark.parametrize("version", ["2025-03-26", "2025-06-18", "2025-11-25"])
def test_each_request_says_the_session_and_the_revision_where_that_has_a_header(
    version: str, answers: str, server: FaultServer, make_client: Connect
) -> None:
    server.protocol_version = version
    client = make_client(server.mcp_url).connect()
    assert client.protocol_version == version
    assert client.session_id == server.session.id
    client.call_tool("echo")
    wait_for_requests(server, "GET")
    client.close()
    initialize = next(request for request in server.requests if "initialize" in request.rpc_methods)
    assert "mcp-session-id" not in initialize.headers
    assert "mcp-protocol-version" not in initialize.headers
    later = server.requests[server.requests.index(initialize) + 1 :]
    assert {request.method for request in later} == {"POST", "GET", "DELETE"}
    expected = {None} if version == "2025-03-26" else {version}
    assert {request.headers.get("mcp-protocol-version") for request in later} == expected
    assert len({request.headers.get("mcp-session-id") for request in later}) == 1
    assert all("mcp-method" not in request.headers for request in later)
    assert all("_meta" not in (message.get("params") or {}) for message in server.sent("tools/call"))


def test_posts_accept_both_kinds_of_answers(server: FaultServer, client: MCPClient) -> None:
    client.call_tool("echo")
    posts = [request for request in server.requests if request.method == "POST"]
    assert {request.headers["accept"] for request in posts} == {"application/json, text/event-stream"}
    assert {request.headers["content-type"] for request in posts} == {"application/json"}


def test_a_server_without_sessions_gets_no_session_header_no_get_and_no_delete(
    server: FaultServer, make_client: Connect
) -> None:
    server.mints_sessions = False
    client = make_client(server.mcp_url).connect()
    assert client.protocol_version == "2025-11-25"
    assert client.session_id is None
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    client.close()
    assert all("mcp-session-id" not in request.headers for request in server.requests)
    assert server.count("DELETE") == 0


def test_a_session_id_that_no_header_can_carry_is_refused(server: FaultServer, make_client: Connect) -> None:
    def initialize(asked: Asked) -> None:
        result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": server.server_info}
        answer = {"jsonrpc": "2.0", "id": asked.id, "result": result}
        asked.wire.respond(200, answer, {"mcp-session-id": "a b"})

    server.methods["initialize"] = initialize
    with within(), pytest.raises(MCPConnectionError, match="session id"):
        make_client(server.mcp_url).connect()


# The forms that answers take


def _sse_with_length(wire: Any, request: Any) -> None:
    wire.respond(200, sse(result_of("hi", request)), {"content-type": "text/event-stream"})


def _sse_until_the_end(wire: Any, request: Any) -> None:
    stream = wire.stream(chunked=False)
    stream.message(result_of("hi", request))
    stream.end()


def _sse_left_open(wire: Any, request: Any) -> None:
    stream = wire.stream()
    stream.message(result_of("hi", request))
    wire.hold()


def _sse_in_bytes(wire: Any, request: Any) -> None:
    stream = wire.stream()
    stream.drip(sse(result_of("hi", request), line_end="\n"))
    stream.end()


def _sse_with_charset(wire: Any, request: Any) -> None:
    stream = wire.stream(content_type="Text/Event-Stream; charset=utf-8")
    stream.message(result_of("hi", request))
    stream.end()


def _primed(wire: Any, request: Any) -> None:
    stream = wire.stream()
    stream.event("", event=None, id="0", retry=500)
    stream.send("retry: 1500\r\n\r\n")
    stream.comment("keepalive")
    stream.event(result_of("hi", request), event=None, id="1")
    stream.end()


def _other_event_names(wire: Any, request: Any) -> None:
    stream = wire.stream()
    stream.event("", event="ping")
    stream.message(result_of("hi", request))
    stream.end()


def _json_with_charset(wire: Any, request: Any) -> None:
    wire.respond(200, body_of("hi", request), {"content-type": "application/json; charset=utf-8"})


def _json_in_chunks(wire: Any, request: Any) -> None:
    stream = wire.stream(content_type="application/json")
    stream.drip(body_of("hi", request), size=7)
    stream.end()


def _json_by_http_1_0(wire: Any, request: Any) -> None:
    wire.send(b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n" + body_of("hi", request))
    wire.finish()


def _sse_by_http_1_0(wire: Any, request: Any) -> None:
    wire.send(b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + sse(result_of("hi", request)))
    wire.finish()


def _gzip_json(wire: Any, request: Any) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    wire.respond(200, gzip.compress(body_of("hi", request)), headers)


def _gzip_sse(wire: Any, request: Any) -> None:
    stream = wire.stream(headers={"content-encoding": "gzip"})
    stream.drip(gzip.compress(sse(result_of("hi", request))), size=9)
    stream.end()


def _result_first(wire: Any, request: Any) -> None:
    message = result_of("hi", request)
    wire.respond(200, {"result": message["result"], "jsonrpc": "2.0", "id": message["id"]})


def _status_201(wire: Any, request: Any) -> None:
    wire.respond(201, result_of("hi", request))


def _batch(wire: Any, request: Any) -> None:
    note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": 1}}
    wire.respond(200, [note, result_of("hi", request)])


FORMS = [
    _sse_with_length,
    _sse_until_the_end,
    _sse_left_open,
    _sse_in_bytes,
    _sse_with_charset,
    _primed,
    _other_event_names,
    _json_with_charset,
    _json_in_chunks,
    _json_by_http_1_0,
    _sse_by_http_1_0,
    _gzip_json,
    _gzip_sse,
    _result_first,
    _status_201,
    _batch,
]


@pytest.mark.parametrize("form", FORMS, ids=[form.__name__.strip("_") for form in FORMS])
def test_an_answer_is_taken_in_every_form_that_servers_give_it(
    form: Callable[[Any, Any], None], server: FaultServer, client: MCPClient
) -> None:
    server.instead("tools/call", form)
    with within():
        assert client.call_tool("echo", timeout=LONG).text == "hi"
    with within():
        assert client.call_tool("echo", {"message": "next"}, timeout=LONG).text == "next"
    assert server.tool_calls["echo"] == 2


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
def test_text_without_a_charset_is_utf_8(content_type: str, server: FaultServer, client: MCPClient) -> None:
    def answer(wire: Any, request: Any) -> None:
        body = body_of("Grüße, 世界", request)
        wire.respond(200, b"data: %s\n\n" % body if "stream" in content_type else body, {"content-type": content_type})

    server.instead("tools/call", answer)
    assert client.call_tool("echo", timeout=LONG).text == "Grüße, 世界"


def test_a_tool_over_its_own_stream_shows_progress_logs_and_what_else_comes(
    server: FaultServer, client: MCPClient
) -> None:
    seen = []

    def work(asked: Asked) -> None:
        asked.progress(1, 2, "half")
        server.wait(server.gate)  # the client has seen the first event, before the answer
        asked.log("done", "warning")
        asked.send({"jsonrpc": "2.0", "method": "notifications/custom", "params": {"x": 1}})
        asked.text("result")

    server.tools["work"] = work
    with within(), client.stream_tool("work", timeout=LONG) as stream:
        for event in stream:
            seen.append(event)
            server.gate.set()
    first, log, note, result = seen
    assert isinstance(first, Progress)
    assert (first.progress, first.total, first.message) == (1, 2, "half")
    assert isinstance(log, LogMessage)
    assert (log.level, log.data) == ("warning", "done")
    assert isinstance(note, Notification)
    assert note.method == "notifications/custom"
    assert isinstance(result, CallToolResult)
    assert result.text == "result"


def test_on_progress_is_called_while_the_tool_runs(server: FaultServer, client: MCPClient) -> None:
    def work(asked: Asked) -> None:
        asked.progress(0.5)
        server.wait(server.gate)
        asked.text("result")

    server.tools["work"] = work
    with within():
        result = client.call_tool("work", timeout=LONG, on_progress=lambda progress: server.gate.set())
    assert result.text == "result"


def test_what_a_server_asks_on_a_calls_own_stream_is_answered(server: FaultServer, connect: Connect) -> None:
    client = connect(roots=["file:///work"])
    with within():
        answer = json.loads(client.call_tool("ask", {"method": "roots/list", "params": {}}, timeout=LONG).text)
    assert answer["result"] == {"roots": [{"uri": "file:///work"}]}
    with within():
        answer = json.loads(client.call_tool("ask", {"method": "ping", "params": {}}, timeout=LONG).text)
    assert answer["result"] == {}


def test_a_handler_that_calls_the_client_during_a_call_is_no_deadlock(
    server: FaultServer, make_client: Connect
) -> None:
    clients: list[MCPClient] = []

    def elicit(params: Any) -> Any:
        return {"action": "accept", "content": {"name": clients[0].call_tool("echo", {"message": "inner"}).text}}

    client = make_client(server.mcp_url, elicitation_handler=elicit)
    clients.append(client)
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    asked = {"method": "elicitation/create", "params": {"message": "Who?", "requestedSchema": schema}}
    with within():
        answer = json.loads(client.call_tool("ask", asked, timeout=LONG).text)
    assert answer["result"] == {"action": "accept", "content": {"name": "inner"}}


# Connections


def test_connections_are_kept_after_json_and_after_sse(answers: str, server: FaultServer, client: MCPClient) -> None:
    wait_for_requests(server, "GET")
    before = server.connections
    for number in range(20):
        assert client.call_tool("echo", {"message": str(number)}, timeout=LONG).text == str(number)
    client.call_tool("progress", timeout=LONG, on_progress=lambda progress: None)
    client.call_tool("echo")
    # Now and then the end of a stream is slow to follow its answer, and a new connection costs less than to wait.
    assert server.connections - before <= 6


def test_a_stale_connection_is_noticed_and_the_call_made_once(server: FaultServer, connect: Connect) -> None:
    server.standing_stream = False
    client = connect()
    client.call_tool("echo")
    wait_for_requests(server, "GET")
    server.drop_connections()
    server.wait_until(lambda: not server._wires, "all connections are gone")
    with within():
        assert client.call_tool("echo", {"message": "next"}, timeout=LONG).text == "next"
    assert server.tool_calls["echo"] == 2


# What is no answer

WRONG_BODIES: dict[str, tuple[dict[str, str], bytes, str]] = {
    "HTML": ({"content-type": "text/html"}, b"<h1>Welcome</h1>", "text/html"),
    "no content type": ({}, b"hi", "no content type"),
    "nothing": ({"content-type": "application/json"}, b"", "empty"),
    "white space": ({"content-type": "application/json"}, b" \n", "empty"),
    "half of JSON": ({"content-type": "application/json"}, b'{"jsonrpc": "2.0", ', "not JSON"),
    "a number": ({"content-type": "application/json"}, b"7", "neither"),
    "a stream of nothing": ({"content-type": "text/event-stream"}, b"", "ended the stream"),
    "a frame that is no JSON": ({"content-type": "text/event-stream"}, b"data: {nonsense\n\n", "not JSON"),
    "another answer": (
        {"content-type": "application/json"},
        b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"not yours"}]}}',
        "does not hold the answer",
    ),
}


@pytest.mark.parametrize("case", WRONG_BODIES.values(), ids=WRONG_BODIES.keys())
def test_what_is_no_answer_is_that_calls_error_at_once(case: Any, server: FaultServer, client: MCPClient) -> None:
    headers, body, says = case
    server.instead("tools/call", status(200, body, headers))
    with within(), pytest.raises((MCPProtocolError, MCPConnectionError), match=says) as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.outcome == "unknown"
    assert caught.value.method == "tools/call"
    assert server.tool_calls["echo"] == 1
    assert client.call_tool("echo", {"message": "next"}).text == "next"


def test_the_answer_to_another_id_on_a_posts_own_stream_is_nobodys(server: FaultServer, client: MCPClient) -> None:
    slow = client.submit("slow", timeout=LONG)
    server.wait_for_call("slow")
    other = server.sent("tools/call")[0]["id"]

    def answer_another(wire: Any, request: Any) -> None:
        forged = {"jsonrpc": "2.0", "id": other, "result": {"content": [{"type": "text", "text": "forged"}]}}
        wire.respond(200, sse(forged) + sse(result_of("mine", request)), {"content-type": "text/event-stream"})

    server.instead("tools/call", answer_another)
    assert client.call_tool("echo", timeout=LONG).text == "mine"
    assert not slow.done()
    server.gate.set()
    assert slow.result(LONG).text == "slow"


def test_a_202_to_a_request_is_an_error_at_once(server: FaultServer, client: MCPClient) -> None:
    server.instead("tools/call", status(202))
    with within(), pytest.raises(MCPProtocolError, match="202") as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.outcome == "unknown"
    assert server.tool_calls["echo"] == 1


def test_an_answer_over_the_limit_is_an_error_and_not_read_whole(server: FaultServer, connect: Connect) -> None:
    client = connect(max_message_bytes=100_000)
    for content_type in ("application/json", "text/event-stream"):
        server.instead("tools/call", status(200, b"data: " + b"x" * 1_000_000, {"content-type": content_type}))
        with within(), pytest.raises(MCPProtocolError, match="over the limit"):
            client.call_tool("echo", timeout=LONG)
    assert client.call_tool("echo", {"message": "next"}).text == "next"


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
def test_a_gzip_bomb_is_an_error_and_costs_little(content_type: str, server: FaultServer, connect: Connect) -> None:
    resource = pytest.importorskip("resource")
    client = connect(max_message_bytes=1_000_000)
    bomb = gzip_bomb(200_000_000)
    server.instead("tools/call", status(200, bomb, {"content-type": content_type, "content-encoding": "gzip"}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with within(), pytest.raises(MCPProtocolError, match="over the limit"):
        client.call_tool("echo", timeout=LONG)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_a_body_shorter_than_it_says_is_a_lost_connection(server: FaultServer, client: MCPClient) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"
    server.instead("tools/call", raw(head))
    with within(), pytest.raises(MCPConnectionError) as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.outcome == "unknown"
    assert server.tool_calls["echo"] == 1


def test_an_answer_whose_frame_is_cut_off_is_never_a_result(server: FaultServer, client: MCPClient) -> None:
    def cut(wire: Any, request: Any) -> None:
        stream = wire.stream()
        stream.send(b"data: " + body_of("TRUNCATED", request) + b"\r\n")
        stream.cut()

    server.instead("tools/call", cut)
    with within(), pytest.raises(MCPConnectionError) as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.outcome == "unknown"
    assert server.tool_calls["echo"] == 1


# Statuses


@pytest.mark.parametrize(
    ("code", "kind", "outcome"),
    [
        (400, HTTPStatusError, "refused"),
        (401, AuthorizationError, "refused"),
        (403, AuthorizationError, "refused"),
        (406, HTTPStatusError, "refused"),
        (409, HTTPStatusError, "refused"),
        (421, HTTPStatusError, "refused"),
        (429, HTTPStatusError, "refused"),
        (500, HTTPStatusError, "unknown"),
        (503, HTTPStatusError, "unknown"),
    ],
)
@pytest.mark.parametrize(
    "body", [b"because", b'{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"because"}}']
)
def test_an_error_status_is_that_calls_error_and_nothing_is_sent_again(
    code: int, kind: type[HTTPStatusError], outcome: str, body: bytes, server: FaultServer, client: MCPClient
) -> None:
    content_type = "application/json" if body.startswith(b"{") else "text/plain"
    server.instead("tools/call", status(code, body, {"content-type": content_type, "retry-after": "7"}))
    with within(), pytest.raises(kind, match="because") as caught:
        client.call_tool("echo", timeout=LONG)
    assert (caught.value.status, caught.value.outcome, caught.value.method) == (code, outcome, "tools/call")
    assert caught.value.retry_after == 7.0
    assert server.tool_calls["echo"] == 1
    assert client.call_tool("echo", {"message": "next"}).text == "next"
    assert len(server.sent("initialize")) == 1


def test_an_error_status_with_the_answer_in_its_body_is_the_servers_error(
    server: FaultServer, client: MCPClient
) -> None:
    def refuse(wire: Any, request: Any) -> None:
        error = {"code": -32602, "message": "no such tool", "data": {"x": 1}}
        wire.respond(400, {"jsonrpc": "2.0", "id": request.messages[0]["id"], "error": error})

    server.instead("tools/call", refuse)
    with within(), pytest.raises(MCPClientError, match="no such tool") as caught:
        client.call_tool("echo", timeout=LONG)
    assert getattr(caught.value, "code", None) == -32602


@pytest.mark.parametrize(
    "accepts",
    [
        status(202),
        status(202, "null", {"content-type": "application/json"}),
        raw(b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\ncontent-type: text/plain\r\n\r\n0\r\n\r\n"),
        raw(b"HTTP/1.1 202 Accepted\r\n\r\n"),
        status(204),
        status(200, {"jsonrpc": "2.0", "id": 0, "error": {"code": -32601, "message": "?"}}),
        status(
            200,
            sse({"jsonrpc": "2.0", "id": None, "error": {"code": -32601, "message": "?"}}),
            {"content-type": "text/event-stream"},
        ),
    ],
)
def test_a_notification_is_accepted_whatever_is_said_to_it(
    accepts: Any, server: FaultServer, make_client: Connect
) -> None:
    server.instead("notifications/initialized", accepts)
    with within():
        client = make_client(server.mcp_url, timeout=LONG).connect()
        client.notify("notifications/custom")
        assert client.call_tool("echo", {"message": "hi"}).text == "hi"


# Goodbye


@pytest.mark.parametrize("code", [200, 204, 400, 404, 405, 500])
def test_the_session_is_ended_with_delete_and_any_answer_is_fine(
    code: int, server: FaultServer, connect: Connect
) -> None:
    client = connect()
    id = client.session_id
    server.instead("DELETE", status(code, "null"))
    with within():
        client.close()
    (delete,) = [request for request in server.requests if request.method == "DELETE"]
    assert delete.headers["mcp-session-id"] == id
    assert delete.body == b""


@pytest.mark.parametrize("way", ["hold", "reset"])
def test_an_unanswered_delete_does_not_hold_close_up(way: str, server: FaultServer, connect: Connect) -> None:
    client = connect()
    server.instead("DELETE", reset if way == "reset" else lambda wire, request: wire.hold(), ALWAYS)
    with within(2.5):
        client.close()
    assert server.count("DELETE") == 1
    with within(1.0):
        client.close()
    assert server.count("DELETE") == 1
