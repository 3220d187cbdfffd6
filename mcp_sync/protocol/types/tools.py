"""Tools as a server describes them.

Runs on: any thread; models are plain data.
"""

import hashlib
import json
from typing import Any, Dict, List, Optional

from .base import WireModel
from .display import Icon
from .paging import PaginatedResult

__all__ = ["ListToolsResult", "Tool", "ToolAnnotations", "ToolExecution"]


class ToolAnnotations(WireModel):
    """What a server claims about a tool. Hints only: do not base a decision on them unless you trust the server.

    Where a hint is absent, assume: not read-only, destructive, not idempotent, open world.

    Source: 2026-07-28, schema ``ToolAnnotations``, Server > Tools > "Data Types".
    """

    title: Optional[str] = None
    read_only_hint: Optional[bool] = None
    destructive_hint: Optional[bool] = None
    idempotent_hint: Optional[bool] = None
    open_world_hint: Optional[bool] = None


class ToolExecution(WireModel):
    """How a tool may be run; ``task_support`` is ``"forbidden"`` (also when absent), ``"optional"`` or ``"required"``.

    Source: 2025-11-25, schema ``ToolExecution``, Utilities > Tasks > "Tool-Level Negotiation".
    """

    task_support: Optional[str] = None


class Tool(WireModel):
    """A tool: its name, and JSON Schemas of what it takes and gives.

    Source: 2026-07-28, schema ``Tool``, Server > Tools > "Tool".
    """

    name: str
    title: Optional[str] = None
    description: Optional[str] = None
    input_schema: Dict[str, Any]
    output_schema: Optional[Dict[str, Any]] = None
    annotations: Optional[ToolAnnotations] = None
    execution: Optional[ToolExecution] = None
    icons: Optional[List[Icon]] = None
    meta: Optional[Dict[str, Any]] = None

    @property
    def fingerprint(self) -> str:
        """A SHA-256 hash of all that the server says about this tool, ``meta`` left out, as 64 hexadecimal digits.

        Keep it with a user's consent. A server that gives a tool another description or schema later, under the same
        name, gives it another fingerprint too.
        """
        told = {name: value for name, value in self.to_wire().items() if name != "_meta"}
        text = json.dumps(told, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).hexdigest()


class ListToolsResult(PaginatedResult):
    """One page of the server's tools.

    Source: 2026-07-28, schema ``ListToolsResult``, Server > Tools > "Listing Tools".
    """

    tools: List[Tool]
