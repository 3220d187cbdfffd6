"""What became of each call, and whether that agrees with what the servers say.

Runs on: any thread. The ledger is a file, so that an hour of calls takes no memory.
"""

from __future__ import annotations

import itertools
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from mcp_sync import MCPClientError, MCPServerError, MCPUsageError

__all__ = ["FATES", "HANG_GUARD", "Entry", "Ledger", "Reckoning", "check"]

# How far past its deadline a call may end on a busy machine.
HANG_GUARD = 15.0
# What may become of a call: its own answer, an error with one of the outcomes, an answer that is an error, cancelled.
FATES = ("answered", "not_sent", "refused", "unknown", "error", "cancelled")


class Entry:
    """One call under way."""

    def __init__(self, key: str, target: str, kind: str, limit: float, retry: bool) -> None:
        self.key, self.target, self.kind, self.limit, self.retry = key, target, kind, limit, retry
        self.fate: Optional[str] = None
        self.error = ""
        # Something came that only a call that runs can send.
        self.seen = False
        self.started = time.monotonic()

    @property
    def overrun(self) -> float:
        return time.monotonic() - self.started - self.limit


class Ledger:
    """The calls of one process.

    Parameters:
        path: where the ledger is.
        prefix: of every key: no two calls of a run have the same.
    """

    def __init__(self, path: Path, prefix: str) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1 << 16)
        self._prefix = prefix
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()  # guards all below, and the file
        self._under_way: dict[str, Entry] = {}
        self.begun = 0
        self.counts: Counter[tuple[str, str]] = Counter()
        self.failures: Counter[tuple[str, str]] = Counter()
        self.worst_overrun = -float("inf")
        self.violations: list[str] = []

    def violated(self, what: str) -> None:
        with self._lock:
            if len(self.violations) < 200:
                self.violations.append(what)
            self._file.write(f"!\t{_one_line(what)}\n")

    @contextmanager
    def call(self, target: str, kind: str, limit: float, retry: bool = False) -> Iterator[Entry]:
        """One call: the block makes it, and says what came of it; an error of the client's is its fate.

        Parameters:
            limit: seconds until its deadline.
        """
        entry = Entry(f"{self._prefix}{next(self._numbers):x}", target, kind, limit, retry)
        with self._lock:
            self.begun += 1
            self._under_way[entry.key] = entry
        try:
            yield entry
            if entry.fate is None:
                self.violated(f"{kind} on {target} ended without an answer and without an error: {entry.key}")
        except MCPServerError as exc:
            self._failed(entry, "error", exc)
        except MCPUsageError:
            self.violated(f"{kind} on {target} is said to be wrong: {traceback.format_exc()}")
        except MCPClientError as exc:
            self._failed(entry, exc.outcome, exc)
            if exc.outcome not in FATES:
                self.violated(f"{kind} on {target} failed without an outcome: {exc!r}")
        except Exception:  # noqa: BLE001  # whatever it is, it must not have come out
            self.violated(f"{kind} on {target} raised something else: {traceback.format_exc()}")
        finally:
            self._ended(entry)

    def _failed(self, entry: Entry, fate: Optional[str], error: MCPClientError) -> None:
        entry.fate, entry.error = fate, _one_line(repr(error))
        with self._lock:
            self.failures[entry.target, f"{type(error).__name__} ({error.outcome})"] += 1

    def _ended(self, entry: Entry) -> None:
        overrun = entry.overrun
        with self._lock:
            del self._under_way[entry.key]
            self.counts[entry.target, str(entry.fate)] += 1
            self.worst_overrun = max(self.worst_overrun, overrun)
            # Only tool calls leave a trace at the server.
            if not entry.kind.startswith("-"):
                flags = f"{'r' if entry.retry else '-'}{'s' if entry.seen else '-'}"
                self._file.write(
                    "\t".join((entry.key, entry.target, entry.kind, str(entry.fate), flags, entry.error)) + "\n"
                )
        if overrun > HANG_GUARD:
            self.violated(f"{entry.kind} on {entry.target} took {overrun:.1f} s longer than its {entry.limit:g} s")

    def overdue(self) -> list[Entry]:
        """The calls that should have ended long ago."""
        with self._lock:
            return [entry for entry in self._under_way.values() if entry.overrun > HANG_GUARD]

    def close(self) -> None:
        with self._lock:
            self._file.close()


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n").replace("\t", " ")


@dataclass
class Reckoning:
    """What came of comparing the ledgers with the logs.

    Attributes:
        problems: what does not add up.
        runs: how many calls had which fate and ran how often.
    """

    problems: list[str] = field(default_factory=list)
    runs: Counter[tuple[str, int]] = field(default_factory=Counter)


def check(ledgers: Iterable[Path], logs: Iterable[Path]) -> Reckoning:
    """Compare the ledgers of all processes with the logs of all servers."""
    ran: Counter[str] = Counter()
    reckoning = Reckoning()
    problems = reckoning.problems
    for log in logs:
        for line in log.read_text("utf-8").splitlines():
            if line.startswith("!"):
                problems.append(f"{log.stem}: {line[1:]}")
            else:
                ran[line] += 1
    for ledger in ledgers:
        for line in ledger.read_text("utf-8").splitlines():
            key, _, rest = line.partition("\t")
            if key == "!":
                problems.append(rest.replace("\\n", "\n"))
                continue
            target, kind, fate, flags, error = rest.split("\t")
            times = ran.pop(key, 0)
            reckoning.runs[fate, times] += 1
            problem = _judge(fate, times, "r" in flags, "s" in flags)
            if problem:
                problems.append(f"{kind} on {target} {problem} ({key}) {error}")
    problems += [f"a call ran that nobody made: {key}" for key in itertools.islice(ran, 20)]
    return reckoning


def _judge(fate: str, runs: int, retry: bool, seen: bool) -> Optional[str]:
    """What is wrong about a call with this fate that ran so often."""
    if runs > 1 and not retry:
        return f"was {fate} and ran {runs} times"
    if fate in ("not_sent", "refused") and runs:
        return f"was {fate}, but ran"
    if fate == "answered" and not runs:
        return "was answered, but never ran"
    if seen and not runs:
        return f"was {fate} and had progress, but never ran"
    return None
