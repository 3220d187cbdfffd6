"""A client's connection: one session at a time, opened when needed, opened again when lost, and what has to be restored
then.

Runs on: any of the client's threads. It is what the threads may hold, never the client itself.
"""

from __future__ import annotations

import functools
import itertools
import logging
import random
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Union

from ..concurrency.background_close import end, stay_at_exit
from ..concurrency.deadline import Deadline, jittered
from ..concurrency.events import Event
from ..concurrency.forks import inherited, notice
from ..errors import (
    HTTPStatusError,
    MCPClientError,
    MCPClosedError,
    MCPConnectionError,
    MCPServerError,
    may_pass,
)
from ..protocol.messages import RequestId
from ..protocol.revisions import Revision
from ..protocol.stamp import Stamp
from .attempt import Attempt
from .cache import ResultCache
from .catalog import Catalog
from .event_loops import warn_in_event_loop
from .handlers import Handlers
from .server_requests import Crew, Serving
from .session import Link
from .subscriptions import Subscriptions
from .target import Command, Remote

if TYPE_CHECKING:
    from ..config import MCPClientConfig

__all__ = ["Connection"]

_log = logging.getLogger(__name__)

# A server that ends each session at once is approached after 0.5 s, then 1, 2, ... up to 30.
_FLOOR_SECONDS = 0.5
_LONGEST_DELAY = 30.0


