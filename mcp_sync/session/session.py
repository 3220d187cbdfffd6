"""One session with a server, as all of a client's threads share it.

Runs on: any of the client's threads.

Nothing in here refers to the client: the threads hold sessions, so a client that is dropped can be collected.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Callable, Mapping, NamedTuple, Optional

from ..concurrency.deadline import Deadline
from ..concurrency.events import Event
from ..concurrency.log import Log
from ..errors import MCPClientError, MCPClosedError, MCPConnectionError, SessionExpiredError
from ..protocol.conversations import Negotiated
from ..protocol.messages import Message, RequestId, notification, request, shown
from ..protocol.revisions import Revision
from ..protocol.stamp import Stamp
from ..transports.base import Transport
from .dispatcher import Dispatcher
from .handlers import Handlers
from .heartbeat import Heartbeat
from .server_requests import Listeners, Pools, ServerRequests

if TYPE_CHECKING:
    from ..config import MCPClientConfig

__all__ = ["Session", "Shared"]

_log = Log(__name__)

# A notification about a request that is over already must not keep anybody.
_CANCEL_SECONDS = 1.0


class Shared(NamedTuple):
    """What the sessions of one connection share, one after the other.

    Attributes:
        server: the server's public name, for errors.
        new_id: gives the next request id.
        stamp_for: makes what requests carry under a revision.
    """

    server: str
    config: MCPClientConfig
    handlers: Handlers
    pools: Pools
    listeners: Listeners
    new_id: Callable[[], RequestId]
    stamp_for: Callable[[Revision], Stamp]


class Session:
    """One session.

    Parameters:
        make_transport: makes the transport, given where what arrives goes.
    """

    def __init__(self, make_transport: Callable[[Dispatcher], Transport], shared: Shared) -> None:
        self._shared = shared
        self.server = shared.server
        self.new_id = shared.new_id
        self.pools = shared.pools
        requests = ServerRequests(shared.handlers, shared.pools, shared.listeners, self._reply)
        self.dispatcher = Dispatcher(requests, self.give_up, self._on_lost, shared.pools.budget)
        self.transport = make_transport(self.dispatcher)
        # Tells a stream that is idle from one that is dead; None where there is no need to.
        self.heartbeat: Optional[Heartbeat] = None
        interval = shared.config.ping_interval
        if self.transport.heard_at is not None and interval < threading.TIMEOUT_MAX:
            self.heartbeat = Heartbeat(interval, self._heard_at, self._is_busy, self._ping_soon, self._on_silence)
        self.negotiated: Optional[Negotiated] = None
        # What requests carry in a stateless revision; None where the server remembers a session.
        self.stamp: Optional[Stamp] = None
        # Whether the server takes calls that ask for a task (2025-11-25, Tasks, Capability Negotiation).
        self.offers_tasks = False
        # Set when the session is over: the next call opens another. The reason is not kept: an exception holds the
        # frames that it came through, and so the client, which could then never be collected.
        self.lost = Event()
        # Whether anything was answered after the handshake: a server that drops each session at once is
        # approached ever more slowly.
        self.made_progress = False
        # The HTTP status by which the server said that it has forgotten the session.
        self.expired_status: Optional[int] = None
        self._listens = False
        # How many of the requests under way nobody waits for.
        self.background_requests = 0
        # Why the server is talked to as it is, for the log.
        self.because = ""

    def open(self, deadline: Deadline) -> None:
        """Connect the transport, up to where messages can be sent.

        Raises:
            MCPConnectionError, MCPTimeoutError: it could not be.
        """
        if self.transport.shares_stream:
            try:
                self.dispatcher.start()
            except RuntimeError as exc:
                raise MCPConnectionError(
                    f"no thread could be started for the server's messages: {exc}", outcome="not_sent"
                ) from exc
        self.transport.open(deadline)

    def _on_lost(self, error: MCPClientError) -> None:
        self.lost.set()
        self._stop_heartbeat()
        if not isinstance(error, MCPClosedError):
            _log.debug("the session with %s is lost: %s", self.server, error)
        self._shared.listeners.session_ended()

    def give_up(self, error: MCPClientError) -> None:
        """The server has forgotten this session, or the stream is gone: nothing more is sent in it.

        What still waits for an answer may yet get it.
        """
        if not isinstance(error, MCPClosedError):
            _log.debug("the session with %s is given up: %s", self.server, error)
        if isinstance(error, SessionExpiredError):
            self.expired_status = error.status
        self.lost.set()

    @property
    def is_stateful(self) -> bool:
        """Whether there is a session that the server remembers things in."""
        return self.stamp is None

    @property
    def callers_waiting(self) -> bool:
        """Whether anybody waits for an answer."""
        return self.dispatcher.waiting > self.background_requests

    # Sending

    def tell(self, method: str, params: Optional[Mapping[str, object]], deadline: Deadline) -> None:
        """Send a notification, and wait until the server has accepted it."""
        self._post(notification(method, params), deadline)

    def _reply(self, answer: Message) -> None:
        self._post(answer, Deadline(self._shared.config.timeout))

    def _post(self, message: Message, deadline: Deadline) -> None:
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("sending %s", shown(message))
        incoming = self.transport.send(message, deadline)
        if incoming is not None:
            # A server may answer a notification with a stream; what it says there is taken as it comes.
            for messages in incoming:
                self.dispatcher.route(messages)

    def _post_soon(self, message: Message, leaving: Callable[[], None] = lambda: None) -> None:
        """Send ``message`` off this thread; that it cannot be sent is no error.

        Parameters:
            leaving: is called right before.
        """

        def post() -> None:
            leaving()
            try:
                self._post(message, Deadline(_CANCEL_SECONDS))
            except MCPClientError as exc:
                _log.debug("%s could not be sent: %s", shown(message), exc)

        if not self.lost.is_set():
            self.pools.background.submit(post)

    def cancel(self, id: RequestId, reason: str) -> None:
        """Tell the server, off the caller's path, that the answer to ``id`` is not wanted any more (2025-11-25,
        Cancellation).
        """
        if not self.transport.closing_cancels:
            self._post_soon(notification("notifications/cancelled", {"requestId": id, "reason": reason}))

    # The heartbeat

    def _heard_at(self) -> float:
        return self.transport.heard_at or 0.0

    def _is_busy(self) -> bool:
        return self.dispatcher.waiting > 0

    def _ping_soon(self, leaving: Callable[[], None]) -> None:
        """Ping the server, off this thread; that anything comes is enough, so nobody waits for the answer."""
        self._post_soon(request(self.new_id(), "ping"), leaving)

    def _on_silence(self) -> None:
        """The stream is silent although the server was pinged."""
        error = MCPConnectionError(
            f"nothing came from the server for more than {2 * self._shared.config.ping_interval:g} s, not even the "
            "answer to a ping",
            outcome="unknown",
        )
        if self.dispatcher.lost_if_idle(error):
            self.transport.interrupt()
        elif self.heartbeat is not None:
            self.heartbeat.start()  # a call came in between

    def _stop_heartbeat(self) -> None:
        if self.heartbeat is not None:
            self.heartbeat.end()

    # What is agreed on

    def agree(self, negotiated: Negotiated) -> None:
        """From here on, speak as agreed."""
        self.negotiated = negotiated
        self.speak(negotiated.revision)
        self.offers_tasks = self.is_stateful and _takes_tasks(negotiated)
        if self.heartbeat is not None:
            self.heartbeat.start()  # before this, what counts is the handshake's own deadline

    def speak(self, revision: Revision) -> None:
        """Send requests as ``revision`` has them, as long as nothing else is agreed on."""
        self.stamp = None if revision.has_handshake else self._shared.stamp_for(revision)
        version = {"MCP-Protocol-Version": revision.version} if revision.has_version_header else {}
        self.transport.agree(version, stateful=revision.has_handshake)

    def listen(self, deadline: Deadline, wait: float = 0.0) -> None:
        """Have the server's own messages come in, where they need a stream of their own: ask for it, and give it a
        moment to open.

        Parameters:
            wait: seconds to wait, at most, until it is open or refused.
        """
        if not self._listens:
            self._listens = True
            self.transport.open_get_stream(deadline)
        if wait:
            self.transport.wait_for_get_stream(deadline.sooner(wait))

    # Ending

    def disown(self) -> None:
        """This process was forked from the one that has the session."""
        self.lost.set()

    def interrupt(self, failure: Callable[[], MCPClientError]) -> None:
        """Fail everybody who waits in this session, and free everybody who is blocked in it.

        Any thread; does not block.
        """
        self.lost.set()
        self.dispatcher.abandon(failure)
        self.transport.interrupt()

    def close(self, deadline: Deadline) -> None:
        """End the session; ``interrupt`` comes before."""
        self._stop_heartbeat()
        self.transport.close(deadline)
        # A transport with a shared stream has said so already; another does not.
        self.dispatcher.lost(MCPClosedError("the session was closed", server=self.server, outcome="unknown"))
        self.dispatcher.join(deadline)


def _takes_tasks(negotiated: Negotiated) -> bool:
    offered = (negotiated.server_capabilities.tasks or {}).get("requests")
    calls = offered.get("tools") if isinstance(offered, dict) else None
    return isinstance(calls, dict) and "call" in calls
