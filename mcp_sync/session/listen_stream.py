"""The stream by which a server of the stateless revision tells of changes (2026-07-28, Subscriptions).

Runs on: one daemon thread reads the stream; ``open`` and ``end`` on any.

That thread ends because the call it reads does: when nothing is wanted any more, when another stream took over with a
new filter, or when the client is closed; and the pauses between two attempts end with the client too.
"""

from __future__ import annotations

import threading
from typing import Any, Dict, Mapping, Optional

from ..concurrency.attempts import Attempts
from ..concurrency.deadline import Deadline
from ..concurrency.events import Event
from ..concurrency.log import Log
from ..concurrency.threads import in_context
from ..errors import (
    MCPClientError,
    MCPClosedError,
    MCPConnectionError,
    MCPProtocolError,
    MCPServerError,
    MCPTimeoutError,
)
from ..escape import excerpt
from ..protocol.messages import RequestId, matching_id
from .connection import Connection
from .pending import PendingRequest

__all__ = ["ListenStream"]

_log = Log(__name__)

_ACKNOWLEDGED = "notifications/subscriptions/acknowledged"


def _is_about(params: Mapping[str, Any], id: RequestId) -> bool:
    """Whether a notification belongs to the subscription ``id``: on a shared stream there are others' (2026-07-28,
    Subscriptions, Receiving Notifications). One that does not say so is taken for ours.
    """
    meta = params.get("_meta")
    about = meta.get("io.modelcontextprotocol/subscriptionId") if isinstance(meta, dict) else None
    return about is None or matching_id(about) == id


class ListenStream:
    """One ``subscriptions/listen`` request, opened again for as long as it is wanted.

    What it brings goes where every notification goes.
    """

    def __init__(self, connection: Connection, wanted: Dict[str, Any], meta: Optional[Mapping[str, Any]]) -> None:
        self._connection = connection
        self._params = {"notifications": wanted} if meta is None else {"notifications": wanted, "_meta": meta}
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
            MCPClientError: it has not; the stream is over.
        """
        error: Optional[MCPClientError] = MCPTimeoutError(
            f"the server did not acknowledge the subscription within {deadline.timeout:g} s",
            method="subscriptions/listen",
            outcome="unknown",
        )
        try:
            threading.Thread(target=in_context(self._run), name="mcp-sync-listener", daemon=True).start()
            if self._acknowledged.wait(deadline.remaining):
                error = self._error
        except RuntimeError as exc:
            error = MCPConnectionError(f"no thread could be started for the stream of changes: {exc}")
            error.outcome, error.__cause__ = "not_sent", exc
        finally:
            if error is not None:
                self.end()
        if error is not None:
            raise error

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
        error: MCPClientError
        try:
            self._listen_on()
            error = MCPClosedError("nobody listens any more", outcome="unknown")
        except MCPClientError as exc:
            error = exc
        except Exception as exc:  # noqa: BLE001  # whatever it is, those who wait must hear of it
            _log.exception("the stream of changes failed")
            error = MCPConnectionError(f"the stream of changes failed: {type(exc).__name__}", outcome="unknown")
        self._fail(error)

    def _listen_on(self) -> None:
        """Listen until that is not wanted any more.

        Raises:
            MCPClientError: the server does not tell of changes; or the client was closed.
        """
        attempts = Attempts()
        while not self._over:
            ending: MCPClientError = MCPConnectionError(
                "the server ended the stream of changes again and again", outcome="unknown"
            )
            progressed = False
            attempts.begin()
            try:
                progressed = self._listen()
                if not self._acknowledged.is_set():
                    raise MCPProtocolError("the server ended the subscription instead of acknowledging it")
            except MCPClosedError:
                raise
            except MCPClientError as exc:
                if self._over or not self._acknowledged.is_set() or isinstance(exc, MCPServerError):
                    raise
                _log.debug("the stream of changes broke: %s", exc)
                ending = exc
            if not attempts.may_go_on(progressed):
                raise ending
            self._connection.pause(attempts.delay(), Deadline(float("inf")))

    def _listen(self) -> bool:
        """One request, to its end. Returns whether it brought anything but its acknowledgement."""
        session = self._connection.session(Deadline(self._connection.config.timeout))
        request = PendingRequest(
            session,
            "subscriptions/listen",
            self._params,
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
