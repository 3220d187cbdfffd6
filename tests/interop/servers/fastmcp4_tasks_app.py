"""FastMCP 4 with the tasks extension of 2026-07-28 (fastmcp-tasks): every tool may run in the background.

python fastmcp4_tasks_app.py {http,stdio} [--port N]
"""

import argparse
import asyncio
from datetime import timedelta

from _serving import note, serve
from fastmcp import Context, FastMCP
from fastmcp.utilities.tasks import TaskConfig
from fastmcp_tasks import TasksExtension
from mcp_types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult

# Its default, five seconds, would be all that the tests do.
TASK = TaskConfig(poll_interval=timedelta(milliseconds=200))
NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def build():
    server = FastMCP("interop-tasks", version="4.1.2")
    server.add_extension(TasksExtension())

    @server.tool(task=TASK)
    async def slow(seconds: float, ctx: Context, steps: int = 4) -> str:
        """Take a while."""
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

    @server.tool(task=TASK)
    async def ask(question: str, ctx: Context) -> str:
        """Ask the user for a name, by ending and being run again with the answer."""
        answers = ctx.input_responses
        if not answers:
            params = ElicitRequestFormParams(message=question, requested_schema=NAME)
            return InputRequiredResult(input_requests={"name": ElicitRequest(params=params)}, request_state="asked")
        return f"{ctx.request_state}: {answers['name'].action} {answers['name'].content['name']}"

    @server.tool(task=TASK)
    async def fail() -> str:
        """Fail."""
        raise RuntimeError("on purpose")

    @server.tool
    async def at_once() -> str:
        """Answer at once."""
        return "answered"

    return server


def main():
    options = argparse.ArgumentParser()
    options.add_argument("transport", choices=["http", "stdio"])
    options.add_argument("--port", type=int, default=0)
    chosen = options.parse_args()
    server = build()
    if chosen.transport == "stdio":
        server.run("stdio", show_banner=False)
    else:
        serve(server.http_app(transport="http"), chosen.port)


if __name__ == "__main__":
    main()