class Connection:
    """The connection of one client in one process.

    Parameters:
        open_link: connects the transport and returns the link, not yet initialized. It is given the deadline, and a
            function that it must call with each link it makes, before anything blocks, so that ``close`` can interrupt
            it.
    """

    def __init__(
        self,
        server: Union[Remote, Command],
        config: MCPClientConfig,
        handlers: Handlers,
        open_link: Callable[[Connection, Deadline], Link],
    ) -> None:
        self.server = server
        self.config = config
        self.handlers = handlers
        self._open_link = open_link
        self.crew = Crew()
        self._ids = itertools.count(random.SystemRandom().randrange(1 << 32, 1 << 52))
        # Guards everything below; no I/O happens under it.
        self._lock = threading.RLock()
        self._link: Optional[Link] = None
        # A link that is being opened: ``close`` interrupts it.
        self._opening: Optional[Link] = None
        self._attempt: Optional[Attempt] = None
        # Sessions that the server has forgotten, with calls that still wait in them.
        self._retired: List[Link] = []
        self._closed = False
        self._inherited = False
        self._opened_at = -float("inf")
        self._fruitless = 0
        # What is asked of every new session, or goes with every request.
        self.log_level = config.log_level
        self.subscriptions = Subscriptions(self)
        self.catalog = Catalog()
        self.crew.add(self.catalog)
        self.cache: Optional[ResultCache] = ResultCache() if config.cache else None
        if self.cache is not None:
            self.crew.add(self.cache)
        # Set by close(): ends the waits between two attempts.
        self._closing = Event()
        # Set when close() has done all there was to do.
        self.ended = Event()

    # Links

    def new_id(self) -> RequestId:
        """An id that no other client is likely to use: some gateways send everybody's answers to everybody.

        Drawing from a counter is one step of the interpreter.
        """
        return next(self._ids)

    def new_link(self, make_transport: Callable[[Any], Any]) -> Link:
        """Make a link that ``close`` can interrupt."""
        link = Link(
            make_transport,
            self._make_serving,
            self.crew,
            self.new_id,
            self.stamp_for,
            self.server.public,
            self.config.timeout,
            self.config.ping_interval,
        )
        with self._lock:
            closed = self._closed
            self._opening = link
        if closed:
            raise self._closed_error()
        return link

    def stamp_for(self, revision: Revision) -> Stamp:
        """What requests carry under ``revision``."""
        paths = self.catalog.paths_of
        return Stamp(revision, self.config.client_info, self.capabilities(revision), lambda: self.log_level, paths)

    def capabilities(self, revision: Optional[Revision] = None) -> Dict[str, Any]:
        """What this client says that it can do, in ``initialize`` or under ``revision``."""
        extensions = dict(self.config.extensions)
        if revision is not None and revision.has_tasks_extension:
            # Tasks are followed to their end for the caller, so any tool may answer with one.
            extensions.setdefault("io.modelcontextprotocol/tasks", {})
        return self.handlers.capabilities(extensions)

    def discard(self) -> None:
        """End the link that was being opened: it leads nowhere. An interrupt does not leave it half ended."""
        link = self._opening
        if link is not None:
            self._discard(link)
            with self._lock:
                self._opening = None if self._opening is link else self._opening

    def _discard(self, link: Link) -> None:
        deadline = Deadline(min(self.config.close_timeout, 2.0))
        end(functools.partial(self._end, link, deadline), deadline)

    def _end(self, link: Link, deadline: Deadline) -> None:
        link.interrupt(self._gave_up)
        link.close(deadline)

    def _make_serving(self, reply: Any) -> Serving:
        return Serving(self.handlers, self.crew, reply)

    @property
    def live(self) -> Optional[Link]:
        """The session that is open, or None."""
        link = self._link
        return link if link is not None and not link.lost.is_set() else None

    @property
    def last(self) -> Optional[Link]:
        """The session that is open or was open last."""
        return self._link

    @property
    def closed(self) -> bool:
        return self._closed

    def link(self, deadline: Deadline) -> Link:
        """The open session; opens one if there is none.

        One thread does that, the others wait for it, each no longer than its deadline.

        Raises:
            MCPClientError: there is none, with outcome "not_sent".
        """
        notice()
        while not self._closed:
            link, attempt = self.live, self._attempt
            if link is None and attempt is None:
                link = self._make(Attempt(self.server.public), deadline)
            if link is not None:
                return link
            if attempt is not None:
                attempt.wait(deadline, lambda: self._attempt is attempt)  # noqa: B023  # it is over before the next
        stay_at_exit()
        raise self._closed_error()

    def _make(self, attempt: Attempt, deadline: Deadline) -> Optional[Link]:
        """Open a session; None where another thread does, or the client is closed."""
        error: MCPClientError
        try:
            # Here, since between this and the ``try`` an interrupt would leave it behind for ever.
            with self._lock:
                lost = self._link
                if self._closed or self._attempt is not None or self.live is not None:
                    return self.live
                self._attempt = attempt
            warn_in_event_loop()
            self._retire(lost, deadline)
            link = self._open_patiently(lost, deadline)
            with self._lock:
                closed, other = self._closed, self._link
                if not closed:
                    if other is not None and other is not lost:
                        self._retired.append(other)  # a signal handler opened it while this thread was about to
                    self._link, self._opening = link, None
            if closed:
                raise self._closed_error()
            return link
        except MCPClientError as exc:
            # Whatever the handshake met: the call that needed the session was not sent.
            exc.outcome = "not_sent"
            error = exc.during(server=self.server.public)
            attempt.failed(error, is_personal=deadline.expired)
        except BaseException:
            attempt.given_up()
            raise
        finally:
            # Not a call nor a lock before all is in order: there an interrupt might come, or another thread.
            left = None
            if self._attempt is attempt:
                left, self._opening, self._attempt = self._opening, None, None
                if left is not None:  # close() or an interrupt came between its opening and its use
                    self._retired = [*self._retired, left]
            attempt.done.set()
            if left is not None:
                self._discard(left)
        raise error

    def _retire(self, lost: Optional[Link], deadline: Deadline) -> None:
        """End what is left of the last session.

        Calls that still wait in it may yet get their answers: it goes on until they have.
        """
        with self._lock:
            if lost is not None:
                self._retired.append(lost)
            done = list(filter(lambda link: link.dispatcher.waiting == 0, self._retired))
        for link in done:
            self._end(link, Deadline(min(deadline.remaining, self.config.close_timeout)))
        with self._lock:
            self._retired = list(filter(lambda link: link not in done, self._retired))

    def _open_patiently(self, lost: Optional[Link], deadline: Deadline) -> Link:
        """Open a session. The first time, one attempt; after a loss, some more, ever further apart."""
        if lost is not None:
            self._fruitless = 0 if lost.made_progress else self._fruitless + 1
            floor = min(_FLOOR_SECONDS * 2.0 ** min(self._fruitless, 10), _LONGEST_DELAY)
            self.pause(self._opened_at + jittered(floor) - time.monotonic(), deadline)
        retries = self.config.max_retries if lost is not None else 0
        for attempt in itertools.count():
            self._opened_at = time.monotonic()
            error: MCPClientError
            try:
                return self._open(deadline)
            except MCPClientError as exc:
                error = exc
            if attempt >= retries or not may_pass(error) or deadline.expired:
                raise error
            delay = self._delay_before(attempt)
            if isinstance(error, HTTPStatusError) and error.retry_after is not None:
                delay = max(delay, error.retry_after)
            if delay >= deadline.remaining:
                raise error
            _log.debug(
                "attempt %d to reach %s failed, the next is in %.1f s: %s",
                attempt + 1,
                self.server.public,
                delay,
                error,
            )
            self.pause(delay, deadline)
        raise AssertionError("unreachable")

    def _delay_before(self, attempt: int) -> float:
        return jittered(min(self.config.retry_delay * 2.0**attempt, _LONGEST_DELAY))

    def pause_before_retry(self, attempt: int, deadline: Deadline) -> bool:
        """Wait before a call is tried again; False, at once, where there are no tries or is no time left."""
        delay = self._delay_before(attempt)
        if attempt >= self.config.max_retries or delay >= deadline.remaining:
            return False
        self.pause(delay, deadline)
        return True

    def pause(self, seconds: float, deadline: Deadline) -> None:
        """Wait; ``close`` ends the wait with MCPClosedError."""
        if seconds > 0 and self._closing.wait(min(seconds, deadline.remaining)):
            raise self._closed_error()

    def _open(self, deadline: Deadline) -> Link:
        error: MCPClientError
        opened = False
        try:
            link = self._open_link(self, deadline)
            self._restore(link, deadline)
            link.made_progress = False  # what the handshake answered does not count
            opened = True
            return link
        except MCPClientError as exc:
            error = exc
        finally:
            if not opened:
                self.discard()
        raise (
            MCPClosedError("the client was closed while it was connecting", outcome="not_sent")
            if self._closed
            else error
        )

    def _restore(self, link: Link, deadline: Deadline) -> None:
        """Tell a new session what the last one had been told.

        A server that refuses is not an error of the call that happens to come first.
        """
        level = self.log_level
        if level is not None and link.is_stateful:
            try:
                link.call("logging/setLevel", {"level": level}, deadline)
            except MCPServerError as exc:
                _log.warning("the new session does not take the log level: %s", exc)
        self.subscriptions.restore(link, deadline)

    # Calls

    def tell(self, method: str, params: Optional[Dict[str, Any]], deadline: Deadline) -> None:
        self.link(deadline).tell(method, params, deadline)

    # Ending

    def close(self, deadline: Deadline) -> None:
        """Fail everybody who waits, end the session, and leave nothing behind.

        Any thread, several at once; but none that was interrupted: see closing.py.
        """
        with self._lock:
            first, self._closed = not self._closed, True
            links = list(filter(None, (self._link, self._opening, *self._retired)))
            self._retired = []
        if not first:
            self.ended.wait(deadline.remaining)
            return
        try:
            self._closing.set()
            for audience in self.crew.audiences:
                audience.hear({"method": ""})
            # Nobody who waits is to be kept waiting for what others have left.
            self.crew.settle(deadline, is_awaited=any(link.callers_waiting for link in links))
            for link in links:
                link.interrupt(self._closed_under_way)
            for link in links:
                link.close(deadline)
            self.crew.close()
        finally:
            self.ended.set()

    def disown(self) -> None:
        """This process was forked from the one that the connection belongs to."""
        self._inherited = self._closed = True
        self._link = self._opening = self._attempt = None
        self._retired = []
        self._closing.set()
        self.ended.set()

    def _closed_error(self) -> MCPClientError:
        if self._inherited:
            return inherited("not_sent").during(server=self.server.public)
        return MCPClosedError(
            "the client is closed; make a new one, or call connect()", server=self.server.public, outcome="not_sent"
        )

    def _closed_under_way(self) -> MCPClientError:
        return MCPClosedError(
            "the client was closed while this call was under way", server=self.server.public, outcome="unknown"
        )

    def _gave_up(self) -> MCPClientError:
        return MCPConnectionError("the session was given up", server=self.server.public, outcome="unknown")
