"""ToolStream: a tool call as a blocking iterator that ends by itself.

Runs on: the thread that iterates; ``cancel`` on any.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Type, Union

from ..concurrency.deadline import Deadline
from ..errors import MCPCancelledError, MCPClientError, MCPConnectionError, StreamLostError, ToolError
from ..protocol.messages import Message
from ..session.connection import Connection
from ..session.handlers import event_of
from ..session.pending import Call
from .operation import Request

if TYPE_CHECKING:
    from ..protocol.types import CallToolResult, LogMessage, Notification, Progress

    StreamEvent = Union[Progress, LogMessage, Notification, CallToolResult]

__all__ = ["ToolStream", "read_tool_result"]


def read_tool_result(
    result: Dict[str, Any], name: str, server: str, raise_on_error: bool, read: Callable[..., Any]
) -> CallToolResult:
    """The result of ``tools/call`` as a model.

    Raises:
        ToolError: it says ``isError``, and ``raise_on_error`` is set.
        MCPProtocolError: it has a wrong shape.
    """
    from ..protocol.types import CallToolResult

    model: CallToolResult = read(CallToolResult, result, "tools/call")
    if raise_on_error and model.is_error:
        text = model.text or "the server gives no reason"
        raise ToolError(
            f"the tool {name!r} failed: {text if len(text) <= 1000 else text[:997] + '...'}",
            result=model,
            method="tools/call",
            server=server,
        )
    return model


class ToolStream:
    """What a tool sends while it runs, and its result last: ``Progress``, ``LogMessage`` and ``Notification`` events,
    then one ``CallToolResult``.

    It is an iterator and a context manager; leaving the ``with`` block before the end cancels the tool. It starts with
    the block, or with the first event that is asked for. On a transport whose stream all calls share (HTTP+SSE, stdio)
    the server does not say which call a log message belongs to, so every open stream has it.

    One thread iterates. A stream that breaks raises ``StreamLostError`` (both an MCPStreamError and an
    MCPConnectionError).
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        params: Dict[str, Any],
        timeout: float,
        *,
        raise_on_error: bool,
        repeatable: bool,
        resend: bool,
        on_progress: Optional[Callable[[Progress], object]],
        relist: Callable[[Deadline], object],
        read: Callable[..., Any],
        prepare: Callable[[Dict[str, Any], Deadline], Dict[str, Any]],
    ) -> None:
        self._prepare = prepare
        self._connection = connection
        self._name = name
        self._params = params
        self._timeout = timeout
        self._raise_on_error = raise_on_error
        self._repeatable = repeatable
        self._resend = resend
        self._on_progress = on_progress
        self._relist = relist
        self._read = read
        self._deadline: Optional[Deadline] = None
        self._call: Optional[Call] = None
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
            f"the stream of {self._name!r} broke after {self.events_received} events: {cause.message}",
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
        from ..protocol.types import Progress

        self._deadline = deadline = Deadline(self._timeout)
        if self._cancelled:
            raise MCPCancelledError("the call was cancelled before it was sent", outcome="not_sent")
        request = Request(
            self._connection,
            deadline,
            wants="all",
            repeatable=self._repeatable,
            resend=self._resend,
            started=self._started,
            relist=self._relist,
        )
        batches = request.events("tools/call", self._prepare(self._params, deadline))
        result: Dict[str, Any] = {}
        try:
            for batch in batches:
                if isinstance(batch, dict):
                    result = batch
                    break
                messages: List[Message] = batch
                for message in messages:
                    event = event_of(message)
                    self.events_received += 1
                    if self._on_progress is not None and isinstance(event, Progress):
                        self._on_progress(event)
                    yield event
        finally:
            batches.close()  # type: ignore[attr-defined]  # it is a generator: closing it cancels the call
        self._result = read_tool_result(
            result, self._name, self._connection.server.public, self._raise_on_error, self._read
        )
        yield self._result

    def _started(self, call: Call) -> None:
        self._call = call
        if self._cancelled:
            call.cancel()

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
        call = self._call
        if call is not None:
            call.cancel()

    @property
    def cancelled(self) -> bool:
        return self._cancelled

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
        return f"<ToolStream {self._name!r}, {state}, {self.events_received} events>"
