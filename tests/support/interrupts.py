"""Interrupts where a test wants them.

Used on the main thread, as interrupts are.
"""

from __future__ import annotations

import select
import sys
import threading
from types import FrameType, GeneratorType
from typing import Any

__all__ = ["InterruptAtWait"]

# Functions of the interpreter's that may wait, and that a signal ends: for a lock (an Event, a Condition and a Queue
# wait for one), for a socket or a pipe, for a process, for time.
WAITS = {"acquire", "connect", "connect_ex", "getaddrinfo", "poll", "read", "readinto", "recv", "recv_into", "select"}
WAITS |= {"send", "sendall", "sendmsg", "sleep", "waitpid", "write"}


class InterruptAtWait:
    """Raises KeyboardInterrupt once, on the thread that enters this block, where that would begin to wait: the wait
    ends as it ends when a signal comes, without what it waited for.

    Parameters:
        number: at which of the waits; 0 is the first.
    """

    def __init__(self, number: int) -> None:
        self._left = number
        self.fired = False
        self.where = ""

    def __enter__(self) -> InterruptAtWait:
        sys.setprofile(self._look)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.setprofile(None)

    def _look(self, frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and not self.fired and _waits(frame, function):
            self._left -= 1
            if self._left < 0:
                self.fired = True
                self.where = f"{function.__name__} in {frame.f_code.co_filename}:{frame.f_lineno}"
                raise KeyboardInterrupt


def _waits(frame: FrameType, function: Any) -> bool:
    """Whether a function of the interpreter's is called to wait.

    A Condition takes its own new lock, which nobody has, and when it was woken the lock that it guards its state by,
    which nobody has for long: an interrupt there is in the middle of the standard library's own locking. A generator is
    sent to, a poll object is made, and a kept connection is looked at, without waiting.
    """
    called, owner = function.__name__, getattr(function, "__self__", None)
    if called not in WAITS or frame.f_code.co_name in ("_acquire_restore", "_is_owned"):
        return False
    if isinstance(owner, GeneratorType) or (called == "poll" and (owner is select or frame.f_locals.get("t") == 0)):
        return False
    return frame.f_code is not threading.Condition.wait.__code__ or "saved_state" in frame.f_locals
