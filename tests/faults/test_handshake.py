"""Faults between the connection and the first call: faults.md, Handshake; quirks.md, HTTP+SSE."""

from __future__ import annotations

import math
import uuid
from typing import Any, Callable

import pytest

from mcp_sync import (
    AuthorizationError,
    HTTPStatusError,
    MCPClient,
    MCPConnectionError,
    MCPHandshakeError,
    MCPTimeoutError,
)
from tests.support.beds import Bed
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, Asked, FaultServer, Session, hold, status

Connect = Callable[..., MCPClient]


@pytest.fixture
def stranger() -> Any:
    """A second origin, where nothing may ever arrive."""
    with FaultServer() as other:
        yield other
        assert other.connections == 0


def failing(server: FaultServer, make_client: Connect, **options: Any) -> MCPConnectionError:
    """The error of a handshake that must fail at once, leaving the client as if never connected."""
    client = make_client(server.sse_url, **{"transport": "sse", "timeout": LONG, **options})
    with within(), pytest.raises((MCPConnectionError, MCPTimeoutError)) as caught:
        client.connect()
    assert not client.connected
    assert (caught.value.server or "").startswith(server.url)
    server.wait_until(lambda: not server.sessions, "the stream is closed")
    assert isinstance(caught.value, MCPConnectionError)
    return caught.value


# The endpoint


def test_no_endpoint_event_ends_at_the_deadline(server: FaultServer, make_client: Connect) -> None:
    server.greet = lambda session: None
    error = failing(server, make_client, timeout=0.5)
    assert isinstance(error, MCPHandshakeError)
    assert "no endpoint event" in str(error)


def test_pings_do_not_extend_the_wait_for_the_endpoint(server: FaultServer, make_client: Connect) -> None:
    def ping(session: Session) -> None:
        assert session.stream is not None
        session.stream.drip(": ping\n\n" * 10_000, size=8, pause=0.02)

    server.greet = ping
    assert isinstance(failing(server, make_client, timeout=0.5), MCPHandshakeError)


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("begin", ["", ": hello\r\n\r\n", "event: endpoint\r\ndata: /messages/?session_id=1\r\n"])
def test_a_stream_that_ends_before_the_endpoint_says_so(
    begin: str, chunked: bool, server: FaultServer, make_client: Connect
) -> None:
    def end(session: Session) -> None:
        assert session.stream is not None
        session.stream.send(begin)
        session.stream.end()

    server.stream_options["chunked"] = chunked
    server.greet = end
    error = failing(server, make_client)
    assert isinstance(error, MCPHandshakeError)
    assert "stream ended before the endpoint event" in str(error)
    assert server.count("POST") == 0


def test_a_byte_order_mark_does_not_hide_the_endpoint(server: FaultServer, make_client: Connect) -> None:
    def greet(session: Session) -> None:
        assert session.stream is not None
        session.stream.send(b"\xef\xbb\xbf")
        server.send_endpoint(session)

    server.greet = greet
    assert make_client(server.sse_url, transport="sse").call_tool("echo", {"message": "hi"}).text == "hi"


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "file:///etc/passwd",
        "http://{other}/messages",
        "//{other}/messages",
        "http://127.0.0.1:{port}@{other}/messages",
        "http://user@127.0.0.1:{port}/messages",
        "https://127.0.0.1:{port}/messages",
        "/\\{other}/messages",
        "\\\\{other}\\messages",
        "ht\ttp://{other}/messages",
        "http://127.0.0.1.:{port}/messages",
        "http://localhost:{port}/messages",
        "http://127.0.0.1:{port}x/messages",
        "javascript:alert(1)",
    ],
)
def test_an_endpoint_of_another_origin_is_refused_before_a_byte_goes_there(
    endpoint: str, server: FaultServer, stranger: FaultServer, make_client: Connect
) -> None:
    text = endpoint.replace("{other}", f"127.0.0.1:{stranger.port}").replace("{port}", str(server.port))
    server.greet = lambda session: session.stream.event(text, event="endpoint")  # type: ignore[union-attr]
    error = failing(server, make_client)
    assert isinstance(error, MCPHandshakeError)
    assert error.outcome == "not_sent"
    assert server.count("POST") == 0


