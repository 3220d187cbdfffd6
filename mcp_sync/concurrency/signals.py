"""Exceptions of the user's signal handlers: any line of this package may raise one, and none may be taken for a failure
of that line.

Runs on: the thread that caught an exception; only the main thread runs signal handlers.

A handler of SIGALRM that raises TimeoutError, or Celery's of SIGUSR1 that raises SoftTimeLimitExceeded, is to end what
the main thread does. Taken for a broken connection, it would only make the call be sent again.
"""

from __future__ import annotations

import functools
import signal
import threading
from types import CodeType
from typing import Optional, Set

__all__ = ["from_signal_handler"]


def from_signal_handler(error: Optional[BaseException]) -> Optional[BaseException]:
    """The exception that a signal handler raised, if ``error`` is that or was caused by it; else None.

    The standard library can turn a KeyboardInterrupt into something else: ``Condition.wait`` into "cannot release
    un-acquired lock". A GeneratorExit that has one as its context was not caused by it.
    """
    if isinstance(error, GeneratorExit) or threading.get_ident() != threading.main_thread().ident:
        return None
    handlers = _handlers()
    seen: Set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, KeyboardInterrupt):
            return error
        step = error.__traceback__
        while step is not None:
            if step.tb_frame.f_code in handlers:
                return error
            step = step.tb_next
        error = error.__cause__ or error.__context__
    return None


def _handlers() -> Set[CodeType]:
    """The code of the functions that handle signals now."""
    found = set()
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        if isinstance(handler, signal.Handlers):
            continue  # no function; what calls its class is every enumeration's
        while isinstance(handler, functools.partial):
            handler = handler.func
        for function in (handler, getattr(type(handler), "__call__", None)):  # noqa: B004  # for its code
            code = getattr(function, "__code__", None)
            if isinstance(code, CodeType):
                found.add(code)
    return found
