"""Nobody gets another's answer: what a server sends after a response is for no request, and ends the connection."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from mcp_sync import MCPClient, MCPClientError
from tests.support.certificates import Certificates
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, FaultServer, Request, Wire

STRAY = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n"stray"'


def own(request: Request) -> bytes:
    return json.dumps(request.query["q"]).encode()


def sized(body: bytes, size: int) -> bytes:
    """A response with ``body`` that is as long as ``size``, its head included."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX: %s\r\nContent-Length: %d\r\n\r\n"
    rest = size - len(head % (b"", len(body))) - len(body)
    return head % (b"x" * max(rest, 0), len(body)) + body


def chunked(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


ANSWERS = {
    "short": lambda request: sized(own(request), 0),
    "as long as a file's buffer": lambda request: sized(own(request), 8192),
    "twice as long": lambda request: sized(own(request), 16384 - len(STRAY)),
    "a page of blanks": lambda request: sized(own(request) + b" " * 20000, 0),
    "chunks": lambda request: chunked(own(request)),
    "many chunks": lambda request: chunked(own(request) + b" " * 9000),
    "204 with a body": lambda request: b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    "304": lambda request: b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "an error": lambda request: b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n{}",
}


def in_one_record(answer: Any, more: bytes = STRAY) -> Any:
    def respond(wire: Wire, request: Request) -> None:
        wire.send(answer(request) + more)

    return respond


def ask(client: MCPClient, value: str) -> object:
    try:
        return client.call_operation("GET:/own", {"q": value})
    except MCPClientError as error:
        return error


@pytest.fixture(params=["http", "https"])
def server(request: pytest.FixtureRequest, certificates: Certificates) -> Any:
    with FaultServer("http", tls=certificates.good() if request.param == "https" else None) as server:
        yield server


def client_of(server: FaultServer, certificates: Certificates, **options: Any) -> MCPClient:
    return MCPClient(server.mcp_url, transport="http", verify=certificates.ca_path, timeout=LONG, **options)


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("way", ["direct", "auth", "session"])
def test_a_second_response_is_nobodys(kind: str, way: str, server: FaultServer, certificates: Certificates) -> None:
    options: dict[str, Any] = {}
    if way == "auth":
        options["auth"] = requests.auth.HTTPDigestAuth("user", "password")
    session = requests.Session()
    if way == "session":
        options["session"] = session
    with session, client_of(server, certificates, **options) as client, within():
        server.instead(lambda request: request.path == "/own", in_one_record(ANSWERS[kind]), ALWAYS)
        answers = [ask(client, f"mine {number}") for number in range(6)]
    assert "stray" not in answers
    mine = [answer if isinstance(answer, str) else None for answer in answers]
    assert [None if answer is None else number for number, answer in enumerate(answers)] == [
        None if answer is None else int(answer.split()[1]) if isinstance(answer, str) else number
        for number, answer in enumerate(answers)
    ]
    assert mine in ([f"mine {number}" for number in range(6)], [None] * 6)


def test_no_thread_gets_the_stray_one(server: FaultServer, certificates: Certificates) -> None:
    with client_of(server, certificates) as client, ThreadPoolExecutor(4) as pool, within():
        server.instead(lambda request: request.path == "/own", in_one_record(ANSWERS["twice as long"]), ALWAYS)
        values = [f"mine {number}" for number in range(160)]
        assert list(pool.map(lambda value: ask(client, value), values)) == values


def test_a_call_of_a_tool_gets_its_own_answer(server: FaultServer, certificates: Certificates) -> None:
    stray = json.dumps({"jsonrpc": "2.0", "id": 3, "result": {"content": [{"type": "text", "text": "stray"}]}}).encode()

    def respond(wire: Wire, request: Request) -> None:
        message = request.messages[0]
        text = message["params"]["arguments"]["message"]
        result = {"content": [{"type": "text", "text": text}]}
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        wire.send(sized(body, 8192) + sized(stray, 0))

    with client_of(server, certificates) as client, within():
        client.ping()
        server.instead("tools/call", respond, ALWAYS)
        for number in range(10):
            assert client.call_tool("echo", {"message": str(number)}).text == str(number)


def test_what_comes_between_two_requests_ends_the_connection(server: FaultServer, certificates: Certificates) -> None:
    sent = threading.Event()

    def respond(wire: Wire, request: Request) -> None:
        wire.send(sized(own(request), 0))
        if not sent.is_set():
            answered.wait(LONG)
            wire.send(STRAY)
            sent.set()

    answered = threading.Event()
    with client_of(server, certificates) as client, within():
        server.instead(lambda request: request.path == "/own", respond, ALWAYS)
        assert ask(client, "mine 0") == "mine 0"
        answered.set()
        assert sent.wait(LONG)
        assert ask(client, "mine 1") == "mine 1"


def test_a_clean_connection_is_used_again(server: FaultServer, certificates: Certificates) -> None:
    with client_of(server, certificates) as client, within():
        for kind in ("short", "as long as a file's buffer", "twice as long", "chunks", "many chunks"):
            server.instead(lambda request: request.path == "/own", in_one_record(ANSWERS[kind], b""), ALWAYS)
            before = None
            for number in range(5):
                assert ask(client, f"mine {number}") == f"mine {number}"
                used = server.requests[-1].connection
                assert before in (None, used)
                before = used


@pytest.mark.parametrize("status", [204, 304])
def test_no_body_in_chunks_is_not_waited_for(status: int, server: FaultServer, certificates: Certificates) -> None:
    def respond(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n" % status)
        wire.hold()

    with client_of(server, certificates) as client, within(10):
        server.instead(lambda request: request.path == "/own", respond, ALWAYS)
        assert ask(client, "x") is None
        assert list(client.call_operation("GET:/own", {"q": "x"}, stream=True)) == []


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: 0_8",
        "Content-Length: +8",
        "Content-Length: 8, 8",
        "Content-Length: 8\r\nContent-Length: 9",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked\r\nContent-Length: 8",
    ],
)
@pytest.mark.parametrize("way", ["direct", "auth", "session"])
def test_a_response_with_two_ends_is_refused_or_the_last(
    lines: str, way: str, server: FaultServer, certificates: Certificates
) -> None:
    body = b'8\r\n"mine 0"\r\n0\r\n\r\n' if "chunked\r\n" in lines else b'"mine 0"'

    def respond(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + lines.encode() + b"\r\n\r\n" + body)

    options: dict[str, Any] = {"auth": requests.auth.HTTPDigestAuth("u", "p")} if way == "auth" else {}
    with requests.Session() as session, within():
        if way == "session":
            options["session"] = session
        with client_of(server, certificates, **options) as client:
            server.instead(lambda request: request.path == "/own", respond)
            answer = ask(client, "mine 0")
            assert answer == "mine 0" or isinstance(answer, MCPClientError)
            first = server.requests[-1].connection
            server.instead(lambda request: request.path == "/own", in_one_record(ANSWERS["short"], b""))
            assert ask(client, "mine 1") == "mine 1"
            assert server.requests[-1].connection != first
