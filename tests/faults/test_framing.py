"""How the bytes of a stream may be cut: faults.md, Framing; over a real socket, the framer's own tests beside it."""

from __future__ import annotations

import json
import threading
import zlib
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPConnectionError, MCPProtocolError
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked, FaultServer, Stream, gzip_bomb, sse

Connect = Callable[..., MCPClient]
TEXT = "grün 漢字 \U0001f40d"


def answer_by(send: Callable[[Stream, Any], None], text: str = TEXT) -> Callable[[Asked], None]:
    """A tool whose answer's bytes are sent in some particular way."""

    def tool(asked: Asked) -> None:
        stream = asked.session.stream
        assert stream is not None
        send(stream, {"jsonrpc": "2.0", "id": asked.id, "result": {"content": [{"type": "text", "text": text}]}})

    return tool


def pretty(message: Any) -> str:
    return "".join(f"data: {line}\r\n" for line in json.dumps(message, indent=2).split("\n")) + "\r\n"


FORMS: dict[str, Callable[[Stream, Any], None]] = {
    "one byte at a time": lambda stream, message: stream.drip(sse(message)),
    "three bytes at a time": lambda stream, message: stream.drip(sse(message), size=3),
    "LF": lambda stream, message: stream.drip(sse(message, line_end="\n")),
    "CR": lambda stream, message: stream.drip(sse(message, line_end="\r")),
    "pretty-printed": lambda stream, message: stream.send(pretty(message)),
    "no event field": lambda stream, message: stream.send(sse(message, event=None)),
    "an event of another name before it": lambda stream, message: stream.send(sse("ping", event="ping") + sse(message)),
    "unknown fields": lambda stream, message: stream.send(b"foo: bar\r\nbaz\r\n: c\r\n" + sse(message)),
    "no space": lambda stream, message: stream.send(sse(message).replace(b": ", b":", 2)),
    "nul in the id": lambda stream, message: stream.send(b"id: a\0b\r\nretry: garbage\r\n" + sse(message)),
    "after comments": lambda stream, message: stream.send(b": ping\r\n\r\n" * 1000 + sse(message)),
    "after a bad byte": lambda stream, message: stream.send(b"data: \xff\xfe\r\n\r\n" + sse(message)),
}


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "until EOF"])
@pytest.mark.parametrize("send", FORMS.values(), ids=FORMS.keys())
def test_the_answer_is_the_same_however_its_bytes_come(
    send: Callable[[Stream, Any], None], chunked: bool, server: FaultServer, connect: Connect
) -> None:
    server.stream_options["chunked"] = chunked
    server.tools["framed"] = answer_by(send)
    client = connect()
    with within():
        assert client.call_tool("framed", timeout=LONG).text == TEXT


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_an_event_on_a_stream_without_chunks_is_there_at_once(
    line_end: str, server: FaultServer, connect: Connect
) -> None:
    """requests' own iteration would wait for 128 bytes, or the end."""
    server.line_end = line_end
    server.stream_options["chunked"] = False
    client = connect()
    seen = threading.Event()
    handlers = client.listen(tools=True)
    with within():
        server.session.notify("notifications/tools/list_changed")
        assert handlers.get(timeout=LONG) is not None
        seen.set()
        handlers.close()


