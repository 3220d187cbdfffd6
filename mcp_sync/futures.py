"""Calls in the background: a future whose ``cancel()`` stops the tool.

Runs on: one daemon thread per running call, at most 64 at once.
"""

from __future__ import annotations

import concurrent.futures
import threading
from typing import TYPE_CHECKING, Any, Callable, Optional

from .call import Call
from .errors import MCPClientError, MCPClosedError
from .workers import Workers

if TYPE_CHECKING:
    from .protocol.types import CallToolResult

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
        self._call: Optional[Call] = None
        self._began = False
        # Guards the flag: only the first of two cancellations may notify.
        self._lock = threading.Lock()
        self._notified = False

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
        if self.cancelled():
            return
        self._began = True
        try:
            result = work()
        except BaseException as exc:  # noqa: BLE001  # whatever it is, it belongs to whoever asks for the result
            failure = exc
            self._finish(lambda: self.set_exception(failure))
        else:
            self._finish(lambda: self.set_result(result))

    def _finish(self, settle: Callable[[], None]) -> None:
        try:
            settle()
        except concurrent.futures.InvalidStateError:
            pass  # it was cancelled meanwhile


class Background:
    """The threads that a client's ``submit`` runs on."""

    def __init__(self) -> None:
        self._workers = Workers("mcp-sync-call", threads=_THREADS, backlog=_BACKLOG)

    def submit(self, work: Callable[[Callable[[Call], None]], Any]) -> ToolFuture:
        """Run ``work``, which is given where to report each call it makes.

        Raises:
            MCPClientError: it cannot be run: the client is closed, or 100,000 calls wait already.
        """
        future = ToolFuture()
        if not self._workers.submit(lambda: future.run(lambda: work(future.follow))):
            error: MCPClientError = MCPClosedError(
                "the client takes no more calls: it is closed, or too many wait", outcome="not_sent"
            )
            raise error
        return future

    def close(self) -> None:
        self._workers.close()
