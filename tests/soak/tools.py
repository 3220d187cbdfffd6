"""The tools of the soak's servers: what each does, and what it must answer.

Runs on: the servers' threads; ``expected`` and ``step`` in the soak itself, too.

Every tool writes the key of its call to the server's log first, so the log says which calls ran, and how often.
"""

from __future__ import annotations

import functools
import os
import threading
import zlib
from typing import Any, Callable, Optional, Protocol

__all__ = ["NAMES", "RESOURCE", "Caller", "ToolLog", "expected", "listing", "page", "run", "step"]

NAMES = ("echo", "slow", "count", "fail", "ask", "meet")
_PAGE = 100
# What changes all the time.
RESOURCE = "soak://clock"
# How many calls of ``meet`` have come, and how long they wait for the others.
_met = 0
_meeting = threading.Condition()
_MEETING_SECONDS = 30.0


class ToolLog:
    """The append-only log of the calls that ran. A line is one write, so a process that is killed loses none."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def ran(self, key: str) -> None:
        os.write(self._fd, f"{key}\n".encode())


class Caller(Protocol):
    """How a tool reaches whoever called it."""

    def text(self, text: str, **more: Any) -> None:
        """The result."""

    def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Progress, if the caller wants it."""


def expected(name: str, arguments: dict[str, Any]) -> str:
    """What a call must be answered with: nothing that fits another call."""
    key = arguments["key"]
    if name == "echo":
        return f"{key}|{zlib.crc32(arguments.get('text', '').encode())}|{'b' * arguments.get('back', 0)}"
    if name == "count":
        return f"{key}|{arguments['steps']}"
    return f"{key}|{name}"


def step(key: str, number: int) -> str:
    """The message of one progress notification."""
    return f"{key}|{number}"


def run(
    name: str,
    arguments: dict[str, Any],
    caller: Caller,
    log: ToolLog,
    wait: Callable[[float], object],
    ask: Callable[[str], str],
) -> None:
    """Run a tool.

    Parameters:
        wait: waits some seconds, or until the server ends.
        ask: has the client's model repeat a text.
    """
    key = arguments["key"]
    log.ran(key)
    answer = expected(name, arguments)
    if name == "slow":
        wait(arguments["seconds"])
    elif name == "count":
        for number in range(1, arguments["steps"] + 1):
            caller.progress(number, arguments["steps"], step(key, number))
            if arguments.get("pause"):
                wait(arguments["pause"])
    elif name == "meet":
        _meet(arguments["count"])
    elif name == "ask":
        answer = ask(answer)
    if name == "fail":
        caller.text(answer, isError=True)
    else:
        caller.text(answer)


def _meet(count: int) -> None:
    """Wait until so many calls are in here at once."""
    global _met
    with _meeting:
        _met += 1
        _meeting.notify_all()
        at_once = _meeting.wait_for(lambda: _met >= count, _MEETING_SECONDS)
    if not at_once:
        raise TimeoutError(f"{_met} of {count} calls came at once")


def page(cursor: Optional[str], count: int) -> dict[str, Any]:
    """One page of the list of all tools: those above, and others up to ``count``, which only fill the list."""
    start = int(cursor or 0)
    end = start + _PAGE
    return {"tools": listing(count)[start:end], **({"nextCursor": str(end)} if end < count else {})}


@functools.lru_cache
def listing(count: int = 0) -> list[dict[str, Any]]:
    """The tools as ``tools/list`` shows them, and others up to ``count``."""
    names = [*NAMES, *(f"other-{number}" for number in range(len(NAMES), count))]
    schema = {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}
    return [{"name": name, "description": f"The tool {name}.", "inputSchema": schema} for name in names]
