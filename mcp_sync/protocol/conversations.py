"""Conversations of several steps, as generators: each yields a step, is sent its result, and at last returns the
outcome. Sending and waiting are the caller's part.

Runs on: any thread; a conversation belongs to the one that drives it.
"""

from __future__ import annotations

from typing import Any, Dict, Generator, List, Mapping, NamedTuple, Optional, Set, Union

from pydantic_core import ValidationError

from ..errors import MCPHandshakeError, MCPProtocolError
from ..escape import excerpt
from .numbers import read_number
from .revisions import REVISIONS, Revision, with_handshake

__all__ = [
    "Agree",
    "Ask",
    "Following",
    "Inputs",
    "Negotiated",
    "Pause",
    "Tell",
    "discover",
    "initialize",
    "list_pages",
    "mutual",
]

_MAX_PAGES = 100
_MAX_ITEMS = 10_000


class Ask(NamedTuple):
    """A request to send; the conversation is sent its result."""

    method: str
    params: Optional[Dict[str, Any]]


class Tell(NamedTuple):
    """A notification to send."""

    method: str


class Agree(NamedTuple):
    """The session uses ``negotiated`` from here on."""

    negotiated: Negotiated


class Inputs(NamedTuple):
    """Requests that the server wants answered first; the conversation is sent the answers under the same keys."""

    requests: Mapping[str, Any]


class Pause(NamedTuple):
    """Wait before the next step."""

    seconds: float


class Following(NamedTuple):
    """The state of a task that is being polled.

    ``status`` is the server's status message where it has changed, else None; ``looks`` counts the polls so far.
    """

    task_id: str
    status: Optional[str]
    looks: int


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
    from .types.base import as_model

    proposed = with_handshake(version)
    result = yield Ask(
        "initialize",
        {"protocolVersion": proposed.version, "capabilities": dict(capabilities), "clientInfo": dict(client_info)},
    )
    problem = ""
    try:
        answer = as_model(InitializeResult, result)
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if problem:
        raise MCPHandshakeError(
            f"the server's answer to initialize has a wrong shape ({excerpt(problem)})", outcome="unknown"
        )
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
    """Ask a server that may have no handshake which revisions it speaks (2026-07-28, Discovery, and Versioning).

    Returns:
        None where its answer is not one to ``server/discover``, or offers no revision that both sides speak. A JSON-RPC
        error is raised where the answer is awaited; what it means is the caller's decision.
    """
    from .types import DiscoverResult, Implementation
    from .types.base import as_model

    result = yield Ask("server/discover", {})
    try:
        answer = as_model(DiscoverResult, result)
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


def list_pages(
    method: str, field: str, meta: Optional[Mapping[str, Any]] = None
) -> Generator[Ask, Dict[str, Any], List[Any]]:
    """All items of a list, page by page (2025-11-25, Pagination).

    Parameters:
        field: the key of the items in each result.
        meta: further ``_meta`` of each request.

    Raises:
        MCPProtocolError: a cursor comes back, or there is no end to the pages.
    """
    items: List[Any] = []
    seen: Set[Union[str, float]] = set()
    cursor: Optional[Union[str, float]] = None
    for _ in range(_MAX_PAGES):
        params: Dict[str, Any] = {} if cursor is None else {"cursor": cursor}
        if meta is not None:
            params["_meta"] = meta
        result = yield Ask(method, params or None)
        page = result.get(field)
        if not isinstance(page, list):
            raise MCPProtocolError(
                f"the server's answer to {method} has no list of {field}",
                method=method,
                outcome="unknown",
                result=result,
            )
        items.extend(page)
        cursor = result.get("nextCursor")
        if cursor is None or cursor is False:
            return items
        if not isinstance(cursor, str) and read_number(cursor, "nextCursor") is None:
            # What is no cursor may mean that there is more.
            raise MCPProtocolError(
                f"the server's answer to {method} has a nextCursor that is none: {excerpt(repr(cursor))}",
                method=method,
                outcome="unknown",
                result=result,
            )
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
