"""One session with a server, and one call in it: send, wait, cancel.

Runs on: a call belongs to the thread that makes it, and any thread may cancel it; a link is shared by all of a client's
threads.

Nothing in here refers to the client: the threads hold links, so a client that is dropped can be collected.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, Callable, Dict, Generator, Iterator, List, Mapping, Optional, TypeVar, cast

from .deadline import Deadline
from .dispatcher import Dispatcher, Waiter
from .errors import MCPCancelledError, MCPClientError, MCPClosedError, MCPProtocolError, MCPTimeoutError
from .protocol.conversations import Agree, Ask, Negotiated, Tell
from .protocol.messages import Message, RequestId, notification, request, result_of, shown
from .protocol.revisions import Revision
from .protocol.session import Stamp
from .serving import Crew, Serving
from .transports.base import Transport
from .transports.exchange import ANSWERED

__all__ = ["Call", "Link"]

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
    ) -> None:
        self._make_stamp = make_stamp
        self._timeout = timeout
        self._crew = crew
        self.new_id = new_id
        self.server = server
        serving = make_serving(self._reply)
        self.dispatcher = Dispatcher(serving.asked, serving.notified, self._on_lost, serving.wants_progress)
        self.transport = make_transport(self.dispatcher)
        self.negotiated: Optional[Negotiated] = None
        # What requests carry; None before a revision is agreed on.
        self.stamp: Optional[Stamp] = None
        # Set when the session is over, with the reason in ``why``: the next call opens another.
        self.lost = threading.Event()
        self.why: Optional[MCPClientError] = None
        # Whether anything was answered after the handshake: a server that drops each session at once is
        # approached ever more slowly.
        self.made_progress = False
        self._listens = False
        # A probe was never answered: on a shared stream, whatever comes next may be its answer.
        self.probe_is_open = False

    def _on_lost(self, error: MCPClientError) -> None:
        self.why = error
        self.lost.set()
        if not isinstance(error, MCPClosedError):
            _log.debug("the session with %s is lost: %s", self.server, error)
        for audience in self._crew.audiences:
            audience.hear({"method": ""})

    def give_up(self, error: MCPClientError) -> None:
        """The server has forgotten this session: nothing more is sent in it.

        What still waits for an answer may yet get it.
        """
        self.why = error
        self.lost.set()

    @property
    def is_stateful(self) -> bool:
        """Whether there is a session that the server remembers things in."""
        return self.stamp is None or self.stamp.revision.has_handshake

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

    def ask_soon(self, method: str, params: Dict[str, Any]) -> None:
        """Send a request off the caller's path, whose answer does not matter."""

        def ask() -> None:
            try:
                self.call(method, params, Deadline(_CANCEL_SECONDS))
            except MCPClientError as exc:
                _log.debug("%s was not heard: %s", method, exc)

        self._crew.errands.submit(ask)

    def drive(self, conversation: Generator[Any, Any, _T], deadline: Deadline) -> _T:
        """Carry a conversation out in this session."""
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
                    ask = cast(Ask, step)
                    step = conversation.send(self.call(ask.method, ask.params, deadline))
        except StopIteration as done:
            return cast(_T, done.value)

    def agree(self, negotiated: Negotiated) -> None:
        """From here on, speak as agreed."""
        self.negotiated = negotiated
        self.speak(self._make_stamp(negotiated.revision))

    def speak(self, stamp: Stamp) -> None:
        """Stamp requests with ``stamp``, as long as nothing else is agreed on."""
        self.stamp = stamp
        revision = stamp.revision
        version = {"MCP-Protocol-Version": revision.version} if revision.has_version_header else {}
        self.transport.agree(version, stateful=revision.has_handshake)

    def listen_aside(self) -> None:
        """Have the server's own messages come in, where they need a stream of their own."""
        if not self._listens:
            self._listens = True
            self.dispatcher.start()
            self.transport.listen_aside()

    def wait_for_aside(self, deadline: Deadline) -> None:
        """Give that stream a moment to open."""
        self.transport.aside_settled.wait(deadline.remaining)

    # Ending

    def interrupt(self, failure: Callable[[], MCPClientError]) -> None:
        """Fail everybody who waits in this session, and free everybody who is blocked in it.

        Any thread; does not block.
        """
        self.lost.set()
        self.dispatcher.abandon(failure)
        self.transport.interrupt()

    def close(self, deadline: Deadline) -> None:
        """End the session; ``interrupt`` comes before."""
        self.transport.close(deadline)
        # A transport with a shared stream has said so already; another has nobody to say it.
        self.dispatcher.lost(MCPClosedError("the session was closed", server=self.server, outcome="unknown"))
        self.dispatcher.join(deadline)


