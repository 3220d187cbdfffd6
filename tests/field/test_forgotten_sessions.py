"""A server that does not know the session says so in many words; all mean what status 404 means."""

from __future__ import annotations

import json
from typing import Any, Callable, Optional

import pytest

from mcp_sync import AuthorizationError, HTTPStatusError, MCPServerError, SessionExpiredError
from mcp_sync.protocol.forgotten import says_forgotten
from tests.support.beds import Bed, over
from tests.support.fault_server import Behaviour, Request, Wire, status

Answer = Callable[[Request], tuple[int, Any]]


def error(code: int, text: str, id: Optional[str] = "own") -> Callable[[Request], Any]:
    def body(request: Request) -> Any:
        given = request.messages[0].get("id") if id == "own" and request.messages else id
        return {"jsonrpc": "2.0", "error": {"code": code, "message": text}, "id": given}

    return body


GONE: list[tuple[int, Any]] = [
    (404, ""),
    (404, "Not Found"),
    (404, error(-32001, "Session not found")),
    (404, error(-32001, "Session not found", None)),
    (404, error(-32000, "Not found")),
    (404, error(-32600, "Session has been terminated", "server-error")),
    (404, error(-32603, "Unknown session")),
    (400, "Bad Request: Server not initialized"),
    (400, error(-32000, "Bad Request: Server not initialized", None)),
    (400, error(-32000, "Bad Request: Server not initialized")),
    (400, error(-32000, "Bad Request: No valid session ID provided", None)),
    (400, "Invalid session ID"),
    (400, "No transport found for sessionId"),
    (200, error(-32001, "Session not found")),
    (200, error(-32000, "Invalid or expired session")),
    (200, error(-32600, "Mcp-Session-Id is unknown: session does not exist")),
    (200, error(-32002, "Server not initialized")),
    (409, "the session is no longer valid: unknown session"),
    (409, error(-32000, "Session expired")),
    (410, "Session terminated"),
    (410, error(-32001, "session gone")),
    (503, "Session not found on this instance"),
    (503, error(-32001, "Session not found", None)),
]
NOT_GONE: list[tuple[int, Any, type[Exception]]] = [
    (404, error(-32601, "Method not found"), MCPServerError),
    (404, error(-32602, "Unknown tool: x"), MCPServerError),
    (400, error(-32602, "Missing argument"), MCPServerError),
    (400, "Bad Request", HTTPStatusError),
    (401, "Session expired, sign in again", AuthorizationError),
    (403, "invalid session", AuthorizationError),
    (409, "only one stream for a session", HTTPStatusError),
    (503, "too many sessions", HTTPStatusError),
    (503, "overloaded", HTTPStatusError),
    (500, "KeyError: unknown session", HTTPStatusError),
    (200, error(-32603, "the database session was closed"), MCPServerError),
    (200, error(-32602, "unknown session"), MCPServerError),
    (200, error(-32001, "Request timed out"), MCPServerError),
]


def answering(code: int, body: Any, as_stream: bool = False) -> Behaviour:
    def do(wire: Wire, request: Request) -> None:
        told = body(request) if callable(body) else body
        if as_stream and code == 200:
            stream = wire.stream()
            stream.message(told)
            stream.end()
        else:
            status(code, told, None if isinstance(told, dict) else {"content-type": "text/plain"})(wire, request)

    return do


def show(value: Any) -> str:
    is_body = callable(value) and not isinstance(value, type)
    return json.dumps(value(Request("POST", "/", {}))["error"]) if is_body else str(value)


@pytest.mark.parametrize(
    ("code", "body", "as_stream"),
    [(*row, False) for row in GONE] + [(*row, True) for row in GONE if row[0] == 200],
    ids=show,
)
@over("http-json")
def test_a_new_session_is_opened_and_what_only_reads_is_asked_again(
    bed: Bed, code: int, body: Any, as_stream: bool
) -> None:
    client = bed.connect()
    first = client.session_id
    bed.server.instead("tools/list", answering(code, body, as_stream))
    assert client.list_tools()
    assert client.session_id != first
    bed.server.instead("tools/call", answering(code, body, as_stream))
    with pytest.raises(SessionExpiredError) as caught:
        client.call_tool("fail_if_called")
    assert caught.value.outcome == "refused"
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    assert len(bed.server.sent("initialize")) == 3


