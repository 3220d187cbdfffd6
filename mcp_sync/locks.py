"""Locks that an interrupt cannot leave held.

Runs on: any thread, inside a signal handler or a finalizer too.

Every lock of the package is re-entrant: a signal handler, or a finalizer that the collector runs, may call the client
in the middle of what the lock guards, on the thread that holds it. What is guarded is short, and whole before and after
each step.

Entering a ``threading.Condition`` is two steps, and a KeyboardInterrupt between them leaves its lock held for ever; a
lock of the interpreter's is taken by ``with`` in one step. Since Python 3.10 it is given back in one, too. Python 3.9
lets an interrupt in between the end of a ``with`` block and its ``__exit__``: there, a lock must know itself whether
whoever has it is still there.
"""

from __future__ import annotations

import sys
import threading
import time
from types import FrameType
from typing import Any, List, Optional

__all__ = ["FrameLock", "SteadyCondition", "SteadyLock"]

# How often who waits looks whether the holder is still there. A stack that is walked while it changes may look wrong
# once.
_LOOK_SECONDS = 0.05
_LOOKS = 3

_Enter: Any = property(lambda condition: condition._lock.__enter__)
_Exit: Any = property(lambda condition: condition._lock.__exit__)


class _Hold:
    """One thread's place in the queue for a lock."""

    __slots__ = ("bell", "frame", "thread")

    def __init__(self, frame: FrameType) -> None:
        self.thread = threading.get_ident()
        self.frame = frame
        # Held while there is nothing new; made by who waits.
        self.bell: Any = None

    def ring(self) -> None:
        bell = self.bell
        if bell is not None:
            try:
                bell.release()
            except RuntimeError:
                pass  # it rings already

    @property
    def is_torn(self) -> bool:
        """Whether the code that took the lock has been left without giving it back.

        A thread that is not listed is no thread of the system's (gevent): nothing is known of it.
        """
        stack: Optional[FrameType] = sys._current_frames().get(self.thread)
        if stack is None:
            return False
        while stack is not None:
            if stack is self.frame:
                return False
            stack = stack.f_back
        return True


class FrameLock:
    """A re-entrant lock that knows the code which holds it, and is free when that has been left, however it was.

    A queue whose first has the lock. What changes it is one step of the interpreter each; who waits looks for itself
    now and then, so that nothing depends on what an interrupted thread did not come to do.

    A frame enters a lock once at a time. What is taken by ``acquire`` belongs to the caller of the function that calls
    it, so that one method of a context manager may take what the other gives back.
    """

    __slots__ = ("_holds",)

    def __init__(self) -> None:
        self._holds: List[_Hold] = []

    def __enter__(self) -> bool:
        return self._take(_Hold(sys._getframe(1)))

    def __exit__(self, *exc_info: object) -> None:
        self._give_back(sys._getframe(1))

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As of ``threading.RLock``; ``timeout`` is in seconds, and negative for ever."""
        return self._take(_Hold(_caller(sys._getframe(1))), timeout if blocking else 0.0)

    def release(self) -> None:
        if not self._give_back(_caller(sys._getframe(1))):
            raise RuntimeError("cannot release un-acquired lock")

    def _take(self, hold: _Hold, seconds: float = -1) -> bool:
        holds = self._holds
        until = None if seconds < 0 else time.monotonic() + seconds
        suspect: Optional[_Hold] = None
        looks = 0
        try:
            holds.append(hold)
            while True:
                first = self._first
                if first is hold or (first is not None and first.thread == hold.thread and self._step_in_front(hold)):
                    return True
                left = _LOOK_SECONDS if until is None else min(_LOOK_SECONDS, until - time.monotonic())
                if left <= 0:
                    self._leave(hold)
                    return False
                if hold.bell is None:
                    hold.bell = threading.Lock()
                    hold.bell.acquire()
                elif not hold.bell.acquire(timeout=left):
                    if first is None or not first.is_torn:
                        suspect = None
                    elif first is not suspect:
                        suspect, looks = first, 1
                    else:
                        looks += 1
                        if looks >= _LOOKS:
                            self._leave(first)
        except BaseException:
            self._leave(hold)
            raise

    @property
    def _first(self) -> Optional[_Hold]:
        try:
            return self._holds[0]
        except IndexError:
            return None

    def _step_in_front(self, hold: _Hold) -> bool:
        """Enter once more on the thread that has the lock. False where it had left something torn, that was just taken
        from it, and the next may have entered.
        """
        self._holds.remove(hold)
        self._holds.insert(0, hold)
        behind = self._holds[1:2]
        if not behind or behind[0].thread == hold.thread:
            return True
        self._leave(hold)
        self._holds.append(hold)
        return False

    def _give_back(self, frame: FrameType) -> bool:
        """Take out what ``frame`` holds, and what it has left torn before."""
        mine = [hold for hold in self._holds.copy() if hold.frame is frame]
        for hold in mine:
            self._leave(hold)
        return bool(mine)

    def _leave(self, hold: _Hold) -> None:
        try:
            self._holds.remove(hold)
        except ValueError:
            pass  # it is out already
        first = self._first
        if first is not None:
            first.ring()

    # What threading.Condition asks of a lock.

    def _is_owned(self) -> bool:
        first = self._first
        return first is not None and first.thread == threading.get_ident()

    def _release_save(self) -> List[_Hold]:
        me = threading.get_ident()
        mine = [hold for hold in self._holds.copy() if hold.thread == me]
        for hold in mine:
            self._leave(hold)
        return mine

    def _acquire_restore(self, holds: List[_Hold]) -> None:
        for hold in reversed(holds):
            self._take(hold)

    def __repr__(self) -> str:
        return f"<FrameLock, {len(self._holds)} in it or waiting>"


def _caller(frame: FrameType) -> FrameType:
    return frame.f_back or frame


def SteadyLock() -> Any:  # noqa: N802  # as threading.RLock is one
    """A re-entrant lock that an interrupt does not leave held where it is used by ``with``."""
    return threading.RLock() if sys.version_info >= (3, 10) else FrameLock()


class SteadyCondition(threading.Condition):
    """A condition that is entered in one step: ``with`` is handed its lock's own methods."""

    __enter__ = _Enter
    __exit__ = _Exit

    def __init__(self) -> None:
        super().__init__(SteadyLock())
