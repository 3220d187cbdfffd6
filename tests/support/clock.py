"""Bounds in tests: wide enough for a busy machine, narrow enough to tell "at once" from "at the timeout".

Used on any thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable

__all__ = ["AT_ONCE", "LONG", "eventually", "within"]

# The timeout of a client that must not need it, and what "at once" may take beside it.
LONG = 60.0
AT_ONCE = 4.0


@contextmanager
def within(seconds: float = AT_ONCE) -> Iterator[None]:
    """Fail if the block takes longer. A hang guard, not a measurement: the catalogue's bounds are tighter."""
    start = time.monotonic()
    yield
    took = time.monotonic() - start
    assert took < seconds, f"it took {took:.2f} s instead of less than {seconds} s"


def eventually(condition: Callable[[], object], seconds: float = 10.0) -> bool:
    """Wait for what sets no event: a thread that ends, a socket that is closed, a process. Returns whether it came."""
    at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > at:
            return False
        time.sleep(0.005)  # between two looks
    return True
