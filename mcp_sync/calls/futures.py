"""Calls in the background: a future whose ``cancel()`` stops the tool.

Runs on: one daemon thread per running call, at most 64 at once; those that a handler or one of these threads begins on
64 more.
"""

from __future__ import annotations

import concurrent.futures
import threading
import weakref
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Set

from ..concurrency.background_close import settling_a_future, stay_at_exit
from ..concurrency.events import Condition
from ..concurrency.forks import disown, in_child, inherited, notice
from ..concurrency.signals import from_signal_handler
from ..concurrency.workers import Workers
from ..errors import MCPClosedError
from ..session.connection import Connection
from ..session.handlers import depth
from ..session.pending import PendingRequest
from ..transports.http.private import set_condition
from .asking import ToolCall, call_tool

if TYPE_CHECKING:
    from ..protocol.types import CallToolResult

    _Future = concurrent.futures.Future[CallToolResult]
else:
    _Future = concurrent.futures.Future

__all__ = ["Background", "ToolFuture"]

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

    def take(self, result: CallToolResult) -> None:
        """End with ``result``, unless it has ended."""
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


def make_call(connection: Connection, call: ToolCall, started: Callable[[PendingRequest], None]) -> CallToolResult:
    """Make ``call`` now, whose deadline begins now."""
    with connection:
        return call_tool(connection, call, call.deadline(), started)


class Background:
    """The threads that a client's ``submit`` runs on.

    What is submitted on one of them, or by a handler, has threads of its own: those here may all wait for it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # By the depth of what is submitted.
        self._workers: Dict[int, Workers] = {}
        self._closed = False
        # Those that wait for a thread: they fail when there will be none. To add and to discard is one step of the
        # interpreter.
        self._waiting: Set[ToolFuture] = set()

    def submit_call(self, call: ToolCall) -> ToolFuture:
        """Call a tool. Its timeout counts from when the call starts."""
        return self.submit(lambda started: make_call(self._connection, call, started))

    def submit(self, work: Callable[[Callable[[PendingRequest], None]], Any]) -> ToolFuture:
        """Run ``work``, which is given where to report each call it makes.

        Raises:
            MCPClientError: it cannot be run: the client is closed, or 100,000 calls wait already.
        """
        future, here = ToolFuture(), depth.get()

        def begin() -> None:
            self._waiting.discard(future)
            outer = depth.set(here + 1)
            try:
                future.run(lambda: work(future.follow))
            finally:
                depth.reset(outer)

        self._waiting.add(future)
        _open.add(future)
        try:
            is_taken = self._at(here).submit(begin)
        except BaseException:
            future.cancel()  # nobody else can: the caller was interrupted, and has no future
            raise
        if not is_taken:
            self._waiting.discard(future)
            raise MCPClosedError("the client takes no more calls: it is closed, or too many wait", outcome="not_sent")
        return future

    def _at(self, here: int) -> Workers:
        workers = self._workers.get(here)
        if workers is None:
            # One step of the interpreter: of two threads that come here at once, both get the same.
            made = Workers("mcp-sync-call", threads=_THREADS, backlog=_BACKLOG)
            workers = self._workers.setdefault(here, made)
            if self._closed:
                workers.close()
        return workers

    def close(self) -> None:
        """Fail what has not begun; what has begun ends by itself."""
        self._closed = True
        for workers in list(self._workers.values()):
            workers.close()
        for future in list(self._waiting):
            future.fail(MCPClosedError("the client was closed before this call began", outcome="not_sent"))
        self._waiting.clear()
