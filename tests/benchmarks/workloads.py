"""What is measured, in which unit, with which clients, and how far the client means to get.

Runs in the process that compares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable, NamedTuple, Optional

from .worker import TEXT_REPEATS

__all__ = ["CPU", "WORKLOADS", "Measure", "Target", "Workload", "measures"]

Record = Mapping[str, Any]


class Measure(NamedTuple):
    """A number that a record of a run is judged by. Less is better."""

    unit: str
    of: Callable[[Record], float]
    digits: int = 0


class Target(NamedTuple):
    """At most so much: times what another client takes in the same run, or in the measure's own unit."""

    at_most: float
    times: Optional[str] = None


class Workload(NamedTuple):
    """One row of the tables.

    Attributes:
        title: what is done.
        scenario: a method of the worker, or ``import`` and ``program``, which are processes that the runner times.
        binding: what is spoken; "" where that does not matter.
        amount: of calls, events, characters, connections, sessions or tools.
        clients: who takes part.
        targets: for each measure, by its unit.
        rounds: at most so many, for what is steady and takes long.
    """

    title: str
    scenario: str
    binding: str
    amount: int
    clients: Sequence[str]
    targets: Mapping[str, Sequence[Target]] = {}
    rounds: Optional[int] = None

    @property
    def name(self) -> str:
        return f"{self.title}, {self.binding}" if self.binding else self.title


def _cpu_each(unit: str, factor: float, digits: int = 0) -> Measure:
    return Measure(unit, lambda record: record["cpu_s"] / record["amount"] * factor, digits)


_MB = 1e6
CPU = "CPU"  # what the units of CPU time begin with
_PER_CALL = "CPU us a call"
_PER_EVENT = "CPU us an event"
_PER_MB = "CPU ms a MB"
_PEAK = "peak memory / size"
_PER_CONNECT = "CPU ms"
_PER_SESSION = "KiB a session"
_PER_PROCESS = "CPU ms"
_PER_TOOL = "CPU us a tool"

_MEASURES: Mapping[str, Sequence[Measure]] = {
    "calls": (_cpu_each(_PER_CALL, 1e6),),
    "callers": (_cpu_each(_PER_CALL, 1e6),),
    "progress": (_cpu_each(_PER_EVENT, 1e6, 1),),
    "text": (
        _cpu_each(_PER_MB, 1e3 * _MB / TEXT_REPEATS, 1),
        Measure(
            _PEAK, lambda record: (record["peak_kib"] - record["rss_before_kib"]) * 1024 / record["amount"], digits=1
        ),
    ),
    "connects": (_cpu_each(_PER_CONNECT, 1e3, 2),),
    "sessions": (
        Measure(_PER_SESSION, lambda record: (record["rss_kib"] - record["rss_before_kib"]) / record["amount"]),
        Measure("threads", lambda record: record["threads"]),
    ),
    "resident": (Measure("MiB", lambda record: record["rss_kib"] / 1024),),
    "tools": (_cpu_each(_PER_TOOL, 1e6, 1),),
    "import": (Measure(_PER_PROCESS, lambda record: (record["cpu_s"] - record["bare_cpu_s"]) * 1e3),),
    "program": (Measure(_PER_PROCESS, lambda record: record["cpu_s"] * 1e3),),
}

_ALL = ("raw", "raw_threads", "urllib3", "requests", "mcp", "mcp facade", "mcp_sync")
_HTTP = ("raw", "urllib3", "requests", "mcp", "mcp facade", "mcp_sync")
_STREAM = ("raw", "raw_threads", "mcp", "mcp facade", "mcp_sync")
_SPEAKERS = ("raw", "mcp", "mcp facade", "mcp_sync")