def test_the_first_endpoint_stays(server: FaultServer, stranger: FaultServer, client: MCPClient) -> None:
    stream = server.session.stream
    assert stream is not None
    stream.event("/elsewhere", event="endpoint")
    stream.event(f"http://127.0.0.1:{stranger.port}/messages", event="endpoint")
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    assert {request.path for request in server.requests if request.method == "POST"} == {server.messages_path}


def test_an_endpoint_that_is_not_there_is_named(server: FaultServer, make_client: Connect) -> None:
    server.greet = lambda session: session.stream.event(  # type: ignore[union-attr]
        "/nowhere/?session_id=secret-1", event="endpoint"
    )
    error = failing(server, make_client)
    assert "/nowhere/" in str(error)
    assert "secret-1" not in str(error)


# Dialects


def _event(path: str) -> Callable[[FaultServer, Session], None]:
    def greet(server: FaultServer, session: Session) -> None:
        assert session.stream is not None
        session.stream.event(
            path.replace("{id}", session.id).replace("{origin}", server.url).replace("{dashed}", session.id),
            event="endpoint",
        )

    return greet


def _data(text: str) -> Callable[[FaultServer, Session], None]:
    def greet(server: FaultServer, session: Session) -> None:
        assert session.stream is not None
        session.stream.event(text.replace("{id}", session.id), event=None)

    return greet


@pytest.mark.parametrize(
    ("messages_path", "greet"),
    [
        ("/messages/", _event("/messages/?session_id={id}")),
        ("/message", _event("/message?sessionId={id}")),
        ("/root/messages/", _event("/root/messages/?session_id={id}")),
        ("/message", _event("{origin}/message?sessionId={id}")),
        ("/sse", _event("/sse?sessionId={id}")),
        ("/sse", _event("?sessionId={id}")),
        ("/messages", _event("messages?session_id={id}")),
    ],
    ids=["path", "sessionId", "root path", "absolute url", "the stream's own path", "query alone", "relative"],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_form_of_endpoint_leads_to_a_session(
    messages_path: str,
    greet: Callable[[FaultServer, Session], None],
    line_end: str,
    server: FaultServer,
    make_client: Connect,
) -> None:
    server.line_end = line_end
    server.messages_path = messages_path
    server.greet = lambda session: greet(server, session)
    client = make_client(server.sse_url, transport="sse", timeout=LONG).connect()
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    assert client.session_id == server.session.id
    assert client.transport == "sse"


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"session","session_id":"{id}"}',
        '{"type": "session", "sessionId": "{id}"}',
        "session_id={id}",
        "sessionId={id}",
        " session_id={id} ",
    ],
)
@pytest.mark.parametrize("given", [{}, {"messages_path": "/api/post"}])
def test_a_frame_that_names_the_session_leads_to_the_messages_path(
    text: str, given: dict[str, str], server: FaultServer, make_client: Connect
) -> None:
    server.messages_path = given.get("messages_path", "/mcp/messages/")
    server.greet = lambda session: _data(text)(server, session)
    client = make_client(server.sse_url, transport="sse", timeout=LONG, **given).connect()
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    assert client.session_id == server.session.id
    post = next(request for request in server.requests if request.method == "POST")
    assert post.query == {"session_id": server.session.id}


@pytest.mark.parametrize("data", [None, "ready", '{"type":"hello"}'])
def test_an_id_field_that_names_the_session_leads_to_the_messages_path(
    data: Any, server: FaultServer, make_client: Connect
) -> None:
    server.messages_path = "/mcp/messages/"
    server.greet = lambda session: session.stream.event(data, event=None, id=session.id)  # type: ignore[union-attr]
    client = make_client(server.sse_url, transport="sse", timeout=LONG).connect()
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    assert client.session_id == server.session.id


def _name_in_header(server: FaultServer, greet: Callable[[Session], None]) -> str:
    """Have the stream's head name the session, as some servers do."""
    id = str(uuid.uuid4())
    server.stream_options["headers"] = {"X-MCP-Session-ID": id}

    def rename(session: Session) -> None:
        del server.sessions[session.id]
        session.id = id
        server.sessions[id] = session
        greet(session)

    server.greet = rename
    return id


