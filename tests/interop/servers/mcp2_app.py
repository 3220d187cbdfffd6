"""The official SDK 2.x: MCPServer over every transport it has. Its /mcp speaks 2025-11-25 and 2026-07-28 alike.

    python mcp2_app.py {sse,http,stdio} [--json] [--stateless] [--events] [--port N]

With --events answers are stored, so that a stream may be dropped and resumed in an old revision; `drop` and
`drop_slowly` do so.
Questions to the client go through `Resolve`, which asks over the session in an old revision and by an
input-required result in 2026-07-28.
"""

import argparse
import asyncio
import logging
import warnings
from typing import Annotated

from _events import MemoryEventStore
from _serving import GREETING_NAMES, LINE, note, serve
from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import Elicit, ListRoots, Resolve, Sample
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp_types import (
    Completion,
    CreateMessageResult,
    EmptyResult,
    ListRootsResult,
    PromptReference,
    ResourceTemplateReference,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel

warnings.simplefilter("ignore", MCPDeprecationWarning)
NOTE_URI = "note://current"
LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]


class Person(BaseModel):
    name: str


class Sum(BaseModel):
    total: int
    text: str


async def who(question: str) -> Elicit[Person]:
    return Elicit(question, Person)


async def thought(prompt: str) -> Sample:
    return Sample([SamplingMessage(role="user", content=TextContent(type="text", text=prompt))], max_tokens=50)


async def where() -> ListRoots:
    return ListRoots()


def build():
    server = MCPServer("interop-mcp2", version="2.3.0", instructions="A server for tests.", log_level="ERROR")
    low = server._lowlevel_server
    current = {"text": "first"}
    watchers = {}  # uri -> sessions that subscribed in a revision that has resources/subscribe
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
        raise ToolError(f"failed: {reason}")  # any other exception's text stays in the server

    @server.tool()
    async def ask(question: str, answer: Annotated[ElicitationResult[Person], Resolve(who)]) -> str:
        """Ask the user for a name."""
        return f"accept {answer.data.name}" if isinstance(answer, AcceptedElicitation) else answer.action

    @server.tool()
    async def sample(prompt: str, answer: Annotated[CreateMessageResult, Resolve(thought)]) -> str:
        """Ask the client's model."""
        return f"{answer.model}: {answer.content.text}"

    @server.tool()
    async def roots(answer: Annotated[ListRootsResult, Resolve(where)]) -> str:
        """Name the client's roots."""
        return " ".join(str(root.uri) for root in answer.roots)

    @server.tool()
    async def log(message: str, ctx: Context, level: str = "info") -> str:
        """Send a log message."""
        if LEVELS.index(level) >= LEVELS.index(floor["level"]):
            await ctx.log(level, {"text": message}, logger_name="interop")
        return "logged"

    @server.tool()
    def big(n: int) -> str:
        """Give back n characters."""
        return (LINE * (n // len(LINE) + 1))[:n]

    @server.tool()
    async def write_note(text: str, ctx: Context) -> str:
        """Change note://current and tell who subscribed, in either revision's way."""
        current["text"] = text
        await ctx.notify_resource_updated(NOTE_URI)
        for session in list(watchers.get(NOTE_URI, {}).values()):
            await session.send_resource_updated(NOTE_URI)
        return "written"

    @server.tool()
    async def grow(name: str, ctx: Context) -> str:
        """Add a tool, and say that the list has changed, in either revision's way."""
        server.add_tool(lambda: f"I am {name}", name=name, description="Grown")
        await ctx.notify_tools_changed()
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
        await asyncio.sleep(seconds)
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
            return Completion(values=values, total=len(values), has_more=False)
        return None

    async def set_level(ctx, params):
        floor["level"] = params.level
        return EmptyResult()

    async def subscribe(ctx, params):
        note(f"subscribe {params.uri}")
        # ctx.session is made anew for each request; the connection behind it is what stays.
        watchers.setdefault(str(params.uri), {})[id(ctx.session._connection)] = ctx.session
        return EmptyResult()

    async def unsubscribe(ctx, params):
        note(f"unsubscribe {params.uri}")
        watchers.get(str(params.uri), {}).pop(id(ctx.session._connection), None)
        return EmptyResult()

    low.add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)
    low.add_request_handler("resources/subscribe", SubscribeRequestParams, subscribe)
    low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, unsubscribe)
    return server


def main():
    options = argparse.ArgumentParser()
    options.add_argument("transport", choices=["sse", "http", "stdio"])
    options.add_argument("--json", action="store_true")
    options.add_argument("--stateless", action="store_true")
    options.add_argument("--events", action="store_true")
    options.add_argument("--port", type=int, default=0)
    chosen = options.parse_args()
    server = build()
    logging.getLogger("mcp").setLevel(logging.ERROR)
    if chosen.transport == "stdio":
        server.run("stdio")
    elif chosen.transport == "sse":
        serve(server.sse_app(), chosen.port)
    else:
        events = {"event_store": MemoryEventStore(), "retry_interval": 200} if chosen.events else {}
        app = server.streamable_http_app(json_response=chosen.json, stateless_http=chosen.stateless, **events)
        serve(app, chosen.port)


if __name__ == "__main__":
    main()
