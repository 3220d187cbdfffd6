"""Closing on a thread of its own, so that it may be asked for anywhere at any time; and what threads do that still make
calls when the program ends.

Runs on: ``close_in_background`` on any thread, inside a signal handler or a finalizer too; the work on a daemon thread.

Python runs signal handlers and finalizers between any two steps of a thread, also while the thread holds a lock of this
package, of an Event, a Queue or urllib3's pool. Such a handler must not wait for that lock: the thread releases it only
when the handler has returned. Another thread can wait for it. Work on a thread of its own is not left half done by a
Ctrl-C either.
"""

from __future__ import annotations

import _thread
import collections
import sys
import threading
import time
from contextlib import contextmanager
from types import FrameType
from typing import Callable, Deque, Iterator, Optional

from .deadline import Deadline
from .forks import in_child
from .log import Log

__all__ = ["begin_exit", "close_dropped", "close_in_background", "settling_a_future", "stay_at_exit"]

# How long a caller waits that may have interrupted code of this package: that code may hold a lock the work waits for.
_INTERRUPTING_SECONDS = 0.5
_PACKAGE = __name__.partition(".")[0]
# Programs that use the client, and hold no lock of it.
_PROGRAMS = tuple(f"{_PACKAGE}.{name}" for name in ("cli", "demo", "__main__"))
# How long a thread stays whose call failed because the program ends: longer than what is left of most programs, and no
# longer than another thread may wait for this one.
_STAY_SECONDS = 0.5
_exiting = False
# How many threads close clients that were dropped.
_MOST_CLOSERS = 16

_log = Log(__name__)


class _Thread(threading.local):
    """What is known of each thread."""

    settles_a_future = False


_this_thread = _Thread()


@contextmanager
def settling_a_future() -> Iterator[None]:
    """What this thread does in here settles a future, which another thread may wait for."""
    before = _this_thread.settles_a_future
    _this_thread.settles_a_future = True
    try:
        yield
    finally:
        _this_thread.settles_a_future = before


def begin_exit() -> None:
    """The program ends, and its clients are being closed."""
    global _exiting
    _exiting = True


def stay_at_exit() -> None:
    """Called before a failed call is reported: when the program ends, a daemon thread sleeps here until the process is
    gone. Otherwise it would print a traceback of a failure that means nothing any more.

    Not for ever, since it may hold a lock that the program needs to end. A thread that settles a future goes on, for
    another thread may wait for that.
    """
    if _exiting and threading.current_thread().daemon and not _this_thread.settles_a_future:
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


# What is still to be closed of clients that were dropped, and a permit for each thread that may do it. Each is taken or
# put in one step, without a lock: the thread that drops a client may have been interrupted anywhere.
_dropped: Deque[Callable[[], None]] = collections.deque()
_permits: Deque[int] = collections.deque(range(_MOST_CLOSERS))


def close_dropped(work: Callable[[], None]) -> None:
    """Do ``work`` soon. However many clients are dropped at once, a few threads close them all."""
    _dropped.append(work)
    try:
        permit = _permits.pop()
    except IndexError:
        return  # each thread that is at it looks again after it has said that it ends
    thread = threading.Thread(target=_close_those_dropped, args=(permit,), name="mcp-sync-closer", daemon=True)

    def begin() -> None:
        try:
            thread.start()
        except RuntimeError:
            _close_those_dropped(permit)

    try:
        _thread.start_new_thread(begin, ())
    except RuntimeError:
        _close_those_dropped(permit)


def _close_those_dropped(permit: int) -> None:
    while True:
        try:
            work = _dropped.popleft()
        except IndexError:
            _permits.append(permit)
            if not _dropped:
                return
            try:
                permit = _permits.pop()
            except IndexError:
                return  # another thread has come for it
            continue
        try:
            work()
        except Exception:  # noqa: BLE001  # the others are to be closed all the same
            _log.exception("a client that was dropped could not be closed")
        del work


def _after_fork_in_child() -> None:
    _dropped.clear()
    _permits.clear()
    _permits.extend(range(_MOST_CLOSERS))


in_child(_after_fork_in_child)


def _interrupts() -> bool:
    """Whether code of this package is under way on this thread below the user's code that called it: the user's code is
    a handler or a finalizer then.
    """
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
    return name.partition(".")[0] == _PACKAGE and not name.startswith(_PROGRAMS)