WORKLOADS = (
    Workload("a call", "calls", "HTTP, JSON", 500, _HTTP, {_PER_CALL: (Target(0.30, "mcp"), Target(1.2, "urllib3"))}),
    Workload("a call", "calls", "HTTP, stream", 500, _HTTP, {_PER_CALL: (Target(0.20, "mcp"),)}),
    Workload("a call", "calls", "2026-07-28", 500, _HTTP, {_PER_CALL: (Target(0.35, "mcp"),)}),
    Workload(
        "a call", "calls", "HTTP+SSE", 500, _STREAM, {_PER_CALL: (Target(0.34, "mcp"), Target(2.3, "raw_threads"))}
    ),
    Workload("a call", "calls", "stdio", 500, _STREAM),
    Workload("64 callers, a call", "callers", "HTTP, JSON", 1280, _HTTP, {_PER_CALL: (Target(0.35, "mcp"),)}),
    Workload(
        "64 callers, a call",
        "callers",
        "HTTP+SSE",
        1280,
        ("raw_threads", "mcp", "mcp facade", "mcp_sync"),
        {_PER_CALL: (Target(0.25, "mcp"),)},
    ),
    Workload(
        "10,000 progress events",
        "progress",
        "HTTP+SSE",
        10_000,
        _STREAM,
        {_PER_EVENT: (Target(10), Target(0.06, "mcp"))},
    ),
    Workload(
        "10,000 progress events",
        "progress",
        "HTTP, stream",
        10_000,
        _SPEAKERS,
        {_PER_EVENT: (Target(10), Target(0.06, "mcp"))},
    ),
    Workload("10,000 progress events", "progress", "stdio", 10_000, _STREAM, rounds=2),
    Workload("100,000 progress events", "progress", "HTTP+SSE", 100_000, ("raw", "raw_threads", "mcp_sync"), rounds=2),
    Workload("100,000 progress events", "progress", "HTTP, stream", 100_000, ("raw", "mcp_sync"), rounds=2),
    Workload("a result of 1 MB", "text", "HTTP+SSE", 1_000_000, _STREAM, rounds=2),
    Workload(
        "a result of 10 MB", "text", "HTTP+SSE", 10_000_000, _STREAM, {_PER_MB: (Target(10),), _PEAK: (Target(4),)}
    ),
    Workload(
        "a result of 10 MB", "text", "HTTP, JSON", 10_000_000, _HTTP, {_PER_MB: (Target(3.4),), _PEAK: (Target(3.2),)}
    ),
    Workload("a result of 50 MB", "text", "HTTP+SSE", 50_000_000, ("raw", "mcp_sync"), {_PEAK: (Target(4),)}, 2),
    Workload("a result of 50 MB", "text", "HTTP, JSON", 50_000_000, ("raw", "requests", "mcp", "mcp_sync"), rounds=2),
    Workload("connect and close", "connects", "HTTP+SSE", 10, _STREAM, {_PER_CONNECT: (Target(4),)}),
    Workload("connect and close", "connects", "HTTP, JSON", 10, _SPEAKERS),
    Workload("connect and close", "connects", "2026-07-28", 10, _SPEAKERS, {_PER_CONNECT: (Target(1),)}),
    Workload("a process with one session", "resident", "HTTP, JSON", 1, _SPEAKERS),
    Workload(
        "500 sessions",
        "sessions",
        "HTTP+SSE",
        500,
        ("raw", "raw_threads", "mcp", "mcp_sync"),
        {_PER_SESSION: (Target(60),)},
        1,
    ),
    Workload(
        "500 sessions", "sessions", "HTTP, JSON", 500, ("raw", "mcp", "mcp_sync"), {_PER_SESSION: (Target(20),)}, 1
    ),
    Workload("a list of 10,000 tools", "tools", "HTTP, JSON", 10_000, _SPEAKERS, rounds=2),
    Workload(
        "import",
        "import",
        "",
        1,
        ("requests", "mcp", "mcp facade", "mcp_sync"),
        {_PER_PROCESS: (Target(1.15, "requests"),)},
    ),
    Workload(
        "a whole program with one call",
        "program",
        "HTTP, JSON",
        1,
        ("requests", "mcp", "mcp facade", "mcp_sync"),
        {_PER_PROCESS: (Target(0.25, "mcp"),)},
    ),
)


def measures(scenario: str) -> Sequence[Measure]:
    """What a scenario is judged by; the first measure is the main one."""
    return _MEASURES[scenario]
