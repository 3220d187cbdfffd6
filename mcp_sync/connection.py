"""A client's connection: one session at a time, opened when needed, opened again when lost, and what has to be restored
then.

Runs on: any of the client's threads. It is what the threads may hold, never the client itself.
"""

from __future__ import annotations

import itertools
import logging
import random
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Union

from .config import MCPClientConfig
from .deadline import Deadline
from .errors import (
    AuthorizationError,
    HTTPStatusError,
    MCPClientError,
    MCPClosedError,
    MCPConnectionError,
    MCPHandshakeError,
    MCPServerError,
    MCPTimeoutError,
    SessionExpiredError,
)
from .handlers import Handlers
from .link import Call, Link
from .protocol.conversations import initialize
from .protocol.messages import RequestId
from .server import Command, Remote
from .serving import Crew, Serving

__all__ = ["Connection"]

_log = logging.getLogger(__name__)

# A server that ends each session at once is approached after 0.5 s, then 1, 2, ... up to 30.
_FLOOR_SECONDS = 0.5
_LONGEST_DELAY = 30.0
# What a server that is just being restarted answers.
_PASSING_STATUS = {429, 502, 503, 504}


class Restored:
    """What a new session must be told, because the last one was: guarded by the connection's lock."""

    def __init__(self, log_level: Optional[str]) -> None:
        self.log_level = log_level
        # URI -> how many want it: the user's own subscription, and listeners.
        self.subscriptions: Dict[str, int] = {}


