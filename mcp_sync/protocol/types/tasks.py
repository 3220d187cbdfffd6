"""Tasks: requests that a server works on while the client polls.

They come in two forms, that of 2025-11-25 and that of the extension ``io.modelcontextprotocol/tasks``, which differ in
names (``ttl``, ``ttlMs``) and in where the outcome is found.

Runs on: any thread; models are plain data.
"""

from typing import Any, ClassVar, Dict, FrozenSet, Optional

from pydantic import Field

from .base import Count, Measure, Params, Result, WireModel

__all__ = ["ErrorObject", "GetTaskResult", "InputRequest"]


class InputRequest(WireModel):
    """One thing that the server needs: a request without an id, such as ``elicitation/create``, as plain data.

    The params have the form of :class:`ElicitParams`, :class:`CreateMessageParams` or :class:`RequestParams`
    (``roots/list``); a method that we do not know must not keep us from reading the others.

    Source: 2026-07-28, schema ``InputRequest``, Basic > Patterns > "Multi Round-Trip Requests".
    """

    method: str
    params: Params = Field(default_factory=dict)


class ErrorObject(WireModel):
    """A JSON-RPC error.

    Source: 2026-07-28, schema ``Error``, Basic > "Error Codes".
    """

    _nullable: ClassVar[FrozenSet[str]] = frozenset({"data"})

    code: int
    message: str = ""
    data: Any = None


_TERMINAL = frozenset({"completed", "failed", "cancelled"})


class GetTaskResult(Result):
    """The state of a task: the answer to ``tasks/get``, in both forms of tasks.

    ``status`` is ``"working"``, ``"input_required"``, ``"completed"``, ``"failed"`` or ``"cancelled"``. Times are
    ISO 8601. ``ttl`` and ``poll_interval`` (2025-11-25), ``ttl_ms`` and ``poll_interval_ms`` (extension) are
    milliseconds; a ``ttl`` of None means for ever. The extension puts the outcome in here as well: ``input_requests``,
    ``result`` or ``error``, as the status says.

    Source: 2025-11-25, schema ``GetTaskResult``, Utilities > Tasks > "Getting Tasks"; extension tasks, same name.
    """

    _nullable: ClassVar[FrozenSet[str]] = frozenset({"ttl", "ttl_ms"})

    task_id: str
    status: str
    status_message: Optional[str] = None
    created_at: Optional[str] = None
    last_updated_at: Optional[str] = None
    ttl: Count = None
    poll_interval: Measure = None
    ttl_ms: Count = None
    poll_interval_ms: Measure = None
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
