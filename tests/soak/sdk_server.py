"""The official SDK's server with the soak's tools: the bundled server, whose tools write to a log.

    python -m tests.soak.sdk_server LOG --port 20001 --until-stdin-closes

Runs on: a process of its own, as ``python -m mcp_sync.demo`` does.
"""

from __future__ import annotations

import sys
from typing import Any

import anyio
from mcp import types
from pydantic import Field

from mcp_sync.demo import __main__ as demo
from mcp_sync.demo import tools
from tests.soak.tools import ToolLog, expected, step

__all__: list[str] = []

_log: ToolLog


class Keyed(tools.Arguments):
    """A tool whose calls have a key."""

    title = "A tool of the soak"
    key: str

    async def run(self, call: tools.Call) -> types.CallToolResult:
        _log.ran(self.key)
        await self.work(call)
        text = expected(self.tool, self.model_dump())
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=self.tool == "fail")

    async def work(self, call: tools.Call) -> None:
        """What takes time."""


class Echo(Keyed):
    """Repeat."""

    tool = "echo"
    text: str = ""
    back: int = 0


class Slow(Keyed):
    """Wait."""

    tool = "slow"
    seconds: float

    async def work(self, call: tools.Call) -> None:
        await anyio.sleep(self.seconds)


class Count(Keyed):
    """Count, with progress."""

    tool = "count"
    steps: int
    pause: float = Field(0.0)

    async def work(self, call: tools.Call) -> None:
        for number in range(1, self.steps + 1):
            await call.progress(number, self.steps, step(self.key, number))
            await anyio.sleep(self.pause)


class Fail(Keyed):
    """Fail."""

    tool = "fail"


def main() -> int:
    global _log
    _log = ToolLog(sys.argv[1])
    registered: Any = tools.TOOLS
    registered.update({model.tool: model for model in (Echo, Slow, Count, Fail)})
    return demo.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