class _Attempt:
    """One thread's attempt to open a session, and what the others who need it wait for."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.error: Optional[MCPClientError] = None


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
        self._lock = threading.Lock()
        self._link: Optional[Link] = None
        # A link that is being opened: ``close`` interrupts it.
        self._opening: Optional[Link] = None
        self._attempt: Optional[_Attempt] = None
        self._closed = False
        self._opened_at = -float("inf")
        self._fruitless = 0
        self.restored = Restored(config.log_level)
        # Set by close(): ends the waits between two attempts.
        self._closing = threading.Event()

    # Links

    def new_id(self) -> RequestId:
        """An id that no other client is likely to use: some gateways send everybody's answers to everybody.

        Drawing from a counter is one step of the interpreter.
        """
        return next(self._ids)

    def new_link(self, make_transport: Callable[[Any], Any]) -> Link:
        """Make a link that ``close`` can interrupt."""
        link = Link(make_transport, self._make_serving, self.crew, self.new_id, self.server.public, self.config.timeout)
        with self._lock:
            closed = self._closed
            self._opening = link
        if closed:
            raise self._closed_error()
        return link

    def discard(self) -> None:
        """End the link that was being opened: it leads nowhere."""
        with self._lock:
            link, self._opening = self._opening, None
        if link is not None:
            link.interrupt(self._gave_up)
            link.close(Deadline(min(self.config.close_timeout, 2.0)))

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
        with self._lock:
            if self._closed:
                raise self._closed_error()
            link = self._link
            if link is not None and not link.lost.is_set():
                return link
            attempt = self._attempt
            mine = attempt is None
            if attempt is None:
                attempt = self._attempt = _Attempt()
        if mine:
            return self._make(attempt, link, deadline)
        while not attempt.done.wait(deadline.remaining):
            if deadline.expired:
                raise MCPTimeoutError(
                    f"no session with the server within {deadline.timeout:g} s",
                    server=self.server.public,
                    outcome="not_sent",
                )
        if attempt.error is not None:
            raise attempt.error.again()
        return self.link(deadline)

    def _make(self, attempt: _Attempt, lost: Optional[Link], deadline: Deadline) -> Link:
        error: MCPClientError
        try:
            if lost is not None:
                lost.interrupt(self._gave_up)
                lost.close(Deadline(min(deadline.remaining, self.config.close_timeout)))
            link = self._open_patiently(lost, deadline)
            with self._lock:
                closed = self._closed
                if not closed:
                    self._link, self._opening = link, None
            if closed:
                link.interrupt(self._gave_up)
                link.close(Deadline(self.config.close_timeout))
                raise self._closed_error()
            return link
        except MCPClientError as exc:
            error = attempt.error = exc.during(server=self.server.public)
        except BaseException:
            attempt.error = MCPConnectionError(
                "the thread that was opening the session gave up", server=self.server.public, outcome="not_sent"
            )
            raise
        finally:
            with self._lock:
                self._attempt = None
                self._opening = None
            attempt.done.set()
        raise error

    def _open_patiently(self, lost: Optional[Link], deadline: Deadline) -> Link:
        """Open a session. The first time, one attempt; after a loss, some more, ever further apart."""
        if lost is not None:
            self._fruitless = 0 if lost.made_progress else self._fruitless + 1
            floor = min(_FLOOR_SECONDS * 2.0 ** min(self._fruitless, 10), _LONGEST_DELAY)
            self._pause(self._opened_at + _jittered(floor) - time.monotonic(), deadline)
        retries = self.config.max_retries if lost is not None else 0
        for attempt in itertools.count():
            self._opened_at = time.monotonic()
            error: MCPClientError
            try:
                return self._open(deadline)
            except MCPClientError as exc:
                error = exc
            if attempt >= retries or not _may_pass(error) or deadline.expired:
                raise error
            delay = _jittered(min(self.config.retry_delay * 2.0**attempt, _LONGEST_DELAY))
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
            self._pause(delay, deadline)
        raise AssertionError("unreachable")

    def _pause(self, seconds: float, deadline: Deadline) -> None:
        if seconds > 0 and self._closing.wait(min(seconds, deadline.remaining)):
            raise self._closed_error()

    def _open(self, deadline: Deadline) -> Link:
        error: MCPClientError
        opened = False
        try:
            link = self._open_link(self, deadline)
            self._restore(link, deadline)
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

    def handshake(self, link: Link, deadline: Deadline) -> None:
        """Initialize the session of ``link``.

        Raises:
            MCPHandshakeError: the server does not take it.
        """
        error: MCPClientError
        try:
            config = self.config
            link.negotiated = link.drive(
                initialize(config.protocol_version, config.client_info, self.handlers.capabilities()), deadline
            )
            _log.debug(
                "%s speaks %s over %s", self.server.public, link.negotiated.revision.version, link.transport.name
            )
            return
        except (AuthorizationError, MCPHandshakeError, MCPClosedError) as exc:
            error = exc
        except SessionExpiredError as exc:
            # Nothing expired: the endpoint that the server named was never there.
            error = MCPHandshakeError(f"initialize failed: {exc.message}", method="initialize", outcome="not_sent")
            error.__cause__ = exc
        except HTTPStatusError as exc:
            error = exc
        except MCPTimeoutError as exc:
            error = MCPHandshakeError(
                f"the server did not answer initialize: {exc.message}", method="initialize", outcome="not_sent"
            )
            error.__cause__ = exc
        except MCPClientError as exc:
            what = exc.message if not isinstance(exc, MCPServerError) else str(exc)
            error = MCPHandshakeError(f"initialize failed: {what}", method="initialize", outcome="not_sent")
            error.__cause__ = exc
        raise error.during(outcome="not_sent")

    def _restore(self, link: Link, deadline: Deadline) -> None:
        """Tell a new session what the last one had been told.

        A server that refuses is not an error of the call that happens to come first.
        """
        with self._lock:
            level, uris = self.restored.log_level, list(self.restored.subscriptions)
        steps: List[Any] = [("logging/setLevel", {"level": level})] if level is not None else []
        steps += [("resources/subscribe", {"uri": uri}) for uri in uris]
        for method, params in steps:
            try:
                link.call(method, params, deadline)
            except MCPServerError as exc:
                _log.warning("the new session could not be told %s: %s", method, exc)

    # Calls

    def call(
        self,
        method: str,
        params: Optional[Dict[str, Any]],
        deadline: Deadline,
        *,
        repeatable: bool = False,
        resend: bool = False,
    ) -> Dict[str, Any]:
        """Send a request, in a new session if need be, and return its result.

        Parameters:
            repeatable: it may be sent again when the server says that it did not process it.
            resend: it may be sent again even when the server may have processed it.
        """
        for attempt in itertools.count():
            link = self.link(deadline)
            error: MCPClientError
            try:
                return Call(link, method, params, deadline).result()
            except MCPClientError as exc:
                error = exc
            if not self.may_send_again(link, error, attempt, repeatable, resend):
                raise error
            _log.debug("%s is sent again: %s", method, error)
        raise AssertionError("unreachable")

    def may_send_again(self, link: Link, error: MCPClientError, attempt: int, repeatable: bool, resend: bool) -> bool:
        """Whether a request that failed with ``error`` may be sent again: never when it may have run, unless the caller
        allows that. Forgets a session that the server has forgotten.
        """
        if isinstance(error, SessionExpiredError):
            link.give_up(error)
            return (repeatable or resend) and attempt == 0
        if (
            isinstance(error, (MCPTimeoutError, MCPClosedError))
            or not isinstance(error, MCPConnectionError)
            or isinstance(error, HTTPStatusError)
        ):
            return False
        if not link.lost.is_set():
            return False
        return attempt == 0 if error.outcome == "not_sent" else resend and attempt < self.config.max_retries

    def tell(self, method: str, params: Optional[Dict[str, Any]], deadline: Deadline) -> None:
        self.link(deadline).tell(method, params, deadline)

    # Ending

    def close(self, deadline: Deadline) -> None:
        """Fail everybody who waits, end the session, and leave nothing behind.

        Idempotent; any thread, one of ours included.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            links = [link for link in (self._link, self._opening) if link is not None]
        self._closing.set()
        for audience in self.crew.audiences:
            audience.hear({"method": ""})
        for link in links:
            link.interrupt(self._closed_under_way)
        for link in links:
            link.close(deadline)
        self.crew.close()

    def _closed_error(self) -> MCPClientError:
        return MCPClosedError(
            "the client is closed; make a new one, or call connect()", server=self.server.public, outcome="not_sent"
        )

    def _closed_under_way(self) -> MCPClientError:
        return MCPClosedError(
            "the client was closed while this call was under way", server=self.server.public, outcome="unknown"
        )

    def _gave_up(self) -> MCPClientError:
        return MCPConnectionError("the session was given up", server=self.server.public, outcome="unknown")


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.8, 1.2)


def _may_pass(error: MCPClientError) -> bool:
    """Whether a server that is being restarted could be the reason."""
    if isinstance(error, HTTPStatusError):
        return error.status in _PASSING_STATUS
    return (
        isinstance(error, (MCPConnectionError, MCPTimeoutError))
        and not isinstance(error, MCPHandshakeError)
        and error.outcome == "not_sent"
    )
