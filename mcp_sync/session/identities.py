"""The connections of one client, one for each identity: nobody gets a session, a cookie or a kept result of somebody
else.

Runs on: any of the client's threads; the watch's for what has been idle too long.
"""

from __future__ import annotations

import functools
import math
import threading
import weakref
from typing import TYPE_CHECKING, Callable, Dict, List

from ..concurrency.background_close import close_dropped, stay_at_exit
from ..concurrency.clock import monotonic
from ..concurrency.deadline import Deadline
from ..concurrency.events import Event
from ..concurrency.log import Log
from ..concurrency.threads import join, start
from ..credentials import EVERYBODY, Credentials
from ..transports.http.exchange import watch
from .common import Common
from .connection import Connection
from .session import Session

if TYPE_CHECKING:
    from ..config import MCPClientConfig

__all__ = ["Identities"]

_log = Log(__name__)

# How often a session in use is looked at whether it is idle now.
_LOOK_SECONDS = 1.0


class Identities:
    """The connections that a client has from one ``connect()`` to the next ``close()``.

    Parameters:
        make_connection: makes a connection; it must not refer to the client.
        config: the client's settings.

    Attributes:
        everybody: the connection of calls that show nothing of their own.
        ended: set when ``close`` has done all there was to do.
    """

    # For the watch.
    reason = ""
    is_patient = True
    deadline_at = math.inf

    def __init__(self, make_connection: Callable[[Common], Connection], config: MCPClientConfig) -> None:
        self._make = make_connection
        self._common = Common(config, self._keep)
        self.everybody = make_connection(self._common)
        self.ended = Event()
        self._limit, self._idle = config.max_identities, config.identity_idle
        # Guards what follows; no I/O happens under it.
        self._lock = threading.RLock()
        # All that there are: one that was let go of lives on as long as a task or a stream has it.
        self._known: weakref.WeakValueDictionary[str, Connection] = weakref.WeakValueDictionary()
        # Those that may have a session.
        self._kept: Dict[str, Connection] = {}
        self._closed = self._are_refused = False
        self._warned = False

    def of(self, credentials: Credentials) -> Connection:
        """The connection of the identity whose call shows ``credentials``.

        Raises:
            MCPClosedError: they were closed.
        """
        identity = credentials.identity
        if identity == EVERYBODY:
            return self.everybody
        with self._lock:
            closed, connection = self.closed, self._known.get(identity)
            if connection is None and not closed:
                connection = self._known[identity] = self._make(self._common)
                connection.identity = identity
        if connection is None or closed:
            stay_at_exit()
            raise self.everybody.closed_error()
        connection.credentials = credentials
        connection.used_at = monotonic()
        self._keep(connection)
        return connection

    def find(self, identity: str) -> Connection:
        """The connection of an identity, to look at; one that has nothing open where there is none."""
        with self._lock:
            connection = self.everybody if identity == EVERYBODY else self._known.get(identity)
            return self._make(self._common) if connection is None else connection

    @property
    def closed(self) -> bool:
        """Whether they are closed, or about to be."""
        return self._closed or self._are_refused

    def refuse(self) -> None:
        """They are about to be closed: nothing new begins in them. One step, without a lock, from any place."""
        self._are_refused = True
        self.everybody.refuse()

    @property
    def have_sessions(self) -> bool:
        """Whether there is, or was, a session."""
        return any(connection.last is not None for connection in self._all())

    @property
    def are_live(self) -> bool:
        """Whether any session is open."""
        return any(connection.live is not None for connection in self._all())

    def _all(self) -> List[Connection]:
        with self._lock:
            return [self.everybody, *self._known.values()]

    # At most so many sessions, for so long

    def _keep(self, connection: Connection) -> None:
        """A connection is about to be used, or to open a session. Of too many, those idle longest are let go of."""
        if connection is self.everybody:
            return
        with self._lock:
            self._kept[connection.identity] = connection
            if len(self._kept) > self._limit and not self._warned:
                self._warned = True
                _log.warning(
                    "more than %d identities have called, so that the sessions of those are ended that are idle "
                    "longest; if they are one user or service whose credentials are renewed, say so with identity=",
                    self._limit,
                )
            for other in sorted(self._kept.values(), key=_used_at):
                if len(self._kept) <= self._limit:
                    break
                if other is not connection:
                    self._rest(other)
        self._watch()

    def _rest(self, connection: Connection) -> None:
        """Let go of ``connection``, and end its session off this thread, unless it is in use."""
        sessions = connection.rest()
        if sessions is None:
            return
        del self._kept[connection.identity]
        for session in sessions:
            close_dropped(functools.partial(_end, connection, session))

    def _watch(self) -> None:
        """Look again when the next one may have been idle for too long."""
        if self._idle == math.inf:
            return
        with self._lock:
            if self._kept and not self._closed:
                # One that is in use is not idle, however long ago its call began.
                soonest = monotonic() + min(self._idle, _LOOK_SECONDS)
                self.deadline_at = max(min(map(_used_at, self._kept.values())) + self._idle, soonest)
                watch.add(self)

    def stop(self, reason: str) -> None:
        """Some may have been idle for too long (called by the watch)."""
        with self._lock:
            now = monotonic()
            for connection in list(self._kept.values()):
                if connection.used_at + self._idle <= now:
                    self._rest(connection)
        self._watch()

    # Ending

    def close(self, deadline: Deadline) -> None:
        """Close all of them at once. Any thread, several; but none that was interrupted: see background_close.py."""
        with self._lock:
            first, self._closed = not self._closed, True
            connections = self._all()
            self._kept = {}
        if not first:
            self.ended.wait(deadline.remaining)
            return
        watch.discard(self)
        try:
            # Side by side: each ends its session at the server, and its callers are not to wait for the others'.
            closers = [_close(connection, deadline) for connection in connections if connection is not self.everybody]
            self.everybody.close(deadline)
            for closer in closers:
                join(closer, deadline.remaining)
            self._common.companions.close()
        finally:
            self.ended.set()

    def disown(self) -> None:
        """This process was forked from the one that they belong to."""
        self._closed = True
        self.ended.set()


def _used_at(connection: Connection) -> float:
    return connection.used_at


def _end(connection: Connection, session: Session) -> None:
    connection.end(session, Deadline(connection.config.close_timeout))


def _close(connection: Connection, deadline: Deadline) -> threading.Thread:
    """Close ``connection`` on a thread of its own, or here where there is none to give."""
    thread = threading.Thread(target=connection.close, args=(deadline,), name="mcp-sync-closer", daemon=True)
    try:
        start(thread)
    except RuntimeError:
        connection.close(deadline)
    return thread
