"""The deadline of one call: it stands still while a handler of the user's answers the server, and may bound the silence
between two signs of life.

Runs on: any thread; the calling thread waits by it, and the threads that bring messages and run handlers move it.
"""

from __future__ import annotations

import threading
from typing import Any, Optional

from .clock import monotonic
from .deadline import LONGEST_WAIT, Deadline

__all__ = ["CallDeadline", "deadline_of"]


class CallDeadline(Deadline):
    """A deadline that moves; ``at`` is when it passes if nothing more happens.

    Parameters:
        input_timeout: for how many seconds in all it stands still, at most, while handlers answer.
        idle_timeout: seconds of silence at most, while a request is under way; None for any.
        more: what ``Deadline`` takes beside the timeout.
    """

    __slots__ = ("_allowance", "_end", "_held_since", "_holds", "_idle", "_lock", "_silent_since")

    moves = True

    def __init__(self, timeout: float, input_timeout: float, idle_timeout: Optional[float], *more: Any) -> None:
        super().__init__(timeout, *more)
        # Guards what follows, and ``at``.
        self._lock = threading.RLock()
        # When ``timeout`` is over, and how much later that may yet become.
        self._end = self.at
        self._allowance = input_timeout
        self._holds = 0
        self._held_since = 0.0
        self._idle = idle_timeout
        # The last sign of life; None while nothing is expected of the server.
        self._silent_since: Optional[float] = None

    # While a handler answers

    def hold(self) -> None:
        """A handler begins to answer the server."""
        with self._lock:
            self._holds += 1
            if self._holds == 1:
                self._held_since = monotonic()
                if self._held_since >= self.at:
                    self._allowance = 0.0  # what has passed does not come back
            self._move()

    def release(self) -> None:
        """The handler has answered."""
        with self._lock:
            self._holds -= 1
            if not self._holds:
                now = monotonic()
                stood = min(now - self._held_since, self._allowance)
                self._end += stood
                self._allowance -= stood
                if self._silent_since is not None:
                    self._silent_since = now
            self._move()

    @property
    def longest(self) -> float:
        """Seconds left if it stands still for as long as it may, for waits that are ended by something else."""
        with self._lock:
            end = self._end + self._allowance
        return min(max(end - monotonic(), 0.0), LONGEST_WAIT)

    # Signs of life

    def expect_life(self, expected: bool = True) -> None:
        """A request begins, or ends: silence counts from now on, or not any more."""
        with self._lock:
            self._silent_since = monotonic() if expected and self._idle is not None else None
            self._move()

    def heard(self) -> None:
        """The server has said something that belongs to the call."""
        with self._lock:
            if self._silent_since is not None:
                self._silent_since = monotonic()
                self._move()

    def _move(self) -> None:
        if self._holds:
            self.at = self._end + self._allowance
        elif self._silent_since is not None and self._idle is not None:
            self.at = min(self._end, self._silent_since + self._idle)
        else:
            self.at = self._end

    @property
    def limit(self) -> str:
        return f"for {self._idle:g} s" if self.at < self._end else super().limit

    @property
    def setting(self) -> str:
        return "idle_timeout=" if self.at < self._end else super().setting


def deadline_of(timeout: float, input_timeout: float, *more: Any) -> Deadline:
    """The deadline of an operation, which moves only where there is a reason; parameters as ``CallDeadline``."""
    return CallDeadline(timeout, input_timeout, None, *more) if input_timeout else Deadline(timeout, *more)
