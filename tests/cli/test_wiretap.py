"""The relay of ``mcp-sync demo``: what it shows of the bytes that pass, and that it ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from mcp_sync.cli.wiretap import HttpFrames, Wiretap

WAIT = 10.0  # seconds, for what takes moments on an idle machine

EXCHANGE = (
    b"POST /mcp/messages/?session_id=1 HTTP/1.1\r\n"
    b"Host: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    b'{"id": 1}'
    b"GET /mcp HTTP/1.1\r\nHost: x\r\n\r\n"
)
EXCHANGE_LINES = [
    "> POST /mcp/messages/?session_id=1 HTTP/1.1",
    "> Content-Type: application/json",
    '> {"id": 1}',
    "> GET /mcp HTTP/1.1",
]
STREAM = (
    b"HTTP/1.1 202 Accepted\r\ncontent-length: 8\r\n\r\nAccepted"
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"1d\r\nevent: endpoint\r\ndata: /m\r\n\r\n\r\n"
    b"c\r\ndata: \xc3\xa4\r\n\r\n\r\n"
    b"0\r\n\r\n"
    b"HTTP/1.1 204 No Content\r\n\r\n"
)
STREAM_LINES = [
    "< HTTP/1.1 202 Accepted",
    "< Accepted",
    "< HTTP/1.1 200 OK",
    "< content-type: text/event-stream",
    "< event: endpoint",
    "< data: /m",
    "< data: ä",
    "< HTTP/1.1 204 No Content",
]


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_lines_are_the_same_however_the_bytes_are_cut(size: int) -> None:
    for data, arrow, lines in ((EXCHANGE, ">", EXCHANGE_LINES), (STREAM, "<", STREAM_LINES)):
        frames = HttpFrames(arrow)
        shown = [line for start in range(0, len(data), size) for line in frames.feed(data[start : start + size])]
        assert shown == lines


@contextmanager
def one_answer(answer: bytes) -> Iterator[str]:
    """A server that takes one connection, reads once, answers and closes."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, name="one-answer")
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        finally:
            thread.join(WAIT)
            assert not thread.is_alive()


def read_all(url: str, request: bytes) -> bytes:
    port = int(url.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as client:
        client.sendall(request)
        answer = b""
        while True:
            data = client.recv(65536)
            if not data:
                return answer
            answer += data


def taps() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "mcp-sync-demo-tap"]


def test_bytes_pass_unchanged_and_requests_are_shown_before_their_answers() -> None:
    shown: list[str] = []
    with one_answer(STREAM) as url, closing(Wiretap(url, shown.append)) as tap:
        assert tap.url != url
        assert tap.url.endswith("/mcp")
        assert read_all(tap.url, EXCHANGE) == STREAM
    assert shown == EXCHANGE_LINES + STREAM_LINES
    assert taps() == []


def test_a_quiet_tap_relays_and_shows_nothing() -> None:
    shown: list[str] = []
    with one_answer(STREAM) as url, closing(Wiretap(url, shown.append)) as tap:
        tap.quiet()
        assert read_all(tap.url, EXCHANGE) == STREAM
    assert shown == []


def test_what_is_not_http_is_relayed_all_the_same() -> None:
    shown: list[str] = []
    noise = b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n"
    with one_answer(noise) as url, closing(Wiretap(url, shown.append)) as tap:
        assert read_all(tap.url, b"GET / HTTP/1.1\r\n\r\n") == noise


def test_closing_ends_a_connection_that_both_sides_keep_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WAIT)
        tap = Wiretap(f"http://127.0.0.1:{server.getsockname()[1]}/", lambda line: None)
        with closing(tap):
            port = int(tap.url.split(":")[2].split("/")[0])
            client = socket.create_connection(("127.0.0.1", port), timeout=WAIT)
            accepted, _ = server.accept()
        with client, accepted:
            accepted.settimeout(WAIT)
            assert client.recv(1) == b""
            assert accepted.recv(1) == b""
    assert taps() == []


def test_a_server_that_is_gone_closes_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
    with closing(Wiretap(url, lambda line: None)) as tap:
        port = int(tap.url.split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as client:
            assert client.recv(1) == b""
    assert taps() == []