class Call:
    """One request under way.

    Parameters:
        wants: what the caller wants to see beside the answer; see ``Waiter``.
        asks_progress: whether the server should report progress to who wants to see it.
    """

    def __init__(
        self,
        link: Link,
        method: str,
        params: Optional[Mapping[str, Any]],
        deadline: Deadline,
        wants: Optional[str] = None,
        asks_progress: bool = True,
    ) -> None:
        self._link = link
        self._method = method
        self._deadline = deadline
        self.id = link.new_id()
        if wants is not None and asks_progress:
            # The request's id is its progress token too: one table serves both (2025-11-25, Progress).
            params = dict(params or {})
            params["_meta"] = {**(params.get("_meta") or {}), "progressToken": self.id}
        stamp = link.stamp
        self._message = request(self.id, method, params if stamp is None else stamp.params(params))
        self._headers = None if stamp is None else stamp.headers(self._message)
        self._waiter = Waiter(self.id, wants)
        self._cancelled = False

    def result(self) -> Dict[str, Any]:
        """Send, wait, and return the result."""
        for _ in self.events():
            pass
        return self.answer()

    def events(self) -> Iterator[List[Message]]:
        """Send, and yield what arrives for this call until its answer is there; ``answer`` has it then.

        If the caller stops before that, by an exception, a signal or by closing the iterator, the server is told to
        cancel.
        """
        link, waiter = self._link, self._waiter
        error: Optional[MCPClientError] = None
        pumped = False
        try:
            link.dispatcher.expect(waiter)
            if _log.isEnabledFor(logging.DEBUG):
                _log.debug("sending %s", shown(self._message))
            # Some servers send a call's progress beside its response: whoever wants to see it at once needs a thread
            # that waits for the response meanwhile.
            pumped = waiter.wants is not None and link.transport.aside_is_open and self._start_pump()
            if pumped:
                yield from self._wait()
                if waiter.failure is not None:
                    raise waiter.failure()
                return
            incoming = link.transport.send(self._message, self._deadline, waiter, self._headers)
            yield from self._wait() if incoming is None else self._read(incoming)
            return
        except MCPClientError as exc:
            error = exc
            if waiter.answer is None:
                self._abandon(exc.outcome != "not_sent" and exc.outcome != "refused", _reason(exc))
                if pumped:
                    self._stop_pump(exc)
        except BaseException:
            self._abandon(True, "the caller gave up")
            if pumped:
                self._stop_pump(MCPCancelledError("the caller gave up", outcome="unknown"))
            raise
        if waiter.answer is not None:
            return  # it came all the same
        if waiter.failure is not None:
            known, error = error.outcome, waiter.failure()
            if known in ("not_sent", "refused"):
                error.outcome = known  # the session is lost, but of this request the transport knows more
        raise self._with_context(error)

    def _wait(self) -> Iterator[List[Message]]:
        """The answer will come on the shared stream."""
        waiter = self._waiter
        while True:
            if not waiter.wait(self._deadline):
                raise MCPTimeoutError(
                    f"no answer within {self._deadline.timeout:g} s; raise timeout= if it needs longer",
                    outcome="unknown",
                )
            # First this, then the inbox: what came before the answer is in it.
            settled = waiter.settled
            if waiter.wants is not None:
                batch = waiter.take()
                if batch:
                    yield batch
            if settled:
                return

    def _read(self, incoming: Iterator[List[Message]], pumped: bool = False) -> Iterator[List[Message]]:
        """The answer comes on the request's own response, which is read here."""
        waiter = self._waiter
        try:
            for messages in incoming:
                self._link.dispatcher.route(messages, waiter)
                if waiter.wants is not None and not pumped:
                    batch = waiter.take()
                    if batch:
                        yield batch
            if not waiter.settled:
                raise MCPProtocolError(
                    "the server's response does not hold the answer to the request", outcome="unknown"
                )
        finally:
            close = getattr(incoming, "close", None)
            if close is not None:
                close()

    def _start_pump(self) -> bool:
        """Whether a thread could be started."""
        try:
            threading.Thread(target=self._pump, name="mcp-sync-response", daemon=True).start()
        except RuntimeError as exc:
            _log.warning("progress that comes beside a response is seen with it: %s", exc)
            return False
        return True

    def _pump(self) -> None:
        """Send, and read the response, on a thread of its own, which ends with it: its exchange is bounded by the
        deadline.
        """
        waiter = self._waiter
        failure: MCPClientError
        try:
            if waiter.settled:
                return
            incoming = self._link.transport.send(self._message, self._deadline, waiter, self._headers)
            for _ in () if incoming is None else self._read(incoming, pumped=True):
                pass
            return
        except MCPClientError as exc:
            failure = exc
        except Exception as exc:  # noqa: BLE001  # the caller must not wait for a thread that died
            _log.exception("the response of a call could not be read")
            failure = MCPProtocolError(f"the response could not be read: {type(exc).__name__}", outcome="unknown")
        if not waiter.settled:
            waiter.fail(lambda: failure)

    def _stop_pump(self, error: MCPClientError) -> None:
        """Nobody waits any more: the thread must not go on until the deadline."""
        waiter = self._waiter
        if not waiter.settled:
            waiter.fail(lambda: error)
        if waiter.exchange is not None:
            waiter.exchange.stop(ANSWERED)

    def answer(self) -> Dict[str, Any]:
        """The result, once ``events`` has ended.

        Raises:
            MCPServerError, MCPProtocolError: what the server answered instead.
            MCPConnectionError, MCPClosedError, MCPCancelledError: why no answer came.
        """
        waiter = self._waiter
        error: MCPClientError
        try:
            if waiter.answer is not None:
                result = result_of(waiter.answer)
                self._link.made_progress = True
                return result
            error = waiter.failure() if waiter.failure is not None else MCPClientError("the call was not made")
        except MCPClientError as exc:
            error = exc
        raise self._with_context(error)

    def cancel(self, reason: str = "the caller cancelled") -> None:
        """Stop waiting, and tell the server. Any thread; does not block."""
        self._abandon(True, reason)
        waiter = self._waiter
        if not waiter.settled:
            waiter.fail(lambda: MCPCancelledError("the call was cancelled", outcome="unknown"))
            if waiter.exchange is not None:
                waiter.exchange.stop(ANSWERED)

    def _abandon(self, tell: bool, reason: str) -> None:
        self._link.dispatcher.withdraw(self._waiter)
        # initialize must not be cancelled (2025-11-25, Cancellation, Behavior Requirements).
        if tell and not self._cancelled and self._waiter.answer is None and self._method != "initialize":
            self._cancelled = True
            self._link.cancel(self.id, reason)

    def _with_context(self, error: MCPClientError) -> MCPClientError:
        return error.during(
            server=self._link.server,
            method=self._method,
            request_id=self.id,
            elapsed=self._deadline.elapsed,
            # What cannot be read came from a server that had the request.
            outcome="unknown" if isinstance(error, MCPProtocolError) else None,
        )


def _reason(error: MCPClientError) -> str:
    return "the call timed out" if isinstance(error, MCPTimeoutError) else "the caller gave up"
