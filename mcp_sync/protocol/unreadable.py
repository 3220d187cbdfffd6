"""Frames that cannot be decoded: whose answer they may have been.

Runs on: any thread; no state.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, FrozenSet, List, Union

from ..errors import MCPProtocolError
from .messages import Message, decode_small

__all__ = ["Unreadable", "decode_or_mark"]

# Where an id stands in a large frame: before the result, or after it.
_EDGE = 65536
_ID = re.compile(rb'"id"\s*:\s*"?(\d{1,20})(?:\.0)?(?=["\s,}])')
# What only an answer has, or what no log has: a line of a server's log on stdout must not fail a call.
_ANSWER = re.compile(rb'\s*(?:\[\s*)*\{.*?(?:"jsonrpc"\s*:|"result"\s*:\s*[\[{])|\s*\[{100}', re.DOTALL)
_ASKS = re.compile(
    rb'\s*(?:\[\s*)*\{\s*(?:"(?:jsonrpc|id)"\s*:\s*(?:"[^"]*"|[^\s",\[{]+)\s*,\s*)*"(?:method|params)"\s*:'
)


class Unreadable(Dict[str, Any]):
    """Stands among messages in place of one that could not be decoded.

    Attributes:
        error: why.
        ids: every id in it that may be a request's.
        may_be_answer: whether it looks like the answer to some request.
    """

    def __init__(self, frame: Union[str, bytes], error: MCPProtocolError) -> None:
        super().__init__()
        data = frame if isinstance(frame, bytes) else frame.encode("utf-8", "replace")
        edges = data if len(data) <= 2 * _EDGE else data[:_EDGE] + b" " + data[-_EDGE:]
        self.error = error
        self.ids: FrozenSet[int] = frozenset(int(match[1]) for match in _ID.finditer(edges))
        self.may_be_answer = _ANSWER.match(edges) is not None and _ASKS.match(edges) is None


def decode_or_mark(frame: Union[str, bytes], mask: Callable[[str], str] = str) -> List[Message]:
    """The messages in a frame of a stream that several calls share, or what stands in their place.

    Parameters:
        mask: as ``decode`` takes it.
    """
    try:
        return decode_small(frame, mask)
    except MCPProtocolError as exc:
        return [Unreadable(frame, exc)]