def test_a_header_that_names_the_session_leads_to_the_messages_path(server: FaultServer, make_client: Connect) -> None:
    server.messages_path = "/mcp/messages/"
    id = _name_in_header(server, lambda session: None)
    client = make_client(server.sse_url, transport="sse", timeout=LONG)
    with within():
        client.connect()
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    assert client.session_id == id


def test_an_endpoint_event_wins_over_the_header(server: FaultServer, make_client: Connect) -> None:
    id = _name_in_header(server, server.send_endpoint)
    client = make_client(server.sse_url, transport="sse", timeout=LONG).connect()
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    assert client.session_id == id
    assert {request.path for request in server.requests if request.method == "POST"} == {"/messages/"}


def test_a_session_name_cannot_lead_to_another_origin(
    server: FaultServer, stranger: FaultServer, make_client: Connect
) -> None:
    server.greet = lambda session: session.stream.event(  # type: ignore[union-attr]
        f"session_id=x@127.0.0.1:{stranger.port}/#", event=None
    )
    client = make_client(server.sse_url, transport="sse", timeout=1.0)
    with pytest.raises(MCPConnectionError):
        client.connect()
    assert {request.path for request in server.requests if request.method == "POST"} <= {"/mcp/messages/"}


# Where the server is


def test_a_bare_origin_is_searched_up_to_the_event_stream(server: FaultServer, make_client: Connect) -> None:
    client = make_client(server.url, timeout=LONG)
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    assert client.transport == "sse"
    paths = [request.path for request in server.requests]
    assert paths.index("/mcp") < paths.index("/sse")
    assert server.tool_calls["echo"] == 1


def test_a_bare_origin_with_the_event_stream_below_mcp_finds_it_there(
    server: FaultServer, make_client: Connect
) -> None:
    server.sse_path = "/mcp"
    client = make_client(server.url, timeout=LONG).connect()
    assert client.transport == "sse"
    assert "/sse" not in [request.path for request in server.requests]


def test_a_bare_origin_with_nothing_there_names_where_it_looked(server: FaultServer, make_client: Connect) -> None:
    server.sse_path = "/hidden"
    client = make_client(server.url, timeout=LONG)
    with within(), pytest.raises(MCPConnectionError) as caught:
        client.connect()
    assert "/mcp" in str(caught.value)
    assert "/sse" in str(caught.value)


def test_where_a_server_was_found_is_remembered(server: FaultServer, make_client: Connect) -> None:
    client = make_client(server.url, timeout=LONG).connect()
    client.close()
    before = len(server.requests)
    client.connect()
    assert {request.path for request in server.requests[before:]} <= {"/sse", "/messages/"}


def test_an_event_stream_at_a_url_with_a_path_is_found_without_naming_the_transport(
    server: FaultServer, make_client: Connect
) -> None:
    client = make_client(server.sse_url, timeout=LONG)
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    assert client.transport == "sse"


# initialize


def test_initialize_without_an_answer_ends_at_the_deadline(server: FaultServer, make_client: Connect) -> None:
    server.methods["initialize"] = lambda asked: None
    error = failing(server, make_client, timeout=0.5)
    assert isinstance(error, MCPHandshakeError)
    assert error.__cause__ is not None
    assert server.sent("notifications/cancelled") == []


def _error(asked: Asked) -> None:
    asked.error(-32602, "no, \x1b[31mno\x1b[0m")


