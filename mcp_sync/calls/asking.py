"""What a caller asks for, as values, and the short way from them to an answer.

Runs on: the calling thread.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Type, TypeVar

from ..concurrency.call_clock import CallDeadline
from ..concurrency.deadline import Deadline
from ..credentials import Credentials
from ..errors import MCPUsageError
from ..escape import excerpt
from ..session.connection import Connection
from ..session.handlers import progress_of
from ..session.pending import PendingRequest
from .operation import READ_ONLY, Operation, Options, fresh
from .reading import read, read_tool_result

if TYPE_CHECKING:
    from ..protocol.types import CallToolResult, Progress

__all__ = [
    "ToolCall",
    "ask",
    "call_tool",
    "checked_arguments",
    "checked_method",
    "prompt_arguments",
    "reference",
    "tool_params",
    "uris_of",
]

_T = TypeVar("_T")


class ToolCall(NamedTuple):
    """One call of a tool, as the caller wants it.

    Attributes:
        params: of the request: name, arguments, ``_meta``.
        timeout: seconds for the whole call.
        on_progress: is called with each ``Progress``, on the calling thread.
        raise_on_error: a tool that reports failure is an exception.
        retry: the call may be sent again after a lost session or stream, although the tool may have run.
        idle_timeout: seconds between two signs of life, at most; None for any.
        input_timeout: seconds for which the clock may stand still in all, while handlers answer.
        client: is kept where the caller waits with something else, for one that is dropped is closed.
        credentials: what the call shows, where it is made later than it was asked for.
    """

    params: Dict[str, Any]
    timeout: float
    on_progress: Optional[Callable[[Progress], object]] = None
    raise_on_error: bool = True
    retry: bool = False
    idle_timeout: Optional[float] = None
    input_timeout: float = 0.0
    client: object = None
    credentials: Optional[Credentials] = None

    def deadline(self) -> Deadline:
        """The deadline of the call if it begins now."""
        if not self.input_timeout and self.idle_timeout is None:
            return Deadline(self.timeout, self.credentials)
        return CallDeadline(self.timeout, self.input_timeout, self.idle_timeout, self.credentials)

    def to_travel(self) -> ToolCall:
        """The call as another process can have it, where nothing renews what it shows."""
        shown = self.credentials
        return self if shown is None else self._replace(credentials=shown._replace(renew=None))

    @property
    def name(self) -> str:
        return str(self.params["name"])

    def options(self, connection: Connection, wants: Optional[str]) -> Options:
        """How the operation that makes this call is carried out."""
        return Options(wants, self.params["name"] in connection.catalog.repeatable, self.retry)


def tool_params(
    name: str, arguments: Optional[Mapping[str, Any]], meta: Optional[Mapping[str, Any]], server: str
) -> Dict[str, Any]:
    """The params of ``tools/call``.

    Raises:
        MCPUsageError: they cannot be sent.
    """
    if not isinstance(name, str) or not name:
        raise MCPUsageError(
            f"the name of a tool must be a string, not {name!r}", method="tools/call", outcome="not_sent"
        )
    params: Dict[str, Any] = {"name": name, "arguments": checked_arguments(arguments, name, server)}
    if meta is not None:
        params["_meta"] = checked_arguments(meta, name, server)
    return params


def checked_arguments(arguments: Optional[Mapping[str, Any]], name: str, server: str) -> Dict[str, Any]:
    """A copy of the arguments of ``name``, which errors call it.

    Raises:
        MCPUsageError: they are no mapping with strings as keys.
    """
    if arguments is None:
        return {}
    if not isinstance(arguments, (dict, Mapping)) or [key for key in arguments if not isinstance(key, str)]:
        raise MCPUsageError(
            f"the arguments of {excerpt(name)!r} must be a dict with strings as keys, not {type(arguments).__name__}",
            server=server,
            outcome="not_sent",
        )
    return dict(arguments)


def checked_method(method: object, what: str) -> str:
    """``method``, if it is the name of one.

    Parameters:
        what: "request" or "notification".
    """
    if not isinstance(method, str) or not method:
        raise MCPUsageError(f"the method of a {what} must be a string, not {method!r}", outcome="not_sent")
    return method


def call_tool(
    connection: Connection,
    call: ToolCall,
    deadline: Deadline,
    started: Optional[Callable[[PendingRequest], None]] = None,
) -> CallToolResult:
    """Call a tool and wait for its result.

    Parameters:
        started: is told of each request that is made, to be able to cancel it.
    """
    on_progress = call.on_progress
    asks = on_progress is not None or call.idle_timeout is not None or connection.handlers.wants_progress
    wants = "progress" if asks else None
    operation = Operation(connection, deadline, call.options(connection, wants), started)
    result: Dict[str, Any] = {}
    for step in operation.steps("tools/call", call.params):
        if isinstance(step, dict):
            result = step
        elif on_progress is not None:
            for message in step:
                progress = progress_of(message)
                if progress is not None:
                    on_progress(progress)
    return read_tool_result(result, call.params["name"], connection, call.raise_on_error)


def ask(connection: Connection, method: str, params: Dict[str, Any], model: Type[_T], deadline: Deadline) -> _T:
    """Ask for something that is only read, from the cache while that is fresh, and return it as a model."""
    operation = Operation(connection, deadline, READ_ONLY)
    return read(model, fresh(connection, operation, method, params), method, connection)


def prompt_arguments(arguments: Mapping[str, Any]) -> Dict[str, str]:
    """The arguments of a prompt, which are all strings: other values as JSON text."""
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in arguments.items()
    }


def reference(ref: Any) -> Dict[str, Any]:
    """What is completed, as it is sent: a reference, or the name of a prompt or a URI template."""
    if isinstance(ref, str):
        return {"type": "ref/resource", "uri": ref} if "://" in ref else {"type": "ref/prompt", "name": ref}
    if isinstance(ref, Mapping):
        return dict(ref)
    wire: Dict[str, Any] = ref.to_wire()
    return wire


def uris_of(resources: Any) -> List[str]:
    """The URIs in what ``listen`` was given as ``resources``."""
    if isinstance(resources, bool):
        return []
    return [resources] if isinstance(resources, str) else [str(uri) for uri in resources]
