"""One HTTP request under way, and the ways to stop it from another thread: at its deadline, or when somebody closes the
client.

Runs on: the exchange belongs to the thread that sends it and reads its answer; any thread may ``stop`` it. The watch
has a daemon thread of its own, which ends when there has been nothing to watch for a while.

requests' ``timeout=`` bounds one socket operation, so a server that sends a byte every few seconds is never timed out.
The watch bounds the whole exchange: at its deadline it shuts the socket down, which frees the blocked reader at once
(closing it from another thread would hang both).
"""

from __future__ import annotations

import math
import os
import socket
import threading
from typing import TYPE_CHECKING, Dict, Optional, Protocol

from ...concurrency.clock import monotonic
from ...concurrency.deadline import Deadline
from ...concurrency.events import Condition, Event
from ...concurrency.forks import in_child
from ...concurrency.log import Log
from ...concurrency.threads import start

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

__all__ = ["ANSWERED", "CLOSED", "EXPIRED", "Exchange", "StoppedBeforeSending", "Watch", "current", "watch"]

_log = Log(__name__)

# Why an exchange was stopped.
EXPIRED = "its deadline passed"
CLOSED = "the client was closed"
ANSWERED = "its answer came by another way"

_IDLE_SECONDS = 1.0


class _Current(threading.local):
    """The exchange that this thread is sending: how a connection, deep inside urllib3, learns whose request it has."""

    exchange: Optional[Exchange] = None


current = _Current()


class StoppedBeforeSending(OSError):
    """The exchange was stopped before anything of it was sent."""


class Carrier(Protocol):
    """A connection, as the exchange that it carries sees it: once it carries another one, nothing happens."""

    def interrupt(self, exchange: Exchange) -> None:
        """End both directions, so that the thread that is blocked in it fails. Any thread."""

    def set_timeout(self, exchange: Exchange, seconds: Optional[float]) -> None:
        """Bound each operation on its socket."""


class Exchange:
    """One HTTP request under way.

    ``stop`` may be called by any thread at any time; everything else belongs to the thread that made it.
    """

    # For the watch: it ends long before its deadline, as a rule.
    is_patient = False

    __slots__ = (
        "_lock",
        "connection",
        "deadline",
        "deadline_at",
        "departed",
        "over",
        "pid",
        "raw",
        "reason",
        "sent",
        "stopped",
    )

    def __init__(self, deadline_at: float) -> None:
        # Guards ``stopped``: the first reason stays. The sending thread sets ``connection`` and then looks at
        # ``stopped``, ``stop`` sets ``stopped`` and then looks at ``connection``: one of them sees the other.
        self._lock = threading.RLock()
        # The one that was tried last.
        self.connection: Optional[Carrier] = None
        # A session that the user brought has connections of urllib3's own.
        self.raw: Optional[BaseHTTPResponse] = None
        self.sent = False
        # Set when the request is on its way, for the thread that waits for that; connections of urllib3's own do not
        # tell.
        self.departed: Optional[Event] = None
        self.stopped: Optional[str] = None
        # The response was read to its end, or given up.
        self.over = False
        self.deadline_at = deadline_at
        # What that is of, once it is sent.
        self.deadline: Optional[Deadline] = None
        # What the watch says when it stops this exchange.
        self.reason = EXPIRED
        self.pid = os.getpid()

    def begin_to_send(self) -> None:
        """The next byte of the request may reach the server.

        Raises:
            StoppedBeforeSending: it must not.
        """
        if self.stopped is not None:
            raise StoppedBeforeSending(self.stopped)
        self.sent = True

    def stop(self, reason: str) -> None:
        """Stop the exchange: the thread that is blocked in it fails at once, and finds ``reason`` in ``stopped``."""
        with self._lock:
            if self.stopped is None:
                self.stopped = reason
        # A forked child shares the socket with its parent: shutting it down would end the parent's stream.
        if self.pid != os.getpid():
            return
        connection, raw = self.connection, self.raw
        if connection is not None:
            connection.interrupt(self)
        elif raw is not None:
            try:
                raw.shutdown()
            except (OSError, ValueError, RuntimeError):
                pass  # it ended by itself meanwhile


def shut_down(sock: Optional[socket.socket]) -> None:
    """End both directions of a socket without closing it, so that the thread that is blocked on it wakes up; the TLS
    layer above it is left alone.
    """
    if sock is not None:
        try:
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        except OSError:
            pass  # not connected yet, or not any more


