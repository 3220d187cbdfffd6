"""Starting a thread, and waiting for its end, where an interrupt may come.

Runs on: any thread.

``Thread.start`` waits for an Event, whose lock a KeyboardInterrupt can leave held: then the new thread waits for it in
its first step, for ever. Only the main thread is ever interrupted, so there another thread does it.
"""

from __future__ import annotations

import _thread
import threading
from typing import List

from .wake import Flag

__all__ = ["join", "start"]

# A program that interrupts the start of a thread, and starts another from its signal handler, keeps the second one
# waiting until the handler has returned.
_PATIENCE = 5.0


def start(thread: threading.Thread) -> None:
    """Start ``thread``.

    Raises:
        RuntimeError: the system has no thread to give, or the interpreter is at its end.
    """
    if threading.get_ident() != threading.main_thread().ident:
        thread.start()
        return
    begun = Flag()
    failures: List[BaseException] = []

    def begin() -> None:
        try:
            thread.start()
        except BaseException as exc:  # noqa: BLE001  # it is raised below
            failures.append(exc)
        finally:
            begun.set()

    _thread.start_new_thread(begin, ())
    begun.wait(_PATIENCE)
    if failures:
        raise failures[0]


def join(thread: threading.Thread, seconds: float) -> None:
    """Wait until ``thread`` has ended, ``seconds`` at most. One that was never begun has."""
    try:
        thread.join(max(seconds, 0.0))
    except RuntimeError:
        pass  # its start was interrupted
