"""An event that a signal handler may set, and a condition that an interrupt cannot leave locked.

Runs on: any thread, inside a signal handler or a finalizer too.

Every lock of the package is a ``threading.RLock``: a signal handler, or a finalizer that the collector runs, may call
the client while its thread holds the lock. So what a lock guards is short, and consistent after each step.

To enter a ``threading.Condition`` takes two steps, a method of the condition and one of its lock, and a
KeyboardInterrupt between them leaves the lock held for ever. ``with`` takes a lock itself in one step.
"""

from __future__ import annotations

import threading
from typing import Any, List, Optional

__all__ = ["Condition", "Event"]

_Enter: Any = property(lambda condition: condition._lock.__enter__)
_Exit: Any = property(lambda condition: condition._lock.__exit__)


class Condition(threading.Condition):
    """A ``threading.Condition`` over a re-entrant lock, entered in one step: ``with`` is handed the lock's own
    methods.
    """

    __enter__ = _Enter
    __exit__ = _Exit

    def __init__(self) -> None:
        super().__init__(threading.RLock())


class Event(threading.Event):
    """A ``threading.Event`` that may be set in the middle of its own ``wait`` and ``set``, by what interrupts them.

    The standard library's would wait for a lock that the interrupted code holds, and with a re-entrant one ``wait``
    could miss what was set after it had looked. Here no lock is held: ``wait`` adds its own to the list and looks at
    the flag after that, and ``set`` sets the flag before it looks at the list.
    """

    def __init__(self) -> None:
        # The base class is left as it is, because all of its methods are replaced here: its condition would be a
        # kilobyte for each event, and where gevent has put its own event in its place, it keeps nothing of this kind.
        self._is_set = False
        # One for each thread that waits, held until the event is set. Adding, removing and copying are one step each.
        self._waiting: List[threading.Lock] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Wake every thread that waits, and let none wait until ``clear()``."""
        self._is_set = True
        for lock in self._waiting.copy():
            try:
                lock.release()
            except RuntimeError:
                pass  # it was set twice before its thread was awake

    def clear(self) -> None:
        """Let threads wait again."""
        self._is_set = False

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Wait until it is set, for so many seconds at most. Returns whether it was."""
        if self._is_set:
            return True
        lock = threading.Lock()
        lock.acquire()
        self._waiting.append(lock)
        try:
            # As a timeout, -1 means for ever.
            return self._is_set or lock.acquire(timeout=-1 if timeout is None else max(timeout, 0)) or self._is_set
        finally:
            self._waiting.remove(lock)
