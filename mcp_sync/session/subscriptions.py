"""What the client wants to be told of, and how the server gets to know: by requests up to 2025-11-25, by a stream of
its own since.

Runs on: any of the client's threads.
"""

from __future__ import annotations

import collections
import threading
from contextlib import contextmanager
from typing import Any, Counter, Dict, Iterable, Iterator, List, Mapping, Optional

from ..concurrency.deadline import Deadline
from ..concurrency.log import Log
from ..errors import (
    MCPClientError,
    MCPServerError,
    MCPTimeoutError,
)
from .connection import Connection
from .listen_stream import ListenStream
from .pending import ask
from .session import Session

__all__ = ["Subscriptions"]

_log = Log(__name__)

_FILTER_KEYS = {"tools": "toolsListChanged", "prompts": "promptsListChanged", "resources": "resourcesListChanged"}
# How long the GET stream may take to open: what changes before is told to nobody.
_GET_STREAM_SECONDS = 1.0
# How long it may take to take a subscription back that was given up.
_TAKE_BACK_SECONDS = 1.0


class _Resource:
    """What one URI is to the client and to the server.

    Attributes:
        turn: held by the thread that asks the server, or changes what is wanted.
        users: how many threads have it in hands.
        wanted: how many subscribers there are, as the server knows.
        told: the session in which the server was last told of it.
    """

    def __init__(self) -> None:
        self.turn = threading.RLock()
        self.users = 0
        self.wanted = 0
        self.told: Optional[Session] = None


