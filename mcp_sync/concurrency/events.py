"""An event that a signal handler may set.

Runs on: any thread, inside a signal handler or a finalizer too.
"""

from __future__ import annotations

import threading
from typing import List, Optional

__all__ = ["Event"]


class Event(threading.Event):
    """A ``threading.Event`` that may be set in the middle of its own ``wait`` and ``set``, by what interrupts them.

    The standard library's would wait for a lock that the interrupted code holds, and with a re-entrant one ``wait``
    could miss what was set after it had looked. Here no lock is held: ``wait`` adds its own to the list and looks at
    the flag after that, and ``set`` sets the flag before it looks at the list.
    """

    def __init__(self) -> None:
        super().__init__()
        self._flag = False
        # One for each thread that waits, held until the event is set. Adding, removing and copying are one step each.
        self._waiting: List[threading.Lock] = []

    def set(self) -> None:
        """Wake every thread that waits, and let none wait until ``clear()``."""
        self._flag = True
        for lock in self._waiting.copy():
            try:
                lock.release()
            except RuntimeError:
                pass  # it was set twice before its thread was awake

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Wait until it is set, for so many seconds at most. Returns whether it was."""
        if self._flag:
            return True
        lock = threading.Lock()
        lock.acquire()
        self._waiting.append(lock)
        try:
            # As a timeout, -1 means for ever.
            return self._flag or lock.acquire(timeout=-1 if timeout is None else max(timeout, 0)) or self._flag
        finally:
            self._waiting.remove(lock)
