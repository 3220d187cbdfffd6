"""ToolStream: a tool call as a blocking iterator that ends by itself.

Runs on: the thread that iterates; ``cancel`` on any.
"""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import TYPE_CHECKING, Any, Dict, Iterator, Optional, Type, Union

from ..concurrency.forks import notice
from ..errors import MCPCancelledError, MCPClientError, MCPConnectionError, StreamLostError, needs_descriptors
from ..session.connection import Connection
from ..session.handlers import event_of
from ..session.pending import PendingRequest
from .asking import ToolCall
from .operation import Operation
from .reading import read_tool_result

if TYPE_CHECKING:
    from ..protocol.types import CallToolResult, LogMessage, Notification, Progress

    StreamEvent = Union[Progress, LogMessage, Notification, CallToolResult]

__all__ = ["ToolStream"]


class ToolStream:
    """What a tool sends while it runs, and its result last: ``Progress``, ``LogMessage`` and ``Notification`` events,
    then one ``CallToolResult``.

    It is an iterator and a context manager; leaving the ``with`` block before the end cancels the tool. It starts with
    the block, or with the first event that is asked for. On a transport whose stream all calls share (HTTP+SSE, stdio)
    the server does not say which call a log message belongs to, so every open stream has it.

    One thread iterates. A stream that breaks raises ``StreamLostError`` (both an MCPStreamError and an
    MCPConnectionError).

    Attributes:
        events_received: how many events have come, the result not counted.
    """

    def __init__(self, connection: Connection, call: ToolCall) -> None:
        self._connection = connection
        self._call = call
        # The request of now.
        self._request: Optional[PendingRequest] = None
        self._events: Optional[Iterator[StreamEvent]] = None
        self._result: Optional[CallToolResult] = None
        self._error: Optional[MCPClientError] = None
        self._cancelled = False
        self._over = False
        self.events_received = 0

    def __iter__(self) -> Iterator[StreamEvent]:
        return self

    def __next__(self) -> StreamEvent:
        if self._over:
            raise StopIteration
        if self._events is None:
            self._events = self._run()
        error: MCPClientError
        try:
            return next(self._events)
        except StopIteration:
            self._over = True
            raise
        except MCPCancelledError as exc:
            self._over, self._error = True, exc
            raise StopIteration from None
        except MCPConnectionError as exc:
            error = exc if exc.outcome != "unknown" else self._broken(exc)
        except MCPClientError as exc:
            error = exc
        except BaseException:
            self._over = True
            raise
        self._over, self._error = True, error
        raise error

    def _broken(self, cause: MCPConnectionError) -> MCPClientError:
        error = StreamLostError(
            f"the stream of {self._call.name!r} broke after {self.events_received} events: {cause.message}",
            events_received=self.events_received,
        )
        error.__cause__ = cause
        return error.during(
            server=cause.server,
            method=cause.method,
            request_id=cause.request_id,
            elapsed=cause.elapsed,
            outcome=cause.outcome,
        )

    def _run(self) -> Iterator[StreamEvent]:
        with needs_descriptors:
            from ..protocol.types import Progress

        notice()  # of a fork since the stream was made
        call = self._call
        if self._cancelled:
            raise MCPCancelledError("the call was cancelled before it was sent", outcome="not_sent")
        operation = Operation(self._connection, call.deadline(), call.options(self._connection, "all"), self._started)
        steps = operation.steps("tools/call", call.params)
        result: Dict[str, Any] = {}
        with self._connection, contextlib.closing(steps):  # closing it before its end cancels the call
            for step in steps:
                if isinstance(step, dict):
                    result = step
                    break
                for message in step:
                    event = event_of(message)
                    self.events_received += 1
                    if call.on_progress is not None and isinstance(event, Progress):
                        call.on_progress(event)
                    yield event
                step.clear()  # before the next comes
        self._result = read_tool_result(result, call.name, self._connection, call.raise_on_error)
        yield self._result

    def _started(self, request: PendingRequest) -> None:
        self._request = request
        if self._cancelled:
            request.cancel()

    @property
    def result(self) -> CallToolResult:
        """The tool's result; what is still to come of the stream is read first.

        Raises:
            ToolError, MCPClientError: as the iteration does; MCPCancelledError after ``cancel()``.
        """
        while not self._over and self._result is None:
            next(self, None)
        if self._result is not None:
            return self._result
        raise self._error or MCPCancelledError("the stream was left before its result came", outcome="unknown")

    def cancel(self) -> None:
        """Stop the tool: the server is told, and the iteration ends.

        Any thread; does not block; harmless after the end.
        """
        self._cancelled = True
        request = self._request
        if request is not None:
            request.cancel()

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    @property
    def dropped(self) -> int:
        """How many events were dropped because they were not read in time; see ``max_buffered_bytes``."""
        return 0 if self._request is None else self._request.dropped

    def close(self) -> None:
        """Leave the stream; a tool that still runs is cancelled."""
        if self._events is None or self._over:
            self._over = True
            return
        try:
            self._events.close()  # type: ignore[attr-defined]  # it is a generator
            self._over = True
        except ValueError:  # another thread is inside
            self.cancel()

    def __enter__(self) -> ToolStream:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = (
            "cancelled"
            if self._cancelled
            else "over"
            if self._over
            else "running"
            if self._events is not None
            else "not started"
        )
        return f"<ToolStream {self._call.name!r}, {state}, {self.events_received} events>"