class Watched(Protocol):
    """What the watch looks at. When it is ``deadline_at``, by ``monotonic``, it calls ``stop`` with ``reason``."""

    deadline_at: float
    reason: str

    @property
    def is_patient(self) -> bool:
        """Whether it is watched to its deadline, as a rule."""

    def stop(self, reason: str) -> None:
        """Must not block, nor raise."""


class Watch:
    """Stops exchanges whose deadline has passed: one daemon thread for the whole process, started when needed.

    An exchange comes and goes without the lock, of which there is one for all clients. That works because each side
    first writes what it has to say and then reads what the other says: ``add`` enters the exchange and then looks
    whether the thread runs and when it will look next; the thread says that it ends, or that it is about to look
    (``_next_look`` is infinite), and then looks at what was entered.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Watch nothing, with no thread and a lock that nobody holds: in a forked child the thread is not there, and a
        thread that is not there either may hold the lock.
        """
        # Guards what follows, but for what comes and goes.
        self._condition = Condition()
        self._watched: Dict[int, Watched] = {}
        self._running = False
        # When the thread will look next: a new exchange wakes it only if its deadline is sooner.
        self._next_look = math.inf

    def add(self, exchange: Watched) -> None:
        """Watch ``exchange`` until ``discard``."""
        at = exchange.deadline_at
        self._watched[id(exchange)] = exchange
        if self._running and at >= self._next_look:
            return
        with self._condition:
            if not self._running:
                self._running = True
                try:
                    start(threading.Thread(target=self._run, name="mcp-sync-watch", daemon=True))
                except BaseException:
                    self._running = False
                    self._watched.pop(id(exchange), None)
                    raise
            elif at < self._next_look:
                self._condition.notify()

    def discard(self, exchange: Watched) -> None:
        """Forget ``exchange``. The thread is not woken: it finds out when it looks next, which is soon."""
        self._watched.pop(id(exchange), None)
        if exchange.is_patient:
            with self._condition:
                self._condition.notify()

    def settle(self, exchange: Exchange, reason: str, seconds: float) -> None:
        """Stop ``exchange`` for ``reason`` unless it ends by itself within ``seconds``."""
        exchange.reason = reason
        self.hurry(exchange, seconds)

    def move(self, exchange: Exchange, at: float) -> None:
        """The deadline of an exchange has moved to ``at``, unless it is to end sooner for another reason."""
        if exchange.reason == EXPIRED and id(exchange) in self._watched:
            is_sooner = at < exchange.deadline_at
            exchange.deadline_at = at
            if is_sooner:
                self._look()

    def _look(self) -> None:
        """Have the thread look now. Nobody is waited for: who has the lock may be a caller in whom a signal handler
        waits for the very answer that is being brought. The thread looks soon enough by itself.
        """
        if self._condition.acquire(blocking=False):
            try:
                self._condition.notify()
            finally:
                self._condition.release()

    def hurry(self, exchange: Exchange, seconds: float) -> None:
        """Move the deadline of a watched exchange to ``seconds`` from now, if that is sooner."""
        at = monotonic() + seconds
        if at < exchange.deadline_at and id(exchange) in self._watched:
            exchange.deadline_at = at
            if at < self._next_look:
                self._look()

    def _run(self) -> None:
        # This thread ends: with nothing to watch it waits _IDLE_SECONDS, at most twice, and returns.
        idle_since: Optional[float] = None
        while True:
            with self._condition:
                now = monotonic()
                self._next_look = math.inf
                # Entries may come and go while we look: list() of a dict's values is one step of the interpreter.
                watched = list(self._watched.values())
                expired = [exchange for exchange in watched if exchange.deadline_at <= now]
                for exchange in expired:
                    self._watched.pop(id(exchange), None)
                if not watched:
                    if idle_since is None:
                        idle_since = now
                    elif now - idle_since >= _IDLE_SECONDS:
                        self._running = False
                        if not self._watched:
                            return
                        self._running = True  # one has just come, and trusts in this thread
                        continue
                else:
                    idle_since = None
                if not expired:
                    self._next_look = min((exchange.deadline_at for exchange in watched), default=math.inf)
                    if not all(exchange.is_patient for exchange in watched) or not watched:
                        # Never sleep long: what is left of a long deadline is mostly discarded before
                        # it comes, and an idle thread should end.
                        self._next_look = min(self._next_look, now + _IDLE_SECONDS)
                    self._condition.wait(self._next_look - now)
            for exchange in expired:
                try:
                    exchange.stop(exchange.reason)
                except Exception:  # noqa: BLE001  # without this thread no deadline would hold any more
                    _log.exception("what was to be stopped at its deadline could not be")


watch = Watch()


def _after_fork_in_child() -> None:
    watch.reset()
    current.exchange = None


in_child(_after_fork_in_child)
