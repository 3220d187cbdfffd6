"""FastMCP 4 over every transport it has, with lists that come in pages of three.

python fastmcp4_app.py {sse,http,stdio} [--port N]
"""

import argparse
import asyncio
import warnings

from _serving import GREETING_NAMES, LINE, note, serve
from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from pydantic import BaseModel

warnings.simplefilter("ignore", DeprecationWarning)
NOTE_URI = "note://current"


class Person(BaseModel):
    name: str


class Sum(BaseModel):
    total: int
    text: str


def build():
    server = FastMCP("interop-fastmcp4", instructions="A server for tests.", version="4.1.2", list_page_size=3)

    @server.tool
    def echo(message: str) -> str:
        """Give the message back."""
        note("echo")
        return message

    @server.tool
    def add(a: int, b: int) -> Sum:
        """Add two whole numbers."""
        return Sum(total=a + b, text=f"{a} + {b}")

    @server.tool
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

    @server.tool
    def fail(reason: str = "no reason") -> str:
        """Fail."""
        raise ToolError(f"failed: {reason}")

    @server.tool
    async def ask(question: str, ctx: Context) -> str:
        """Ask the user for a name."""
        answer = await ctx.elicit(question, Person)
        return f"accept {answer.data.name}" if answer.action == "accept" else answer.action

    @server.tool
    async def log(message: str, ctx: Context, level: str = "info") -> str:
        """Send a log message."""
        await ctx.log(message, level=level, logger_name="interop")
        return "logged"

    @server.tool
    def big(n: int) -> str:
        """Give back n characters."""
        return (LINE * (n // len(LINE) + 1))[:n]

    @server.resource(NOTE_URI, mime_type="text/plain")
    def note_resource() -> str:
        """The current note."""
        return "first"

    @server.resource("greeting://{name}")
    def greeting(name: str) -> str:
        """A greeting."""
        return f"Hello, {name}!"

    @server.resource("blob://bytes", mime_type="application/octet-stream")
    def blob() -> bytes:
        """Four bytes."""
        return b"\x00\xff\x10\x80"

    @server.prompt
    def greet(name: str) -> str:
        """Ask for a greeting."""
        return f"Please greet {name}."

    @server.completion
    def complete(ref, argument, context):
        if argument.name == "name":
            return [name for name in GREETING_NAMES if name.lower().startswith(argument.value.lower())]
        return None

    return server


def main():
    options = argparse.ArgumentParser()
    options.add_argument("transport", choices=["sse", "http", "stdio"])
    options.add_argument("--port", type=int, default=0)
    chosen = options.parse_args()
    server = build()
    if chosen.transport == "stdio":
        server.run("stdio", show_banner=False)
    else:
        serve(server.http_app(transport=chosen.transport), chosen.port)


if __name__ == "__main__":
    main()
