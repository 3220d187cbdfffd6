"""The short form: costs, growth and instruction counts against the limits, in the interpreter that runs it.

Runs in the process that compares, on one thread; instructions are counted on two.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, NamedTuple

from . import callgrind
from .comparing import Lab, own_interpreter, serving
from .limits import COSTS, GROWTHS, INSTRUCTIONS, MEMORY, Cost, Growth, Instructions, Memory
from .report import values
from .workloads import CPU, Workload, measures

__all__ = ["Verdict", "check"]

_ROUNDS = 2
_ATTEMPTS = 4  # what is over its limit is measured again, because a slow moment is no regression
_AT_ONCE = min(4, os.cpu_count() or 1)  # countings, which neighbours do not disturb
Records = list[dict[str, Any]]


class Verdict(NamedTuple):
    """One limit, and what was found."""

    what: str
    found: float
    at_most: float

    @property
    def kept(self) -> bool:
        return self.found <= self.at_most

    def __str__(self) -> str:
        return f"{'ok  ' if self.kept else 'OVER'}  {self.found:7.2f}, at most {self.at_most:6.2f}  {self.what}"


def check(only: str, say: Callable[[str], None]) -> int:
    """Says what it finds; the exit code of the process.

    Parameters:
        only: a part of the name of the limits to check; "" for all.
        say: called with each line as it comes.
    """
    started = time.monotonic()
    verdicts = []
    with serving(own_interpreter("")) as url:
        for verdict in every_verdict(url, only, say):
            say(f"{time.monotonic() - started:3.0f} s  {verdict}")
            verdicts.append(verdict)
    over = sum(not verdict.kept for verdict in verdicts)
    outcome = f"{over} of {len(verdicts)} limits are broken" if over else f"all {len(verdicts)} limits are kept"
    say(f"{outcome} ({time.monotonic() - started:.0f} s)")
    if over:
        say("If the change is worth what it costs, raise the limits in tests/benchmarks/limits.py and say why.")
    return 1 if over or not verdicts else 0


def every_verdict(url: str, only: str, say: Callable[[str], None]) -> Iterator[Verdict]:
    lab = Lab(url, own_interpreter)
    for cost in COSTS:
        if only in f"{cost.scenario}, {cost.binding}":
            yield from costs(lab, cost)
    for growth in GROWTHS:
        if only in f"{growth.scenario}, {growth.binding}":
            yield grown(lab, growth)
    for memory in MEMORY:
        if only in f"sessions, {memory.binding}":
            yield held(lab, memory)
    counted = [limit for limit in INSTRUCTIONS if only in f"{limit.scenario}, {limit.binding}"]
    if not counted:
        return
    missing = callgrind.why_not()
    if missing:
        say(f"skipped: instruction counts: {missing}")
        return
    try:
        post = callgrind.instructions_each(url, "urllib3", "calls", "HTTP, JSON", 100)
    except (RuntimeError, subprocess.SubprocessError) as failure:
        say(f"skipped: instruction counts: valgrind does not work here: {failure}")
        return
    yield from instructions(url, counted, post)


def costs(lab: Lab, limit: Cost) -> Iterator[Verdict]:
    """CPU time beside another client; waits and peak memory, where they are limited."""
    beside, binding = limit.beside
    ours = Workload("checked", limit.scenario, limit.binding, limit.amount, ("mcp_sync",))
    theirs = Workload("compared", limit.scenario, binding, limit.amount, (beside,))
    name = f"{limit.scenario}, {limit.binding}" if limit.binding else limit.scenario
    records: Records = []
    found: Records = []

    def verdicts() -> Iterator[Verdict]:
        ratio = best(found, ours) / best(records, theirs)
        yield Verdict(f"{name}: CPU time, times {beside}", ratio, limit.cpu)
        if limit.waits is not None:
            each = min(record["waits"] / limit.amount for record in found)
            yield Verdict(f"{name}: waits in a call", each, limit.waits)
        if limit.peak is not None:
            peak = measures("text")[1]
            yield Verdict(f"{name}: {peak.unit}", min(map(peak.of, found)), limit.peak)

    for _ in range(_ATTEMPTS):
        for _ in range(_ROUNDS):
            records += succeeded(lab.compare(theirs, 1))
            found += succeeded(lab.compare(ours, 1))
        judged = list(verdicts())
        if all(verdict.kept for verdict in judged):
            break
    yield from judged


def grown(lab: Lab, limit: Growth) -> Verdict:
    """What each costs when there are many, beside what it costs when there are few."""
    few, more = (
        Workload(f"checked {amount}", limit.scenario, limit.binding, amount, ("mcp_sync",))
        for amount in (limit.few, limit.more)
    )
    records: Records = []
    for attempt in range(_ATTEMPTS):
        records += succeeded(lab.compare(few, 2))
        records += succeeded(lab.compare(more, 1 if attempt == 0 else 2))
        found = best(records, more) / best(records, few)
        if found <= limit.at_most:
            break
    unit = measures(limit.scenario)[0].unit
    what = f"{limit.scenario}, {limit.binding}: {unit} of {limit.more:,}, times that of {limit.few:,}"
    return Verdict(what, found, limit.at_most)


def held(lab: Lab, limit: Memory) -> Verdict:
    """What an idle session holds; the least of two runs, as what the allocator does with free memory only adds."""
    workload = Workload("checked", "sessions", limit.binding, limit.amount, ("mcp_sync",))
    found = best(succeeded(lab.compare(workload, 2)), workload)
    return Verdict(f"sessions, {limit.binding}: {measures('sessions')[0].unit}", found, limit.at_most)


def instructions(url: str, limits: list[Instructions], post: float) -> Iterator[Verdict]:
    """Counts of this package, as multiples of what urllib3 takes for a `post`."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        counts = [
            pool.submit(callgrind.instructions_each, url, "mcp_sync", limit.scenario, limit.binding, limit.amount)
            for limit in limits
        ]
        for limit, count in zip(limits, counts):
            each = count.result()
            what = f"{limit.scenario}, {limit.binding}: instructions ({each:,.0f}), times a POST of urllib3"
            yield Verdict(what, each / post, limit.at_most)


def succeeded(records: Records) -> Records:
    for record in records:
        if "error" in record:
            raise RuntimeError(f"{record['client']} failed: {record['workload']}: {record['error']}")
    return records


def best(records: Records, workload: Workload) -> float:
    """The best moment of its only client."""
    measure = measures(workload.scenario)[0]
    if measure.unit.startswith(CPU):
        records = [{**record, "cpu_s": record.get("best_cpu_s", record["cpu_s"])} for record in records]
    return min(values(records, workload, measure, workload.clients[0]))
