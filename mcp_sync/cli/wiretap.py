"""A relay in front of an HTTP server that shows the messages which pass, so that ``mcp-sync demo`` shows real frames.

Runs on: its own threads, one that accepts and two for each connection; `Wiretap.close` ends and joins them all.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from typing import Callable
from urllib.parse import urlsplit

__all__ = ["HttpFrames", "Wiretap"]

JOIN_TIMEOUT = 5.0


class HttpFrames:
    """Turns one direction of an HTTP/1.1 connection into lines to read: start lines, content types, bodies."""

    def __init__(self, arrow: str) -> None:
        self._arrow = arrow
        self._buffer = bytearray()
        self._left: int | None = None  # bytes of a body still to come; None between two messages
        self._chunked = False

    def feed(self, data: bytes) -> Iterator[str]:
        """Take what was read from the connection, and yield the lines that are complete now."""
        self._buffer += data
        while True:
            if self._chunked:
                line, found, rest = bytes(self._buffer).partition(b"\r\n")
                size = int(line.partition(b";")[0], 16) if found else 0
                if not found or len(rest) < size + 2:
                    return
                self._buffer = bytearray(rest[size + 2 :])
                self._chunked = size > 0
                yield from self._body(rest[:size])
            elif self._left is not None:
                if len(self._buffer) < self._left:
                    return
                body, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
                self._left = None
                yield from self._body(bytes(body))
            else:
                head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
                if not found:
                    return
                self._buffer = bytearray(rest)
                yield from self._head(head)

    def _head(self, head: bytes) -> Iterator[str]:
        lines = head.decode("latin-1").split("\r\n")
        yield f"{self._arrow} {lines[0]}"
        for line in lines[1:]:
            name, _, value = line.partition(":")
            if name.lower() == "content-type":
                yield f"{self._arrow} {line}"
            elif name.lower() == "content-length":
                self._left = int(value)
            elif name.lower() == "transfer-encoding":
                self._chunked = "chunked" in value.lower()

    def _body(self, body: bytes) -> Iterator[str]:
        for line in re.split(r"\r\n|\r|\n", body.decode("utf-8", "replace")):
            if line:
                yield f"{self._arrow} {line}"


class Wiretap:
    """Listens on a free loopback port and relays every connection to ``url``'s server.

    Args:
        url: the server's URL, plain http.
        show: called with each line, from the threads of the relay, one at a time. A line is shown before it is passed
            on, so a request is never shown after its answer.
    """

    def __init__(self, url: str, show: Callable[[str], None]) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._show = show
        self._lock = threading.Lock()  # guards what follows, and makes `show` one line at a time
        self._showing = True
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}{parts.path}"
        self._start(self._accept)

    def quiet(self) -> None:
        """Go on relaying, and show nothing more."""
        with self._lock:
            self._showing = False

    def close(self) -> None:
        """End every connection, and wait for the threads."""
        with self._lock:
            self._closing.set()
            for sock in self._sockets:
                _interrupt(sock)
        # Shutting a listening socket down wakes accept() on Linux alone; a connection does everywhere.
        socket.create_connection(self._listener.getsockname()).close()
        # The acceptor is the first in the list and starts all others, so the list is complete once that is joined.
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT)
        self._listener.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name="mcp-sync-demo-tap", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._closing.is_set():
                client.close()
                return
            try:
                server = socket.create_connection(self._server, timeout=JOIN_TIMEOUT)
            except OSError:
                client.close()  # which the client sees as the server's refusal, a moment late
                continue
            server.settimeout(None)
            with self._lock:
                self._sockets |= {client, server}
                if (
                    self._closing.is_set()
                ):  # since the look above: the relay below ends at once, and close() waits for it
                    _interrupt(client)
            done = threading.Barrier(2)  # both directions, before either socket is closed under the other
            self._start(self._relay, client, server, HttpFrames(">"), done)
            self._start(self._relay, server, client, HttpFrames("<"), done)

    def _relay(self, source: socket.socket, target: socket.socket, frames: HttpFrames, done: threading.Barrier) -> None:
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                self._watch(frames, data)
                target.sendall(data)
        except OSError:
            pass  # one side has closed the connection; the other side's is closed below
        finally:
            # An end in one direction is the end of both: neither side of HTTP/1.1 uses a half-closed connection.
            _interrupt(source)
            _interrupt(target)
            if done.wait() == 0:
                with self._lock:
                    self._sockets -= {source, target}
                source.close()
                target.close()

    def _watch(self, frames: HttpFrames, data: bytes) -> None:
        with self._lock:
            try:
                for line in frames.feed(data) if self._showing else ():
                    self._show(line)
            except ValueError:  # not HTTP/1.1 as we read it: to relay is what matters
                self._showing = False


def _interrupt(sock: socket.socket) -> None:
    """Wake the thread that waits for the socket; its owner closes it."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is gone already
