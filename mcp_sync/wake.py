"""What threads wait for, and others wake them by, so that no interrupt can break it.

Runs on: any thread, inside a signal handler or a finalizer too; ``Wake.wait`` on one at a time.

Entering a ``threading.Condition``, as each use of an Event does, is two steps: a KeyboardInterrupt between them leaves
its lock held for ever, and whoever sets the event then, such as the thread that routes everybody's answers, waits for
that. A lock of the interpreter's is taken and given back in one step each.

An Event takes a kilobyte, too, for a condition, its lock and its queue, and a client would have a dozen.
"""

from __future__ import annotations

import threading
from typing import Any, List, Optional

__all__ = ["Flag", "Wake"]


class Wake:
    """An event that is over once it was seen."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        # Held while there is nothing to be seen. In a forked child it is a new one: a reason to look.
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Wake who waits, or spare the next wait."""
        try:
            self._lock.release()
        except RuntimeError:
            pass  # it is set already

    def is_set(self) -> bool:
        return not self._lock.locked()

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, ``seconds`` at most; returns whether it was, and is not any more."""
        return self._lock.acquire(timeout=seconds)


class Flag:
    """What ``threading.Event`` is without ``clear``: as it stays set, a list of those who wait is enough."""

    __slots__ = ("_bells", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        # One lock for each thread that waits, which it holds: it wakes when the lock is released.
        self._bells: List[Any] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Wake everybody who waits, and everybody who will."""
        # First this and then a look at the list; who waits does it the other way round, so one of the two sees the
        # other. Copying a list is one step of the interpreter.
        self._is_set = True
        for bell in self._bells.copy():
            try:
                bell.release()
            except RuntimeError:
                pass  # another thread sets the flag too, and was faster

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Whether it is set by then.

        Parameters:
            timeout: in seconds; None waits for ever.
        """
        if self._is_set:
            return True
        bell = threading.Lock()
        bell.acquire()
        self._bells.append(bell)
        try:
            if not self._is_set:
                bell.acquire(True, -1 if timeout is None else max(timeout, 0.0))
            return self._is_set
        finally:
            self._bells.remove(bell)

    def __repr__(self) -> str:
        return f"<Flag, {'set' if self._is_set else 'not set'}, {len(self._bells)} waiting>"
