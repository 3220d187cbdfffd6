"""The official SDK 1.x: FastMCP over every transport it has.

    python mcp1_app.py {sse,http,stdio} [--json] [--stateless] [--events] [--port N]

With --events answers are stored, so that a stream may be dropped and resumed; `drop` and `drop_slowly` do so.
"""

import argparse
import asyncio
import logging

import anyio
from _events import MemoryEventStore
from _serving import GREETING_NAMES, LINE, note, serve
from mcp import types
from mcp.server.fastmcp import Context, FastMCP
from mcp.types import (
    Completion,
    PromptReference,
    ResourceTemplateReference,
    SamplingMessage,
    TextContent,
)
from pydantic import AnyUrl, BaseModel

NOTE_URI = "note://current"
LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]


class Person(BaseModel):
    name: str


class Sum(BaseModel):
    total: int
    text: str


def build(**settings):
    server = FastMCP("interop-mcp1", instructions="A server for tests.", log_level="WARNING", **settings)
    low = server._mcp_server
    current = {"text": "first"}
    watchers = {}  # uri -> sessions that subscribed
    floor = {"level": "debug"}

    @server.tool()
    def echo(message: str) -> str:
        """Give the message back."""
        note("echo")
        return message

    @server.tool()
    def add(a: int, b: int) -> Sum:
        """Add two whole numbers."""
        return Sum(total=a + b, text=f"{a} + {b}")

    @server.tool()
    async def slow(seconds: float, ctx: Context, steps: int = 4) -> str:
        """Take a while, and report progress meanwhile."""
        note("slow started")
        try:
            for step in range(1, steps + 1):
                await ctx.report_progress(step, steps, f"step {step}")
                await asyncio.sleep(seconds / steps)
        except asyncio.CancelledError:
            note("slow cancelled")
            raise
        note("slow done")
        return "done"

    @server.tool()
    def fail(reason: str = "no reason") -> str:
        """Fail."""
        raise ValueError(f"failed: {reason}")

    @server.tool()
    async def ask(question: str, ctx: Context) -> str:
        """Ask the user for a name."""
        answer = await ctx.elicit(question, Person)
        return f"accept {answer.data.name}" if answer.action == "accept" else answer.action

    @server.tool()
    async def sample(prompt: str, ctx: Context) -> str:
        """Ask the client's model."""
        asked = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
        answer = await ctx.session.create_message([asked], max_tokens=50, related_request_id=ctx.request_id)
        return f"{answer.model}: {answer.content.text}"

    @server.tool()
    async def roots(ctx: Context) -> str:
        """Name the client's roots."""
        answer = await ctx.session.list_roots()
        return " ".join(str(root.uri) for root in answer.roots)

    @server.tool()
    async def log(message: str, ctx: Context, level: str = "info") -> str:
        """Send a log message."""
        if LEVELS.index(level) >= LEVELS.index(floor["level"]):
            await ctx.session.send_log_message(
                level, {"text": message}, logger="interop", related_request_id=ctx.request_id
            )
        return "logged"

    @server.tool()
    def big(n: int) -> str:
        """Give back n characters."""
        return (LINE * (n // len(LINE) + 1))[:n]

    @server.tool()
    async def write_note(text: str) -> str:
        """Change note://current and tell who subscribed."""
        current["text"] = text
        for session in watchers.get(NOTE_URI, set()).copy():
            await session.send_resource_updated(AnyUrl(NOTE_URI))
        return "written"

    @server.tool()
    async def grow(name: str, ctx: Context) -> str:
        """Add a tool, and say that the list has changed."""
        server.add_tool(lambda: f"I am {name}", name=name, description="Grown")
        await ctx.session.send_tool_list_changed()
        return "grown"

    @server.tool()
    async def drop(ctx: Context) -> str:
        """End the answer's stream before the answer: the client has to come back for it."""
        note("drop started")
        await ctx.close_sse_stream()
        return "survived"

    @server.tool()
    async def drop_slowly(ctx: Context, seconds: float = 0.5) -> str:
        """Say something, end the stream, and answer only when the client may be back already."""
        note("drop_slowly started")
        await ctx.report_progress(1, 2, "before")
        await ctx.close_sse_stream()
        await anyio.sleep(seconds)
        await ctx.report_progress(2, 2, "after")
        return "survived slowly"

    @server.resource(NOTE_URI, mime_type="text/plain")
    def note_resource() -> str:
        """The current note."""
        return current["text"]

    @server.resource("greeting://{name}")
    def greeting(name: str) -> str:
        """A greeting."""
        return f"Hello, {name}!"

    @server.resource("blob://bytes", mime_type="application/octet-stream")
    def blob() -> bytes:
        """Four bytes."""
        return b"\x00\xff\x10\x80"

    @server.prompt()
    def greet(name: str) -> str:
        """Ask for a greeting."""
        return f"Please greet {name}."

    @server.completion()
    async def complete(ref, argument, context):
        if isinstance(ref, (PromptReference, ResourceTemplateReference)) and argument.name == "name":
            values = [name for name in GREETING_NAMES if name.lower().startswith(argument.value.lower())]
            return Completion(values=values, total=len(values), hasMore=False)
        return None

    @low.set_logging_level()
    async def set_level(level):
        floor["level"] = level

    @low.subscribe_resource()
    async def subscribe(uri):
        note(f"subscribe {uri}")
        watchers.setdefault(str(uri), set()).add(low.request_context.session)

    @low.unsubscribe_resource()
    async def unsubscribe(uri):
        note(f"unsubscribe {uri}")
        watchers.get(str(uri), set()).discard(low.request_context.session)

    announced = low.get_capabilities

    def capabilities(options, experimental):
        # 1.x says `subscribe: false` however many subscribe handlers there are; this is a server that has one.
        told = announced(options, experimental)
        told.resources = types.ResourcesCapability(subscribe=True, listChanged=False)
        told.tools = types.ToolsCapability(listChanged=True)
        return told

    low.get_capabilities = capabilities
    return server


def main():
    options = argparse.ArgumentParser()
    options.add_argument("transport", choices=["sse", "http", "stdio"])
    options.add_argument("--json", action="store_true")
    options.add_argument("--stateless", action="store_true")
    options.add_argument("--events", action="store_true")
    options.add_argument("--port", type=int, default=0)
    chosen = options.parse_args()
    events = {"event_store": MemoryEventStore(), "retry_interval": 200} if chosen.events else {}
    server = build(json_response=chosen.json, stateless_http=chosen.stateless, **events)
    logging.getLogger("mcp").setLevel(logging.ERROR)
    if chosen.transport == "stdio":
        server.run("stdio")
    else:
        serve(server.sse_app() if chosen.transport == "sse" else server.streamable_http_app(), chosen.port)


if __name__ == "__main__":
    main()
