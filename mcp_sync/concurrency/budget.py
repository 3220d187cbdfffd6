"""How much memory one client gives to what a server sent and nobody has read yet: one budget, and an account of it for
each place that keeps something.

Runs on: any thread; the lock is held for a few additions.

A signal handler may call the client in the middle of those, on the thread that holds the lock, and wait there for an
answer that another thread brings. So threads that are never interrupted wait for the lock for a moment only, and go on
without it: a count may then be wrong by one message.
"""

from __future__ import annotations

import math
import threading
from threading import get_ident
from typing import Set

from .log import Log

__all__ = ["Account", "Budget"]

_log = Log(__name__)

_PATIENCE = 0.1


class Budget:
    """So many bytes for all accounts together.

    A single thing that is larger finds room where nothing else is kept.

    Attributes:
        dropped: how many things found no room.
    """

    def __init__(self, limit: float = math.inf) -> None:
        self.limit = limit
        # Guards what follows, and the accounts.
        self._lock = threading.RLock()
        self.held = 0
        self.dropped = 0
        self._said: Set[str] = set()

    def enter(self) -> bool:
        """Take the lock, as far as it can be had. Returns whether it was."""
        # For ever on the main thread alone, which is the one that signal handlers interrupt.
        is_main = get_ident() == threading.main_thread().ident
        return self._lock.acquire() if is_main else self._lock.acquire(timeout=_PATIENCE)

    def leave(self, is_held: bool) -> None:
        if is_held:
            self._lock.release()

    def account(self, share: float = 0.5) -> Account:
        """An account that takes at most this share of the budget: one place must not keep the others from theirs."""
        return Account(self, self.limit * share)

    def was_dropped(self, what: str) -> None:
        """Count what found no room, and say so once.

        Parameters:
            what: which things, and whether they are dropped or refused, for the log.
        """
        is_held = self.enter()
        try:
            self.dropped += 1
            is_new = what not in self._said
            self._said.add(what)
        finally:
            self.leave(is_held)
        if is_new:
            _log.warning(
                "%s, since the server sends more than is read; max_buffered_bytes (now %.0f) bounds what is kept",
                what,
                self.limit,
            )


class Account:
    """What one place keeps.

    Attributes:
        limit: how much it keeps at most, but for a single thing that is larger.
    """

    __slots__ = ("_budget", "_held", "_is_closed", "limit")

    def __init__(self, budget: Budget, limit: float) -> None:
        self._budget = budget
        self.limit = limit
        self._held = 0
        self._is_closed = False

    @property
    def most(self) -> float:
        """No more than this has to be weighed."""
        return self._budget.limit

    def take(self, size: int, *, at_any_rate: bool = False) -> bool:
        """Keep ``size`` bytes more. Returns False, and keeps nothing, where there is no room."""
        budget = self._budget
        is_held = budget.enter()
        try:
            if self._is_closed:
                return False
            is_full = budget.held + size > budget.limit or (self._held and self._held + size > self.limit)
            if is_full and budget.held and not at_any_rate:
                return False
            self._held += size
            budget.held += size
            return True
        finally:
            budget.leave(is_held)

    def give_back(self, size: int) -> None:
        budget = self._budget
        is_held = budget.enter()
        try:
            if not self._is_closed:
                self._held -= size
                budget.held -= size
        finally:
            budget.leave(is_held)

    def was_dropped(self, what: str) -> None:
        """Count what found no room, and say so once."""
        self._budget.was_dropped(what)

    def close(self) -> None:
        """Nothing is kept here any more."""
        budget = self._budget
        is_held = budget.enter()
        try:
            if not self._is_closed:
                budget.held -= self._held
                self._held, self._is_closed = 0, True
        finally:
            budget.leave(is_held)
