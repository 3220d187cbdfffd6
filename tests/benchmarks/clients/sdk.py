"""The official SDK: on its event loop, and behind a blocking portal.

Runs in the process of the client that is measured.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, AsyncExitStack
from typing import Any, Optional

from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from . import STDIO_SERVER

__all__ = ["Facade", "Sdk"]


def make(url: str, binding: str) -> Client:
    """A client that is told what it speaks. Without its limit of 1 MiB to an event, where it has an option for that."""
    if binding == "stdio":
        command, *arguments = STDIO_SERVER
        return Client(stdio_client(StdioServerParameters(command=command, args=arguments)), mode="legacy")
    if binding == "HTTP+SSE":
        return Client(sse_client(url), mode="legacy")
    mode = "2026-07-28" if binding == "2026-07-28" else "legacy"
    return Client(streamable_http_client(url, max_sse_event_size=None), mode=mode)


class Sdk:
    """One client, on whatever event loop runs."""

    def __init__(self, url: str, binding: str) -> None:
        self.client = make(url, binding)
        self.stack = AsyncExitStack()

    async def connect(self) -> None:
        await self.stack.enter_async_context(self.client)

    async def echo(self, message: str) -> str:
        return text_of(await self.client.call_tool("echo", {"message": message}))

    async def text(self, characters: int) -> int:
        # Without a timeout it would wait for ever for a result that it could not take.
        return len(text_of(await self.client.call_tool("text", {"characters": characters}, read_timeout_seconds=15.0)))

    async def count(self, events: int) -> int:
        delivered = 0

        async def note(progress: float, total: Optional[float], message: Optional[str]) -> None:
            nonlocal delivered
            delivered += 1

        await self.client.call_tool("count", {"events": events}, progress_callback=note)
        return delivered

    async def tools(self) -> int:
        count, cursor = 0, None
        while True:
            page = await self.client.list_tools(cursor=cursor)
            count += len(page.tools)
            cursor = page.next_cursor
            if not cursor:
                return count

    async def close(self) -> None:
        await self.stack.aclose()


def text_of(result: Any) -> str:
    text = result.content[0].text
    assert isinstance(text, str)
    return text


class Facade:
    """The SDK for threads. All clients of the process share one event loop, the cheapest way that is sound."""

    _portal: Optional[BlockingPortal] = None
    _manager: AbstractContextManager[BlockingPortal]

    def __init__(self, url: str, binding: str) -> None:
        if Facade._portal is None:
            Facade._manager = start_blocking_portal()
            Facade._portal = Facade._manager.__enter__()
        self.portal = Facade._portal
        self.sdk = self.portal.call(Sdk, url, binding)
        self.entered: Optional[AbstractContextManager[Any]] = None

    def connect(self) -> None:
        self.entered = self.portal.wrap_async_context_manager(self.sdk.client)
        self.entered.__enter__()

    def echo(self, message: str) -> str:
        return self.portal.call(self.sdk.echo, message)

    def text(self, characters: int) -> int:
        return self.portal.call(self.sdk.text, characters)

    def count(self, events: int) -> int:
        return self.portal.call(self.sdk.count, events)

    def tools(self) -> int:
        return self.portal.call(self.sdk.tools)

    def close(self) -> None:
        if self.entered is not None:
            self.entered.__exit__(None, None, None)
