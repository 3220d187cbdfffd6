"""Tools: how a server describes them, and what a call of one gives back.

Runs on: any thread; models are plain data.
"""

import hashlib
import json
from typing import Annotated, Any, ClassVar, Dict, FrozenSet, List, NoReturn, Optional

from pydantic import AfterValidator, Field

from .base import Flag, Icon, Result, WireModel
from .content import ContentBlocks, TextContent

__all__ = ["CallToolResult", "Tool", "ToolAnnotations", "ToolExecution"]


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


# Of a JSON Schema, what PHP writes as an empty list where there is nothing in it.
_OBJECTS = frozenset({"$defs", "definitions", "patternProperties", "properties"})


def _with_objects(schema: Dict[str, Any]) -> Dict[str, Any]:
    empty = [key for key in _OBJECTS if schema.get(key) == []]
    return {**schema, **{key: {} for key in empty}} if empty else schema


Schema = Annotated[Dict[str, Any], AfterValidator(_with_objects)]


class Tool(WireModel):
    """A tool: its name, and JSON Schemas of what it takes and gives.

    Source: 2026-07-28, schema ``Tool``, Server > Tools > "Tool".
    """

    name: str
    title: Optional[str] = None
    description: Optional[str] = None
    input_schema: Schema
    output_schema: Optional[Schema] = None
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
        described = {name: value for name, value in self.to_wire().items() if name != "_meta"}
        text = json.dumps(described, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).hexdigest()


class CallToolResult(Result):
    """What a tool answered: ``content`` for a reader, and perhaps ``structured_content`` for a program.

    ``is_error`` says that the tool itself failed; the content then tells why.

    Source: 2026-07-28, schema ``CallToolResult``, Server > Tools > "Tool Result".
    """

    _nullable: ClassVar[FrozenSet[str]] = frozenset({"structured_content"})

    content: ContentBlocks = Field(default_factory=list)
    structured_content: Any = None
    is_error: Flag = False

    @property
    def text(self) -> str:
        """The text blocks, joined by newlines; ``""`` where there is none. Embedded resources are not text blocks."""
        return "\n".join([block.text for block in self.content if isinstance(block, TextContent)])

    @property
    def data(self) -> Any:
        """The answer as plain data: the structured content if there is any, else the text read as JSON, else the text.

        Structured content is returned as it is, also where a server wraps a bare value as ``{"result": value}``. A null
        counts as "no structured content": the text of a tool whose answer is null says ``null`` as well.
        """
        if self.structured_content is not None:
            return self.structured_content
        text = self.text
        try:
            return json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return text


def _refuse(constant: str) -> NoReturn:
    # NaN and Infinity are not JSON: a tool that answers "NaN" has answered with text.
    raise ValueError(f"{constant} is not JSON")
