"""TaskHandle: a tool call that the server works on while the caller does something else.

Runs on: the caller's threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Optional

from ..concurrency.deadline import Deadline
from ..protocol.rounds import follow
from ..session.connection import Connection
from .operation import Request
from .stream import read_tool_result

if TYPE_CHECKING:
    from ..protocol.types import CallToolResult, GetTaskResult

__all__ = ["TaskHandle"]


class TaskHandle:
    """A task at the server; what ``MCPClient.submit_task`` returns.

    Where the server answered at once, there is no task: ``task_id`` is None, and ``result()`` has the answer.

    Attributes:
        task_id: what the server calls the task; it can be kept, and ``client.task(task_id)`` finds the task again.

    Source: 2025-11-25, Tasks; since 2026-07-28 the extension ``io.modelcontextprotocol/tasks`` (SEP-2663).
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        timeout: Callable[[Optional[float]], Deadline],
        read: Callable[..., Any],
        *,
        task: Optional[Mapping[str, Any]] = None,
        result: Optional[Dict[str, Any]] = None,
    ) -> None:
        self._connection = connection
        self._name = name
        self._timeout = timeout
        self._read = read
        self._task = task
        self._result = result
        self.task_id: Optional[str] = None if task is None else str(task.get("taskId"))

    def status(self, timeout: Optional[float] = None) -> Optional[GetTaskResult]:
        """Ask how the task is; None where the server answered at once."""
        from ..protocol.types import GetTaskResult

        if self.task_id is None:
            return None
        request = Request(self._connection, self._timeout(timeout), repeatable=True)
        state: GetTaskResult = self._read(
            GetTaskResult, request.ask("tasks/get", {"taskId": self.task_id}), "tasks/get"
        )
        return state

    def result(self, timeout: Optional[float] = None, *, raise_on_error: bool = True) -> CallToolResult:
        """Wait for the task to end.

        Raises:
            MCPTimeoutError: it has not ended within ``timeout`` seconds. It goes on, and can be waited for again.
            ToolError, MCPServerError, MCPCancelledError: how it ended.
        """
        result = self._result
        if result is None:
            deadline = self._timeout(timeout)
            request = Request(self._connection, deadline, repeatable=True, cancels_tasks=False)
            is_session_bound = self._connection.link(deadline).is_stateful
            for step in request.drive(follow(self._task or {"taskId": self.task_id}, is_session_bound)):
                if isinstance(step, dict):
                    result = step
            self._result = result
        return read_tool_result(result or {}, self._name, self._connection.server.public, raise_on_error, self._read)

    def cancel(self, timeout: Optional[float] = None) -> None:
        """Ask the server to stop the task; it need not."""
        if self.task_id is not None and self._result is None:
            Request(self._connection, self._timeout(timeout)).ask("tasks/cancel", {"taskId": self.task_id})

    def __repr__(self) -> str:
        return f"<TaskHandle {self._name!r}, {self.task_id or 'answered'}>"
