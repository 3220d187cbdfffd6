"""An event that a signal handler may set, and the condition in it, which an interrupt cannot leave locked.

Runs on: any thread, inside a signal handler or a finalizer too.

Every lock of the package is a ``threading.RLock``: a signal handler, or a finalizer that the collector runs, may call
the client in the middle of what the lock guards, on the thread that holds it. What is guarded is short, and whole
before and after each step.

Entering a ``threading.Condition`` is two steps, a method of the condition's and one of its lock's, and a
KeyboardInterrupt between them leaves the lock held for ever. A lock of the interpreter's is taken by ``with`` in one.
"""

from __future__ import annotations

import threading
from typing import Any

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
    """A ``threading.Event`` whose condition is re-entrant, and is not left locked by an interrupt.

    So a signal handler may set the event that the code it interrupts is about to wait for, and a KeyboardInterrupt
    does not keep other threads from setting it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cond = Condition()
