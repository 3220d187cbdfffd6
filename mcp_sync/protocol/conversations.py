"""Talks of more than one step, as generators: each yields what to ask, is sent the result, and returns what came of it.
Who waits, and how, is someone else's job.

Runs on: any thread; a conversation belongs to the one that drives it.
"""

from __future__ import annotations

from typing import Any, Dict, Generator, List, Mapping, NamedTuple, Optional, Set

from pydantic import ValidationError

from ..errors import MCPCancelledError, MCPHandshakeError, MCPProtocolError, MCPServerError
from .escape import excerpt
from .revisions import REVISIONS, Revision, with_handshake

__all__ = [
    "Agree",
    "Ask",
    "Inputs",
    "Negotiated",
    "Pause",
    "Tell",
    "discover",
    "finish",
    "initialize",
    "is_complete",
    "list_pages",
]

_MAX_PAGES = 100
_MAX_ITEMS = 10_000
_MAX_ROUNDS = 10
# Seconds between two looks at a task: where the server gives none, and the limits of what it gives.
_POLL_SECONDS = 1.0
_SHORTEST_POLL = 0.05
_LONGEST_POLL = 60.0


class Ask(NamedTuple):
    """A request to send; the conversation is sent its result."""

    method: str
    params: Optional[Dict[str, Any]]


class Tell(NamedTuple):
    """A notification to send."""

    method: str


class Agree(NamedTuple):
    """From here on the session speaks as agreed."""

    negotiated: Negotiated


class Inputs(NamedTuple):
    """What the server wants to know before it goes on; the conversation is sent the answers under the same keys."""

    requests: Mapping[str, Any]


class Pause(NamedTuple):
    """Wait before the next step."""

    seconds: float


class Negotiated(NamedTuple):
    """What the two sides agreed on."""

    revision: Revision
    server_info: Any  # Implementation
    server_capabilities: Any  # ServerCapabilities
    instructions: Optional[str]


def initialize(
    version: Optional[str], client_info: Mapping[str, Any], capabilities: Mapping[str, Any]
) -> Generator[Any, Any, Negotiated]:
    """Open a session (2025-11-25, Lifecycle, Initialization).

    Parameters:
        version: the revision to insist on; None proposes the newest with a handshake, and accepts every older one we
            know.
    """
    from .types import InitializeResult

    proposed = with_handshake(version)
    result = yield Ask(
        "initialize",
        {"protocolVersion": proposed.version, "capabilities": dict(capabilities), "clientInfo": dict(client_info)},
    )
    problem = ""
    try:
        answer = InitializeResult.model_validate(result)
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if problem:
        raise MCPHandshakeError(f"the server's answer to initialize has a wrong shape ({problem})", outcome="unknown")
    agreed = REVISIONS.get(answer.protocol_version)
    if agreed is None or not agreed.has_handshake:
        raise MCPHandshakeError(
            f"the server speaks protocol revision {excerpt(answer.protocol_version)!r}, which this package does not; "
            f"it speaks {', '.join(REVISIONS)}",
            outcome="unknown",
        )
    if version is not None and agreed.version != version:
        raise MCPHandshakeError(
            f"the server speaks protocol revision {agreed.version}, not {version} as protocol_version= demands",
            outcome="unknown",
        )
    negotiated = Negotiated(agreed, answer.server_info, answer.capabilities, answer.instructions)
    yield Agree(negotiated)
    yield Tell("notifications/initialized")
    return negotiated


def discover(version: Optional[str]) -> Generator[Any, Any, Optional[Negotiated]]:
    """Ask a server that may be of the stateless kind what it speaks (2026-07-28, Discovery, and Versioning).

    Returns:
        None where it is of the other kind, but for what MCPServerError alone can tell: that is the caller's to judge.
    """
    from .types import DiscoverResult, Implementation

    result = yield Ask("server/discover", {})
    try:
        answer = DiscoverResult.model_validate(result)
    except ValidationError:
        return None
    revision = mutual(answer.supported_versions, version)
    if revision is None:
        return None
    info = answer.server_info or Implementation(name="", version="")
    return Negotiated(revision, info, answer.capabilities, answer.instructions)


def mutual(offered: object, version: Optional[str]) -> Optional[Revision]:
    """The newest revision without a handshake that both sides speak."""
    wanted = [row for row in REVISIONS.values() if not row.has_handshake and version in (None, row.version)]
    return next((row for row in reversed(wanted) if isinstance(offered, list) and row.version in offered), None)


