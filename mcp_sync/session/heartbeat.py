"""Whether a stream on which nothing is heard is still there: a server is pinged while nothing else is going on.

Runs on: the thread of the watch, which looks at a heartbeat as at an exchange whose deadline has passed; none of its
own. Nothing here may block.

TCP keepalive finds a peer that has vanished, but not one behind a proxy that lives on and passes nothing. A call that
waits has a deadline and needs no such help; without one, a client that listens would listen for ever.
"""

from __future__ import annotations

import math
from typing import Callable, Optional

from ..concurrency.clock import monotonic
from ..concurrency.events import Event
from ..transports.http.exchange import watch

__all__ = ["Heartbeat"]

# A reader that has not run for a while, because the process was stopped or its threads are busy, has this long to say
# that something came after all.
_DOUBT_SECONDS = 1.0


class Heartbeat:
    """Measures the silence of one session's stream (2025-11-25, Ping).

    Whether a ping was answered is seen by whether anything came after it was sent, and never by the clock.

    Parameters:
        interval: seconds of silence until the server is pinged; as long again, and the stream is given up.
        heard_at: when something last came, what is no message included, by ``clock.monotonic``.
        is_busy: whether a call waits: it has its own deadline.
        ping: sends a ping, and calls what it is given right before; must not block.
        give_up: is told that the stream is dead; must not block.
    """

    # For the watch.
    reason = ""
    is_patient = True

    def __init__(
        self,
        interval: float,
        heard_at: Callable[[], float],
        is_busy: Callable[[], bool],
        ping: Callable[[Callable[[], None]], None],
        give_up: Callable[[], None],
    ) -> None:
        self._interval = interval
        self._heard_at = heard_at
        self._is_busy = is_busy
        self._ping = ping
        self._give_up = give_up
        # What ``heard_at`` was when the ping was sent; None where none was.
        self._heard_before_ping: Optional[float] = None
        self._pinged = False
        self._is_in_doubt = False
        self._ended = Event()
        self.deadline_at = 0.0

    def start(self) -> None:
        """From now on silence counts."""
        self._look_again_at(monotonic() + self._interval)

    def end(self) -> None:
        """It does not any more. Idempotent."""
        self._ended.set()
        watch.discard(self)

    def stop(self, reason: str) -> None:
        """An interval is over (called by the watch)."""
        now, heard_at = monotonic(), self._heard_at()
        if self._is_busy():
            self._begin_anew(now + self._interval)
        elif not self._pinged and heard_at + self._interval > now:
            self._look_again_at(heard_at + self._interval)
        elif not self._pinged:
            self._pinged = True
            self._look_again_at(now + self._interval)
            self._ping(self._ping_leaves)
        elif self._heard_before_ping is None:
            self._look_again_at(now + self._interval)  # it has not left yet
        elif heard_at != self._heard_before_ping:
            self._begin_anew(heard_at + self._interval)
        elif not self._is_in_doubt:
            self._is_in_doubt = True
            self._look_again_at(now + min(self._interval, _DOUBT_SECONDS))
        else:
            self._begin_anew(math.inf)
            self._give_up()

    def _ping_leaves(self) -> None:
        """The ping is sent now (called by the thread that sends it)."""
        self._look_again_at(monotonic() + self._interval)
        self._heard_before_ping = self._heard_at()

    def _begin_anew(self, at: float) -> None:
        self._pinged = self._is_in_doubt = False
        self._heard_before_ping = None
        if at < math.inf:
            self._look_again_at(at)

    def _look_again_at(self, at: float) -> None:
        if not self._ended.is_set():
            self.deadline_at = at
            watch.add(self)
            if self._ended.is_set():  # meanwhile
                watch.discard(self)
