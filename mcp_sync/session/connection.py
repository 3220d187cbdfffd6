"""A client's connection: one session at a time, opened when needed, opened again when lost, and what has to be restored
then.

Runs on: any of the client's threads. It is what the threads may hold, never the client itself.
"""

from __future__ import annotations

import builtins
import functools
import itertools
import random
import sys
import threading
import warnings
from traceback import clear_frames
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Type, TypeVar, Union

from ..concurrency.background_close import close_in_background, stay_at_exit
from ..concurrency.clock import monotonic
from ..concurrency.deadline import Deadline, jittered
from ..concurrency.events import Event
from ..concurrency.forks import inherited
from ..concurrency.log import Log
from ..credentials import EVERYBODY, Credentials
from ..errors import (
    HTTPStatusError,
    MCPClientError,
    MCPClosedError,
    MCPConnectionError,
    MCPServerError,
    MCPTimeoutError,
    SessionExpiredError,
    may_pass,
    needs_descriptors,
)
from ..protocol.messages import RequestId
from ..protocol.revisions import Revision
from ..protocol.stamp import Stamp
from .cache import ResultCache
from .catalog import Catalog
from .common import Common, Companions
from .handlers import Handlers
from .pending import ask
from .server_requests import Listeners, Pools
from .session import Session, Shared
from .target import Command, Remote

if TYPE_CHECKING:
    from ..config import MCPClientConfig

__all__ = ["Connection"]

_log = Log(__name__)
_T = TypeVar("_T")

# A server that ends each session at once is approached after 0.5 s, then 1, 2, ... up to 30.
_FLOOR_SECONDS = 0.5
_LONGEST_DELAY = 30.0
# How often a thread that waits for another's attempt looks whether that is still under way.
_LOOK_SECONDS = 1.0

Restorer = Callable[[Session, Deadline], None]


