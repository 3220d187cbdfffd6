"""Something that happens once, and that threads wait for.

Runs on: any thread, inside a signal handler or a finalizer too.

``threading.Event`` can be cleared again; for that it has a condition, which has a lock and a queue: a kilobyte each,
and a client would have a dozen. A flag stays set, so that a list of those who wait is enough. It takes no lock either,
which code that a signal handler has interrupted might hold.
"""

from __future__ import annotations

import threading
from typing import Any, List, Optional

__all__ = ["Flag"]


class Flag:
    """What ``threading.Event`` is without ``clear``."""

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
