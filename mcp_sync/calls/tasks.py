"""TaskHandle: a tool call that the server works on while the caller does something else.

Runs on: the caller's threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional

from ..concurrency.call_clock import deadline_of
from ..concurrency.deadline import Deadline, check_timeout
from ..concurrency.forks import notice
from ..escape import one_line
from ..protocol.messages import is_complete, task_in
from ..protocol.rounds import Conversation, follow
from ..session.connection import Connection
from .operation import READ_ONLY, Operation, Options, list_tools
from .reading import read, read_tool_result

if TYPE_CHECKING:
    from ..protocol.types import CallToolResult, GetTaskResult

__all__ = ["TaskHandle", "submit_task"]


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
        *,
        task: Optional[Mapping[str, Any]] = None,
        result: Optional[Dict[str, Any]] = None,
        client: object = None,
    ) -> None:
        self._connection = connection
        self._name = name
        self._task = task
        self._result = result
        # Not used, but kept: a client that is dropped is closed.
        self._client = client
        self.task_id: Optional[str] = None if task is None else str(task.get("taskId"))

    def _deadline(self, timeout: Optional[float]) -> Deadline:
        notice()
        config = self._connection.config
        seconds = config.timeout if timeout is None else check_timeout(timeout)
        return deadline_of(seconds, config.input_timeout if self._connection.handlers.answers_anything else 0.0)

    def status(self, timeout: Optional[float] = None) -> Optional[GetTaskResult]:
        """Ask how the task is; None where the server answered at once."""
        from ..protocol.types import GetTaskResult

        if self.task_id is None:
            return None
        with self._connection:
            operation = Operation(self._connection, self._deadline(timeout), READ_ONLY)
            answer = operation.first_result("tasks/get", {"taskId": self.task_id})
        return read(GetTaskResult, answer, "tasks/get", self._connection)

    def result(self, timeout: Optional[float] = None, *, raise_on_error: bool = True) -> CallToolResult:
        """Wait for the task to end.

        Raises:
            MCPTimeoutError: it has not ended within ``timeout`` seconds. It goes on, and can be waited for again.
            ToolError, MCPServerError, MCPCancelledError: how it ended.
        """
        result = self._result
        if result is None:
            deadline = self._deadline(timeout)
            operation = Operation(self._connection, deadline, Options(repeatable=True, cancels_tasks=False))
            with self._connection:
                for step in operation.follow(self._to_its_end(deadline)):
                    if isinstance(step, dict):
                        result = step
            self._result = result
        return read_tool_result(result or {}, self._name, self._connection, raise_on_error)

    def _to_its_end(self, deadline: Deadline) -> Conversation:
        is_session_bound = self._connection.session(deadline).is_stateful
        return (yield from follow(self._task or {"taskId": self.task_id}, is_session_bound))

    def cancel(self, timeout: Optional[float] = None) -> None:
        """Ask the server to stop the task; it need not."""
        if self.task_id is not None and self._result is None:
            with self._connection:
                operation = Operation(self._connection, self._deadline(timeout))
                operation.first_result("tasks/cancel", {"taskId": self.task_id})

    def __repr__(self) -> str:
        return one_line(f"<TaskHandle {self._name!r}, {self.task_id or 'answered'}>")


def submit_task(
    connection: Connection, params: Dict[str, Any], ttl: Optional[float], deadline: Deadline, client: object
) -> TaskHandle:
    """Call a tool as a task, where the server offers that.

    Parameters:
        ttl: seconds that the server should keep the result; None leaves it to the server.
        client: is kept as long as the handle is.
    """
    params = _as_task(connection, params, ttl, deadline)
    name = str(params["name"])
    operation = Operation(connection, deadline)
    first = operation.first_result("tools/call", params)
    task = task_in(first)
    if task is not None:
        return TaskHandle(connection, name, task=task, client=client)
    if not is_complete(first):
        for step in operation.steps("tools/call", params, first):
            first = step if isinstance(step, dict) else first
    return TaskHandle(connection, name, result=first, client=client)


def _as_task(
    connection: Connection, params: Dict[str, Any], ttl: Optional[float], deadline: Deadline
) -> Dict[str, Any]:
    """The params of a call that asks for a task, where the revision has the caller ask and the server can."""
    if not connection.session(deadline).offers_tasks:
        return params
    catalog = connection.catalog
    if catalog.task_support(params["name"]) is None:
        list_tools(connection, deadline)
    if catalog.task_support(params["name"]) is None:
        return params
    return {**params, "task": {} if ttl is None else {"ttl": int(ttl * 1000)}}
