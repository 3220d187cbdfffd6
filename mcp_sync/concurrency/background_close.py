"""Closing from any place at any moment: the work is done on a thread of its own, and the caller only waits for it. And
what the program's end means for threads that are still calling.

Runs on: ``close_in_background`` on any thread, inside a signal handler or a finalizer too; the work on a daemon thread.

Python runs signal handlers and finalizers between any two steps of a thread, also where that holds a lock of ours, or
of an Event, a Queue or urllib3's pool. To wait for such a lock there is to wait for ever: who holds it goes on when the
handler has returned. Only another thread can wait for it. And what runs on a thread of its own is not left half done
by a Ctrl-C either.
"""

from __future__ import annotations

import _thread
import sys
import threading
import time
from types import FrameType
from typing import Callable, Optional

from .deadline import Deadline

__all__ = ["begin_exit", "close_in_background", "stay_at_exit"]

# How long somebody who may have interrupted code of ours waits: it may hold what the work waits for.
_INTERRUPTING_SECONDS = 0.5
_PACKAGE = __name__.partition(".")[0]
_SETTLING = ("mcp-sync-call", "mcp-sync-map")
# Programs around the client, which hold nothing of it.
_AROUND = tuple(f"{_PACKAGE}.{name}" for name in ("cli", "demo", "integrations", "testing", "__main__"))
# How long a thread stays whose call the program's end has cut short: longer than what is left of most programs, and no
# longer than one may be held up that waits for it.
_STAY_SECONDS = 0.5
_exiting = False


def begin_exit() -> None:
    """The program has come to its end, and its clients are being closed."""
    global _exiting
    _exiting = True


def stay_at_exit() -> None:
    """Called before a failed call is reported: at the program's end a daemon thread stays where it is, as daemon
    threads do, until the program is gone. Otherwise it would print a traceback of what nobody can change.

    For a while, since it may hold a lock that the program needs to end. Threads of ours that settle futures go on:
    somebody may wait for those.
    """
    if _exiting:
        thread = threading.current_thread()
        if thread.daemon and not thread.name.startswith(_SETTLING):
            time.sleep(_STAY_SECONDS)


def close_in_background(work: Callable[[], None], deadline: Deadline) -> None:
    """Do ``work``; return when it is done or the deadline has passed."""
    done = _thread.allocate_lock()
    done.acquire()

    def run() -> None:
        try:
            work()
        finally:
            done.release()

    thread = threading.Thread(target=run, name="mcp-sync-closer", daemon=True)
    try:
        # Not thread.start() itself: it takes a lock that the interrupted code may hold.
        _thread.start_new_thread(thread.start, ())
    except RuntimeError:
        run()  # there is no thread to give, or the interpreter is at its end
        return
    done.acquire(timeout=deadline.sooner(_INTERRUPTING_SECONDS if _interrupts() else None).remaining)


def _interrupts() -> bool:
    """Whether code of ours is under way on this thread, below the user's code that called us."""
    frame: Optional[FrameType] = sys._getframe(2)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    while frame is not None:
        if _is_ours(frame):
            return True
        frame = frame.f_back
    return False


def _is_ours(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__"))
    return name.partition(".")[0] == _PACKAGE and not name.startswith(_AROUND)
