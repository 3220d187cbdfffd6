"""``mcp-sync demo``: the bundled server, the handshake's frames, and a few calls, in about ten seconds.

Runs on: the process's main thread; the frames are printed from the threads of the wiretap.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Callable

from rich.console import Console
from rich.markup import escape as unmarked
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as ProgressBar
from rich.text import Text

from .. import MCPClient, Progress
from ..demo.launcher import running_demo_server
from .wiretap import Wiretap
from .words import one_line, plain

__all__ = ["show"]

LONGEST_LINE = 400  # characters of a frame; the answer to initialize is the longest
NUMBERS = 20


def show() -> None:
    """Run the demonstration on standard output. Nothing is left running, however it ends."""
    started = time.monotonic()
    console = Console(highlight=False, soft_wrap=True)

    def title(text: str) -> None:
        console.print(f"\n[bold]{unmarked(text)}[/bold]")

    def frame(line: str) -> None:
        text = plain(line)
        if len(text) > LONGEST_LINE:
            text = f"{text[:LONGEST_LINE]}... ({len(text) - LONGEST_LINE} more)"
        console.print(Text(text, style="cyan" if text.startswith(">") else "green"))

    title("Starting the bundled server: mcp-sync serve --port 0")
    with running_demo_server() as url:
        console.print(f"it listens on {url}")
        title('The handshake, as it passes: MCPClient(url, transport="sse")')
        with closing(Wiretap(url, frame)) as tap, MCPClient(tap.url, transport="sse") as client:
            tap.quiet()
            console.print(Text(one_line(f"connected to {client.server_info.name}, MCP {client.protocol_version}")))

            title("client.list_tools()")
            for tool in client.list_tools():
                description = one_line(tool.description or "").partition(". ")[0].rstrip(".")
                console.print(Text.assemble((f"  {one_line(tool.name):<18}", "bold"), description))

            title('client.call_tool("echo", {"message": "hello"}).text')
            console.print(Text("  " + plain(client.call_tool("echo", {"message": "hello"}).text)))

            title(f'client.stream_tool("generate_numbers", {{"count": {NUMBERS}}})')
            arguments = {"count": NUMBERS, "delay": 0.1}
            with _bar(console) as advance, client.stream_tool("generate_numbers", arguments) as stream:
                for event in stream:
                    if isinstance(event, Progress):
                        advance(event)
            console.print(Text("  " + plain(stream.result.text)))

            title('client.stream_tool("generate_text", {"prompt": "the ocean"})')
            sys.stdout.write("  ")
            with client.stream_tool("generate_text", {"prompt": "the ocean", "max_tokens": 50}) as stream:
                for event in stream:
                    if isinstance(event, Progress):
                        sys.stdout.write(plain(event.message or ""))
                        sys.stdout.flush()
            sys.stdout.write("\n")
    title(f"Done in {time.monotonic() - started:.1f} seconds; the server has ended.")
    console.print("Next: mcp-sync serve, then mcp-sync tools http://localhost:8000/mcp")


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[Progress], None]]:
    """A progress bar on a terminal, and elsewhere a line for each step."""
    if not console.is_terminal:
        yield lambda event: console.print(
            Text(f"  {event.progress:g} of {event.total:g}: {one_line(event.message or '')}")
        )
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with ProgressBar(*columns, console=console) as bar:
        task = bar.add_task("", total=NUMBERS)

        def advance(event: Progress) -> None:
            bar.update(task, completed=event.progress, description=unmarked(one_line(event.message or "")))

        yield advance