@pytest.mark.parametrize(("code", "body", "kind"), NOT_GONE, ids=show)
@over("http-json")
def test_other_answers_leave_the_session_alone(bed: Bed, code: int, body: Any, kind: type[Exception]) -> None:
    client = bed.connect()
    first = client.session_id
    bed.server.instead("tools/call", answering(code, body))
    with pytest.raises(kind) as caught:
        client.call_tool("echo", {"message": "hi"})
    assert not isinstance(caught.value, SessionExpiredError)
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    assert client.session_id == first


@pytest.mark.parametrize(
    ("code", "body"),
    [(404, ""), (400, "Bad Request: Server not initialized"), (410, "Session gone"), (503, "no session")],
)
@over("sse")
def test_the_endpoint_of_http_sse_says_it_too(bed: Bed, code: int, body: str) -> None:
    client = bed.connect()
    bed.server.instead("tools/list", answering(code, body))
    assert client.list_tools()
    assert len(bed.server.sent("initialize")) == 2


@over("stateless", "stdio")
def test_without_a_session_an_error_is_an_error(bed: Bed) -> None:
    bed.tool("odd", lambda asked: asked.error(-32001, "Session not found"))
    client = bed.connect()
    with pytest.raises(MCPServerError):
        client.call_tool("odd")


@pytest.mark.parametrize("status", [401, 403, 429])
def test_who_asks_and_how_often_is_another_matter(status: int) -> None:
    assert not says_forgotten(status, None, "unknown session")
    assert not says_forgotten(status, {"code": -32001, "message": "Session not found"})


# The name that a server gives the session


@pytest.mark.parametrize("name", ["", " ", "\t "])
@over("http-json", "http-sse")
def test_an_empty_session_id_is_none(bed: Bed, name: str) -> None:
    _name_sessions(bed, name)
    client = bed.connect()
    assert client.session_id is None
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    assert not any("mcp-session-id" in request.headers for request in bed.server.requests)


@pytest.mark.parametrize("name", ["abc ", " abc", "abc\t", "  abc \t "])
@over("http-json", "http-sse")
def test_blanks_around_a_session_id_are_not_part_of_it(bed: Bed, name: str) -> None:
    _name_sessions(bed, name)
    client = bed.connect()
    assert client.session_id == "abc"


def _name_sessions(bed: Bed, name: str) -> None:
    """Initialize is answered under this session id, and the rest as by a server without sessions."""
    bed.server.mints_sessions = False

    def initialize(wire: Wire, request: Request) -> None:
        (message,) = request.messages
        result = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        wire.send(head.encode() + b"mcp-session-id: " + name.encode() + b"\r\n\r\n" + body)

    bed.server.instead("initialize", initialize)


# A byte order mark


@over("http-json", "http-sse", "sse", "stdio")
def test_a_byte_order_mark_before_a_message_is_no_part_of_it(bed: Bed) -> None:
    def marked(asked: Any) -> None:
        message = {"jsonrpc": "2.0", "id": asked.id, "result": {"content": [{"type": "text", "text": "hi"}]}}
        body = b"\xef\xbb\xbf" + json.dumps(message).encode()
        if bed.name == "http-json":
            asked.wire.respond(200, body, {"content-type": "application/json"})
        elif bed.name == "stdio":
            bed.stream(asked).send(body + b"\n")
        else:
            bed.stream(asked).send(b"data: " + body + b"\n\n")
            if bed.name == "http-sse":
                bed.stream(asked).end()

    bed.tool("marked", marked)
    assert bed.connect().call_tool("marked").text == "hi"


@over("http-json")
def test_so_is_it_before_the_answer_of_a_direct_call(bed: Bed) -> None:
    client = bed.connect()
    bed.server.instead(
        lambda request: request.path == "/health",
        status(200, b'\xef\xbb\xbf{"a": 1}', {"content-type": "application/json"}),
    )
    assert client.call_operation("GET:/health") == {"a": 1}
