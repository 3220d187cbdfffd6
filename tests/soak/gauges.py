"""What must stay flat: memory, threads, file descriptors; and zombies, of which there must be none.

Runs on: one thread that samples.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.soak.processes import children, state_of

__all__ = ["UNITS", "Gauges", "Sample", "take", "warm_up"]

_PAGE = os.sysconf("SC_PAGE_SIZE")
# A child that ended is waited for at once, but a busy machine may take a while.
_ZOMBIE_SECONDS = 10.0
# A third of a run, and three minutes at most, is for pools and caches to fill.
_WARM_UP = 1 / 3
_LONGEST_WARM_UP = 180.0  # seconds
_SHORT = 300.0
# By how much the second half may be above the first. What is in use goes up and down with what happens to break; the
# allocator gives memory back late or never, so that the blocks in use say more about a leak than the resident memory.
_ALLOWANCE = {"rss": 25.0, "blocks": 30_000.0, "threads": 8.0, "fds": 12.0}
UNITS = {"rss": "MB of memory", "blocks": "blocks of memory", "threads": "threads", "fds": "file descriptors"}


@dataclass
class Sample:
    at: float
    rss: float  # MB
    blocks: int  # that the interpreter has in use
    threads: int
    fds: int


def warm_up(seconds: float) -> float:
    """How much of a run of so many seconds does not count."""
    return min(seconds * _WARM_UP, _LONGEST_WARM_UP)


def take() -> Sample:
    rss = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 1e6
    threads, fds = len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
    return Sample(time.monotonic(), rss, sys.getallocatedblocks(), threads, fds)


def census() -> Counter[str]:
    """How many objects of each type the collector knows."""
    return Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())


@dataclass
class Gauges:
    """The samples of one run."""

    samples: list[Sample] = field(default_factory=list)
    censuses: list[Counter[str]] = field(default_factory=list)
    zombies: dict[int, float] = field(default_factory=dict)

    def look(self) -> list[str]:
        """Take a sample. Returns what is wrong at once."""
        now = take()
        self.samples.append(now)
        dead = {pid for pid in children() if state_of(pid)[0] == "Z"}
        self.zombies = {pid: self.zombies.get(pid, now.at) for pid in dead}
        stale = [pid for pid, since in self.zombies.items() if now.at - since > _ZOMBIE_SECONDS]
        for pid in stale:
            self.zombies[pid] = float("inf")  # told once
        return [f"a child process is a zombie: {pid} {state_of(pid)[1]}" for pid in stale]

    def count_objects(self) -> None:
        """Remember what there is: once after the warm-up, once at the end."""
        gc.collect()
        self.censuses.append(census())

    def more_objects(self) -> str:
        """Of which types there are more at the end than after the warm-up."""
        if len(self.censuses) < 2:
            return ""
        more = self.censuses[-1] - self.censuses[0]
        return ", ".join(f"{name} +{count}" for name, count in more.most_common(12))

    def halves(self) -> dict[str, tuple[float, float]]:
        """What was there in the first and in the second half of what comes after the warm-up: the medians."""
        if not self.samples:
            return {}
        started, ended = self.samples[0].at, self.samples[-1].at
        warm_at = started + warm_up(ended - started)
        middle = (warm_at + ended) / 2
        first = [sample for sample in self.samples if warm_at <= sample.at < middle]
        second = [sample for sample in self.samples if middle <= sample.at]
        return {
            name: tuple(statistics.median(getattr(each, name) for each in half) for half in (first, second))
            for name in UNITS
            if first and second
        }

    def grown(self) -> list[str]:
        """What did not stay flat."""
        # A short run has not settled when it is looked at.
        factor = 2.0 if self.samples and self.samples[-1].at - self.samples[0].at < _SHORT else 1.0
        return [
            f"{UNITS[name]} grew from {first:.0f} to {second:.0f} between the halves of the run"
            for name, (first, second) in self.halves().items()
            if second - first > factor * _ALLOWANCE[name]
        ]
