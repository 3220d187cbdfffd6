"""Deadline: one time limit for all waits of an operation, made once and passed down to each of its requests, with what
the operation's caller shows to the server.

Runs on: any thread; a deadline never changes after it was made.
"""

from __future__ import annotations

import math
import random
import threading
from typing import TYPE_CHECKING, Optional

from ..errors import MCPTimeoutError, MCPUsageError
from .clock import monotonic

if TYPE_CHECKING:
    from ..credentials import Credentials

__all__ = ["Deadline", "check_timeout", "jittered"]

# Event.wait and settimeout overflow on large numbers; a longer wait is several of these.
LONGEST_WAIT = min(threading.TIMEOUT_MAX, 1_000_000.0)


def check_timeout(timeout: object, name: str = "timeout") -> float:
    """Return ``timeout`` in seconds as a float, or raise MCPUsageError.

    Zero is allowed and means "already over"; ``math.inf`` waits for ever.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or math.isnan(timeout) or timeout < 0:
        raise MCPUsageError(
            f"{name} must be a number of seconds, 0 or more (math.inf waits for ever), not {timeout!r}",
            outcome="not_sent",
        )
    return float(timeout)


class Deadline:
    """A moment on the monotonic clock, ``timeout`` seconds after it was made.

    Parameters:
        timeout: seconds from now; ``math.inf`` never comes.
        credentials: what the operation's requests show beside what the client always shows; None where nobody calls, or
            all callers are alike.
    """

    __slots__ = ("at", "credentials", "start", "timeout")

    # Whether it is a ``CallDeadline``.
    moves = False

    def __init__(self, timeout: float, credentials: Optional[Credentials] = None) -> None:
        self.timeout = timeout
        self.credentials = credentials
        self.start = monotonic()
        self.at = self.start + timeout

    @property
    def remaining(self) -> float:
        """Seconds left, never negative, and never more than a wait of the standard library can take."""
        left = self.at - monotonic()
        if left <= 0.0:
            return 0.0
        return left if left < LONGEST_WAIT else LONGEST_WAIT

    @property
    def expired(self) -> bool:
        return monotonic() >= self.at

    @property
    def limit(self) -> str:
        """What has passed when it has, for the text of an error."""
        return f"within {self.timeout:g} s"

    @property
    def setting(self) -> str:
        """What would have given more time."""
        return "timeout="

    @property
    def longest(self) -> float:
        """As ``remaining``, of a deadline that moves the latest it may become."""
        return self.remaining

    @property
    def elapsed(self) -> float:
        """Seconds since it was made."""
        return monotonic() - self.start

    def check(self) -> None:
        """Called now and then by what works through something that a server sent, which may be large.

        Raises:
            MCPTimeoutError: it has passed.
        """
        if self.expired:
            raise MCPTimeoutError(
                f"the {self.timeout:g} s of this call were over before all was read that the server sent",
                outcome="unknown",
            )

    def sooner(self, seconds: Optional[float]) -> Deadline:
        """A deadline ``seconds`` from now, or this one, whichever comes first."""
        if seconds is None or monotonic() + seconds >= self.at:
            return self
        return Deadline(seconds, self.credentials)

    def __repr__(self) -> str:
        return f"Deadline({self.timeout:g} s, {self.at - monotonic():.3f} s left)"


def jittered(seconds: float) -> float:
    """``seconds`` with 20 % of jitter: clients that a server has dropped together do not come back together."""
    return seconds * random.uniform(0.8, 1.2)  # nosec B311  # jitter needs no cryptography
