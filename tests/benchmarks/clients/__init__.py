"""The clients that are compared, what each needs, and how a program that uses it begins.

Runs in every environment: it imports none of the clients.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple, Protocol

__all__ = ["BINDINGS", "CLIENTS", "STDIO_SERVER", "AsyncClient", "Client", "Description", "describe"]

# What a client is told to speak: the path on the server.
BINDINGS = {
    "HTTP+SSE": "/sse",
    "HTTP, JSON": "/mcp",
    "HTTP, stream": "/mcp/stream",
    "2026-07-28": "/stateless",
}
# The command of the server for "stdio".
STDIO_SERVER = (sys.executable, str(Path(__file__).resolve().parents[1] / "server.py"), "stdio")


class Client(Protocol):
    """One session. Its maker, called with a URL and a binding, sends nothing yet."""

    def connect(self) -> None: ...

    def echo(self, message: str) -> str:
        """The text of a small result; callable from any number of threads at once."""

    def text(self, characters: int) -> int:
        """The length of a large result."""

    def count(self, events: int) -> int:
        """How many progress events were delivered."""

    def tools(self) -> int:
        """How many tools there are, over all pages."""

    def close(self) -> None: ...


class AsyncClient(Protocol):
    """The same for an event loop."""

    async def connect(self) -> None: ...

    async def echo(self, message: str) -> str: ...

    async def text(self, characters: int) -> int: ...

    async def count(self, events: int) -> int: ...

    async def tools(self) -> int: ...

    async def close(self) -> None: ...


class Description(NamedTuple):
    """One client.

    Attributes:
        name: what the tables call it.
        about: how it is used here.
        environment: the pins it runs with (tests/interop/environments.py).
        factory: module and class.
        imports: what a program that uses it imports.
        program: a whole program, from a cold start to its first result, with the URL as its argument.
    """

    name: str
    about: str
    environment: str
    factory: str
    imports: str
    program: str = ""

    @property
    def asynchronous(self) -> bool:
        return self.factory.endswith(":Sdk")


_OURS = """
import sys
from mcp_sync import MCPClient
with MCPClient(sys.argv[1]) as client:
    assert client.call_tool("echo", {"message": "hello"}).text == "hello"
"""
_SDK = """
import sys, asyncio
from mcp import Client
async def main():
    async with Client(sys.argv[1]) as client:
        assert (await client.call_tool("echo", {"message": "hello"})).content[0].text == "hello"
asyncio.run(main())
"""
_FACADE = """
import sys
from anyio.from_thread import start_blocking_portal
from mcp import Client
with start_blocking_portal() as portal:
    client = portal.call(Client, sys.argv[1])
    with portal.wrap_async_context_manager(client):
        assert portal.call(client.call_tool, "echo", {"message": "hello"}).content[0].text == "hello"
"""
_REQUESTS = """
import sys, requests, sseclient, pydantic
headers = {"Accept": "application/json, text/event-stream"}
def post(id, method, params):
    body = {"jsonrpc": "2.0", "id": id, "method": method, "params": params}
    answer = requests.post(sys.argv[1], json=body, headers=headers, timeout=30)
    headers.setdefault("Mcp-Session-Id", answer.headers.get("Mcp-Session-Id"))
    return answer.json()["result"]
about = {"name": "x", "version": "1"}
post(1, "initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": about})
result = post(2, "tools/call", {"name": "echo", "arguments": {"message": "hello"}})
assert result["content"][0]["text"] == "hello"
"""

_HERE = "tests.benchmarks.clients"
CLIENTS = (
    Description(
        "raw",
        "one socket, prepared bytes, the frame decoded by pydantic-core; over HTTP+SSE the caller reads "
        "the stream itself",
        "core",
        f"{_HERE}.raw:raw",
        "import socket, json",
    ),
    Description(
        "raw_threads",
        "the same with a thread that reads the stream for all callers: the least that a threaded client does",
        "core",
        f"{_HERE}.raw:raw_threads",
        "import socket, json, threading",
    ),
    Description(
        "urllib3",
        "`HTTPConnectionPool.urlopen`, the body decoded by pydantic-core",
        "core",
        f"{_HERE}.plain_http:Urllib3",
        "import urllib3",
    ),
    Description(
        "requests",
        "`Session.post`, the body decoded by pydantic-core",
        "core",
        f"{_HERE}.plain_http:Requests",
        "import requests, sseclient, pydantic",
        _REQUESTS,
    ),
    Description(
        "mcp",
        "the official SDK on its event loop, one client kept open",
        "mcp2",
        f"{_HERE}.sdk:Sdk",
        "from mcp import Client",
        _SDK,
    ),
    Description(
        "mcp facade",
        "the official SDK behind anyio's blocking portal: what a program without asyncio does with it",
        "mcp2",
        f"{_HERE}.sdk:Facade",
        "from mcp import Client; from anyio.from_thread import start_blocking_portal",
        _FACADE,
    ),
    Description(
        "mcp_sync",
        "`MCPClient` with its defaults",
        "core",
        f"{_HERE}.ours:Ours",
        "from mcp_sync import MCPClient",
        _OURS,
    ),
)


def describe(name: str) -> Description:
    return next(client for client in CLIENTS if client.name == name)
