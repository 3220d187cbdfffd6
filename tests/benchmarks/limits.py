"""The limits that a change must keep: ratios and counts within one run, never times. Change them here, and say why.

``python -m tests.benchmarks --check`` prints what it finds beside each limit: that is where the project stands.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

__all__ = ["COSTS", "GROWTHS", "INSTRUCTIONS", "MEMORY", "Cost", "Growth", "Instructions", "Memory"]


class Cost(NamedTuple):
    """What a workload may cost this package.

    Attributes:
        scenario: what is done (`Scenarios` of worker.py).
        binding: how.
        amount: how often; of text, how many characters.
        beside: the client that it is compared with, and what that speaks.
        cpu: at most so many times the CPU time of that client, each by its best moment, because noise only adds.
            What a quiet machine shows and 60 percent more, for one that is not; a doubled cost is still over it.
        waits: at most so often in a call does a thread give the processor away to wait. Waiting for the answer is 1,
            or less if the server is quick; handing the call over to another thread, and back, are 2 more, and starting
            a thread for it 1 or 2.
        peak: at most so many times its size does a text add to the peak memory of the process.
    """

    scenario: str
    binding: str
    amount: int
    beside: tuple[str, str]
    cpu: float
    waits: Optional[float] = None
    peak: Optional[float] = None


class Growth(NamedTuple):
    """Each of `more` may cost at most so many times what each of `few` costs: what is linear stays near 1."""

    scenario: str
    binding: str
    few: int
    more: int
    at_most: float


class Memory(NamedTuple):
    """Each of `amount` sessions that are open and idle may hold at most so many KiB of this process.

    Memory is no time: it is the same within a few percent whatever else the machine does, so a third of room is enough.
    """

    binding: str
    amount: int
    at_most: float


class Instructions(NamedTuple):
    """At most so many times the instructions of one POST by urllib3 for one call (event, connection).

    Counted, not timed: the same within a percent from run to run, whatever else the machine does. Room for other
    versions of Python (3.11 and newer differ by a few percent) and of what the package is made of.
    """

    scenario: str
    binding: str
    amount: int
    at_most: float


_POST = ("urllib3", "HTTP, JSON")

COSTS = (
    Cost("calls", "HTTP, JSON", 500, _POST, cpu=1.5, waits=1.3),
    Cost("calls", "HTTP, stream", 500, _POST, cpu=1.7, waits=1.3),
    Cost("calls", "2026-07-28", 500, _POST, cpu=1.5, waits=1.3),
    Cost("calls", "HTTP+SSE", 500, _POST, cpu=2.6, waits=7.0),
    Cost("calls", "stdio", 500, _POST, cpu=0.8, waits=6.0),
    Cost("callers", "HTTP, JSON", 1280, _POST, cpu=1.6),
    Cost("callers", "HTTP+SSE", 1280, _POST, cpu=2.0),
    Cost("progress", "HTTP+SSE", 10_000, ("raw", "HTTP+SSE"), cpu=20.0),
    Cost("progress", "HTTP, stream", 10_000, ("raw", "HTTP+SSE"), cpu=20.0),
    Cost("text", "HTTP+SSE", 10_000_000, ("raw", "HTTP+SSE"), cpu=3.2, peak=4.8),
    Cost("text", "HTTP, JSON", 10_000_000, ("raw", "HTTP, JSON"), cpu=2.2, peak=3.6),
    Cost("connects", "HTTP+SSE", 20, ("raw_threads", "HTTP+SSE"), cpu=11.0),
    Cost("import", "", 1, ("requests", ""), cpu=0.9),
)
GROWTHS = (
    Growth("progress", "HTTP+SSE", 10_000, 50_000, 1.8),
    Growth("progress", "HTTP, stream", 10_000, 50_000, 1.8),
    Growth("text", "HTTP+SSE", 2_000_000, 20_000_000, 2.5),
    Growth("text", "HTTP, JSON", 2_000_000, 20_000_000, 2.5),
    Growth("tools", "HTTP, JSON", 1_000, 10_000, 1.8),
    Growth("sessions", "HTTP+SSE", 20, 200, 1.5),
)
# What the session has promised (identities, its memory budget, what its log may show) is the rest.
# A thread that waits, with the buffer that it reads into, is 32 KiB: one a session, but for 2026-07-28.
MEMORY = (
    Memory("HTTP+SSE", 200, 96.0),
    Memory("HTTP, JSON", 200, 72.0),
    Memory("2026-07-28", 200, 36.0),
)
# Every message is weighed before it is kept (max_buffered_bytes), with two turns of a lock, and what is shown of it is
# masked: a progress event costs about twice what it would without, a call by a stream or stdio a fifth to a third more.
INSTRUCTIONS = (
    Instructions("calls", "HTTP, JSON", 100, 0.90),
    Instructions("calls", "HTTP, stream", 100, 1.10),
    Instructions("calls", "2026-07-28", 100, 0.95),
    Instructions("calls", "HTTP+SSE", 100, 1.20),
    Instructions("calls", "stdio", 100, 0.56),
    Instructions("connects", "HTTP+SSE", 10, 8.5),
    Instructions("connects", "HTTP, JSON", 10, 8.0),
    Instructions("connects", "2026-07-28", 10, 3.8),
    Instructions("progress", "HTTP, stream", 2_000, 0.24),
    Instructions("progress", "HTTP+SSE", 2_000, 0.31),
)
