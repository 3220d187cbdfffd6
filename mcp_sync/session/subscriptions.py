"""What the client wants to be told of, and how the server gets to know: by requests up to 2025-11-25, by a stream of
its own since.

Runs on: any of the client's threads; in the stateless revision one daemon thread reads the stream.

That thread ends because the call it reads does: when nothing is wanted any more, when another thread took over with a
new filter, or when the client is closed; and the pauses between two attempts end with the client too.
"""

from __future__ import annotations

import collections
import threading
from typing import Any, Counter, Dict, Iterable, List, Mapping, Optional

from ..concurrency.attempts import Attempts
from ..concurrency.deadline import Deadline
from ..concurrency.events import Event
from ..concurrency.log import Log
from ..errors import MCPClientError, MCPClosedError, MCPConnectionError, MCPServerError, MCPTimeoutError
from ..escape import excerpt
from ..protocol.messages import RequestId, matching_id
from .connection import Connection
from .pending import PendingRequest, ask
from .session import Session

__all__ = ["Subscriptions"]

_log = Log(__name__)

_ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
_FILTER_KEYS = {"tools": "toolsListChanged", "prompts": "promptsListChanged", "resources": "resourcesListChanged"}
# How long the GET stream may take to open: what changes before is told to nobody.
_GET_STREAM_SECONDS = 1.0


