"""Finding out what a server speaks: quirks.md, A (2026-07-28, Streamable HTTP, Backward Compatibility)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
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
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, Behaviour, FaultServer, Request, Wire, hold, raw, reset, sse, status
from tests.transports.streamable_http.modern import VERSION, ModernServer

Connect = Callable[..., MCPClient]


@pytest.fixture
def modern() -> Iterator[ModernServer]:
    """A server of the stateless kind."""
    running = ModernServer()
    with running:
        yield running


def error(code: int, id: object = "same", http: int = 200, *, stream: bool = False, **more: Any) -> Behaviour:
    """A JSON-RPC error as the answer; ``id="same"`` takes the request's."""

    def do(wire: Wire, request: Request) -> None:
        answer_id = request.messages[0].get("id") if id == "same" else id
        answer = {"jsonrpc": "2.0", "id": answer_id, "error": {"code": code, "message": "said no", **more}}
        if stream:
            wire.respond(http, sse(answer), {"content-type": "text/event-stream"})
        else:
            wire.respond(http, answer)

    return do


def text(code: int, body: str, content_type: str = "text/plain") -> Behaviour:
    return status(code, body, {"content-type": content_type})


# What legacy servers answer to server/discover.
LEGACY: dict[str, Behaviour] = {
    "python 1.x": error(-32600, "server-error", 400),
    "typescript 1.x": error(-32000, None, 400),
    "django": text(400, "Session required for stateful server", "text/html"),
    "supergateway 4": error(-32601, http=404),
    "mcp-utils": error(-32601),
    "flask-mcp-server": error(-32601, stream=True),
    "mcp 1.30": error(-32602, http=200),
    "406": text(406, "Not Acceptable"),
    "415": text(415, "Unsupported Media Type"),
    "404 without a body": status(404),
    "405": text(405, "Method Not Allowed"),
    "500": text(500, "Internal Server Error"),
    "202": status(202),
    "HTML": text(200, "<h1>Welcome</h1>", "text/html"),
    "an empty result": lambda wire, request: wire.respond(
        200, {"jsonrpc": "2.0", "id": request.messages[0]["id"], "result": {}}
    ),
    "half of a body": raw(b"HTTP/1.1 400 Bad\r\ncontent-length: 100\r\n\r\nBad"),
}


@pytest.mark.parametrize("answer", LEGACY.values(), ids=LEGACY.keys())
def test_a_server_that_does_not_know_the_new_method_is_initialized(
    answer: Behaviour, http_server: FaultServer, make_client: Connect
) -> None:
    http_server.instead("server/discover", answer)
    with within():
        client = make_client(http_server.mcp_url, timeout=LONG).connect()
    assert (client.transport, client.protocol_version) == ("http", "2025-11-25")
    assert len(http_server.sent("server/discover")) == len(http_server.sent("initialize")) == 1
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    posts = [request for request in http_server.requests if request.method == "POST"]
    assert all("mcp-method" not in request.headers for request in posts[1:])


@pytest.mark.parametrize(
    "answer",
    [
        text(404, "Not Found"),
        text(404, "<pre>Cannot POST /sse</pre>", "text/html"),
        text(405, '{"detail":"Method Not Allowed"}', "application/json"),
        text(405, "Method Not Allowed"),
        text(400, "Bad Request"),
    ],
)
def test_an_sse_url_that_takes_no_post_is_opened_by_get_and_never_probed_there(
    answer: Behaviour, server: FaultServer, make_client: Connect
) -> None:
    server.instead(lambda request: request.method == "POST" and request.path == "/sse", answer, ALWAYS)
    with within():
        client = make_client(server.sse_url, timeout=LONG).connect()
    assert (client.transport, client.protocol_version) == ("sse", "2025-11-25")
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    probes = [request for request in server.requests if "server/discover" in request.rpc_methods]
    assert [request.path for request in probes] == ["/sse"]


def test_a_modern_server_is_not_initialized(modern: ModernServer, make_client: Connect) -> None:
    client = make_client(modern.mcp_url).connect()
    assert (client.transport, client.protocol_version) == ("http", VERSION)
    assert modern.sent("initialize") == []