@pytest.mark.parametrize(
    "answer",
    [
        _error,
        lambda asked: asked.answer({}),
        lambda asked: asked.answer({"protocolVersion": "1999-01-01", "capabilities": {}, "serverInfo": {}}),
        lambda asked: asked.answer(
            {"protocolVersion": "1999-01-01", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
        ),
        lambda asked: asked.reply({"jsonrpc": "2.0", "id": asked.id, "result": None}),
        lambda asked: asked.reply({"jsonrpc": "2.0", "id": asked.id}),
        lambda asked: asked.session.stream.reset(),
        lambda asked: asked.session.stream.end(),
    ],
    ids=["error", "empty", "no server info", "unknown version", "null", "neither", "RST", "end of stream"],
)
def test_initialize_that_fails_is_a_handshake_error_and_leaves_nothing_open(
    answer: Any, server: FaultServer, make_client: Connect
) -> None:
    server.methods["initialize"] = answer
    error = failing(server, make_client)
    assert isinstance(error, MCPHandshakeError)
    assert "\x1b" not in str(error) + repr(error)
    assert server.sent("notifications/initialized") == []


def test_a_refused_handshake_can_be_tried_again(server: FaultServer, make_client: Connect) -> None:
    good = server.methods["initialize"]
    server.methods["initialize"] = _error
    client = make_client(server.sse_url, transport="sse", timeout=LONG)
    with pytest.raises(MCPHandshakeError):
        client.connect()
    server.methods["initialize"] = good
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"


def test_the_answer_to_initialize_may_come_before_the_202(server: FaultServer, make_client: Connect) -> None:
    def answer_first(wire: Any, request: Any) -> None:
        session = server.session
        server.handle(session, wire, request)
        server.wait(told)
        wire.respond(202, "Accepted")

    import threading

    told = threading.Event()
    usual = server.methods["initialize"]

    def initialize(asked: Asked) -> None:
        usual(asked)
        told.set()

    server.methods["initialize"] = initialize
    server.instead("initialize", answer_first)
    assert make_client(server.sse_url, transport="sse", timeout=LONG).connect().connected


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_every_revision_that_a_server_answers_with_is_spoken(
    version: str, server: FaultServer, make_client: Connect
) -> None:
    server.protocol_version = version
    client = make_client(server.sse_url, transport="sse", timeout=LONG).connect()
    assert client.protocol_version == version


def test_the_revision_that_is_insisted_on_is_proposed(server: FaultServer, make_client: Connect) -> None:
    client = make_client(server.sse_url, transport="sse", protocol_version="2024-11-05").connect()
    assert client.protocol_version == "2024-11-05"
    assert server.sent("initialize")[0]["params"]["protocolVersion"] == "2024-11-05"


def test_an_old_server_is_never_asked_what_kills_its_session(server: FaultServer, make_client: Connect) -> None:
    """mcp 1.x ends an SSE session at a first message that is not initialize."""
    client = make_client(server.sse_url, timeout=LONG).connect()
    posts = [request for request in server.requests if request.method == "POST" and request.path != server.sse_path]
    assert posts[0].rpc_methods == ["initialize"]
    assert client.connected


def test_a_server_of_the_new_kind_that_is_found_by_sse_alone_is_told_apart(
    server: FaultServer, make_client: Connect
) -> None:
    """HTTP+SSE cannot carry a revision without a handshake: insisting on one must not hang or kill the session."""
    client = make_client(server.sse_url, transport="sse", protocol_version="2026-07-28", timeout=1.0)
    with within(), pytest.raises(Exception) as caught:
        client.connect()
    assert type(caught.value).__module__.startswith("mcp_sync")


# What the GET can be answered with


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, HTTPStatusError),
        (401, AuthorizationError),
        (403, AuthorizationError),
        (404, HTTPStatusError),
        (429, HTTPStatusError),
        (500, HTTPStatusError),
        (503, HTTPStatusError),
    ],
)
def test_an_error_status_on_the_stream_is_final_and_quoted_briefly(
    code: int, kind: type[Exception], server: FaultServer, make_client: Connect
) -> None:
    body = "\x1b[31mno\x1b[0m " + "x" * 10_000
    server.instead("GET", status(code, body, {"content-type": "text/plain", "retry-after": "7"}), ALWAYS)
    # Less than the server asks to wait for.
    error = failing(server, make_client, timeout=6.0)
    assert isinstance(error, kind)
    assert isinstance(error, HTTPStatusError)
    assert error.status == code
    assert error.retry_after == 7.0
    assert len(error.body) <= 210
    assert "\x1b" not in str(error) + error.body
    assert server.count("GET") == 1


@pytest.mark.parametrize("kind", ["text/html", "application/json", "text/plain; charset=utf-8", ""])
def test_a_page_instead_of_a_stream_is_a_handshake_error(kind: str, server: FaultServer, make_client: Connect) -> None:
    headers = {"content-type": kind} if kind else {}
    server.instead("GET", status(200, "<html>" + "x" * 10_000, headers), ALWAYS)
    error = failing(server, make_client)
    assert isinstance(error, MCPHandshakeError)
    assert "instead of text/event-stream" in str(error)
    assert "<html>" in str(error)
    assert len(str(error)) < 700


