"""One fault over every transport: a server, how a client reaches it, and where the bytes of an answer go.

Used by the test process, on the thread that runs the test and on the servers' threads.

    @over(*SHARED)                                   # the default is every transport
    def test_something(bed: Bed) -> None:
        bed.tool("cut", lambda asked: bed.break_off(asked, "reset"))
        with pytest.raises(MCPConnectionError):
            bed.connect().call_tool("cut")
        assert bed.server.tool_calls["cut"] == 1
"""

from __future__ import annotations

from typing import Any, Callable

import pytest

from mcp_sync import MCPClient
from tests.support.fault_server import Asked, FaultServer, Stream
from tests.support.inside import waiting
from tests.support.stdio_server import LineServer
from tests.transports.streamable_http.modern import ModernServer

__all__ = ["ALL", "HTTP", "LEGACY", "OWN", "SHARED", "STREAMS", "Bed", "make_server", "over"]

# What a test runs over. Streamable HTTP: with answers as JSON, as event streams, and without sessions (2026-07-28),
# where the answers are event streams too.
ALL = ("sse", "http-json", "http-sse", "stateless", "stdio")
# All answers come by one stream; each by its own response.
SHARED = ("sse", "stdio")
OWN = ("http-json", "http-sse", "stateless")
HTTP = ("sse", *OWN)
# An answer comes as a stream, which can carry more before it.
STREAMS = ("sse", "http-sse", "stateless", "stdio")
# The server may ask the client on its own.
LEGACY = ("sse", "http-json", "http-sse", "stdio")


def over(*transports: str) -> pytest.MarkDecorator:
    """Run a test over these transports alone."""
    return pytest.mark.parametrize("bed", transports, indirect=True)


def make_server(transport: str) -> FaultServer:
    """A well-behaved server."""
    if transport == "sse":
        return FaultServer()
    if transport == "stdio":
        return LineServer()
    server = ModernServer() if transport == "stateless" else FaultServer("http")
    server.answers = "json" if transport == "http-json" else "sse"
    return server


class Bed:
    """A running server, and clients of it.

    Attributes:
        name: one of ``ALL``.
    """

    def __init__(self, name: str, server: FaultServer, make_client: Callable[..., MCPClient]) -> None:
        self.name = name
        self.server = server
        self._make_client = make_client

    @property
    def is_shared(self) -> bool:
        return self.name in SHARED

    @property
    def address(self) -> Any:
        """What a client is made with."""
        server = self.server
        if isinstance(server, LineServer):
            return server.command
        return server.sse_url if self.name == "sse" else server.mcp_url

    def make(self, **options: Any) -> MCPClient:
        """A client that is not connected yet."""
        if self.name != "stdio":
            options.setdefault("transport", "sse" if self.name == "sse" else "http")
        return self._make_client(self.address, **options)

    def connect(self, **options: Any) -> MCPClient:
        return self.make(**options).connect()

    # What a tool does with its answer

    def tool(self, name: str, do: Callable[[Asked], None]) -> None:
        self.server.tools[name] = do

    def stream(self, asked: Asked) -> Stream:
        """Where the bytes of an answer go: the shared stream, or the call's own, begun here."""
        if self.is_shared:
            assert asked.session.stream is not None
            return asked.session.stream
        return asked.own_stream()

    def send_part(self, asked: Asked, message: Any, keep: float, end: str) -> None:
        """Begin to send a message, and break off after ``keep`` of its bytes (a negative number: all but those)."""
        if self.name == "http-json":
            whole = asked.server.frame(message)[len(b"event: message\r\ndata: ") : -4]
            part = _part(whole, keep)
            asked.wire.send(
                asked.wire.head(200, {"content-type": "application/json", "content-length": str(len(whole))})
            )
            asked.wire.send(part)
        else:
            self.stream(asked).send(_part(asked.server.frame(message), keep))
        self.break_off(asked, end)

    def break_off(self, asked: Asked, how: str) -> None:
        """End what would carry the answer: ``"reset"`` by RST, ``"cut"`` by FIN, ``"end"`` in order."""
        if self.is_shared or asked.stream is not None:
            getattr(self.stream(asked), how)()
        else:
            getattr(asked.wire, "reset" if how == "reset" else "finish")()

    def waiting(self, client: MCPClient) -> int:
        """How many entries the client's table has."""
        return waiting(client)


def _part(data: bytes, keep: float) -> bytes:
    return data[: int(keep)] if keep < 0 else data[: int(len(data) * keep)]
