"""How often, and how far apart, a stream that ends is asked for again.

Runs on: the thread that reads the stream.
"""

from __future__ import annotations

import random

from .clock import monotonic

__all__ = ["Attempts"]

# Before the first attempt after progress; doubled after each without.
_FLOOR_SECONDS = 0.5
_LONGEST_DELAY = 30.0
# Attempts without progress.
_MOST = 5
# A stream that was open for so long did no harm, although nothing came: proxies end idle ones after a minute.
_LONG_OPEN_SECONDS = 30.0


class Attempts:
    """The attempts to go on with one stream. The server is never hammered, whatever it asks for.

    Parameters:
        allowed: whether there may be any.
    """

    def __init__(self, allowed: bool = True) -> None:
        self._most = _MOST if allowed else 0
        self._fruitless = 0
        # The stream itself is not an attempt to go on with it.
        self._first = True
        self._began = monotonic()

    def may_go_on(self, progressed: bool) -> bool:
        """The stream has ended, after it has brought a message or not. Returns whether it may be asked for again."""
        progressed = progressed or monotonic() - self._began >= _LONG_OPEN_SECONDS
        first, self._first = self._first, False
        self._fruitless = 0 if progressed or first else self._fruitless + 1
        return self._fruitless < self._most

    def delay(self, asked: float = 0.0) -> float:
        """Seconds to wait before the next attempt.

        Parameters:
            asked: seconds that the server wants.
        """
        jitter = random.uniform(1.0, 1.25)  # nosec B311  # jitter needs no cryptography
        delay = max(asked, _FLOOR_SECONDS * 2.0 ** min(self._fruitless, 10) * jitter)
        return min(delay, _LONGEST_DELAY)

    def begin(self) -> None:
        """The next attempt is made."""
        self._began = monotonic()
