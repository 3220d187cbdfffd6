"""One JSON-RPC request under way: send, wait, cancel.

Runs on: a request belongs to the thread that makes it, and any thread may cancel it; where its response and the
server's own stream have to be watched at once, a daemon thread reads the response, and ends with it.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, Dict, Iterator, List, Mapping, Optional

from ..concurrency.background_close import stay_at_exit
from ..concurrency.call_clock import CallDeadline
from ..concurrency.deadline import Deadline
from ..concurrency.forks import notice
from ..concurrency.log import Log
from ..concurrency.signals import from_signal_handler
from ..concurrency.threads import in_context
from ..errors import MCPCancelledError, MCPClientError, MCPProtocolError, MCPTimeoutError, SessionExpiredError
from ..escape import excerpt
from ..protocol.forgotten import says_forgotten
from ..protocol.messages import Message, request, result_of, shown
from ..transports.http.exchange import ANSWERED
from .session import Session
from .waiter import Waiter

__all__ = ["PendingRequest", "ask", "ask_soon"]

_log = Log(__name__)

# A request for whose answer nobody waits.
_BACKGROUND_SECONDS = 1.0


def ask(session: Session, method: str, params: Optional[Mapping[str, Any]], deadline: Deadline) -> Dict[str, Any]:
    """Send a request in ``session`` and wait for its result."""
    pending = PendingRequest(session, method, params, deadline)
    for _ in pending.events():
        pass
    return pending.answer()


def ask_soon(session: Session, method: str, params: Mapping[str, Any]) -> None:
    """Send a request off the caller's path, whose answer does not matter."""

    def send() -> None:
        session.background_requests += 1  # on the one thread of this pool
        try:
            ask(session, method, params, Deadline(_BACKGROUND_SECONDS))
        except MCPClientError as exc:
            _log.debug("%s was not answered: %s", method, exc)
        finally:
            session.background_requests -= 1

    session.pools.background.submit(send)