def test_a_carriage_return_ends_an_event_without_waiting_for_what_follows(
    server: FaultServer, connect: Connect
) -> None:
    server.tools["framed"] = answer_by(lambda stream, message: stream.send(sse(message, line_end="\r")))
    client = connect()
    with within():
        assert client.call_tool("framed", timeout=LONG).text == TEXT


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "until EOF"])
def test_an_event_of_eight_megabytes_is_no_matter(chunked: bool, server: FaultServer, connect: Connect) -> None:
    server.stream_options["chunked"] = chunked
    text = "x" * 8_000_000
    server.tools["framed"] = answer_by(lambda stream, message: stream.send(sse(message)), text)
    client = connect()
    with within():  # 43 s where the body is read 128 bytes at a time
        assert client.call_tool("framed", timeout=LONG).text == text


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "until EOF"])
@pytest.mark.parametrize("line", [False, True], ids=["one line", "many lines"])
def test_a_message_over_the_limit_ends_the_call_at_the_limit(
    line: bool, chunked: bool, server: FaultServer, connect: Connect
) -> None:
    sent = 0

    def flood(asked: Asked) -> None:
        nonlocal sent
        stream = asked.session.stream
        assert stream is not None
        stream.send("data: ")
        while True:
            stream.send(b"x" * 65536 + (b"\ndata: " if line else b""))
            sent += 65536

    server.tools["flood"] = flood
    server.stream_options["chunked"] = chunked
    client = connect(max_message_bytes=1_000_000)
    with within(), pytest.raises(MCPProtocolError, match="over the limit of 1000000 bytes") as caught:
        client.call_tool("flood", timeout=LONG)
    assert caught.value.outcome == "unknown"
    # What is in the buffers of two sockets comes on top.
    assert sent < 30_000_000
    with within(8):
        assert client.call_tool("echo", {"message": "next"}, timeout=LONG).text == "next"


def test_a_chunk_size_without_end_ends_the_call(server: FaultServer, client: MCPClient) -> None:
    def flood(asked: Asked) -> None:
        while True:
            asked.session.stream.wire.send(b"0" * 65536)  # type: ignore[union-attr]

    server.tools["flood"] = flood
    with within(), pytest.raises((MCPConnectionError, MCPProtocolError)):
        client.call_tool("flood", timeout=LONG)


@pytest.mark.parametrize("size", [b"zz\r\n", b"-1\r\n", b"\r\n", b"5\r\nhello worlds\r\n"])
def test_chunks_that_are_none_end_the_call(size: bytes, server: FaultServer, client: MCPClient) -> None:
    server.tools["bad"] = lambda asked: asked.session.stream.wire.send(size)  # type: ignore[union-attr]
    with within(), pytest.raises((MCPConnectionError, MCPProtocolError)) as caught:
        client.call_tool("bad", timeout=LONG)
    assert caught.value.outcome == "unknown"


def test_the_stream_is_asked_for_without_compression(server: FaultServer, client: MCPClient) -> None:
    assert {request.headers["accept-encoding"] for request in server.requests} == {"identity"}
    assert server.requests[0].headers["accept"] == "text/event-stream"


def _compressing(server: FaultServer, chunked: bool) -> Any:
    """Have the stream compressed, although nobody asked for it."""
    compressor = zlib.compressobj(wbits=31)
    server.stream_options.update(headers={"content-encoding": "gzip"}, chunked=chunked)
    return compressor


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "until EOF"])
def test_a_stream_that_is_compressed_all_the_same_is_read(chunked: bool, server: FaultServer, connect: Connect) -> None:
    compressor = _compressing(server, chunked)

    def compressed(data: bytes) -> bytes:
        out: bytes = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return out

    plain = Stream.send

    class Compressed(Stream):
        def send(self, data: Any) -> None:
            plain(self, compressed(data.encode() if isinstance(data, str) else data))

    def greet(session: Any) -> None:
        session.stream.__class__ = Compressed
        server.send_endpoint(session)

    server.greet = greet
    client = connect()
    with within():
        assert client.call_tool("echo", {"message": TEXT}, timeout=LONG).text == TEXT


def test_a_stream_that_is_a_gzip_bomb_ends_the_call(server: FaultServer, make_client: Connect) -> None:
    _compressing(server, True)
    bomb = gzip_bomb(100_000_000)

    def explode(session: Any) -> None:
        session.stream.send(bomb)
        session.stream.hold()

    server.greet = explode
    client = make_client(server.sse_url, transport="sse", timeout=LONG, max_message_bytes=1_000_000)
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with within(), pytest.raises((MCPProtocolError, MCPConnectionError)):
        client.connect()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000
