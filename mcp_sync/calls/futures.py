"""Calls in the background, and many calls at once: a future whose ``cancel()`` stops the tool.

Runs on: one daemon thread per running call, at most 64 at once; those of a map on a few daemon threads for as long as
it takes, or on the user's own executor.
"""

from __future__ import annotations

import concurrent.futures
import functools
import threading
import weakref
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Set

from ..concurrency.background_close import settling_a_future, stay_at_exit
from ..concurrency.deadline import Deadline
from ..concurrency.events import Condition
from ..concurrency.forks import disown, in_child, inherited, notice
from ..concurrency.signals import from_signal_handler
from ..concurrency.workers import Workers
from ..errors import MCPClosedError, MCPConnectionError, MCPUsageError
from ..session.connection import Connection
from ..session.pending import PendingRequest
from ..transports.http.private import set_condition
from .asking import ToolCall, call_tool

if TYPE_CHECKING:
    from ..protocol.types import CallToolResult

    _Future = concurrent.futures.Future[CallToolResult]
else:
    _Future = concurrent.futures.Future

__all__ = ["Background", "ToolFuture", "map_calls"]

_THREADS = 64
_BACKLOG = 100_000


class ToolFuture(_Future):
    """A ``concurrent.futures.Future`` of a tool call.

    Unlike others it can be cancelled while it runs: the server is told to stop the tool.

    While the call runs the future counts as pending, because ``Future`` lets only a pending one be cancelled;
    ``running()`` tells the difference.
    """

    def __init__(self) -> None:
        super().__init__()
        set_condition(self, Condition())
        self._request: Optional[PendingRequest] = None
        self._began = False
        # Guards the flag: only the first of two cancellations may notify.
        self._lock = threading.RLock()
        self._notified = False

    def result(self, timeout: Optional[float] = None) -> CallToolResult:
        notice()
        try:
            return super().result(timeout)
        except MCPClosedError:
            stay_at_exit()
            raise
        except RuntimeError as exc:
            raise from_signal_handler(exc) or exc  # noqa: B904  # what the interrupted wait made of an interrupt

    def exception(self, timeout: Optional[float] = None) -> Optional[BaseException]:
        notice()
        return super().exception(timeout)

    def running(self) -> bool:
        return self._began and not self.done()

    def cancel(self) -> bool:
        if not super().cancel():
            return False
        with self._lock:
            first, self._notified = not self._notified, True
        if first:
            # A thread that waits for several futures at once must be told now.
            self.set_running_or_notify_cancel()
        request = self._request
        if request is not None:
            request.cancel()
        return True

    def follow(self, request: PendingRequest) -> None:
        """``request`` is what ``cancel`` stops from now on."""
        self._request = request
        if self.cancelled():
            request.cancel()

    def run(self, work: Callable[[], Any]) -> None:
        """Do ``work`` and take its result or exception."""
        if self.done():
            return
        self._began = True
        try:
            with settling_a_future():
                result = work()
        except BaseException as exc:  # noqa: BLE001  # whatever it is, the caller of result() gets it
            self.fail(exc)
        else:
            self._finish(lambda: self.set_result(result))

    def fail(self, error: BaseException) -> None:
        """End with ``error``, unless it has ended."""
        self._finish(lambda: self.set_exception(error))

    def disown(self) -> None:
        """This process was forked from the one that makes the call."""
        if not self.done():
            super().__init__()  # those who wait are in the parent
            set_condition(self, Condition())
            self._request = None
            self.set_exception(inherited())

    def _finish(self, settle: Callable[[], None]) -> None:
        try:
            settle()
        except concurrent.futures.InvalidStateError:
            pass  # it was cancelled meanwhile


# What a forked child inherits, and nobody will ever finish there.
_open: weakref.WeakSet[ToolFuture] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    disown(_open)
    _open.clear()


in_child(_after_fork_in_child)


class Background:
    """The threads that a client's ``submit`` runs on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._workers = Workers("mcp-sync-call", threads=_THREADS, backlog=_BACKLOG)
        # Those that wait for a thread: they fail when there will be none. To add and to discard is one step of the
        # interpreter.
        self._waiting: Set[ToolFuture] = set()

    def submit_call(self, call: ToolCall) -> ToolFuture:
        """Call a tool. Its timeout counts from when the call starts."""
        return self.submit(lambda started: call_tool(self._connection, call, Deadline(call.timeout), started))

    def submit(self, work: Callable[[Callable[[PendingRequest], None]], Any]) -> ToolFuture:
        """Run ``work``, which is given where to report each call it makes.

        Raises:
            MCPClientError: it cannot be run: the client is closed, or 100,000 calls wait already.
        """
        future = ToolFuture()

        def begin() -> None:
            self._waiting.discard(future)
            future.run(lambda: work(future.follow))

        self._waiting.add(future)
        _open.add(future)
        if not self._workers.submit(begin):
            self._waiting.discard(future)
            raise MCPClosedError("the client takes no more calls: it is closed, or too many wait", outcome="not_sent")
        return future

    def close(self) -> None:
        """Fail what has not begun; what has begun ends by itself."""
        self._workers.close()
        for future in list(self._waiting):
            future.fail(MCPClosedError("the client was closed before this call began", outcome="not_sent"))
        self._waiting.clear()


def map_calls(
    connection: Connection, calls: List[ToolCall], max_workers: int, executor: Optional[concurrent.futures.Executor]
) -> List[CallToolResult]:
    """Make ``calls``, at most ``max_workers`` at once, and return the results in order.

    The first failure, in order, is raised, and the rest cancelled.

    Raises:
        MCPUsageError: ``max_workers`` is no number of threads.
    """
    if isinstance(max_workers, bool) or not isinstance(max_workers, int) or max_workers < 1:
        raise MCPUsageError(
            f"max_workers must be a number of threads, 1 or more, not {max_workers!r}", outcome="not_sent"
        )
    futures = [ToolFuture() for _ in calls]
    permits = threading.BoundedSemaphore(max_workers)

    def run(future: ToolFuture, call: ToolCall) -> None:
        with permits:
            future.run(lambda: call_tool(connection, call, Deadline(call.timeout), future.follow))

    workers = Workers("mcp-sync-map", threads=max_workers, backlog=len(calls) + 1) if executor is None else None

    def begin(job: Callable[[], None]) -> None:
        if executor is not None:
            executor.submit(job)
        elif workers is not None and not workers.submit(job):
            raise MCPConnectionError("no thread could be started for the calls", outcome="not_sent")

    try:
        for future, call in zip(futures, calls):
            begin(functools.partial(run, future, call))
        # Every call has its own deadline, so each of these waits has a bound.
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()
        if workers is not None:
            workers.close()