class PendingRequest:
    """One request under way.

    Parameters:
        wants: what the caller wants to see beside the answer; see ``Waiter``.
        asks_progress: whether the server should report progress to a caller who wants to see it.
    """

    def __init__(
        self,
        session: Session,
        method: str,
        params: Optional[Mapping[str, Any]],
        deadline: Deadline,
        wants: Optional[str] = None,
        asks_progress: bool = True,
    ) -> None:
        self._session = session
        self._method = method
        self._deadline = deadline
        self.id = session.new_id()
        if wants is not None and asks_progress:
            # The request's id is its progress token too: one table serves both (2025-11-25, Progress).
            params = dict(params or {})
            params["_meta"] = {**(params.get("_meta") or {}), "progressToken": self.id}
        stamp = session.stamp
        self._message = request(self.id, method, params if stamp is None else stamp.params(params))
        self._headers = None if stamp is None else stamp.headers(self._message)
        self._waiter = Waiter(self.id, wants, session.pools.budget)
        if isinstance(deadline, CallDeadline):
            self._waiter.clock = deadline
        # Set before the first look at whether it was cancelled: one of the two threads sees the other.
        self._begun = False
        self._cancelled = False

    def events(self) -> Iterator[List[Message]]:
        """Send, and yield what arrives for this call until its answer is there; ``answer`` has it then.

        If the caller stops before that, by an exception, a signal or by closing the iterator, the server is told to
        cancel.
        """
        session, waiter = self._session, self._waiter
        error: Optional[MCPClientError] = None
        pumped = False
        try:
            self._begun = True
            if waiter.failure is not None:
                raise MCPCancelledError("the call was cancelled before it was sent", outcome="not_sent")
            if waiter.clock is not None:
                waiter.clock.expect_life()
            session.dispatcher.expect(waiter)
            if _log.isEnabledFor(logging.DEBUG):
                _log.debug("sending %s", shown(self._message))
            # Some servers send a call's progress beside its response: a caller who wants to see it at once needs a
            # thread that waits for the response meanwhile.
            pumped = waiter.wants is not None and session.transport.get_stream_is_open and self._start_pump()
            if pumped:
                yield from self._wait()
                if waiter.failure is not None:
                    raise waiter.failure()
                return
            incoming = session.transport.send(self._message, self._deadline, waiter, self._headers)
            yield from self._wait() if incoming is None else self._read(incoming)
            return
        except MCPClientError as exc:
            error = exc
            if waiter.answer is None:
                self._abandon(exc.outcome != "not_sent" and exc.outcome != "refused", _reason(exc))
                if pumped:
                    self._stop_pump(exc)
        except BaseException as exc:
            self._abandon(True, "the caller gave up")
            if pumped:
                self._stop_pump(MCPCancelledError("the caller gave up", outcome="unknown"))
            raised = from_signal_handler(exc)
            if raised is None or raised is exc:
                raise
            raise raised from None
        finally:
            if waiter.wants is not None:
                waiter.close()
        if waiter.answer is not None:
            # It came all the same, and so did what the server sent before it.
            batch = waiter.take() if waiter.wants is not None else []
            if batch:
                yield batch
            return
        if waiter.failure is not None and error.outcome != "refused":
            # The session is lost, but whether this request left, the transport knows better.
            known, error = error.outcome, waiter.failure()
            if known == "not_sent":
                error.outcome = known
        raise self._with_context(error)

    def _wait(self) -> Iterator[List[Message]]:
        """The answer will come on the shared stream."""
        waiter = self._waiter
        while True:
            if not waiter.wait(self._deadline):
                raise MCPTimeoutError(
                    f"no answer {self._deadline.limit}; raise {self._deadline.setting} if it needs longer"
                    + self._session.transport.remark(),
                    outcome="unknown",
                )
            # First this, then the inbox: what came before the answer is in it.
            settled = waiter.settled
            if waiter.wants is not None:
                batch = waiter.take()
                if batch:
                    yield batch
                    del batch  # before the next comes
                    waiter.done()
                    notice()
            if settled:
                return

    def _read(self, incoming: Iterator[List[Message]], pumped: bool = False) -> Iterator[List[Message]]:
        """The answer comes on the request's own response, which is read here."""
        waiter = self._waiter
        try:
            for messages in incoming:
                self._session.dispatcher.route(messages, waiter)
                if waiter.wants is not None and not pumped:
                    batch = waiter.take()
                    if batch:
                        yield batch
                        del batch
                        waiter.done()
                        notice()
                        if waiter.failure is not None:
                            raise waiter.failure()  # meanwhile, or this is a forked child
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
            threading.Thread(target=in_context(self._pump), name="mcp-sync-response", daemon=True).start()
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
            incoming = self._session.transport.send(self._message, self._deadline, waiter, self._headers)
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

    @property
    def dropped(self) -> int:
        """How many events were dropped, since they were not read."""
        return self._waiter.dropped

    def answer(self) -> Dict[str, Any]:
        """The result, once ``events`` has ended.

        Raises:
            MCPServerError, MCPProtocolError: what the server answered instead.
            MCPConnectionError, MCPClosedError, MCPCancelledError: why no answer came.
        """
        waiter = self._waiter
        try:
            if waiter.answer is not None:
                self._check_session(waiter.answer)
                result = result_of(waiter.answer, self._session.transport.secrets.mask_all)
                self._session.made_progress = True
                return result
            raise waiter.failure() if waiter.failure is not None else MCPClientError("the call was not made")
        except MCPClientError as exc:
            self._with_context(exc)
            raise

    def _check_session(self, answer: Message) -> None:
        """Some servers say by an ordinary error that they do not know the session: the call has not run."""
        error = answer.get("error")
        if not isinstance(error, dict) or self._method == "initialize" or self._session.transport.session_id is None:
            return
        if says_forgotten(200, error):
            said = excerpt(str(error.get("message")))
            raise SessionExpiredError(
                f"the server has forgotten the session: {said}", status=200, body=said, outcome="refused"
            )

    def cancel(self, reason: str = "the caller cancelled") -> None:
        """Stop waiting, and tell the server. Any thread; does not block."""
        notice()  # the parent's exchange must not be stopped
        waiter = self._waiter
        if not waiter.settled:
            waiter.fail(lambda: MCPCancelledError("the call was cancelled", outcome="unknown"))
            if waiter.exchange is not None:
                waiter.exchange.stop(ANSWERED)
        self._abandon(self._begun, reason)

    def was_ended(self) -> None:
        """The server has said that it will not answer: leaving the call needs no word to it."""
        self._cancelled = True

    def _abandon(self, tell: bool, reason: str) -> None:
        notice()  # the parent's server must not be told
        self._session.dispatcher.withdraw(self._waiter)
        # initialize must not be cancelled (2025-11-25, Cancellation, Behavior Requirements).
        if tell and not self._cancelled and self._waiter.answer is None and self._method != "initialize":
            self._cancelled = True
            self._session.cancel(self.id, reason)

    def _with_context(self, error: MCPClientError) -> MCPClientError:
        stay_at_exit()
        self._session.transport.secrets.mask_error(error)
        return error.during(
            server=self._session.server,
            method=self._method,
            request_id=self.id,
            elapsed=self._deadline.elapsed,
            # What cannot be read came from a server that had the request.
            outcome="unknown" if isinstance(error, MCPProtocolError) else None,
        )


def _reason(error: MCPClientError) -> str:
    return "the call timed out" if isinstance(error, MCPTimeoutError) else "the caller gave up"
