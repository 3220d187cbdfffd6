"""One session with a server, as all of a client's threads share it.

Runs on: any of the client's threads.

Nothing in here refers to the client: the threads hold links, so a client that is dropped can be collected.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, Callable, Dict, Generator, Mapping, Optional, TypeVar, cast

from ..concurrency.deadline import Deadline
from ..concurrency.events import Event
from ..errors import MCPClientError, MCPClosedError, MCPConnectionError
from ..protocol.conversations import Agree, Ask, Negotiated, Tell
from ..protocol.messages import Message, RequestId, notification, request, shown
from ..protocol.revisions import Revision
from ..protocol.stamp import Stamp
from ..transports.base import Transport
from .dispatcher import Dispatcher
from .heartbeat import Heartbeat
from .pending import Call
from .server_requests import Crew, Serving

__all__ = ["Link"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

# A notification about a request that is over already must not keep anybody.
_CANCEL_SECONDS = 1.0


class Link:
    """One session.

    Parameters:
        make_transport: makes the transport, given where what arrives goes.
        make_serving: makes what answers the server, given how answers are sent.
        new_id: gives the next request id.
        make_stamp: makes what requests carry under a revision.
        server: the server's public name, for errors.
        timeout: seconds for an answer of ours to the server.
        ping_interval: seconds of silence until a server is asked whether it is still there.
    """

    def __init__(
        self,
        make_transport: Callable[[Dispatcher], Transport],
        make_serving: Callable[[Callable[[Message], None]], Serving],
        crew: Crew,
        new_id: Callable[[], RequestId],
        make_stamp: Callable[[Revision], Stamp],
        server: str,
        timeout: float,
        ping_interval: float,
    ) -> None:
        self._make_stamp = make_stamp
        self._timeout = timeout
        self._crew = crew
        self.new_id = new_id
        self.server = server
        serving = make_serving(self._reply)
        self.dispatcher = Dispatcher(
            serving.asked, serving.notified, self._on_lost, serving.wants_progress, self.give_up
        )
        self.transport = make_transport(self.dispatcher)
        # Tells a stream that is idle from one that is dead; None where there is no need to.
        self.heartbeat: Optional[Heartbeat] = None
        self._ping_interval = ping_interval
        if self.transport.heard_at is not None and ping_interval < threading.TIMEOUT_MAX:
            self.heartbeat = Heartbeat(ping_interval, self._heard_at, self._is_busy, self._ping_soon, self._bury)
        self.negotiated: Optional[Negotiated] = None
        # What requests carry; None before a revision is agreed on.
        self.stamp: Optional[Stamp] = None
        # Set when the session is over: the next call opens another. The reason is not kept: an exception holds the
        # frames that it came through, and so the client, which could then never be collected.
        self.lost = Event()
        # Whether anything was answered after the handshake: a server that drops each session at once is
        # approached ever more slowly.
        self.made_progress = False
        self._listens = False
        # How many of those who wait are errands, for which nobody waits.
        self._errands = 0
        # Why the server is talked to as it is, for the log.
        self.because = ""

    def _on_lost(self, error: MCPClientError) -> None:
        self.lost.set()
        self._stop_heart()
        if not isinstance(error, MCPClosedError):
            _log.debug("the session with %s is lost: %s", self.server, error)
        for audience in self._crew.audiences:
            audience.hear({"method": ""})

    def give_up(self, error: MCPClientError) -> None:
        """The server has forgotten this session, or the stream is gone: nothing more is sent in it.

        What still waits for an answer may yet get it.
        """
        if not isinstance(error, MCPClosedError):
            _log.debug("the session with %s is given up: %s", self.server, error)
        self.lost.set()

    @property
    def is_stateful(self) -> bool:
        """Whether there is a session that the server remembers things in."""
        return self.stamp is None or self.stamp.revision.has_handshake

    @property
    def callers_waiting(self) -> bool:
        """Whether anybody waits for an answer."""
        return self.dispatcher.waiting > self._errands

    # Sending

    def call(self, method: str, params: Optional[Mapping[str, Any]], deadline: Deadline) -> Dict[str, Any]:
        """Send a request and wait for its result."""
        return Call(self, method, params, deadline).result()

    def tell(self, method: str, params: Optional[Mapping[str, Any]], deadline: Deadline) -> None:
        """Send a notification, and wait until the server has accepted it."""
        self._post(notification(method, params), deadline)

    def _reply(self, answer: Message) -> None:
        self._post(answer, Deadline(self._timeout))

    def _post(self, message: Message, deadline: Deadline) -> None:
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("sending %s", shown(message))
        incoming = self.transport.send(message, deadline)
        if incoming is not None:
            # A server may answer a notification with a stream; what it says there is taken as it comes.
            for messages in incoming:
                self.dispatcher.route(messages)

    def cancel(self, id: RequestId, reason: str) -> None:
        """Tell the server, off the caller's path, that the answer to ``id`` is not wanted any more (2025-11-25,
        Cancellation).
        """
        note = notification("notifications/cancelled", {"requestId": id, "reason": reason})

        def tell() -> None:
            try:
                self._post(note, Deadline(_CANCEL_SECONDS))
            except MCPClientError as exc:
                _log.debug("the server could not be told to cancel: %s", exc)

        if not self.lost.is_set() and not self.transport.closing_cancels:
            self._crew.errands.submit(tell)

    def _heard_at(self) -> float:
        return self.transport.heard_at or 0.0

    def _is_busy(self) -> bool:
        return self.dispatcher.waiting > 0

    def _bury(self) -> None:
        """The stream is silent although the server was asked for a sign of life."""
        error = MCPConnectionError(
            f"nothing came from the server for more than {2 * self._ping_interval:g} s, not even the answer to a ping",
            outcome="unknown",
        )
        if self.dispatcher.bury(error):
            self.transport.interrupt()
        elif self.heartbeat is not None:
            self.heartbeat.start()  # a call came in between

    def _ping_soon(self) -> None:
        """Ask the server for a sign of life, off this thread; that it comes is enough, so nobody waits for it."""
        message = request(self.new_id(), "ping")

        def ping() -> None:
            try:
                self._post(message, Deadline(_CANCEL_SECONDS))
            except MCPClientError as exc:
                _log.debug("the server could not be pinged: %s", exc)

        if not self.lost.is_set():
            self._crew.errands.submit(ping)

    def ask_soon(self, method: str, params: Dict[str, Any]) -> None:
        """Send a request off the caller's path, whose answer does not matter."""

        def ask() -> None:
            self._errands += 1  # on the one thread that does errands
            try:
                self.call(method, params, Deadline(_CANCEL_SECONDS))
            except MCPClientError as exc:
                _log.debug("%s was not heard: %s", method, exc)
            finally:
                self._errands -= 1

        self._crew.errands.submit(ask)

    def drive(
        self,
        conversation: Generator[Any, Any, _T],
        deadline: Deadline,
        ask: Optional[Callable[[str, Optional[Mapping[str, Any]]], Dict[str, Any]]] = None,
    ) -> _T:
        """Carry a conversation out in this session.

        Parameters:
            ask: how its requests are made, where not by ``call``.
        """
        try:
            step = next(conversation)
            while True:
                if isinstance(step, Tell):
                    self.tell(step.method, None, deadline)
                    step = conversation.send(None)
                elif isinstance(step, Agree):
                    self.agree(step.negotiated)
                    step = conversation.send(None)
                else:
                    method, params = cast(Ask, step)
                    answer = self.call(method, params, deadline) if ask is None else ask(method, params)
                    step = conversation.send(answer)
        except StopIteration as done:
            return cast(_T, done.value)

    def agree(self, negotiated: Negotiated) -> None:
        """From here on, speak as agreed."""
        self.negotiated = negotiated
        self.speak(self._make_stamp(negotiated.revision))
        if self.heartbeat is not None:
            self.heartbeat.start()  # before this, what counts is the handshake's own deadline

    def speak(self, stamp: Stamp) -> None:
        """Stamp requests with ``stamp``, as long as nothing else is agreed on."""
        self.stamp = stamp
        revision = stamp.revision
        version = {"MCP-Protocol-Version": revision.version} if revision.has_version_header else {}
        self.transport.agree(version, stateful=revision.has_handshake)

    def open_get_stream(self, deadline: Deadline) -> None:
        """Have the server's own messages come in, where they need a stream of their own: ask for it, but
        do not wait for an answer.
        """
        if not self._listens:
            self._listens = True
            self.transport.open_get_stream(deadline)

    def wait_for_get_stream(self, deadline: Deadline) -> None:
        """Give that stream a moment to open."""
        self.transport.wait_for_get_stream(deadline)

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
        self._stop_heart()
        self.transport.close(deadline)
        # A transport with a shared stream has said so already; another does not.
        self.dispatcher.lost(MCPClosedError("the session was closed", server=self.server, outcome="unknown"))
        self.dispatcher.join(deadline)

    def _stop_heart(self) -> None:
        if self.heartbeat is not None:
            self.heartbeat.end()
