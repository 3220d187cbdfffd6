"""Faults before the first byte of an answer: faults.md, Connect."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPConnectionError, MCPHandshakeError, MCPTimeoutError
from tests.support import inside
from tests.support.certificates import Certificates
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, FaultServer, black_hole, finish, hold, raw, reset

Connect = Callable[..., MCPClient]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_a_syn_without_answer_ends_at_the_deadline_if_that_is_sooner(make_client: Connect) -> None:
    with black_hole() as url:
        client = make_client(url, transport="sse", timeout=0.4, connect_timeout=LONG)
        with within(), pytest.raises((MCPConnectionError, MCPTimeoutError)) as caught:
            client.connect()
    assert caught.value.outcome == "not_sent"


@pytest.mark.parametrize("fault", [reset, finish], ids=["RST", "FIN"])
def test_a_connection_that_ends_after_the_request_is_told_at_once(
    fault: Any, server: FaultServer, make_client: Connect
) -> None:
    server.instead("GET", fault, ALWAYS)
    client = make_client(server.sse_url, transport="sse", timeout=LONG)
    with within(), pytest.raises(MCPConnectionError):
        client.connect()
    assert server.count("GET") <= 2


def test_a_certificate_that_holds_is_no_obstacle(certificates: Certificates, make_client: Connect) -> None:
    with FaultServer(tls=certificates.good()) as server:
        client = make_client(server.sse_url, transport="sse", verify=certificates.ca_path)
        assert client.call_tool("echo", {"message": "over TLS"}).text == "over TLS"


def test_a_tls_handshake_that_never_comes_ends_at_the_deadline(make_client: Connect, server: FaultServer) -> None:
    server.instead("connect", hold)
    client = make_client(server.sse_url.replace("http:", "https:"), transport="sse", timeout=0.5)
    with within(), pytest.raises((MCPConnectionError, MCPTimeoutError)) as caught:
        client.connect()
    assert caught.value.outcome == "not_sent"


def test_plain_http_behind_an_https_url_is_told_at_once(make_client: Connect, server: FaultServer) -> None:
    client = make_client(server.sse_url.replace("http:", "https:"), transport="sse", timeout=LONG)
    server.instead("connect", raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    with within(), pytest.raises(MCPConnectionError) as caught:
        client.connect()
    assert caught.value.outcome == "not_sent"


def test_a_host_that_is_not_found_is_told(make_client: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    client = make_client("http://no-such-host.invalid/sse", transport="sse", timeout=LONG)
    with within(), pytest.raises(MCPConnectionError, match="cannot be found") as caught:
        client.connect()
    assert caught.value.outcome == "not_sent"


def test_a_look_up_that_hangs_ends_at_the_connect_timeout(
    make_client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()
    real = socket.getaddrinfo

    def hang(host: Any, *args: Any) -> Any:
        if host == "slow.invalid" and not (len(args) > 4 and args[4] == socket.AI_NUMERICHOST):
            answer.wait(20)
        return real(host, *args)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    client = make_client("http://slow.invalid/sse", transport="sse", timeout=LONG, connect_timeout=0.4)
    try:
        with within(), pytest.raises(MCPConnectionError) as caught:
            client.connect()
        assert caught.value.outcome == "not_sent"
    finally:
        answer.set()


def test_the_connect_timeout_covers_all_addresses_together(
    make_client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with black_hole() as url:
        port = int(url.rsplit(":", 1)[1].split("/")[0])
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        inside.look_up(monkeypatch, [address] * 50)
        client = make_client(f"http://many.invalid:{port}/sse", transport="sse", timeout=LONG, connect_timeout=0.5)
        with within(), pytest.raises(MCPConnectionError) as caught:
            client.connect()
        assert caught.value.outcome == "not_sent"


def test_a_dead_address_does_not_keep_the_next_from_its_turn(
    make_client: Connect, monkeypatch: pytest.MonkeyPatch, server: FaultServer
) -> None:
    with black_hole() as url:
        dead = int(url.rsplit(":", 1)[1].split("/")[0])
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
            for port in (dead, free_port(), server.port)
        ]
        inside.look_up(monkeypatch, addresses)
        client = make_client("http://many.invalid/sse", transport="sse", timeout=LONG, connect_timeout=1.5)
        with within():
            client.connect()


def test_localhost_falls_through_from_ipv6_to_ipv4(server: FaultServer, make_client: Connect) -> None:
    client = make_client(f"http://localhost:{server.port}/sse", transport="sse", timeout=LONG)
    with within():
        assert client.call_tool("echo", {"message": "hi"}).text == "hi"


def test_header_lines_that_trickle_in_do_not_extend_the_deadline(server: FaultServer, make_client: Connect) -> None:
    def trickle(wire: Any, request: Any) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            wire.drip(b"x-slow: 1\r\n", size=20, pause=0.05)

    server.instead("GET", trickle)
    client = make_client(server.sse_url, transport="sse", timeout=0.5)
    with within(), pytest.raises((MCPTimeoutError, MCPHandshakeError)):
        client.connect()


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 202 Acc", b"HTTP/1.1 202 Accepted\r\n", b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n", b"HTT"],
)
def test_a_head_that_was_cut_off_is_not_taken_for_an_answer(
    head: bytes, server: FaultServer, client: MCPClient
) -> None:
    server.instead("tools/call", raw(head))
    with within(), pytest.raises(MCPConnectionError) as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.outcome == "unknown"
    assert server.tool_calls["echo"] == 1
    assert client.call_tool("echo", {"message": "next"}).text == "next"


def test_a_stream_head_that_was_cut_off_is_not_taken_for_a_stream(server: FaultServer, make_client: Connect) -> None:
    server.instead("GET", raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"), ALWAYS)
    client = make_client(server.sse_url, transport="sse", timeout=LONG)
    with within(), pytest.raises(MCPConnectionError):
        client.connect()


@pytest.mark.parametrize(
    "rubbish", [b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"\x00" * 100 + b"\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"]
)
def test_what_is_not_http_is_a_connection_error(rubbish: bytes, server: FaultServer, make_client: Connect) -> None:
    server.instead("GET", raw(rubbish), ALWAYS)
    client = make_client(server.sse_url, transport="sse", timeout=LONG)
    with within(), pytest.raises(MCPConnectionError):
        client.connect()


def test_headers_without_end_are_bounded(server: FaultServer, make_client: Connect) -> None:
    def flood(wire: Any, request: Any) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            wire.send(b"x-flood: " + b"x" * 60_000 + b"\r\n")

    server.instead("GET", flood, ALWAYS)
    client = make_client(server.sse_url, transport="sse", timeout=LONG)
    with within(), pytest.raises(MCPConnectionError):
        client.connect()


def test_after_a_failure_to_connect_the_next_call_connects(server: FaultServer, make_client: Connect) -> None:
    server.instead("GET", reset)
    client = make_client(server.sse_url, transport="sse", timeout=LONG)
    with pytest.raises(MCPConnectionError):
        client.connect()
    start = time.monotonic()
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    assert time.monotonic() - start < 4