class Subscriptions:
    """Counts the subscribers of each resource and list, so that the server is told of the first and of the last.

    The server is asked one thing at a time about each URI, and about the stream of the stateless revision, and the
    counts change when it has answered: what it was told last is what is counted.

    Attributes:
        connection: what they are subscribed through.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        # Guards the table, the kinds and what has to do with the stream; nothing is waited for under it.
        self._lock = threading.RLock()
        self._resources: Dict[str, _Resource] = {}
        self._kinds: Counter[str] = collections.Counter()
        # Held by the thread that changes the stream.
        self._stream_turn = threading.RLock()
        self._uris: Counter[str] = collections.Counter()
        self._stream: Optional[ListenStream] = None
        connection.on_open(self.restore)

    @classmethod
    def of(cls, connection: Connection) -> Subscriptions:
        """Those of a connection."""
        return connection.companion(cls, lambda: cls(connection))

    def add(
        self, uris: Iterable[str], kinds: Iterable[str], deadline: Deadline, meta: Optional[Mapping[str, Any]] = None
    ) -> None:
        """Subscribe to ``uris``, and to changes of the lists of ``kinds``; returns when the server knows.

        Parameters:
            meta: further ``_meta`` of the requests.

        Raises:
            MCPClientError: the server could not be told, or does not want to know; nothing is wanted then.
        """
        uris, kinds = list(uris), list(kinds)
        session = self.connection.session(deadline)
        if not session.is_stateful:
            self._change_stream(collections.Counter(uris), collections.Counter(kinds), deadline, meta)
            return
        session.listen(deadline, wait=_GET_STREAM_SECONDS)
        done: List[str] = []
        try:
            for uri in uris:
                self._subscribe(uri, deadline, meta)
                done.append(uri)
        except BaseException as exc:
            is_sure = isinstance(exc, MCPServerError) or getattr(exc, "outcome", None) == "not_sent"
            self._take_back_soon(done, [] if is_sure else uris[len(done) : len(done) + 1])
            raise
        with self._lock:
            self._kinds.update(kinds)

    def remove(
        self, uris: Iterable[str], kinds: Iterable[str], deadline: Deadline, meta: Optional[Mapping[str, Any]] = None
    ) -> None:
        """Take back what ``add`` was given."""
        uris, kinds = list(uris), list(kinds)
        session = self.connection.live
        if self._stream is not None or (session is not None and not session.is_stateful):
            self._change_stream(_negative(uris), _negative(kinds), deadline, meta, is_less=True)
            return
        with self._lock:
            self._kinds = self._kinds - collections.Counter(kinds)
        for uri in uris:
            self._unsubscribe(uri, deadline, meta)

    @property
    def failure(self) -> Optional[MCPClientError]:
        """Why nothing will be heard any more of what was wanted, or None."""
        stream = self._stream
        return None if stream is None else stream.failure

    def restore(self, session: Session, deadline: Deadline) -> None:
        """Tell a new session what the last one had been told.

        A server that refuses is not an error of the call that happens to come first.
        """
        if not session.is_stateful:
            return  # the stream's own thread opens it again
        with self._lock:
            uris = [uri for uri, resource in self._resources.items() if resource.wanted]
            kinds = list(self._kinds)
        if uris or kinds:
            session.listen(deadline, wait=_GET_STREAM_SECONDS)
        for uri in uris:
            # The thread that has the turn asks in a session that is over, and does not wait for this one meanwhile.
            with self._turn(uri, deadline) as resource:
                if resource.wanted:
                    self._tell(resource, uri, session, deadline)

    # Revisions with sessions: a request for each URI (2025-11-25, Resources, Subscriptions)

    @contextmanager
    def _turn(self, uri: str, deadline: Deadline) -> Iterator[_Resource]:
        """Be the only thread that asks the server about ``uri``.

        No session is waited for meanwhile: the thread that opens one waits for this turn.
        """
        with self._lock:
            resource = self._resources.setdefault(uri, _Resource())
            resource.users += 1
        try:
            with _held(resource.turn, deadline, "resources/subscribe"):
                yield resource
        finally:
            with self._lock:
                resource.users -= 1
                if not resource.users and not resource.wanted:
                    self._resources.pop(uri, None)

    def _subscribe(self, uri: str, deadline: Deadline, meta: Optional[Mapping[str, Any]]) -> None:
        session = self.connection.session(deadline)
        with self._turn(uri, deadline) as resource:
            if resource.told is not session:
                ask(session, "resources/subscribe", _about(uri, meta), deadline)
                resource.told = session
            resource.wanted += 1
        if session.lost.is_set():
            # One that was opened before it was counted does not know; those that are opened later are told.
            session = self.connection.session(deadline)
            with self._turn(uri, deadline) as resource:
                if resource.wanted and resource.told is not session:
                    self._tell(resource, uri, session, deadline)

    def _tell(self, resource: _Resource, uri: str, session: Session, deadline: Deadline) -> None:
        resource.told = session
        try:
            ask(session, "resources/subscribe", {"uri": uri}, deadline)
        except MCPServerError as exc:
            _log.warning("the new session does not take a subscription: %s", exc)

    def _unsubscribe(self, uri: str, deadline: Deadline, meta: Optional[Mapping[str, Any]] = None) -> None:
        with self._turn(uri, deadline) as resource:
            if resource.wanted > 1:
                resource.wanted -= 1
                return
            session = resource.told or self.connection.live
            try:
                if session is not None and not session.lost.is_set():
                    ask(session, "resources/unsubscribe", _about(uri, meta), deadline)
            finally:
                resource.wanted, resource.told = 0, None

    def _take_back_soon(self, subscribed: List[str], doubtful: List[str]) -> None:
        """Off the caller's path: of several URIs one was not taken, or nobody knows whether it was."""

        def take_back() -> None:
            deadline = Deadline(_TAKE_BACK_SECONDS)
            try:
                for uri in subscribed:
                    self._unsubscribe(uri, deadline)
                for uri in doubtful:
                    with self._turn(uri, deadline) as resource:
                        if not resource.wanted:
                            self._unsubscribe(uri, deadline)
            except MCPClientError as exc:
                _log.debug("a subscription could not be taken back: %s", exc)

        self.connection.pools.background.submit(take_back)

    # The stateless revision: one stream for all (2026-07-28, Subscriptions)

    def _change_stream(
        self,
        uris: Counter[str],
        kinds: Counter[str],
        deadline: Deadline,
        meta: Optional[Mapping[str, Any]],
        *,
        is_less: bool = False,
    ) -> None:
        """Have the server tell of ``uris`` and ``kinds`` beside what is wanted now; negative numbers are taken away.

        The counts change when the server has agreed. What is taken away is not wanted any more whatever it says.
        """
        with _held(self._stream_turn, deadline, "subscriptions/listen"):
            uris, kinds = self._uris + uris, self._kinds + kinds  # a sum keeps what is more than nothing
            if is_less:
                self._uris, self._kinds = uris, kinds
            wanted: Dict[str, Any] = {_FILTER_KEYS[kind]: True for kind in kinds}
            if uris:
                wanted["resourceSubscriptions"] = list(uris)
            if not (is_less and wanted and self.connection.live is None):  # then more is told than is wanted
                self._replace_stream(wanted, deadline, meta)
            self._uris, self._kinds = uris, kinds

    def _replace_stream(self, wanted: Dict[str, Any], deadline: Deadline, meta: Optional[Mapping[str, Any]]) -> None:
        """Open a stream with this filter. The old one ends when the new one is acknowledged, so that nothing falls
        between them.
        """
        old = self._stream
        if wanted == (old.wanted if old is not None else {}) and (old is None or old.failure is None):
            return
        stream = ListenStream(self.connection, wanted, meta) if wanted else None
        if stream is not None:
            stream.open(deadline)
        self._stream = stream
        if old is not None:
            old.end()


def _about(uri: str, meta: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
    return {"uri": uri} if meta is None else {"uri": uri, "_meta": meta}


@contextmanager
def _held(turn: Any, deadline: Deadline, method: str) -> Iterator[None]:
    """Hold ``turn``, a re-entrant lock.

    Raises:
        MCPTimeoutError: another thread has it until the deadline.
    """
    try:
        if not turn.acquire(timeout=deadline.remaining):
            raise MCPTimeoutError(
                f"another request of this client about the same was not answered within {deadline.timeout:g} s",
                method=method,
                outcome="not_sent",
            )
        yield
    finally:
        try:
            turn.release()
        except RuntimeError:
            pass  # it was not acquired


def _negative(names: List[str]) -> Counter[str]:
    return collections.Counter({name: -count for name, count in collections.Counter(names).items()})
