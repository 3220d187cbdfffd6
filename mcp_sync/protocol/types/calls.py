"""Tool calls: what is asked, and what comes back.

Runs on: any thread; models are plain data.
"""

import json
from typing import Any, ClassVar, Dict, FrozenSet, List, NoReturn, Optional

from .base import Flag, RequestParams, Result
from .content import ContentBlock, TextContent

__all__ = ["CallToolParams", "CallToolResult"]


class CallToolParams(RequestParams):
    """The params of ``tools/call``.

    ``task`` asks for a task (2025-11-25); ``input_responses`` and ``request_state`` answer an
    :class:`InputRequiredResult` (2026-07-28).

    Source: 2026-07-28, schema ``CallToolRequestParams``, Server > Tools > "Calling Tools".
    """

    name: str
    arguments: Optional[Dict[str, Any]] = None
    task: Optional[Dict[str, Any]] = None
    input_responses: Optional[Dict[str, Any]] = None
    request_state: Optional[str] = None


class CallToolResult(Result):
    """What a tool answered: ``content`` for a reader, and perhaps ``structured_content`` for a program.

    ``is_error`` says that the tool itself failed; the content then tells why.

    Source: 2026-07-28, schema ``CallToolResult``, Server > Tools > "Tool Result".
    """

    _nullable: ClassVar[FrozenSet[str]] = frozenset({"structured_content"})

    content: List[ContentBlock]
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
