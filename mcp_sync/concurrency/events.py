"""An event that a signal handler may set.

Runs on: any thread, inside a signal handler or a finalizer too.
"""

from __future__ import annotations

import threading

from .locks import Condition

__all__ = ["Event"]


class Event(threading.Event):
    """A ``threading.Event`` whose condition is re-entrant, and is not left locked by an interrupt.

    So a signal handler may set the event that the code it interrupts is about to wait for, and a KeyboardInterrupt
    does not keep other threads from setting it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cond = Condition()