def is_complete(result: Mapping[str, Any]) -> bool:
    """Whether a result is the last one; one that does not say is (2026-07-28, Basic, Responses)."""
    return result.get("resultType", "complete") not in ("input_required", "task")


def finish(method: str, params: Mapping[str, Any], result: Dict[str, Any]) -> Generator[Any, Any, Dict[str, Any]]:
    """What leads from a first result to the complete one: rounds of input, and tasks (2026-07-28, Multi Round-Trip
    Requests).
    """
    for _ in range(_MAX_ROUNDS):
        kind = result.get("resultType")
        if kind == "input_required":
            again = {key: value for key, value in params.items() if key not in ("inputResponses", "requestState")}
            wanted = result.get("inputRequests")
            if isinstance(wanted, Mapping) and wanted:
                again["inputResponses"] = yield Inputs(wanted)
            elif "requestState" not in result:
                raise MCPProtocolError(
                    "the server wants input, but does not say which", method=method, outcome="unknown"
                )
            if "requestState" in result:
                # Opaque: sent back as it came, with this retry alone.
                again["requestState"] = result["requestState"]
            result = yield Ask(method, again)
        elif kind == "task":
            result = yield from follow_task(result)
        else:
            return result
    raise MCPProtocolError(
        f"the server wanted input {_MAX_ROUNDS} times, which is where this client stops",
        method=method,
        outcome="unknown",
    )


def follow_task(handle: Mapping[str, Any]) -> Generator[Any, Any, Dict[str, Any]]:
    """Poll a task of the extension ``io.modelcontextprotocol/tasks`` to its end (2026-07-28, SEP-2663)."""
    task_id = handle.get("taskId")
    if not isinstance(task_id, str):
        raise MCPProtocolError("the server answered with a task that has no id", outcome="unknown")
    state = handle
    while True:
        status = state.get("status")
        if status == "completed":
            result = state.get("result")
            if not isinstance(result, dict):
                raise MCPProtocolError(
                    "the server says that a task is complete, but gives no result", outcome="unknown"
                )
            return {key: value for key, value in result.items() if key != "resultType" or value != "task"}
        if status == "failed":
            error = state.get("error")
            error = error if isinstance(error, dict) else {}
            code = error.get("code")
            raise MCPServerError(
                f"the task failed: {error.get('message', state.get('statusMessage'))}",
                code=code if isinstance(code, int) else 0,
                data=error.get("data"),
                outcome="unknown",
            )
        if status == "cancelled":
            raise MCPCancelledError("the server cancelled the task", outcome="unknown")
        wanted = state.get("inputRequests")
        if status == "input_required" and isinstance(wanted, Mapping) and wanted:
            answers = yield Inputs(wanted)
            yield Ask("tasks/update", {"taskId": task_id, "inputResponses": answers})
        interval = state.get("pollIntervalMs", state.get("pollInterval"))
        seconds = (
            interval / 1000 if isinstance(interval, (int, float)) and not isinstance(interval, bool) else _POLL_SECONDS
        )
        yield Pause(min(max(seconds, _SHORTEST_POLL), _LONGEST_POLL))
        state = yield Ask("tasks/get", {"taskId": task_id})


def list_pages(method: str, field: str) -> Generator[Ask, Dict[str, Any], List[Any]]:
    """All items of a list, page by page (2025-11-25, Pagination).

    Parameters:
        field: the key of the items in each result.

    Raises:
        MCPProtocolError: a cursor comes back, or there is no end to the pages.
    """
    items: List[Any] = []
    seen: Set[str] = set()
    cursor: Optional[str] = None
    for _ in range(_MAX_PAGES):
        result = yield Ask(method, None if cursor is None else {"cursor": cursor})
        page = result.get(field)
        if not isinstance(page, list):
            raise MCPProtocolError(
                f"the server's answer to {method} has no list of {field}", method=method, outcome="unknown"
            )
        items.extend(page)
        cursor = result.get("nextCursor")
        if not isinstance(cursor, str):
            return items
        if cursor in seen:
            raise MCPProtocolError(
                f"the server sends the same page of {method} again and again", method=method, outcome="unknown"
            )
        seen.add(cursor)
        if len(items) > _MAX_ITEMS:
            break
    raise MCPProtocolError(
        f"the server's {field} do not end: stopped after {len(seen)} pages with {len(items)} items; "
        f"request({method!r}, {{'cursor': ...}}) reads them page by page",
        method=method,
        outcome="unknown",
    )
