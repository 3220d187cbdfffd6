"""Records to numbers, and numbers to the page of the documentation.

Pure: reads no clock, starts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple, Optional

from .clients import CLIENTS
from .workloads import WORKLOADS, Measure, Target, Workload, measures

__all__ = ["Machine", "Spread", "page", "ratios_to", "reached", "spread", "values"]

Records = Iterable[Mapping[str, Any]]


class Spread(NamedTuple):
    """The middle of some numbers, and how far they lie apart."""

    middle: float
    least: float
    most: float


class Machine(NamedTuple):
    """Where and with what a page was measured."""

    processor: str
    system: str
    python: str
    load: str
    versions: Mapping[str, str]
    date: str


def values(records: Records, workload: Workload, measure: Measure, client: str) -> list[float]:
    return [
        measure.of(record)
        for record in records
        if record["workload"] == workload.name and record["client"] == client and "error" not in record
    ]


def spread(records: Records, workload: Workload, measure: Measure, client: str) -> Optional[Spread]:
    """What a client took; None if it was not run, or never succeeded."""
    found = values(records, workload, measure, client)
    return Spread(median(found), min(found), max(found)) if found else None


def ratios_to(
    records: Sequence[Mapping[str, Any]], workload: Workload, measure: Measure, client: str
) -> Optional[tuple[float, float]]:
    """How many times as much as `client` this package takes: by their medians, and by their best rounds."""
    ours, theirs = (spread(records, workload, measure, name) for name in ("mcp_sync", client))
    if not ours or not theirs or theirs.least <= 0:
        return None
    return ours.middle / theirs.middle, ours.least / theirs.least


def reached(
    records: Sequence[Mapping[str, Any]], workload: Workload, measure: Measure, target: Target
) -> Optional[tuple[float, float]]:
    """What is to be at most `target.at_most`, by medians and by best rounds; None if there is nothing to tell it by."""
    if target.times is not None:
        return ratios_to(records, workload, measure, target.times)
    ours = spread(records, workload, measure, "mcp_sync")
    return (ours.middle, ours.least) if ours else None


def number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table of Markdown; the first column is text, the others are numbers."""
    return [
        f"| {' | '.join(heads)} |",
        f"|---{'|---:' * (len(heads) - 1)}|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def results(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """What every client took: medians, and for this package the least and the most as well."""
    names = [client.name for client in CLIENTS]
    rows = []
    for workload in WORKLOADS:
        for measure in measures(workload.scenario):
            cells = [workload.name, measure.unit]
            for name in names:
                found = spread(records, workload, measure, name)
                if found is None:
                    cells.append("fails" if failure(records, workload, name) else "")
                elif name == "mcp_sync":
                    middle, least, most = (number(value, measure.digits) for value in found)
                    cells.append(f"**{middle}** ({least} to {most})")
                else:
                    cells.append(number(found.middle, measure.digits))
            if any(cells[2:]):
                rows.append(cells)
    return table(["workload", "unit", *names], rows)


def failure(records: Records, workload: Workload, client: str) -> str:
    """Why a client has no result; "" if it has, or was not asked."""
    return next(
        (
            str(record["error"])
            for record in records
            if record["workload"] == workload.name and record["client"] == client and "error" in record
        ),
        "",
    )


def ratios(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """How many times as much as each other client this package takes."""
    names = [client.name for client in CLIENTS if client.name != "mcp_sync"]
    rows = []
    for workload in WORKLOADS:
        for measure in measures(workload.scenario):
            found = [ratios_to(records, workload, measure, name) for name in names]
            if any(found):
                cells = [f"{number(pair[0], 2)} ({number(pair[1], 2)})" if pair else "" for pair in found]
                rows.append([workload.name, measure.unit, *cells])
    return table(["workload", "unit", *names], rows)


def goals(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each target, and whether it was reached."""
    rows = []
    for workload in WORKLOADS:
        for measure in measures(workload.scenario):
            for target in workload.targets.get(measure.unit, ()):
                found = reached(records, workload, measure, target)
                if found is None:
                    continue
                digits = measure.digits if target.times is None else 2
                unit = measure.unit if target.times is None else f"x {target.times}"
                kept = "yes" if round(found[0], digits) <= target.at_most else "no"
                cells = [number(value, digits) for value in (target.at_most, *found)]
                rows.append([workload.name, unit, *cells, kept])
    return table(["workload", "unit", "at most", "median", "best round", "reached"], rows)


_BEFORE = """\
# Performance

How much of a machine's time and memory `mcp_sync` takes, beside the official SDK, plain HTTP clients and bare sockets.
This page is the output of one command, and nothing in it is written by hand:

```sh
python -m tests.benchmarks
```

It builds the environments that it needs once, takes some ten minutes, and needs Linux. `--rounds N` repeats each
measurement N times, `--only TEXT` measures the workloads with that text in their names, and `--raw FILE` keeps every
number as a line of JSON. `python -m tests.benchmarks --check` is the short form that guards the project: it fails when
a ratio is worse than the limits in `tests/benchmarks/limits.py`.
"""

_HOW = """\
## How it is measured

Each client runs in a process of its own, one after the other, against the same server; the rounds are interleaved
(A B C, C B A, ...), so that what slows the machine slows all. What is measured is CPU time, user and system, of all
threads of the client's process: it says what a call costs the program that makes it, and other people's work disturbs
it less than it disturbs the clock. The numbers are medians of {rounds} rounds. Compare them only within one page;
the ratios are what carries over to another machine, and under load those of a call still move by a fifth.

The server is the project's own (`tests/benchmarks/server.py`): one thread, one selector, prepared bytes. A client's
session is open before the meter starts, and has made a few calls.
"""

_MEANING = """\
## What the workloads mean

- **a call**: `call_tool("echo")`, one after the other, until the text of its result is in hand. *HTTP, JSON* and
  *HTTP, stream* are the two ways in which a server of Streamable HTTP (2025-11-25) may answer a POST; *HTTP+SSE* is
  the binding of 2024-11-05.
- **64 callers**: as many threads (tasks, for the SDK) that share one client.
- **progress events**: one call that reports progress so often; each event reaches the caller's function. A client that
  loses an event fails.
- **a result of N MB**: one block of text. *peak memory / size* is what the process grew by, divided by that size.
- **connect and close**: from nothing to a client that is ready, and away again.
- **sessions**: connected clients in one process, and what each adds to its resident memory; *threads* are all that the
  process has.
- **import**: what importing adds to starting Python. The column of `requests` imports `requests`, `sseclient` and
  `pydantic`, which `mcp_sync` is made of.
- **a whole program**: from the start of Python through import, connection, and one call to its end.
"""

_LEFT = """\
## What it would take to go further

- **64 callers over HTTP+SSE.** A thread waits twice in a call: for the status of its POST, and for the answer on the
  stream. `raw_threads`, which does nothing but that, shows what the waiting alone costs. To wait once, the status would
  have to be left unread, and a POST that failed would be noticed at the deadline of its call.
- **A session over Streamable HTTP.** An idle one has no thread: one thread waits on the streams of all. Of what it
  holds, a third is the stream's on which the server may speak outside of any call (a connection and a response of
  urllib3's, suspended). Two thirds are what a client of 2026-07-28 holds, which has no such stream: a connection that
  is kept for the next call, its pool, the settings, what server and client agreed on. `--check` measures both. A client
  that did not listen would save the former; but a server that asks such a client something would wait for the answer,
  and the call with it.
- **Connecting, and a whole program.** To import `requests`, `sseclient` and `pydantic` and to make one model is three
  quarters of what a whole program takes. Of connecting, a third is the connection itself and its end; closing takes a
  thread, so that it can be done from a signal handler or a finalizer without waiting for what was interrupted.
- **A call over Streamable HTTP.** What is left above a bare socket is what `urllib3` and `http.client` do for a
  response, and the deadline: each exchange is entered where one thread watches all of them. Proxies, TLS, redirects,
  cookies and the user's own `requests.Session` hang on the former, and on the latter that no call outlives its time.
"""


def page(records: Sequence[Mapping[str, Any]], machine: Machine, rounds: int) -> str:
    """The page of the documentation."""
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    failures = [
        f"- `{client.name}`, {workload.name}: {why}"
        for workload in WORKLOADS
        for client in CLIENTS
        if (why := failure(records, workload, client.name))
    ]
    parts = [
        _BEFORE,
        "## Where\n",
        f"{machine.date}, {machine.processor}, {machine.system}, Python {machine.python}, load {machine.load}.",
        f"{versions}.\n",
        "| client | how it is used |",
        "|---|---|",
        *(f"| `{client.name}` | {client.about} |" for client in CLIENTS),
        "",
        "## Results\n",
        "Less is better everywhere. An empty cell: the client does not speak it, or it was left out for time.\n",
        *results(records),
        "",
        *(["What failed:\n", *failures, ""] if failures else []),
        "## Times what others take\n",
        "`mcp_sync` divided by the client of the column: 0.25 is a quarter of it. By medians, and in brackets by the "
        "best round of each.\n",
        *ratios(records),
        "",
        "## Targets\n",
        *goals(records),
        "",
        _LEFT,
        _HOW.format(rounds=rounds),
        _MEANING,
    ]
    return "\n".join(parts).rstrip() + "\n"