@pytest.mark.parametrize("kind", ["text/event-stream; charset=utf-8", "TEXT/EVENT-STREAM", "text/event-stream;x"])
def test_the_content_type_may_have_parameters_and_any_case(
    kind: str, server: FaultServer, make_client: Connect
) -> None:
    server.stream_options["content_type"] = kind
    assert make_client(server.sse_url, transport="sse", timeout=LONG).connect().connected


def test_an_error_page_that_never_ends_does_not_hold_the_error_up(server: FaultServer, make_client: Connect) -> None:
    def endless(wire: Any, request: Any) -> None:
        stream = wire.stream(code=500, content_type="text/plain")
        stream.send("broken")
        hold(wire, request)

    server.instead("GET", endless, ALWAYS)
    client = make_client(server.sse_url, transport="sse", timeout=1.0)
    with within(), pytest.raises((MCPConnectionError, MCPTimeoutError)):
        client.connect()


def test_an_error_page_without_bound_is_read_a_little(server: FaultServer, make_client: Connect) -> None:
    def flood(wire: Any, request: Any) -> None:
        stream = wire.stream(code=500, content_type="text/plain")
        while True:
            stream.send(b"x" * 65536)

    server.instead("GET", flood, ALWAYS)
    error = failing(server, make_client)
    assert isinstance(error, HTTPStatusError)
    assert error.status == 500


def test_a_post_that_never_answers_initialize_ends_at_the_deadline(server: FaultServer, make_client: Connect) -> None:
    server.instead("POST", hold, math.inf)
    assert isinstance(failing(server, make_client, timeout=0.5), MCPHandshakeError)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(401, AuthorizationError), (403, AuthorizationError), (429, HTTPStatusError), (500, HTTPStatusError)],
)
def test_an_error_status_on_initialize_is_told_as_what_it_is(
    code: int, kind: type[Exception], server: FaultServer, make_client: Connect
) -> None:
    server.instead("initialize", status(code, "no"))
    error = failing(server, make_client)
    assert isinstance(error, kind)


# Over every transport


@pytest.mark.parametrize("how", ["silent", "error", "empty", "unknown version", "null", "neither", "reset"])
def test_a_handshake_that_fails_is_told_and_leaves_nothing_open(how: str, bed: Bed) -> None:
    server = bed.server
    unknown = {
        "protocolVersion": "1999-01-01",
        "supportedVersions": ["1999-01-01"],
        "capabilities": {},
        "serverInfo": {"name": "s", "version": "1"},
    }
    behaviours: dict[str, Callable[[Asked], Any]] = {
        "silent": lambda asked: None,
        "error": lambda asked: asked.error(-32603, "no, \x1b[31mno\x1b[0m"),
        "empty": lambda asked: asked.answer({}),
        "unknown version": lambda asked: asked.answer(unknown),
        "null": lambda asked: asked.reply({"jsonrpc": "2.0", "id": asked.id, "result": None}),
        "neither": lambda asked: asked.reply({"jsonrpc": "2.0", "id": asked.id}),
        "reset": lambda asked: bed.break_off(asked, "reset"),
    }
    method = "server/discover" if bed.name == "stateless" else "initialize"
    server.methods[method] = behaviours[how]
    client = bed.make(timeout=1.0 if how == "silent" else LONG)
    with within(8), pytest.raises((MCPConnectionError, MCPTimeoutError)) as caught:
        client.connect()
    error = caught.value
    assert isinstance(error, MCPHandshakeError) or (how in ("silent", "reset") and bed.name in ("stateless", "stdio"))
    assert error.outcome == "not_sent"
    assert "\x1b" not in str(error) + repr(error)
    assert not client.connected
    client.close()
    server.wait_until(lambda: not server._wires, "all connections are closed")
    if bed.name in ("http-json", "http-sse") and how not in ("silent", "reset"):
        # A session id came with the answer.
        assert server.count("DELETE") == 1
    assert server.sent("notifications/initialized") == []
    assert server.sent("notifications/cancelled") == []
    # A server that does not answer the question is taken for one of the older kind.
    getattr(server, "violations", []).clear()
