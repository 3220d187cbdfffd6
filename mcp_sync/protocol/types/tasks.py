"""Tasks: requests that a server works on while we poll.

They come in two forms, that of 2025-11-25 and that of the extension ``io.modelcontextprotocol/tasks``, which differ in
names (``ttl``, ``ttlMs``) and in where the outcome is found. Each model says which form it is for.
Runs on: any thread; models are plain data.
"""

from typing import Any, ClassVar, Dict, FrozenSet, List, Literal, Optional

from .base import Number, RequestParams, Result, WireModel
from .faults import ErrorObject
from .input_required import InputRequest
from .paging import PaginatedResult

__all__ = [
    "CancelTaskResult",
    "CreateTaskResult",
    "GetTaskResult",
    "ListTasksResult",
    "RelatedTask",
    "Task",
    "TaskHandleResult",
    "TaskMetadata",
    "TaskParams",
    "TaskStatusParams",
    "UpdateTaskParams",
]

_TERMINAL = frozenset({"completed", "failed", "cancelled"})


class TaskMetadata(WireModel):
    """Asks for a request to be run as a task, kept for ``ttl`` milliseconds (2025-11-25).

    Source: 2025-11-25, schema ``TaskMetadata``, Utilities > Tasks > "Creating Tasks".
    """

    ttl: Optional[int] = None


class RelatedTask(WireModel):
    """Says in ``_meta`` which task a message belongs to (2025-11-25).

    Source: 2025-11-25, schema ``RelatedTaskMetadata``, Utilities > Tasks > "Related Task Metadata".
    """

    task_id: str


class Task(WireModel):
    """The state of a task.

    ``status`` is ``"working"``, ``"input_required"``, ``"completed"``, ``"failed"`` or ``"cancelled"``. Times are
    ISO 8601. ``ttl`` and ``poll_interval`` (2025-11-25), ``ttl_ms`` and ``poll_interval_ms`` (extension) are
    milliseconds; a ``ttl`` of None means for ever. The extension puts the outcome in here as well: ``input_requests``,
    ``result`` or ``error``, as the status says.

    Source: 2025-11-25, schema ``Task``, Utilities > Tasks; extension tasks, schema ``Task`` and ``DetailedTask``.
    """

    _nullable: ClassVar[FrozenSet[str]] = frozenset({"ttl", "ttl_ms"})

    task_id: str
    status: str
    status_message: Optional[str] = None
    created_at: Optional[str] = None
    last_updated_at: Optional[str] = None
    ttl: Optional[int] = None
    poll_interval: Optional[Number] = None
    ttl_ms: Optional[int] = None
    poll_interval_ms: Optional[Number] = None
    input_requests: Optional[Dict[str, InputRequest]] = None
    result: Optional[Dict[str, Any]] = None
    error: Optional[ErrorObject] = None

    @property
    def is_terminal(self) -> bool:
        """True where the state cannot change any more."""
        return self.status in _TERMINAL

    @property
    def poll_after(self) -> Optional[float]:
        """Seconds that the server wants us to wait before the next poll, or None where it does not say."""
        interval_ms = self.poll_interval_ms if self.poll_interval_ms is not None else self.poll_interval
        return None if interval_ms is None else interval_ms / 1000


class CreateTaskResult(Result):
    """The answer to a request that asked for a task (2025-11-25).

    Source: 2025-11-25, schema ``CreateTaskResult``, Utilities > Tasks > "Creating Tasks".
    """

    task: Task


class TaskHandleResult(Task):
    """The answer to a request that the server chose to run as a task (extension); ``result_type`` is ``"task"``.

    Source: extension tasks, schema ``CreateTaskResult``.
    """

    result_type: Literal["task"] = "task"
    meta: Optional[Dict[str, Any]] = None


class GetTaskResult(Task):
    """The answer to ``tasks/get``, in both forms of tasks.

    Source: 2025-11-25, schema ``GetTaskResult``, Utilities > Tasks > "Getting Tasks"; extension tasks, same name.
    """

    result_type: str = "complete"
    meta: Optional[Dict[str, Any]] = None


class CancelTaskResult(GetTaskResult):
    """The answer to ``tasks/cancel`` (2025-11-25); the extension answers with an :class:`EmptyResult`.

    Source: 2025-11-25, schema ``CancelTaskResult``, Utilities > Tasks > "Cancelling Tasks".
    """


class ListTasksResult(PaginatedResult):
    """One page of the server's tasks (2025-11-25).

    Source: 2025-11-25, schema ``ListTasksResult``, Utilities > Tasks > "Listing Tasks".
    """

    tasks: List[Task]


class TaskParams(RequestParams):
    """The params of ``tasks/get``, ``tasks/result`` (2025-11-25) and ``tasks/cancel``.

    Source: 2025-11-25, schema ``GetTaskRequest``; extension tasks, schema ``GetTaskRequest``.
    """

    task_id: str


class UpdateTaskParams(TaskParams):
    """The params of ``tasks/update`` (extension): the answers to a task's ``input_requests``, by the same keys.

    Source: extension tasks, schema ``UpdateTaskRequest``.
    """

    input_responses: Dict[str, Any]


class TaskStatusParams(Task):
    """The params of ``notifications/tasks/status`` (2025-11-25) and ``notifications/tasks`` (extension).

    Source: 2025-11-25, schema ``TaskStatusNotificationParams``; extension tasks, same name.
    """

    meta: Optional[Dict[str, Any]] = None
