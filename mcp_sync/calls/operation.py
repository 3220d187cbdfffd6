"""A request from the first send to the complete result: sent again where that is safe, input given where the server
wants it, tasks followed to their end.

Runs on: the calling thread.
"""

from __future__ import annotations

import itertools
from typing import Any, Callable, Dict, Generator, Iterator, List, Mapping, Optional, cast

from ..concurrency.deadline import Deadline
from ..errors import (
    HTTPStatusError,
    MCPClientError,
    MCPClosedError,
    MCPConnectionError,
    MCPProtocolError,
    MCPServerError,
    MCPTimeoutError,
    SessionExpiredError,
)
from ..protocol.conversations import Ask, Following, Inputs, Pause
from ..protocol.messages import Message, RequestId, notification
from ..protocol.rounds import finish, is_complete
from ..session.connection import Connection
from ..session.handlers import Refusal
from ..session.pending import Call
from ..session.session import Link
from ..session.waiter import Waiter

__all__ = ["Request"]

# The headers did not match the body: the tool's schema has changed (2026-07-28, Server Validation).
_HEADER_MISMATCH = -32020
# The server does not speak this revision any more, and says so before it does anything (2026-07-28, Versioning).
_UNSUPPORTED_VERSION = -32022


class Request:
    """One operation of the caller's.

    Parameters:
        wants: what the caller wants to see while it runs; see ``Waiter``.
        repeatable: it may be sent again when the server says that it did not process it.
        resend: it may be sent again even when the server may have processed it.
        started: is told of each call that is made, to be able to cancel it.
        cancels_tasks: a task that is left early is cancelled.
        relist: reads the list of tools again, when the server says that what we know of one is out of date.
    """

    __slots__ = (
        "_cancels_tasks",
        "_connection",
        "_deadline",
        "_may_have_run",
        "_relist",
        "_repeatable",
        "_resend",
        "_started",
        "_token",
        "_wants",
        "took_rounds",
    )

    def __init__(
        self,
        connection: Connection,
        deadline: Deadline,
        *,
        wants: Optional[str] = None,
        repeatable: bool = False,
        resend: bool = False,
        started: Optional[Callable[[Call], None]] = None,
        relist: Optional[Callable[[Deadline], object]] = None,
        cancels_tasks: bool = True,
    ) -> None:
        self._connection = connection
        self._deadline = deadline
        self._wants = wants
        self._repeatable = repeatable
        self._resend = resend
        self._started = started
        self._relist = relist
        self._cancels_tasks = cancels_tasks
        # Whether an attempt before this one may have run.
        self._may_have_run = False
        # A result that took more than one request must not be cached (2026-07-28, Caching, Cache Key).
        self.took_rounds = False
        # The id of the first request: its progress token.
        self._token: Optional[RequestId] = None

    def result(self, method: str, params: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
        """The complete result."""
        if self._wants is None:
            result = self.ask(method, params)
            if is_complete(result):
                return result
        else:
            result = {}
        for step in self.events(method, params, result or None):
            if isinstance(step, dict):
                result = step
        return result

    def events(
        self, method: str, params: Optional[Mapping[str, Any]], first: Optional[Dict[str, Any]] = None
    ) -> Iterator[Any]:
        """Batches of messages as they come (lists), then the complete result (a dict).

        Parameters:
            first: the first result, if it is there already.
        """
        if first is None:
            first = yield from self._watch(method, params)
        yield from self.drive(finish(method, params or {}, first))

    def drive(self, conversation: Generator[Any, Any, Dict[str, Any]]) -> Iterator[Any]:
        """Carry a conversation out: yields batches of messages, then what it returns.

        Left early, its task is cancelled.
        """
        tail: Optional[Waiter] = None
        task_id: Optional[str] = None
        try:
            step: Any = next(conversation)
            while True:
                answer: Any = None
                if isinstance(step, Inputs):
                    answer = self._give(step.requests)
                elif isinstance(step, Pause):
                    self._pause(step.seconds)
                elif isinstance(step, Following):
                    if task_id is None:
                        task_id, tail = step.task_id, self._tail()
                    yield from _reports(tail, step.status, step.looks)
                else:
                    ask = cast(Ask, step)
                    self.took_rounds = True
                    answer = yield from self._watch(ask.method, ask.params)
                step = conversation.send(answer)
        except StopIteration as done:
            result: Dict[str, Any] = done.value
        except BaseException as exc:
            if task_id is not None and self._cancels_tasks and not isinstance(exc, MCPServerError):
                self._cancel_task(task_id)
            raise
        finally:
            if tail is not None and self._connection.last is not None:
                self._connection.last.dispatcher.withdraw(tail)
        yield result

    def _tail(self) -> Optional[Waiter]:
        """A task's progress comes under the token of the request that made it, which is answered already."""
        link = self._connection.live
        if self._wants is None or self._token is None or link is None:
            return None
        waiter = Waiter(self._token, self._wants)
        link.dispatcher.expect(waiter)
        return waiter

    def _cancel_task(self, task_id: str) -> None:
        link = self._connection.live
        if link is not None:
            link.ask_soon("tasks/cancel", {"taskId": task_id})

    # One request of the operation

    def ask(self, method: str, params: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
        """The first result, complete or not."""
        try:
            for attempt in itertools.count():
                link = self._connection.link(self._deadline)
                error: MCPClientError
                try:
                    call = Call(link, method, params, self._deadline)
                    self._token = self._token or call.id
                    if self._started is not None:
                        self._started(call)
                    return call.result()
                except MCPClientError as exc:
                    error = exc
                if not self._may_send_again(link, error, attempt):
                    raise error
        except MCPClientError as exc:
            self._remember_earlier_attempts(exc)
            raise
        raise AssertionError("unreachable")

    def _watch(
        self, method: str, params: Optional[Mapping[str, Any]]
    ) -> Generator[List[Message], None, Dict[str, Any]]:
        """As ``_ask``, with what comes before the answer: yields batches, returns the result."""
        seen = False
        try:
            for attempt in itertools.count():
                link = self._connection.link(self._deadline)
                call = Call(link, method, params, self._deadline, self._wants)
                self._token = self._token or call.id
                if self._started is not None:
                    self._started(call)
                error: MCPClientError
                try:
                    for batch in call.events():
                        seen = True
                        yield batch
                    return call.answer()
                except MCPClientError as exc:
                    error = exc
                # What the caller has seen cannot be unseen: a second run would show it twice.
                if seen or not self._may_send_again(link, error, attempt):
                    raise error
        except MCPClientError as exc:
            self._remember_earlier_attempts(exc)
            raise
        raise AssertionError("unreachable")

    def _remember_earlier_attempts(self, error: MCPClientError) -> None:
        """That the last attempt was not sent says nothing of one before it that may have run."""
        if self._may_have_run and error.outcome in ("not_sent", "refused"):
            error.outcome = "unknown"

    def _may_send_again(self, link: Link, error: MCPClientError, attempt: int) -> bool:
        """Whether a request that failed with ``error`` may be sent again: never when it may have run, unless the
        caller allows that. Waits before a server that is away is tried again, and forgets a session that the server
        has forgotten.
        """
        if isinstance(error, MCPServerError):
            if attempt == 0 and not link.is_stateful:
                if error.code == _HEADER_MISMATCH and self._relist is not None:
                    self._relist(self._deadline)
                    return True
                if error.code == _UNSUPPORTED_VERSION:
                    link.give_up(error)  # what both speak is agreed on anew
                    return True
            return False
        if isinstance(error, SessionExpiredError):
            link.give_up(error)
            return (self._repeatable or self._resend) and attempt == 0
        if isinstance(error, (MCPTimeoutError, MCPClosedError, HTTPStatusError)):
            return False
        if not isinstance(error, MCPConnectionError) or (error.outcome != "not_sent" and not self._resend):
            return False
        if error.outcome != "not_sent":
            self._may_have_run = True
        if link.lost.is_set() and attempt == 0:
            return True  # the next session waits as long as it must
        if error.outcome == "not_sent" and not error.transient:
            return False
        return self._connection.pause_before_retry(attempt, self._deadline)

    # What the server wants of us meanwhile

    def _give(self, requests: Mapping[str, Any]) -> Dict[str, Any]:
        """The answers to input requests, from the handlers that answer a server's requests in the older revisions."""
        answers: Dict[str, Any] = {}
        for key, request in requests.items():
            method = request.get("method") if isinstance(request, Mapping) else None
            if not isinstance(method, str):
                raise MCPProtocolError("the server wants input of an unknown kind", outcome="unknown")
            params = request.get("params")
            refusal: Optional[Refusal] = None
            try:
                answers[key] = self._connection.handlers.answer(method, params if isinstance(params, dict) else {})
            except Refusal as exc:
                refusal = exc
            if refusal is not None:
                raise MCPProtocolError(
                    f"the server wants input that this client cannot give: {refusal}", outcome="unknown"
                )
        return answers

    def _pause(self, seconds: float) -> None:
        self._connection.pause(seconds, self._deadline)
        if self._deadline.expired:
            raise MCPTimeoutError(f"the task was not done within {self._deadline.timeout:g} s", outcome="unknown")


def _reports(tail: Optional[Waiter], status: Optional[str], looks: int) -> Iterator[List[Message]]:
    """What there is to see of a task: its progress, and what the server says of it."""
    if tail is None:
        return
    batch = tail.take()
    if status is not None:
        progress = {"progressToken": tail.id, "progress": looks, "message": status}
        batch.append(notification("notifications/progress", progress))
    if batch:
        yield batch
