"""Payloads as models: what a server answered, checked.

Runs on: the calling thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Sequence, Type, TypeVar

from pydantic_core import ValidationError

from ..concurrency.log import Log
from ..errors import MCPProtocolError, ToolError, is_out_of_memory
from ..escape import excerpt
from ..session.connection import Connection

if TYPE_CHECKING:
    from ..protocol.types import CallToolResult

__all__ = ["read", "read_tool_result", "warn_of_malformed", "with_known_cursor"]

_log = Log(__name__)

_T = TypeVar("_T")

_LONGEST_REASON = 1000
# Each item of these becomes a model, which costs 6 us.
_LISTS = ("content", "contents", "messages", "icons")
_MOST_ITEMS = 10_000


def read(model: Type[_T], payload: Any, method: str, connection: Connection) -> _T:
    """``payload`` as a model.

    Raises:
        MCPProtocolError: its shape is wrong, or it is of a type that nobody here knows.
    """
    _check_result_type(payload, method, connection)
    if isinstance(payload, dict):
        _check_lists(payload, method, connection)
    try:
        read: _T = model.model_validate(payload)  # type: ignore[attr-defined]  # a pydantic model
        return read
    except ValidationError:
        pass
    except BaseException as exc:
        if not is_out_of_memory(exc):
            raise
    from ..protocol.types.base import as_model

    try:
        return as_model(model, payload)  # type: ignore[type-var]  # it may be well but for an empty list
    except ValidationError as exc:
        first: Any = exc.errors(include_input=False, include_url=False)[0]
    except BaseException as exc:
        if not is_out_of_memory(exc):
            raise
        first = {"loc": (), "msg": "there is no memory for it"}
    place = [str(key) for key in first["loc"] if "[" not in str(key)]  # without what pydantic calls a union's members
    # Outside of the handler: pydantic's text quotes what the server sent.
    problem = f"{'.'.join(place) or 'the whole'}: {first['msg']}"
    raise MCPProtocolError(
        f"the server's {model.__name__} has a wrong shape ({excerpt(problem)})",
        server=connection.target.public,
        method=method,
        outcome="unknown",
        result=payload,
    )


def warn_of_malformed(blocks: Sequence[Any], what: str) -> None:
    """Log that content blocks are malformed, and kept as they came."""
    bad = [(place, block) for place, block in enumerate(blocks) if getattr(block, "problem", "")]
    if bad:
        place, block = bad[0]
        _log.warning(
            "%d of the %d content blocks of %s are malformed and kept as they came; the first is block %d (%s): %s",
            len(bad),
            len(blocks),
            excerpt(what),
            place,
            excerpt(block.type) or "no type",
            excerpt(block.problem),
        )


def _check_lists(payload: Dict[str, Any], method: str, connection: Connection, outer: bool = True) -> None:
    """To make models cannot be stopped at the deadline: a list that is too long is refused before."""
    for name in _LISTS:
        items = payload.get(name)
        if not isinstance(items, list):
            continue
        if len(items) > _MOST_ITEMS:
            raise MCPProtocolError(
                f"the server's answer is over the limit of {_MOST_ITEMS} items in {name!r}; request() returns it as it "
                "is",
                server=connection.target.public,
                method=method,
                outcome="unknown",
                result=payload,
            )
        for item in items if outer else ():
            if isinstance(item, dict):
                _check_lists(item, method, connection, outer=False)


def _check_result_type(payload: Any, method: str, connection: Connection) -> None:
    """A type of result that nobody here knows is invalid (2026-07-28, Basic, ResultType)."""
    kind = payload.get("resultType", "complete") if isinstance(payload, dict) else "complete"
    if kind == "complete":
        return
    session = connection.last
    if session is not None and not session.is_stateful:
        raise MCPProtocolError(
            f"the server answered with a result of the unknown type {excerpt(str(kind))!r}; request() returns it "
            "as it is",
            server=connection.target.public,
            method=method,
            outcome="unknown",
            result=payload,
        )


def read_tool_result(result: Dict[str, Any], name: str, connection: Connection, raise_on_error: bool) -> CallToolResult:
    """The result of ``tools/call`` as a model.

    Raises:
        ToolError: it says ``isError``, and ``raise_on_error`` is set.
        MCPProtocolError: it has a wrong shape.
    """
    from ..protocol.types import CallToolResult, UnknownContent

    if result.get("structuredContent") == []:
        session = connection.last
        if session is not None and session.is_stateful:
            result = {**result, "structuredContent": {}}  # up to 2025-11-25 it is an object
    model: CallToolResult = read(CallToolResult, result, "tools/call", connection)
    if UnknownContent in map(type, model.content):
        warn_of_malformed(model.content, f"the tool {name!r}")
    if raise_on_error and model.is_error:
        text = model.text if connection.last is None else connection.last.transport.secrets.mask(model.text)
        reason = excerpt(text, _LONGEST_REASON) or "the server gives no reason"
        raise ToolError(
            f"the tool {name!r} failed: {reason}",
            result=model,
            method="tools/call",
            server=connection.target.public,
        )
    return model


def with_known_cursor(result: Dict[str, Any], method: str, connection: Connection) -> Dict[str, Any]:
    """A page whose cursor means what it says: up to 2025-11-25 servers send an empty one for none."""
    cursor, session = result.get("nextCursor"), connection.last
    if cursor == "" and session is not None and session.is_stateful:
        return {**result, "nextCursor": None}
    if cursor is not None and not isinstance(cursor, str):
        kind = type(cursor).__name__
        _log.warning("the server's answer to %s has a %s as nextCursor, which should be a string", method, kind)
    return result
