"""Whether a stream on which nothing is heard is still there: a server is pinged while nothing else is going on.

Runs on: the dispatcher thread alone, between two messages; no thread of its own.

TCP keepalive finds a peer that has vanished, but not one behind a proxy that lives on and passes nothing. A call that
waits has a deadline and needs no such help; without one, a client that listens would listen for ever.
"""

from __future__ import annotations

from typing import Callable, Optional

__all__ = ["Heartbeat"]


class Heartbeat:
    """Counts the silence of one session's stream (2025-11-25, Ping).

    Parameters:
        interval: seconds of silence until the server is pinged; as long again, and the stream is given up.
        pulse: a number that grows with everything that comes in, what is no message included; None as long as nothing
            follows from silence.
        ping: sends a ping; must not block.
    """

    def __init__(self, interval: float, pulse: Callable[[], Optional[int]], ping: Callable[[], None]) -> None:
        self.interval = interval
        self._pulse = pulse
        self._ping = ping
        self._last: Optional[int] = None
        self._pinged = False

    def heard(self) -> None:
        """A message came."""
        self._last = self._pulse()
        self._pinged = False

    def is_over(self, busy: bool) -> bool:
        """No message came for one interval. Returns whether the stream is to be given up.

        Parameters:
            busy: whether a call waits: it has its own deadline.
        """
        pulse = self._pulse()
        if busy or pulse is None or pulse != self._last:
            self._last = pulse
            self._pinged = False
            return False
        if self._pinged:
            return True
        self._pinged = True
        self._ping()
        return False