class Connection:
    """The connection of one identity of one client in one process. Entered, it is in use: its session is not ended for
    others.

    Parameters:
        open_session: connects the transport and returns the session, agreed on with the server. It makes each session
            by ``new_session`` before anything blocks, so that ``close`` can interrupt it.
    """

    def __init__(
        self,
        target: Union[Remote, Command],
        config: MCPClientConfig,
        handlers: Handlers,
        open_session: Callable[[Connection, Deadline], Session],
        common: Optional[Common] = None,
    ) -> None:
        self.target = target
        self.config = config
        self.handlers = handlers
        self._open_session = open_session
        self.common = Common(config) if common is None else common
        # Whose it is, and what the last call showed.
        self.identity = EVERYBODY
        self.credentials: Optional[Credentials] = None
        self.used_at = monotonic()
        self._users = 0
        self.pools = Pools(self.common.budget)
        self.listeners = Listeners()
        ids = itertools.count(random.SystemRandom().randrange(1 << 32, 1 << 52))
        # An id that no other client is likely to use: some gateways send everybody's answers to everybody. Drawing
        # from a counter is one step of the interpreter.
        self._new_id: Callable[[], RequestId] = functools.partial(next, ids)
        # Guards everything below; no I/O happens under it.
        self._lock = threading.RLock()
        self._session: Optional[Session] = None
        # A session that is being opened: ``close`` interrupts it.
        self._opening: Optional[Session] = None
        self._attempt: Optional[_Attempt] = None
        # Sessions that the server has forgotten, with calls that still wait in them.
        self._retired: List[Session] = []
        self._closed = self._is_refused = False
        self._inherited = False
        self._opened_at = -float("inf")
        # How many sessions in a row answered nothing.
        self._fruitless = 0
        # ``_opened_at`` when that was counted last.
        self._counted_at = -float("inf")
        # What is asked of every new session, or goes with every request.
        self.log_level = config.log_level
        self._restorers: List[Restorer] = [self._restore_log_level]
        self.catalog = Catalog()
        self.listeners.add(self.catalog)
        self.cache: Optional[ResultCache] = ResultCache(self.pools.budget, self.common.public) if config.cache else None
        if self.cache is not None:
            self.listeners.add(self.cache)
        self._companions = Companions()
        # Set by close(): ends the waits between two attempts.
        self._closing = Event()
        # What else threads wait for, to be woken by close().
        self._waits: List[Event] = []
        # Set when close() has done all there was to do.
        self.ended = Event()

    def companion(self, kind: Type[_T], make: Callable[[], _T]) -> _T:
        """What lives as long as this connection does: made when it is first wanted, closed with it if it can be."""
        return self._companions.get(kind, make)

    def on_open(self, restore: Restorer) -> None:
        """Have ``restore`` tell each new session what the last one had been told, before any call uses it."""
        with self._lock:
            self._restorers = [*self._restorers, restore]

    def __enter__(self) -> Connection:
        if self.identity != EVERYBODY:
            with self._lock:
                self._users += 1
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        if self.identity != EVERYBODY:
            with self._lock:
                self._users -= 1
            self.used_at = monotonic()

    def latest_credentials(self) -> Optional[Credentials]:
        """What is shown where nobody calls."""
        return None if self.credentials is None else self.credentials.latest

    # Sessions

    def new_session(self, make_transport: Callable[[Any], Any]) -> Session:
        """Make a session that ``close`` can interrupt."""
        shared = Shared(
            self.target.public,
            self.config,
            self.handlers,
            self.pools,
            self.listeners,
            self._new_id,
            self.stamp_for,
        )
        session = Session(make_transport, shared)
        with self._lock:
            closed = self._closed
            self._opening = session
        if closed:
            raise self.closed_error()
        return session

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

    @property
    def live(self) -> Optional[Session]:
        """The session that is open, or None."""
        session = self._session
        return session if session is not None and not session.lost.is_set() else None

    @property
    def last(self) -> Optional[Session]:
        """The session that is open or was open last."""
        return self._session

    @property
    def closed(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._closed or self._is_refused

    def refuse(self) -> None:
        """It is about to be closed: nothing new begins in it. One step, without a lock, from any place."""
        self._is_refused = True

    def session(self, deadline: Deadline) -> Session:
        """The open session; opens one if there is none.

        One thread does that, the others wait for it, each no longer than its deadline.

        Raises:
            MCPClientError: there is none, with outcome "not_sent".
        """
        # At the interpreter's end nothing can be imported any more, and no thread begins.
        while not (self._closed or self._is_refused or sys.is_finalizing()):
            session, attempt = self._session, self._attempt
            if session is not None and not session.lost.is_set():
                return session
            if attempt is not None:
                attempt.wait(deadline, lambda: self._attempt is attempt)  # noqa: B023  # it is over before the next
                continue
            opened = self._make(_Attempt(self.target.public), deadline)
            if opened is not None:
                return opened
        stay_at_exit()
        raise self.closed_error()

    def _make(self, attempt: _Attempt, deadline: Deadline) -> Optional[Session]:
        """Open a session; None where another thread does, or the client is closed."""
        error: MCPClientError
        try:
            # Here, since between this and the ``try`` an interrupt would leave it behind for ever.
            with self._lock:
                lost = self._session
                if self._closed or self._attempt is not None or self.live is not None:
                    return self.live
                self._attempt = attempt
            _warn_in_event_loop()
            if self.common.opening is not None:
                self.common.opening(self)
            self._retire(lost, deadline)
            session = self._open_patiently(lost, deadline, attempt)
            with self._lock:
                closed, other = self._closed, self._session
                if not closed:
                    if other is not None and other is not lost:
                        self._retired.append(other)  # a signal handler opened it while this thread was about to
                    self._session, self._opening = session, None
            if closed:
                raise self.closed_error()
            return session
        except MCPClientError as exc:
            # Whatever the handshake met: the call that needed the session was not sent.
            exc.outcome = "not_sent"
            error = exc.during(server=self.target.public)
            clear_frames(exc.__traceback__)
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

    def discard(self) -> None:
        """End the session that was being opened: it leads nowhere. An interrupt does not leave it half ended."""
        session = self._opening
        if session is not None:
            self._discard(session)
            with self._lock:
                self._opening = None if self._opening is session else self._opening

    def _discard(self, session: Session) -> None:
        deadline = Deadline(min(self.config.close_timeout, 2.0))
        close_in_background(functools.partial(self.end, session, deadline), deadline)

    def rest(self) -> Optional[List[Session]]:
        """Let go of the session, which the caller ends; the next call opens another. None where it is in use."""
        with self._lock:
            sessions = [session for session in (self._session, *self._retired) if session is not None]
            if self._users or self._attempt is not None or any(session.dispatcher.waiting for session in sessions):
                return None
            self._session, self._retired = None, []
        return sessions

    def end(self, session: Session, deadline: Deadline) -> None:
        """Fail who waits in ``session``, and leave nothing of it behind."""
        session.interrupt(self._gave_up)
        session.close(deadline)

    def _retire(self, lost: Optional[Session], deadline: Deadline) -> None:
        """End what is left of the last session.

        Calls that still wait in it may yet get their answers: it goes on until they have.
        """
        with self._lock:
            if lost is not None:
                self._retired.append(lost)
            done = [session for session in self._retired if session.dispatcher.waiting == 0]
        for session in done:
            self.end(session, Deadline(min(deadline.remaining, self.config.close_timeout)))
        with self._lock:
            self._retired = [session for session in self._retired if session not in done]

    def _open_patiently(self, lost: Optional[Session], deadline: Deadline, ours: _Attempt) -> Session:
        """Open a session. The first time, one attempt; after a loss, or where the server asks to wait, some more, ever
        further apart.
        """
        if lost is not None:
            if self._counted_at != self._opened_at:  # else nothing was tried since
                self._counted_at = self._opened_at
                self._fruitless = 0 if lost.made_progress else self._fruitless + 1
            floor = min(_FLOOR_SECONDS * 2.0 ** min(self._fruitless, 10), _LONGEST_DELAY)
            delay = self._opened_at + jittered(floor) - monotonic()
            if delay >= deadline.remaining:
                ours.is_personal = True  # others may have more time
                raise self._ended_at_once(lost, delay)
            self.pause(delay, deadline)
        for attempt in itertools.count():
            self._opened_at = monotonic()
            error: MCPClientError
            try:
                return self._open(deadline)
            except MCPClientError as exc:
                error = exc
            told = error.retry_after if isinstance(error, HTTPStatusError) else None
            retries = 0 if lost is None and told is None else self.config.max_retries
            if attempt >= retries or not may_pass(error) or deadline.expired:
                raise error
            delay = max(self._delay_before(attempt), told or 0.0)
            if delay >= deadline.remaining:
                ours.is_personal = True
                raise error
            _log.debug(
                "attempt %d to reach %s failed, the next is in %.1f s: %s",
                attempt + 1,
                self.target.public,
                delay,
                error,
            )
            self.pause(delay, deadline)
        raise AssertionError("unreachable")

    def _ended_at_once(self, lost: Session, delay: float) -> MCPClientError:
        """Why a call fails that would be over before the next session may be opened."""
        status = lost.expired_status
        text = f"the next session with the server is due in {delay:.1f} s, and this call would be over by then: the "
        if status is None:
            return MCPConnectionError(text + "last one was lost at once", outcome="not_sent")
        text += f"server forgot the last one at once (HTTP status {status})"
        return SessionExpiredError(text, status=status, retry_after=delay, outcome="not_sent")

    def _delay_before(self, attempt: int) -> float:
        return jittered(min(self.config.retry_delay * 2.0**attempt, _LONGEST_DELAY))

    def pause_before_retry(self, attempt: int, deadline: Deadline, at_least: float = 0.0) -> bool:
        """Wait before a call is tried again; False, at once, where there are no tries or is no time left.

        Parameters:
            at_least: seconds that the server asks to wait.
        """
        delay = max(self._delay_before(attempt), at_least)
        if attempt >= self.config.max_retries or delay >= deadline.remaining:
            return False
        self.pause(delay, deadline)
        return True

    def pause(self, seconds: float, deadline: Deadline) -> None:
        """Wait; ``close`` ends the wait with MCPClosedError."""
        if seconds > 0 and self._closing.wait(min(seconds, deadline.remaining)):
            raise self.closed_error()

    def wait(self, event: Event, deadline: Deadline) -> None:
        """Wait until ``event`` is set or the deadline has passed; ``close`` ends the wait with MCPClosedError."""
        # First in, then a look: close() does it the other way round, so one of the two sees the other.
        self._waits.append(event)
        try:
            while not self._closed and not event.wait(deadline.remaining) and not deadline.expired:
                pass  # a wait of the standard library's has an upper bound
        finally:
            self._waits.remove(event)
        if self._closed:
            raise self._closed_under_way()

    def _open(self, deadline: Deadline) -> Session:
        error: MCPClientError
        opened = False
        try:
            with needs_descriptors:
                session = self._open_session(self, deadline)
            for restore in self._restorers:
                restore(session, deadline)
            session.made_progress = False  # what the handshake answered does not count
            opened = True
            return session
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

    def _restore_log_level(self, session: Session, deadline: Deadline) -> None:
        """A server that refuses is not an error of the call that happens to come first."""
        level = self.log_level
        if level is not None and session.is_stateful:
            try:
                ask(session, "logging/setLevel", {"level": level}, deadline)
            except MCPServerError as exc:
                _log.warning("the new session does not take the log level: %s", exc)

    # Ending

    def close(self, deadline: Deadline) -> None:
        """Fail everybody who waits, end the session, and leave nothing behind.

        Any thread, several at once; but none that was interrupted: see background_close.py.
        """
        with self._lock:
            first, self._closed = not self._closed, True
            sessions = [session for session in (self._session, self._opening, *self._retired) if session is not None]
            self._retired = []
        if not first:
            self.ended.wait(deadline.remaining)
            return
        try:
            self._closing.set()
            for event in self._waits.copy():
                event.set()
            self.listeners.session_ended()
            # Nobody who waits is to be kept waiting for what others have left.
            self.pools.settle(deadline, is_awaited=any(session.callers_waiting for session in sessions))
            for session in sessions:
                session.interrupt(self._closed_under_way)
            # First: calls wait in these, too, and the server may take its time.
            self._companions.close()
            for session in sessions:
                session.close(deadline)
            self.pools.close()
            # Again: a listener that asked for another session in between was not heard.
            self.listeners.session_ended()
        finally:
            self.ended.set()

    def disown(self) -> None:
        """This process was forked from the one that the connection belongs to."""
        self._inherited = self._closed = True
        self._session = self._opening = self._attempt = None
        self._retired = []
        self._closing.set()
        self.ended.set()

    def closed_error(self) -> MCPClientError:
        """Why nothing can be asked of it."""
        if self._inherited:
            return inherited("not_sent").during(server=self.target.public)
        return MCPClosedError(
            "the client is closed; make a new one, or call connect()", server=self.target.public, outcome="not_sent"
        )

    def _closed_under_way(self) -> MCPClientError:
        return MCPClosedError(
            "the client was closed while this call was under way", server=self.target.public, outcome="unknown"
        )

    def _gave_up(self) -> MCPClientError:
        return MCPConnectionError("the session was given up", server=self.target.public, outcome="unknown")


class _Attempt:
    """One thread's attempt to open a session, which the others who need it wait for.

    Parameters:
        server: as errors name it.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self.done = Event()
        self._error: Optional[MCPClientError] = None
        # The error is that thread's own: its time was too short, or it was interrupted. The others try themselves.
        self.is_personal = False

    def failed(self, error: MCPClientError, *, is_personal: bool) -> None:
        """It ended with ``error``, which is the others' too unless ``is_personal``."""
        self._error, self.is_personal = error, self.is_personal or is_personal

    def given_up(self) -> None:
        """The thread was interrupted."""
        error = MCPConnectionError(
            "the thread that was opening the session gave up", server=self._server, outcome="not_sent"
        )
        self.failed(error, is_personal=True)

    def wait(self, deadline: Deadline, is_under_way: Callable[[], bool]) -> None:
        """Wait until the session is open, or the caller may try.

        Raises:
            MCPTimeoutError: the deadline passed.
            MCPClientError: why there is no session.
        """
        while not self.done.wait(min(_LOOK_SECONDS, deadline.remaining)) and is_under_way():
            if deadline.expired:
                raise MCPTimeoutError(
                    f"no session with the server within {deadline.timeout:g} s", server=self._server, outcome="not_sent"
                )
        if self._error is not None and not (self.is_personal and not deadline.expired):
            raise self._error.again()


def _warn_in_event_loop() -> None:
    """Warn a caller whose thread runs an event loop, which stands still while we block.

    In a notebook that is so for every cell, and nobody minds.
    """
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None and not hasattr(builtins, "__IPYTHON__"):
        warnings.warn(
            "an MCPClient was called on a thread that runs an event loop, which stands still meanwhile; call it "
            "through asyncio.to_thread",
            RuntimeWarning,
            stacklevel=2,
        )