@pytest.mark.parametrize("code", [-32020, -32021])
def test_an_error_that_only_modern_servers_give_is_no_reason_to_fall_back(
    code: int, http_server: FaultServer, make_client: Connect
) -> None:
    http_server.instead("server/discover", error(code, http=400), ALWAYS)
    with within(), pytest.raises(MCPHandshakeError, match="said no"):
        make_client(http_server.mcp_url, timeout=LONG).connect()
    assert http_server.sent("initialize") == []


def test_a_server_of_both_kinds_that_offers_only_old_versions_is_initialized(
    http_server: FaultServer, make_client: Connect
) -> None:
    data = {"supported": ["2025-11-25"], "requested": VERSION}
    http_server.instead("server/discover", error(-32022, http=400, data=data))
    client = make_client(http_server.mcp_url).connect()
    assert client.protocol_version == "2025-11-25"


@pytest.mark.parametrize("code", [401, 403])
def test_a_server_that_wants_credentials_is_asked_once(
    code: int, http_server: FaultServer, make_client: Connect
) -> None:
    http_server.instead("POST", status(code), ALWAYS)
    with within(), pytest.raises(AuthorizationError):
        make_client(http_server.mcp_url, timeout=LONG).connect()
    assert len(http_server.requests) == 1


@pytest.mark.parametrize("silence", [hold, lambda wire, request: (wire.stream(), wire.hold())])
def test_a_probe_that_is_not_answered_leaves_time_for_the_handshake(
    silence: Any, http_server: FaultServer, make_client: Connect
) -> None:
    http_server.instead("server/discover", silence)
    with within():
        client = make_client(http_server.mcp_url, timeout=1.5).connect()
    assert client.protocol_version == "2025-11-25"
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"


def test_a_server_that_never_answers_costs_the_timeout_and_no_more(
    http_server: FaultServer, make_client: Connect
) -> None:
    http_server.instead("POST", hold, ALWAYS)
    with within(2.5), pytest.raises((MCPTimeoutError, MCPHandshakeError)) as caught:
        make_client(http_server.mcp_url, timeout=0.6).connect()
    assert caught.value.outcome == "not_sent"


def test_a_probe_that_is_reset_is_a_lost_connection(http_server: FaultServer, make_client: Connect) -> None:
    http_server.instead("POST", reset, ALWAYS)
    with within(), pytest.raises(MCPConnectionError) as caught:
        make_client(http_server.mcp_url, timeout=LONG).connect()
    assert caught.value.outcome == "not_sent"
    assert 1 <= len(http_server.requests) <= 2


