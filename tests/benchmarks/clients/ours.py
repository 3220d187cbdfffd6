"""mcp_sync, used as its README says, with its defaults.

Runs in the process of the client that is measured, on any number of threads.
"""

from __future__ import annotations

from mcp_sync import MCPClient, Progress

from . import STDIO_SERVER

__all__ = ["Ours"]


class Ours:
    """One MCPClient, told what it speaks, so that one binding is measured and not the search for it."""

    def __init__(self, url: str, binding: str) -> None:
        if binding == "stdio":
            self.client = MCPClient(list(STDIO_SERVER), timeout=60.0)
        else:
            self.client = MCPClient(
                url,
                transport="sse" if binding == "HTTP+SSE" else "http",
                protocol_version="2026-07-28" if binding == "2026-07-28" else None,
                timeout=60.0,
            )

    def connect(self) -> None:
        self.client.connect()

    def echo(self, message: str) -> str:
        return self.client.call_tool("echo", {"message": message}).text

    def text(self, characters: int) -> int:
        return len(self.client.call_tool("text", {"characters": characters}).text)

    def count(self, events: int) -> int:
        delivered = 0

        def note(_: Progress) -> None:
            nonlocal delivered
            delivered += 1

        self.client.call_tool("count", {"events": events}, on_progress=note)
        return delivered

    def tools(self) -> int:
        return len(self.client.list_tools())

    def close(self) -> None:
        self.client.close()
