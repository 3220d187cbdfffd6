"""call_operation(): tools by name, and direct HTTP calls of the same service."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from mcp_sync import (
    HTTPStatusError,
    MCPClient,
    MCPClosedError,
    MCPConnectionError,
    MCPProtocolError,
    MCPTimeoutError,
    MCPUsageError,
    ToolError,
)
from mcp_sync.calls.direct_http import parse_operation
from tests.support.clock import LONG, within
from tests.support.fault_server import FaultServer, Request, Wire, finish, gzip_bomb, hold, raw, status

Connect = Callable[..., MCPClient]


def at(path: str) -> Callable[[Any], bool]:
    return lambda request: bool(request.path == path)


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("GET:/health", ("GET", "/health")),
        ("POST:/a/{b}?c=d", ("POST", "/a/{b}?c=d")),
        ("DELETE:/", ("DELETE", "/")),
        ("get:/health", None),
        ("GET:health", None),
        ("GET /health", None),
        ("FETCH:/x", None),
        ("echo", None),
        ("", None),
    ],
)
def test_a_name_with_a_method_and_a_path_is_an_http_call(name: str, operation: Any) -> None:
    assert parse_operation(name) == operation


def test_a_tools_name_calls_the_tool(server: FaultServer, client: MCPClient) -> None:
    assert client.call_operation("echo", {"message": "hi"}) == "hi"
    assert client.call_operation("echo", {"message": '{"a": 1}'}) == {"a": 1}
    with pytest.raises(ToolError):
        client.call_operation("fail")
    assert len(list(client.call_operation("progress", {"count": 2}, stream=True))) == 3


@pytest.mark.parametrize(
    ("body", "kind", "value"),
    [
        ('{"ok": true}', "application/json", {"ok": True}),
        ("[1]", "application/json; charset=utf-8", [1]),
        ('{"title": "x"}', "application/problem+json", {"title": "x"}),
        ("not json", "application/json", "not json"),
        ("grün", "text/plain", "grün"),
        ("7", "text/plain", "7"),
        ("", "application/json", None),
    ],
)
def test_the_answer_is_plain_data(body: str, kind: str, value: object, server: FaultServer, client: MCPClient) -> None:
    server.instead(at("/health"), status(200, body, {"content-type": kind}))
    assert client.call_operation("GET:/health") == value


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_arguments_of_a_method_without_a_body_are_the_query(
    method: str, server: FaultServer, client: MCPClient
) -> None:
    server.instead(method if method != "GET" else at("/items/a%2Fb"), status(204))
    arguments = {"id": "a/b", "q": "x y&z", "flag": True, "none": None, "many": [1, 2]}
    assert client.call_operation(f"{method}:/items/{{id}}", arguments) is None
    request = next(request for request in server.requests if request.method == method and "items" in request.path)
    assert request.target == "/items/a%2Fb?q=x+y%26z&flag=true&many=1&many=2"
    assert request.body == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_arguments_of_a_method_with_a_body_are_its_json(method: str, server: FaultServer, client: MCPClient) -> None:
    server.instead(at("/items/7"), status(200, '"done"', {"content-type": "application/json"}))
    assert client.call_operation(f"{method}:/items/{{id}}", {"id": 7, "name": "grün"}) == "done"
    request = next(request for request in server.requests if request.path == "/items/7")
    assert json.loads(request.body) == {"name": "grün"}
    assert request.headers["content-type"] == "application/json"


def test_a_path_that_lacks_an_argument_is_a_usage_error(server: FaultServer, client: MCPClient) -> None:
    before = len(server.requests)
    with pytest.raises(MCPUsageError, match="needs the argument 'id'"):
        client.call_operation("GET:/items/{id}")
    with pytest.raises(MCPUsageError, match="JSON"):
        client.call_operation("POST:/items", {"x": object()})
    assert len(server.requests) == before


@pytest.mark.parametrize("path", ["//evil.invalid/x", "///evil.invalid", "/\\evil.invalid/x", "/\t/evil.invalid/x"])
def test_a_path_never_leads_to_another_origin(path: str, server: FaultServer, client: MCPClient) -> None:
    before = len(server.requests)
    try:
        client.call_operation(f"GET:{path}", timeout=2)
    except (MCPUsageError, HTTPStatusError):
        pass
    assert all("evil" not in request.headers["host"] for request in server.requests[before:])


def test_an_argument_cannot_leave_its_place_in_the_path(server: FaultServer, client: MCPClient) -> None:
    with pytest.raises(HTTPStatusError):
        client.call_operation("GET:/items/{id}", {"id": "a/b?x=1#y"})
    assert server.requests[-1].target == "/items/a%2Fb%3Fx%3D1%23y"
    before = len(server.requests)
    with pytest.raises(MCPUsageError, match="another place"):
        client.call_operation("GET:/items/{id}", {"id": "../../admin?x=1#y"})
    assert len(server.requests) == before


@pytest.mark.parametrize("code", [400, 401, 403, 404, 422, 429, 500, 503])
def test_an_error_status_is_an_error_with_an_excerpt(code: int, server: FaultServer, client: MCPClient) -> None:
    server.instead(at("/health"), status(code, "why \x1b[31m", {"retry-after": "3"}))
    with within(), pytest.raises(HTTPStatusError) as caught:
        client.call_operation("GET:/health", timeout=LONG)
    assert (caught.value.status, caught.value.retry_after) == (code, 3.0)
    assert "\x1b" not in str(caught.value)


def test_faults_of_the_connection_are_errors_in_time(server: FaultServer, client: MCPClient) -> None:
    server.instead(at("/silent"), hold)
    with within(), pytest.raises(MCPTimeoutError):
        client.call_operation("GET:/silent", timeout=0.4)
    server.instead(at("/cut"), finish)
    with within(), pytest.raises(MCPConnectionError):
        client.call_operation("GET:/cut", timeout=LONG)
    server.instead(at("/short"), raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort"))
    with within(), pytest.raises(MCPConnectionError):
        client.call_operation("GET:/short", timeout=LONG)


def test_a_body_that_trickles_in_does_not_extend_the_deadline(server: FaultServer, client: MCPClient) -> None:
    def trickle(wire: Any, request: Any) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        wire.drip(b"x" * 100_000, pause=0.05)

    server.instead(at("/slow"), trickle)
    with within(), pytest.raises(MCPTimeoutError):
        client.call_operation("GET:/slow", timeout=0.5)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_body_over_the_limit_is_an_error_at_the_limit(encoding: str, server: FaultServer, connect: Connect) -> None:
    client = connect(max_message_bytes=100_000)
    body = gzip_bomb(100_000_000) if encoding == "gzip" else b"x" * 200_000
    server.instead(at("/big"), status(200, body, {"content-encoding": encoding} if encoding == "gzip" else {}))
    with within(), pytest.raises(MCPProtocolError, match="over the limit of 100000"):
        client.call_operation("GET:/big", timeout=LONG)


def test_a_redirect_is_followed_within_the_origin_only(server: FaultServer, client: MCPClient) -> None:
    server.instead(at("/old"), status(307, "", {"location": "/new"}))
    server.instead(at("/new"), status(200, "new", {"content-type": "text/plain"}))
    assert client.call_operation("GET:/old") == "new"
    server.instead(at("/away"), status(307, "", {"location": "http://127.0.0.1:9/"}))
    with pytest.raises(MCPConnectionError, match="another origin"):
        client.call_operation("GET:/away")


def test_a_stream_of_events_is_read_as_it_comes(server: FaultServer, client: MCPClient) -> None:
    def send(wire: Any, request: Any) -> None:
        stream = wire.stream()
        stream.event('{"n": 1}')
        stream.event("text")
        server.wait(server.gate)
        stream.event("[2]")
        stream.end()

    server.instead(at("/events"), send)
    events = client.call_operation("GET:/events", stream=True, timeout=LONG)
    with within():
        assert next(events) == {"n": 1}
        assert next(events) == "text"
        server.gate.set()
        assert list(events) == [[2]]


def test_a_stream_of_lines_is_read_as_it_comes(server: FaultServer, client: MCPClient) -> None:
    def send(wire: Any, request: Any) -> None:
        stream = wire.stream(content_type="application/x-ndjson")
        stream.send('{"n": 1}\n{"n"')
        server.wait(server.gate)
        stream.send(": 2}\nlast")
        stream.end()

    server.instead(at("/lines"), send)
    lines = client.call_operation("GET:/lines", stream=True, timeout=LONG)
    with within():
        assert next(lines) == {"n": 1}
        server.gate.set()
        assert list(lines) == [{"n": 2}, "last"]


def test_a_line_over_the_limit_is_an_error_at_the_limit(server: FaultServer, connect: Connect) -> None:
    client = connect(max_message_bytes=100_000)

    def flood(wire: Any, request: Any) -> None:
        stream = wire.stream(content_type="text/plain")
        while True:
            stream.send(b"x" * 10_000)

    server.instead(at("/flood"), flood)
    with within(), pytest.raises(MCPProtocolError, match="over the limit"):
        list(client.call_operation("GET:/flood", stream=True, timeout=LONG))


def test_a_stream_that_is_left_early_gives_its_connection_up(server: FaultServer, client: MCPClient) -> None:
    def send(wire: Any, request: Any) -> None:
        stream = wire.stream()
        stream.event("1")
        wire.hold()

    server.instead(at("/events"), send)
    events = client.call_operation("GET:/events", stream=True, timeout=LONG)
    next(events)
    with within():
        events.close()
        server.wait_until(lambda: len(server._wires) <= 2, "the connection is closed")


def test_close_ends_an_http_call(server: FaultServer, client: MCPClient) -> None:
    server.instead(at("/silent"), hold)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.call_operation, "GET:/silent", timeout=LONG)
        server.wait_until(lambda: any(request.path == "/silent" for request in server.requests))
        with within():
            client.close()
            assert isinstance(call.exception(10), MCPClosedError)


def test_close_ends_an_http_call_before_it_ends_the_session(http_server: FaultServer, make_client: Connect) -> None:
    """A server that takes its time to end the session keeps nobody waiting."""
    ended = threading.Event()
    in_time = []

    def delete(wire: Wire, request: Request) -> None:
        in_time.append(ended.wait(1.0))  # the client itself waits no longer than two
        status(204)(wire, request)

    http_server.instead(at("/silent"), hold)
    http_server.instead("DELETE", delete)
    client = make_client(http_server.mcp_url, transport="http").connect()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.call_operation, "GET:/silent", timeout=LONG)
        call.add_done_callback(lambda call: ended.set())
        http_server.wait_until(lambda: any(request.path == "/silent" for request in http_server.requests))
        client.close()
        assert isinstance(call.exception(10), MCPClosedError)
    http_server.wait_until(lambda: in_time == [True], "the session is ended, and was not before the call")
