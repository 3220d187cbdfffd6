"""The floor: raw sockets, request heads rendered once, answers read by hand.

Runs in the process of the client that is measured; a connection belongs to one thread.
"""

from __future__ import annotations

import io
import socket
import subprocess
import threading
from collections.abc import Iterator
from typing import Any, Optional
from urllib.parse import urlsplit

from pydantic_core import from_json

from . import STDIO_SERVER
from .rpc import INITIALIZED, Rpc, text_of

__all__ = ["Piped", "PipedThreads", "Raw", "RawThreads", "raw", "raw_threads"]

_MOST = 262144


class Connection:
    """One connection that is kept: the least work that reads HTTP/1.1 correctly."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, timeout=60)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def receive(self) -> bytes:
        data = self.sock.recv(_MOST)
        if not data:
            raise EOFError("the server closed the connection")
        return data

    def head(self) -> bytes:
        buffer = self.buffer
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            buffer += self.receive()
        self.buffer = buffer[end + 4 :]
        return buffer[:end].lower()

    def exactly(self, size: int) -> bytes:
        if len(self.buffer) >= size:
            data, self.buffer = self.buffer[:size], self.buffer[size:]
            return data
        whole = io.BytesIO()  # grows in place, and getvalue() does not copy
        got = whole.write(self.buffer)
        self.buffer = b""
        while got < size:
            data = self.sock.recv(min(size - got, _MOST))
            if not data:
                raise EOFError("the server closed the connection")
            got += whole.write(data)
        return whole.getvalue()

    def chunks(self) -> Iterator[bytes]:
        """The chunks of a body, up to its end."""
        while True:
            buffer, at = self.buffer, 0
            while (line_end := buffer.find(b"\r\n", at)) >= 0:
                size = int(buffer[at:line_end], 16)
                start = line_end + 2
                if len(buffer) < start + size + 2:
                    if size > 65536:
                        self.buffer = buffer[start:]
                        yield self.exactly(size)
                        self.exactly(2)
                        buffer, at = self.buffer, 0
                        continue
                    break
                at = start + size + 2
                if not size:
                    self.buffer = buffer[at:]
                    return
                yield buffer[start : start + size]
            self.buffer = buffer[at:] + self.receive()

    def body(self, head: bytes) -> bytes:
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            return b"".join(self.chunks())
        end = head.find(b"\r\n", at + 2)
        return self.exactly(int(head[at + 17 : end] if end >= 0 else head[at + 17 :]))


def data_of(event: bytes) -> bytes:
    """The data of an event that came as one chunk, with one line of data."""
    return event[event.find(b"data: ") + 6 : -2]


def raw(url: str, binding: str) -> Raw:
    return Piped(url, binding) if binding == "stdio" else Raw(url, binding)


def raw_threads(url: str, binding: str) -> RawThreads:
    return PipedThreads(url, binding) if binding == "stdio" else RawThreads(url, binding)


class Raw:
    """A session on raw sockets, one for each thread that calls."""

    events: Iterator[bytes]

    def __init__(self, url: str, binding: str) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname or "", parts.port or 80)
        self.path = parts.path + (f"?{parts.query}" if parts.query else "")
        self.by_stream = binding == "HTTP+SSE"
        self.rpc = Rpc(binding)
        self.local = threading.local()
        self.connections: list[Connection] = []
        self.heads: dict[tuple[str, Optional[str]], bytes] = {}

    def connection(self) -> Connection:
        found = getattr(self.local, "connection", None)
        if found is None:
            found = self.local.connection = self.new_connection()
        assert isinstance(found, Connection)
        return found

    def new_connection(self) -> Connection:
        connection = Connection(self.address)
        self.connections.append(connection)
        return connection

    def connect(self) -> None:
        if self.by_stream:
            stream = self.new_connection()
            head = f"GET {self.path} HTTP/1.1\r\nHost: {self.address[0]}\r\nAccept: text/event-stream\r\n\r\n"
            stream.sock.sendall(head.encode())
            stream.head()
            self.events = stream.chunks()
            self.path = data_of(next(self.events)).decode()
        self.initialize()

    def initialize(self) -> None:
        if self.rpc.stateless:
            return
        head, body = self.send(self.rpc.initialize(), "initialize")
        at = head.find(b"mcp-session-id: ")
        if at >= 0:
            self.rpc.session_id = head[at + 16 : head.find(b"\r\n", at)].decode()
        from_json(self.frame(head, body))
        self.send(INITIALIZED, "notifications/initialized")

    def post(self, body: bytes, method: str, name: Optional[str] = None) -> tuple[Connection, bytes]:
        prepared = self.heads.get((method, name))
        if prepared is None:
            lines = [f"POST {self.path} HTTP/1.1", f"Host: {self.address[0]}:{self.address[1]}"]
            lines += [f"{key}: {value}" for key, value in self.rpc.headers(method, name).items()]
            prepared = self.heads[method, name] = ("\r\n".join(lines) + "\r\nContent-Length: ").encode()
        connection = self.connection()
        connection.sock.sendall(b"%b%d\r\n\r\n%b" % (prepared, len(body), body))
        return connection, connection.head()

    def send(self, body: bytes, method: str, name: Optional[str] = None) -> tuple[bytes, bytes]:
        """Head and body of the answer."""
        connection, head = self.post(body, method, name)
        return head, connection.body(head)

    def frame(self, head: bytes, body: bytes) -> bytes:
        if self.by_stream:
            return self.data_of(next(self.events))
        return data_of(body) if b"text/event-stream" in head else body

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        identifier, body = self.rpc.request(method, params)
        message: dict[str, Any] = from_json(self.frame(*self.send(body, method, params.get("name"))))
        assert message["id"] == identifier
        return message

    def data_of(self, event: bytes) -> bytes:
        return data_of(event)

    def echo(self, message: str) -> str:
        return text_of(self.request("tools/call", {"name": "echo", "arguments": {"message": message}}))

    def text(self, characters: int) -> int:
        return len(text_of(self.request("tools/call", {"name": "text", "arguments": {"characters": characters}})))

    def tools(self) -> int:
        count, cursor = 0, None
        while True:
            result = self.request("tools/list", {"cursor": cursor} if cursor else {})["result"]
            count += len(result["tools"])
            cursor = result.get("nextCursor")
            if not cursor:
                return count

    def count(self, events: int) -> int:
        params: dict[str, Any] = {"name": "count", "arguments": {"events": events}}
        _, body = self.rpc.request("tools/call", params, with_progress=True)
        if self.by_stream:
            self.send(body, "tools/call", "count")
            stream = self.events
        else:
            connection, _ = self.post(body, "tools/call", "count")
            stream = connection.chunks()
        delivered = 0
        for event in stream:
            if "id" in from_json(self.data_of(event)):
                break
            delivered += 1
        if not self.by_stream:
            for _ in stream:
                pass  # up to the end of the body, so that the connection can be used again
        return delivered

    def close(self) -> None:
        for connection in self.connections:
            connection.sock.close()


class Piped(Raw):
    """A session over stdio."""

    def connect(self) -> None:
        self.by_stream = True
        self.process = subprocess.Popen(STDIO_SERVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=-1)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.requests = self.process.stdin.raw  # type: ignore[attr-defined]  # unbuffered: the whole line at once
        self.events = iter(self.process.stdout.readline, b"")
        self.initialize()

    def send(self, body: bytes, method: str, name: Optional[str] = None) -> tuple[bytes, bytes]:
        self.requests.write(body + b"\n")
        return b"", b""

    def data_of(self, event: bytes) -> bytes:
        return event

    def close(self) -> None:
        self.process.communicate(timeout=60)


class RawThreads(Raw):
    """HTTP+SSE with a thread that reads the stream, and a lock for each call that waits for it."""

    def connect(self) -> None:
        super().connect()
        self.waiting: dict[int, tuple[threading.Lock, list[dict[str, Any]]]] = {}
        self.progress: dict[int, int] = {}
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        try:
            for event in self.events:
                message = from_json(self.data_of(event))
                identifier = message.get("id")
                if identifier is None:
                    self.progress[message["params"]["progressToken"]] += 1
                else:
                    lock, answers = self.waiting.pop(identifier)
                    answers.append(message)
                    lock.release()
        except (EOFError, OSError):
            pass  # closed

    def request(self, method: str, params: dict[str, Any], *, with_progress: bool = False) -> dict[str, Any]:
        identifier, body = self.rpc.request(method, params, with_progress=with_progress)
        lock = threading.Lock()
        lock.acquire()
        answers: list[dict[str, Any]] = []
        self.waiting[identifier] = (lock, answers)
        if with_progress:
            self.progress[identifier] = 0
        self.send(body, method, params.get("name"))
        assert lock.acquire(timeout=60)
        return answers[0]

    def count(self, events: int) -> int:
        message = self.request("tools/call", {"name": "count", "arguments": {"events": events}}, with_progress=True)
        return self.progress.pop(message["id"])


class PipedThreads(RawThreads, Piped):
    """stdio with a thread that reads."""