@pytest.mark.parametrize("answered", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_every_older_revision_that_the_server_answers_is_taken(
    answered: str, http_server: FaultServer, make_client: Connect
) -> None:
    http_server.protocol_version = answered
    client = make_client(http_server.mcp_url).connect()
    assert client.protocol_version == answered
    assert http_server.sent("initialize")[0]["params"]["protocolVersion"] == "2025-11-25"
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"


@pytest.mark.parametrize("answered", ["1999-01-01", "2026-07-28", "\x1b[31m"])
def test_a_revision_that_is_not_ours_ends_the_handshake_and_the_session(
    answered: str, http_server: FaultServer, make_client: Connect
) -> None:
    http_server.protocol_version = answered
    with within(), pytest.raises(MCPHandshakeError, match="revision") as caught:
        make_client(http_server.mcp_url, timeout=LONG).connect()
    assert "\x1b" not in str(caught.value)
    assert http_server.sent("notifications/initialized") == []
    assert http_server.count("DELETE") == 1


# Pinned


@pytest.mark.parametrize("version", ["2025-03-26", "2025-06-18", "2025-11-25"])
def test_a_pinned_revision_with_a_handshake_is_proposed_without_a_probe(
    version: str, http_server: FaultServer, make_client: Connect
) -> None:
    client = make_client(http_server.mcp_url, protocol_version=version).connect()
    assert client.protocol_version == version
    assert http_server.requests[0].rpc_methods == ["initialize"]
    assert http_server.sent("initialize")[0]["params"]["protocolVersion"] == version


def test_a_pinned_revision_that_the_server_does_not_speak_is_an_error(
    http_server: FaultServer, make_client: Connect
) -> None:
    http_server.protocol_version = "2025-03-26"
    with within(), pytest.raises(MCPHandshakeError, match="2025-03-26, not 2025-11-25"):
        make_client(http_server.mcp_url, protocol_version="2025-11-25", timeout=LONG).connect()
    with within(), pytest.raises((MCPHandshakeError, HTTPStatusError)):
        make_client(http_server.mcp_url, protocol_version=VERSION, timeout=LONG).connect()
    assert len(http_server.sent("initialize")) == 1


def test_a_pinned_transport_is_the_only_one_tried(
    server: FaultServer, http_server: FaultServer, make_client: Connect
) -> None:
    client = make_client(server.sse_url, transport="sse").connect()
    assert client.transport == "sse"
    assert server.requests[0].method == "GET"
    assert server.sent("server/discover") == []
    client = make_client(http_server.mcp_url, transport="http").connect()
    assert client.transport == "http"
    with within(), pytest.raises(MCPConnectionError):
        make_client(server.sse_url, transport="http", timeout=LONG).connect()
    assert server.count("GET") == 1
    with within(), pytest.raises(MCPConnectionError):
        make_client(http_server.mcp_url, transport="sse", timeout=LONG).connect()


def test_http_sse_cannot_carry_the_newest_revision(server: FaultServer, make_client: Connect) -> None:
    with within(), pytest.raises(MCPHandshakeError, match="HTTP\\+SSE cannot carry"):
        make_client(server.sse_url, transport="sse", protocol_version=VERSION).connect()
    assert server.requests == []


# Remembered


def test_a_second_client_does_not_probe_again(
    server: FaultServer, http_server: FaultServer, modern: ModernServer, make_client: Connect
) -> None:
    for running, url in ((server, server.sse_url), (http_server, http_server.mcp_url)):
        make_client(url).connect()
        probes = len(running.sent("server/discover"))
        assert probes == 1
        client = make_client(url).connect()
        assert client.call_tool("echo", {"message": "hi"}).text == "hi"
        assert len(running.sent("server/discover")) == probes
    make_client(modern.mcp_url).connect()
    make_client(modern.mcp_url).connect()
    assert len(modern.sent("server/discover")) == 2  # what the server can do has to be asked all the same


def test_a_server_that_changed_its_kind_is_found_out_again(http_server: FaultServer, make_client: Connect) -> None:
    """As when a gateway is replaced by one of the other kind on the same address."""
    url = http_server.mcp_url
    make_client(url).connect().close()
    real_post = http_server.serve_post

    with ModernServer() as modern:

        def as_modern(wire: Wire, request: Request) -> None:
            if "initialize" in request.rpc_methods:
                wire.respond(400, "what is this", {"content-type": "text/plain"})
            else:
                modern.serve_post(wire, request)

        http_server.serve_post = as_modern  # type: ignore[method-assign]  # another server has taken over
        with within():
            client = make_client(url, timeout=LONG).connect()
        assert client.protocol_version == VERSION
        assert client.call_tool("echo", {"message": "hi"}).text == "hi"
        client.close()

    http_server.serve_post = real_post  # type: ignore[method-assign]  # and the old one is back
    with within():
        client = make_client(url, timeout=LONG).connect()
    assert client.protocol_version == "2025-11-25"
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"


# Where


@pytest.mark.parametrize(
    ("path", "binding", "transport", "looked_at"),
    [
        ("/mcp", "http", "http", ["/mcp"]),
        ("/mcp", "sse", "sse", ["/mcp"]),
        ("/sse", "sse", "sse", ["/mcp", "/sse"]),
        ("/", "http", "http", ["/mcp", "/sse", "/"]),
        ("/", "sse", "sse", ["/mcp", "/sse", "/"]),
    ],
)
def test_a_bare_origin_is_searched_in_order(
    path: str, binding: str, transport: str, looked_at: list[str], make_client: Connect
) -> None:
    with FaultServer(binding) as running:
        running.mcp_path = running.sse_path = path
        if binding == "sse":
            running.instead(
                lambda request: request.method == "POST" and "session_id" not in request.query, text(405, "no"), ALWAYS
            )
        with within():
            client = make_client(running.url, timeout=LONG).connect()
        assert client.transport == transport
        assert client.call_tool("echo", {"message": "hi"}).text == "hi"
        seen = list(dict.fromkeys(request.path for request in running.requests if request.path != "/messages/"))
        assert seen == looked_at
        client.close()


def test_the_search_begins_at_the_connection_path(http_server: FaultServer, make_client: Connect) -> None:
    http_server.mcp_path = "/api/mcp"
    client = make_client(http_server.url, connection_path="/api/mcp").connect()
    assert client.transport == "http"
    assert {request.path for request in http_server.requests} == {"/api/mcp"}


def test_a_url_with_a_path_is_taken_as_it_is(http_server: FaultServer, make_client: Connect) -> None:
    http_server.mcp_path = "/other"
    with within(), pytest.raises(MCPConnectionError):
        make_client(http_server.mcp_url.replace("/other", "/mcp"), timeout=LONG).connect()
    assert {request.path for request in http_server.requests} == {"/mcp"}


def test_where_nothing_is_the_error_names_the_places(http_server: FaultServer, make_client: Connect) -> None:
    http_server.mcp_path = "/elsewhere"
    with within(), pytest.raises(MCPHandshakeError) as caught:
        make_client(http_server.url.replace("//", "//me:secret@"), timeout=LONG).connect()
    message = str(caught.value)
    for place in ("/mcp", "/sse", "/"):
        assert http_server.url + place in message
    assert "path" in message
    assert "secret" not in message
    assert caught.value.outcome == "not_sent"
    assert caught.value.__cause__ is not None


def test_a_web_page_is_no_mcp_server(make_client: Connect) -> None:
    with FaultServer("http") as page:
        page.instead(lambda request: bool(request.method), text(200, "<h1>Shop</h1>", "text/html"), ALWAYS)
        page._faults[-1].when = lambda request: request.method in ("GET", "POST")
        with within(), pytest.raises(MCPHandshakeError) as caught:
            make_client(page.url, timeout=LONG).connect()
    assert "text/html" in str(caught.value) or "no MCP server" in str(caught.value)


def test_a_refused_connection_ends_the_search_at_once(make_client: Connect) -> None:
    with FaultServer("http") as gone:
        url = gone.url
    with within(), pytest.raises(MCPConnectionError) as caught:
        make_client(url, timeout=LONG).connect()
    assert caught.value.outcome == "not_sent"
    assert not isinstance(caught.value, MCPHandshakeError)


def test_a_search_that_fails_leaves_no_session_behind(http_server: FaultServer, make_client: Connect) -> None:
    http_server.instead("notifications/initialized", status(500), ALWAYS)
    with within(), pytest.raises(MCPConnectionError):
        make_client(http_server.mcp_url, timeout=LONG).connect()
    assert http_server.sessions == {}


def test_the_log_says_what_was_found_and_why(
    server: FaultServer, modern: ModernServer, make_client: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    with FaultServer("http") as http_server, caplog.at_level(logging.DEBUG, "mcp_sync.discovery.handshake"):
        for _ in range(2):
            make_client(server.sse_url).connect()
            make_client(http_server.mcp_url).connect()
        make_client(http_server.mcp_url, protocol_version="2025-06-18").connect()
        make_client(modern.mcp_url).connect()
    sse, http, sse_again, http_again, pinned, stateless = [record.getMessage() for record in caplog.records]
    assert "speaks 2025-11-25 over sse, because it takes no POST" in sse
    assert "speaks 2025-11-25 over http, because server/discover was not answered" in http
    assert "because it did so before" in sse_again
    assert "because it did so before" in http_again
    assert "speaks 2025-06-18 over http, because protocol_version= says so" in pinned
    assert "speaks 2026-07-28 over http, because it answers server/discover" in stateless