class Subscriptions:
    """Counts the subscribers of each resource and list, so that the server is told of the first and of the last.

    Attributes:
        connection: what they are subscribed through.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        # Guards the counts and the stream.
        self._lock = threading.RLock()
        self._uris: Counter[str] = collections.Counter()
        self._kinds: Counter[str] = collections.Counter()
        self._stream: Optional[_Stream] = None
        connection.on_open(self.restore)

    @classmethod
    def of(cls, connection: Connection) -> Subscriptions:
        """Those of a connection."""
        return connection.companion(cls, lambda: cls(connection))

    def add(self, uris: Iterable[str], kinds: Iterable[str], deadline: Deadline) -> None:
        """Subscribe to ``uris``, and to changes of the lists of ``kinds``; returns when the server knows.

        Raises:
            MCPClientError: the server could not be told, or does not want to know; nothing is wanted then.
        """
        uris, kinds = list(uris), list(kinds)
        session = self.connection.session(deadline)
        with self._lock:
            new = [uri for uri in dict.fromkeys(uris) if not self._uris[uri]]
            changed = bool(new) or any(not self._kinds[kind] for kind in kinds)
            self._uris.update(uris)
            self._kinds.update(kinds)
        told = False
        try:
            if session.is_stateful:
                session.listen(deadline, wait=_GET_STREAM_SECONDS)
                for uri in new:
                    ask(session, "resources/subscribe", {"uri": uri}, deadline)
            elif changed:
                self._stream_anew(deadline)
            told = True
        finally:
            if not told:
                self._forget(uris, kinds)

    def remove(self, uris: Iterable[str], kinds: Iterable[str], deadline: Deadline) -> None:
        """Take back what ``add`` was given."""
        gone = self._forget(list(uris), list(kinds))
        session = self.connection.live
        if session is None:
            return
        if session.is_stateful:
            for uri in gone:
                ask(session, "resources/unsubscribe", {"uri": uri}, deadline)
        else:
            self._stream_anew(deadline)

    def _forget(self, uris: List[str], kinds: List[str]) -> List[str]:
        with self._lock:
            self._uris.subtract(uris)
            self._kinds.subtract(kinds)
            gone = [uri for uri in dict.fromkeys(uris) if self._uris[uri] <= 0]
            self._uris, self._kinds = +self._uris, +self._kinds
        return gone

    @property
    def failure(self) -> Optional[MCPClientError]:
        """Why nothing will be heard any more of what was wanted, or None."""
        stream = self._stream
        return None if stream is None else stream.failure

    def restore(self, session: Session, deadline: Deadline) -> None:
        """Tell a new session what the last one had been told.

        A server that refuses is not an error of the call that happens to come first.
        """
        with self._lock:
            uris, kinds = list(self._uris), list(self._kinds)
        if not session.is_stateful:
            return  # the stream's own thread opens it again
        if uris or kinds:
            session.listen(deadline, wait=_GET_STREAM_SECONDS)
        for uri in uris:
            try:
                ask(session, "resources/subscribe", {"uri": uri}, deadline)
            except MCPServerError as exc:
                _log.warning("the new session does not take a subscription: %s", exc)

    # The stateless revision: one stream for all (2026-07-28, Subscriptions)

    def _filter(self) -> Dict[str, Any]:
        wanted: Dict[str, Any] = {_FILTER_KEYS[kind]: True for kind in self._kinds}
        if self._uris:
            wanted["resourceSubscriptions"] = list(self._uris)
        return wanted

    def _stream_anew(self, deadline: Deadline) -> None:
        """Open a stream with the filter of now; the old one ends when the new one is acknowledged, so that nothing
        falls between them.
        """
        with self._lock:
            wanted, old = self._filter(), self._stream
            if wanted == (old.wanted if old is not None else {}) and (old is None or old.failure is None):
                return
            stream = _Stream(self.connection, wanted) if wanted else None
            self._stream = stream
        opened = False
        try:
            if stream is not None:
                stream.open(deadline)
            opened = True
        finally:
            if not opened:
                with self._lock:
                    if self._stream is stream:
                        self._stream, old = old, stream
            if old is not None:
                old.end()


def _is_about(params: Mapping[str, Any], id: RequestId) -> bool:
    """Whether a notification belongs to the subscription ``id``: on a shared stream there are others' (2026-07-28,
    Subscriptions, Receiving Notifications). One that does not say so is taken for ours.
    """
    meta = params.get("_meta")
    about = meta.get("io.modelcontextprotocol/subscriptionId") if isinstance(meta, dict) else None
    return about is None or matching_id(about) == id


class _Stream:
    """One ``subscriptions/listen`` request, opened again for as long as it is wanted.

    What it brings goes where every notification goes.
    """

    def __init__(self, connection: Connection, wanted: Dict[str, Any]) -> None:
        self._connection = connection
        self.wanted = wanted
        self._acknowledged = Event()
        self._error: Optional[MCPClientError] = None
        # Guards the two below.
        self._lock = threading.RLock()
        self._request: Optional[PendingRequest] = None
        self._over = False

    def open(self, deadline: Deadline) -> None:
        """Start, and wait until the server has acknowledged.

        Raises:
            MCPClientError: it has not.
        """
        threading.Thread(target=self._run, name="mcp-sync-listener", daemon=True).start()
        acknowledged = self._acknowledged.wait(deadline.remaining)
        if self._error is not None:
            raise self._error
        if not acknowledged:
            self.end()
            raise MCPTimeoutError(
                f"the server did not acknowledge the subscription within {deadline.timeout:g} s",
                method="subscriptions/listen",
                outcome="unknown",
            )

    @property
    def failure(self) -> Optional[MCPClientError]:
        """Why it was given up."""
        return None if self._error is None else self._error.again()

    def end(self) -> None:
        """Stop listening. Any thread."""
        with self._lock:
            self._over, request = True, self._request
        if request is not None:
            request.cancel("nobody listens any more")

    def disown(self) -> None:
        """This process was forked from the one that listens."""
        self._over, self._request = True, None

    def _run(self) -> None:
        attempts = Attempts()
        while not self._over:
            error: MCPClientError = MCPConnectionError(
                "the server ended the stream of changes again and again", outcome="unknown"
            )
            progressed = False
            attempts.begin()
            try:
                progressed = self._listen()
            except MCPClosedError as exc:
                self._fail(exc)
                return
            except MCPClientError as exc:
                if self._over or not self._acknowledged.is_set() or isinstance(exc, MCPServerError):
                    self._fail(exc)
                    return
                _log.debug("the stream of changes broke: %s", exc)
                error = exc
            if not attempts.may_go_on(progressed):
                self._fail(error)
                return
            try:
                self._connection.pause(attempts.delay(), Deadline(float("inf")))
            except MCPClosedError:
                return

    def _listen(self) -> bool:
        """One request, to its end. Returns whether it brought anything but its acknowledgement."""
        session = self._connection.session(Deadline(self._connection.config.timeout))
        request = PendingRequest(
            session,
            "subscriptions/listen",
            {"notifications": self.wanted},
            Deadline(float("inf")),
            wants="all",
            asks_progress=False,
        )
        with self._lock:
            if self._over:
                return False
            self._request = request
        progressed = False
        for batch in request.events():
            for message in batch:
                params = message.get("params")
                params = params if isinstance(params, dict) else {}
                method = message["method"]
                if method == "notifications/cancelled" and matching_id(params.get("requestId")) == request.id:
                    # A server that ends a subscription must say so (2026-07-28, Cancellation); the stream of its own
                    # that HTTP has ends as well.
                    request.was_ended()
                    return progressed
                if not _is_about(params, request.id):
                    continue
                if method == _ACKNOWLEDGED:
                    self._look_at(params.get("notifications"))
                    self._acknowledged.set()
                else:
                    progressed = True
        request.answer()
        return progressed

    def _look_at(self, granted: object) -> None:
        """Say, once, what the server will not tell of (2026-07-28, Subscriptions, Acknowledgment)."""
        if self._acknowledged.is_set() or not isinstance(granted, dict):
            return
        missing = [key for key in self.wanted if not granted.get(key)]
        uris = granted.get("resourceSubscriptions")
        if isinstance(uris, list):
            missing += [uri for uri in self.wanted.get("resourceSubscriptions", ()) if uri not in uris]
        if missing:
            _log.warning(
                "the server does not tell of all that was asked for: %s", ", ".join(excerpt(item) for item in missing)
            )

    def _fail(self, error: MCPClientError) -> None:
        self._error = error
        if self._acknowledged.is_set() and not self._over and not isinstance(error, MCPClosedError):
            _log.warning("the server does not tell of changes any more: %s", error)
            # Those who wait for an event look again, and find the failure.
            self._connection.listeners.session_ended()
        self._acknowledged.set()
