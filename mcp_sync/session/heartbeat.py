"""Whether a stream on which nothing is heard is still there: a server is pinged while nothing else is going on.

Runs on: the thread of the watch, which looks at a heartbeat as at an exchange whose deadline has passed; none of its
own. Nothing here may block.

TCP keepalive finds a peer that has vanished, but not one behind a proxy that lives on and passes nothing. A call that
waits has a deadline and needs no such help; without one, a client that listens would listen for ever.
"""

from __future__ import annotations

from typing import Callable

from ..concurrency.clock import monotonic
from ..concurrency.events import Event
from ..transports.http.exchange import watch

__all__ = ["Heartbeat"]


class Heartbeat:
    """Measures the silence of one session's stream (2025-11-25, Ping).

    Parameters:
        interval: seconds of silence until the server is pinged; as long again, and the stream is given up.
        heard_at: when something last came, what is no message included, by ``clock.monotonic``.
        is_busy: whether a call waits: it has its own deadline.
        ping: sends a ping; must not block.
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
        ping: Callable[[], None],
        give_up: Callable[[], None],
    ) -> None:
        self._interval = interval
        self._heard_at = heard_at
        self._is_busy = is_busy
        self._ping = ping
        self._give_up = give_up
        self._pinged = False
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
        now = monotonic()
        quiet_until = self._heard_at() + self._interval
        if self._is_busy():
            self._pinged = False
            self._look_again_at(now + self._interval)
        elif quiet_until > now:
            self._pinged = False
            self._look_again_at(quiet_until)
        elif self._pinged:
            self._pinged = False
            self._give_up()
        else:
            self._pinged = True
            self._ping()
            self._look_again_at(now + self._interval)

    def _look_again_at(self, at: float) -> None:
        if not self._ended.is_set():
            self.deadline_at = at
            watch.add(self)
            if self._ended.is_set():  # meanwhile
                watch.discard(self)
