"""Calls in the background: a future whose ``cancel()`` stops the tool.

Runs on: one daemon thread per running call, at most 64 at once.
"""

from __future__ import annotations

import concurrent.futures
import threading
import weakref
from typing import TYPE_CHECKING, Any, Callable, Optional, Set

from ..concurrency.background_close import stay_at_exit
from ..concurrency.forks import disown, in_child, inherited, notice
from ..concurrency.locks import Condition
from ..concurrency.signals import from_signal_handler
from ..concurrency.workers import Workers
from ..errors import MCPClosedError
from ..session.pending import Call

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
        self._condition = Condition()
        self._call: Optional[Call] = None
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
            # Whoever waits for several futures at once must hear of it now.
            self.set_running_or_notify_cancel()
        call = self._call
        if call is not None:
            call.cancel()
        return True

    def follow(self, call: Call) -> None:
        """``call`` is what this future stands for now."""
        self._call = call
        if self.cancelled():
            call.cancel()

    def run(self, work: Callable[[], Any]) -> None:
        """Do ``work`` and take its result or exception."""
        if self.done():
            return
        self._began = True
        try:
            result = work()
        except BaseException as exc:  # noqa: BLE001  # whatever it is, it belongs to whoever asks for the result
            self.fail(exc)
        else:
            self._finish(lambda: self.set_result(result))

    def fail(self, error: BaseException) -> None:
        """``error`` is what came of it, unless something else has."""
        self._finish(lambda: self.set_exception(error))

    def disown(self) -> None:
        """This process was forked from the one that makes the call."""
        if not self.done():
            super().__init__()  # whoever waits or listens is in the parent
            self._condition = Condition()
            self._call = None
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

    def __init__(self) -> None:
        self._workers = Workers("mcp-sync-call", threads=_THREADS, backlog=_BACKLOG)
        # Those that wait for a thread: whoever waits for one of them must hear of it when there will be none. To add
        # and to discard is one step of the interpreter.
        self._waiting: Set[ToolFuture] = set()

    def submit(self, work: Callable[[Callable[[Call], None]], Any]) -> ToolFuture:
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
