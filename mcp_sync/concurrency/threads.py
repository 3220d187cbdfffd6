"""Starting a thread, in the context of the thread that starts it, and waiting for its end.

Runs on: any thread.
"""

from __future__ import annotations

import contextvars
import functools
import sys
import threading
from typing import Callable, TypeVar

__all__ = ["in_context", "join", "start"]

_T = TypeVar("_T")


def in_context(function: Callable[[], _T]) -> Callable[[], _T]:
    """``function``, to be run in a copy of the context of now: the user's code that it calls sees the context variables
    of the caller for whom it runs.
    """
    return functools.partial(contextvars.copy_context().run, function)


def start(thread: threading.Thread) -> None:
    """Start ``thread``.

    Raises:
        RuntimeError: the system has no thread to give, or the interpreter is at its end: there a thread does not begin
            any more, and before Python 3.12 a thread that starts one waits for that for ever.
    """
    if sys.is_finalizing():
        raise RuntimeError("the interpreter is at its end")
    thread.start()


def join(thread: threading.Thread, seconds: float) -> None:
    """Wait until ``thread`` has ended, ``seconds`` at most. One that was never started has."""
    try:
        thread.join(max(seconds, 0.0))
    except RuntimeError:
        pass  # it was never started
