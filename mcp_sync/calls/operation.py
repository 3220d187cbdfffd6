"""One operation of the caller's, from the first send to the complete result: sent again where that is safe, input given
where the server wants it, tasks followed to their end.

Runs on: the calling thread.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from typing import Any, Callable, Dict, Generator, Iterator, List, Mapping, NamedTuple, Optional, Type, TypeVar, cast

from ..concurrency.call_clock import CallDeadline
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
from ..protocol.conversations import Ask, Following, Inputs, Pause, list_pages
from ..protocol.messages import Message, RequestId, is_complete, notification, weight_of
from ..protocol.rounds import finish
from ..session.catalog import RejectedItem
from ..session.connection import Connection
from ..session.pending import PendingRequest, ask_soon
from ..session.session import Session
from ..session.waiter import Waiter
from .inputs import give
from .reading import read, with_known_cursor

__all__ = ["READ_ONLY", "Operation", "Options", "fresh", "list_all", "list_tools"]


_T = TypeVar("_T")

# The headers did not match the body: the tool's schema has changed (2026-07-28, Server Validation).
_HEADER_MISMATCH = -32020
# The server does not speak this revision any more, and says so before it does anything (2026-07-28, Versioning).
_UNSUPPORTED_VERSION = -32022
# Statuses by which a server asks to be tried again later.
_ASK_TO_WAIT = (429, 503)


class Options(NamedTuple):
    """How an operation is carried out.

    Attributes:
        wants: what the caller wants to see while it runs; see ``Waiter``.
        repeatable: it may be sent again when the server says that it did not process it.
        retry: it may be sent again even when the server may have processed it.
        cancels_tasks: a task that is left early is cancelled.
    """

    wants: Optional[str] = None
    repeatable: bool = False
    retry: bool = False
    cancels_tasks: bool = True


# From the best that can be said to the worst.
_OUTCOMES = ("not_sent", "refused", "unknown")
_ONCE = Options()
# What only reads may be repeated.
READ_ONLY = Options(repeatable=True)


class Operation:
    """One operation.

    Parameters:
        started: is told of each request that is made, to be able to cancel it.
    """

    __slots__ = ("_connection", "_deadline", "_options", "_so_far", "_started", "_token", "took_rounds")

    def __init__(
        self,
        connection: Connection,
        deadline: Deadline,
        options: Options = _ONCE,
        started: Optional[Callable[[PendingRequest], None]] = None,
    ) -> None:
        self._connection = connection
        self._deadline = deadline
        self._options = options
        self._started = started
        # What is known of the requests so far, the worst of them: that the last one was not sent says nothing of one
        # before it that may have run, or that was answered with less than the complete result.
        self._so_far = "not_sent"
        # A result that took more than one request must not be cached (2026-07-28, Caching, Cache Key).
        self.took_rounds = False
        # The id of the first request: its progress token.
        self._token: Optional[RequestId] = None

    def result(self, method: str, params: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
        """The complete result."""
        result: Dict[str, Any] = {}
        for step in self.steps(method, params):
            if isinstance(step, dict):
                result = step
        return result

    def first_result(self, method: str, params: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
        """The first result, complete or not."""
        sending = self._send(method, params)
        try:
            while True:
                next(sending)
        except StopIteration as done:
            return cast(Dict[str, Any], done.value)

    def steps(
        self, method: str, params: Optional[Mapping[str, Any]], first: Optional[Dict[str, Any]] = None
    ) -> Generator[Any, None, None]:
        """Batches of messages as they come (lists), then the complete result (a dict).

        Parameters:
            first: the first result, if it is there already.
        """
        if first is None:
            first = yield from self._send(method, params)
        if is_complete(first):
            yield first
        else:
            yield from self.follow(finish(method, params or {}, first))

    def follow(self, conversation: Generator[Any, Any, Dict[str, Any]]) -> Iterator[Any]:
        """Carry a conversation out that follows a first answer: yields batches of messages, then what it returns.

        Left early, its task is cancelled.
        """
        self._so_far = "unknown"
        tail: Optional[Waiter] = None
        task_id: Optional[str] = None
        try:
            step: Any = next(conversation)
            while True:
                answer: Any = None
                if isinstance(step, Inputs):
                    answer = give(self._connection, step.requests, self._deadline)
                elif isinstance(step, Pause):
                    self._pause(step.seconds)
                elif isinstance(step, Following):
                    if task_id is None:
                        task_id, tail = step.task_id, self._tail()
                    yield from _reports(tail, step.status, step.looks)
                else:
                    ask = cast(Ask, step)
                    self.took_rounds = True
                    answer = yield from self._send(ask.method, ask.params)
                step = conversation.send(answer)
        except StopIteration as done:
            result: Dict[str, Any] = done.value
        except BaseException as exc:
            if task_id is not None and self._options.cancels_tasks and not isinstance(exc, MCPServerError):
                self._cancel_task(task_id)
            if isinstance(exc, MCPClientError):
                self._tell_outcome(exc)
            raise
        finally:
            if tail is not None and self._connection.last is not None:
                self._connection.last.dispatcher.withdraw(tail)
                tail.close()
        yield result

    def _tail(self) -> Optional[Waiter]:
        """A task's progress comes under the token of the request that made it, which is answered already."""
        session = self._connection.live
        if self._options.wants is None or self._token is None or session is None:
            return None
        waiter = Waiter(self._token, self._options.wants, session.pools.budget)
        session.dispatcher.expect(waiter)
        return waiter

    def _cancel_task(self, task_id: str) -> None:
        session = self._connection.live
        if session is not None:
            ask_soon(session, "tasks/cancel", {"taskId": task_id})

    # One request of the operation

    def _send(self, method: str, params: Optional[Mapping[str, Any]]) -> Generator[List[Message], None, Dict[str, Any]]:
        """Yield batches of messages as they come, and return the first result: the one loop that decides about sending
        again.
        """
        seen = False
        error: MCPClientError
        try:
            for attempt in itertools.count():
                session = self._connection.session(self._deadline)
                pending = self._request(session, method, params)
                try:
                    for batch in pending.events():
                        seen = True
                        yield batch
                    answer = pending.answer()
                    self._so_far = "unknown"
                    return answer
                except MCPClientError as exc:
                    error = exc
                finally:
                    if isinstance(self._deadline, CallDeadline):
                        self._deadline.expect_life(False)
                self._so_far = _worse(self._so_far, _of_attempt(error, seen))
                # What the caller has seen cannot be unseen: a second run would show it twice.
                if seen or not self._may_send_again(session, error, attempt):
                    raise error
        except MCPClientError as exc:
            self._tell_outcome(exc)
            raise
        raise AssertionError("unreachable")

    def _tell_outcome(self, error: MCPClientError) -> None:
        """Have ``error`` say what is true of the whole operation. One that is an answer says nothing of it, unless
        something before it may have run.
        """
        if error.outcome is not None or self._so_far == "unknown":
            error.outcome = _worse(self._so_far, error.outcome or "unknown")

    def _request(self, session: Session, method: str, params: Optional[Mapping[str, Any]]) -> PendingRequest:
        if session.offers_tasks and method == "tools/call" and params is not None:
            with _of_the_call("not_sent"):
                params = self._as_demanded(params)
        pending = PendingRequest(session, method, params, self._deadline, self._options.wants)
        if self._token is None:
            self._token = pending.id
        if self._started is not None:
            self._started(pending)
        return pending

    def _as_demanded(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """The params of a tool call, which asks for a task where the tool cannot be called in any other way."""
        if "task" in params:
            return params
        catalog = self._connection.catalog
        if not catalog.is_known:
            list_tools(self._connection, self._deadline)
        return {**params, "task": {}} if catalog.task_support(params["name"]) == "required" else params

    def _may_send_again(self, session: Session, error: MCPClientError, attempt: int) -> bool:
        """Whether a request that failed with ``error`` may be sent again: never when it may have run, unless the
        caller allows that. Waits before a server that is away is tried again, and forgets a session that the server
        has forgotten.
        """
        if isinstance(error, MCPServerError):
            if attempt == 0 and not session.is_stateful:
                if error.code == _HEADER_MISMATCH and error.method == "tools/call":
                    with _of_the_call("refused"):
                        self._list_tools_anew()
                    return True
                if error.code == _UNSUPPORTED_VERSION:
                    session.give_up(error)  # what both speak is agreed on anew
                    return True
            return False
        if isinstance(error, SessionExpiredError):
            session.give_up(error)
            return (self._options.repeatable or self._options.retry) and attempt == 0
        if isinstance(error, HTTPStatusError):
            return self._options.retry and self._waits_as_told(error, attempt)
        if isinstance(error, (MCPTimeoutError, MCPClosedError)):
            return False
        if not isinstance(error, MCPConnectionError) or (error.outcome != "not_sent" and not self._options.retry):
            return False
        if session.lost.is_set() and attempt == 0:
            return True  # the next session waits as long as it must
        if error.outcome == "not_sent" and not error.transient:
            return False
        return self._connection.pause_before_retry(attempt, self._deadline)

    def _waits_as_told(self, error: HTTPStatusError, attempt: int) -> bool:
        """Wait where the server says how long; False, at once, where it does not, or there is no time for that."""
        if error.status not in _ASK_TO_WAIT or error.retry_after is None:
            return False
        return self._connection.pause_before_retry(attempt, self._deadline, error.retry_after)

    def _list_tools_anew(self) -> None:
        """What is known of a tool is out of date."""
        cache = self._connection.cache
        if cache is not None:
            cache.forget("tools/list")
        list_tools(self._connection, self._deadline)

    def _pause(self, seconds: float) -> None:
        self._connection.pause(seconds, self._deadline)
        if self._deadline.expired:
            raise MCPTimeoutError(f"the task was not done within {self._deadline.timeout:g} s", outcome="unknown")


def _of_attempt(error: MCPClientError, seen: bool) -> str:
    """What a request that failed with ``error`` adds to that; an answer is a refusal where it is sent again."""
    return "refused" if error.outcome is None else "unknown" if seen else error.outcome


def _worse(one: str, other: str) -> str:
    return max(one, other, key=_OUTCOMES.index)


@contextmanager
def _of_the_call(outcome: str) -> Iterator[None]:
    """What goes wrong in the block is about another request, and ``outcome`` is true of the call."""
    try:
        yield
    except MCPClientError as exc:
        exc.outcome = outcome
        raise


def _reports(tail: Optional[Waiter], status: Optional[str], looks: int) -> Iterator[List[Message]]:
    """What there is to see of a task: its progress, and what the server says of it."""
    if tail is None:
        return
    tail.done()
    batch = tail.take()
    if status is not None:
        progress = {"progressToken": tail.id, "progress": looks, "message": status}
        batch.append(notification("notifications/progress", progress))
    if batch:
        yield batch


# Lists: here, because an operation that meets a server whose tools have changed lists them anew.


def fresh(connection: Connection, operation: Operation, method: str, params: Optional[Mapping[str, Any]]) -> Any:
    """A result from the cache while it is fresh, else from the server."""
    cache = connection.cache
    if cache is None:
        return operation.result(method, params)
    result = cache.get(method, params)
    if result is None:
        changes = cache.changes
        result = operation.result(method, params)
        if not operation.took_rounds:
            cache.put(method, params, result, changes)
    return result


def list_all(
    connection: Connection,
    method: str,
    field: str,
    model: Type[_T],
    deadline: Deadline,
    meta: Optional[Mapping[str, Any]] = None,
) -> List[_T]:
    """All items of a list, all pages, as models. One that is malformed is left out, and the catalog keeps it.

    Parameters:
        field: the key of the items in each result.
        meta: further ``_meta`` of each request.
    """
    cache = connection.cache
    try:
        items = _pages(connection, method, field, deadline, meta)
    except MCPServerError:
        # The cursor of a page that was kept may lead nowhere any more (2026-07-28, Caching, Pagination).
        if cache is None or not cache.forget(method):
            raise
        items = _pages(connection, method, field, deadline, meta)
    found: List[_T] = []
    rejected: List[RejectedItem] = []
    for index, item in enumerate(items):
        deadline.check()
        try:
            found.append(read(model, item, method, connection))
        except MCPProtocolError as exc:
            name = item.get("name") if isinstance(item, dict) else None
            rejected.append(RejectedItem(field, index, name if isinstance(name, str) else None, exc.message, item))
    connection.catalog.reject(field, rejected)
    return found


def _pages(
    connection: Connection, method: str, field: str, deadline: Deadline, meta: Optional[Mapping[str, Any]]
) -> List[Any]:
    operation = Operation(connection, deadline, READ_ONLY)
    pages = list_pages(method, field, meta)
    items: List[Any] = []
    account = connection.pools.budget.account(1.0)
    try:
        ask = next(pages)
        while True:
            page = fresh(connection, operation, ask.method, ask.params)
            if not account.take(weight_of(page, account.most)):
                raise MCPProtocolError(
                    f"the server's {field} take more than the {account.most:.0f} bytes of max_buffered_bytes; "
                    f"request({method!r}, {{'cursor': ...}}) reads them page by page",
                    method=method,
                    outcome="unknown",
                )
            ask = pages.send(with_known_cursor(page, method, connection))
    except StopIteration as done:
        items = done.value
    finally:
        account.close()
    return items


def list_tools(connection: Connection, deadline: Deadline, meta: Optional[Mapping[str, Any]] = None) -> List[Any]:
    """All tools of the server that can be used; the catalog learns of them."""
    from ..protocol.types import Tool

    tools = list_all(connection, "tools/list", "tools", Tool, deadline, meta)
    session = connection.session(deadline)
    mirrors = not session.is_stateful and session.transport.has_headers
    return connection.catalog.learn(tools, mirrors=mirrors, look=deadline.check)
