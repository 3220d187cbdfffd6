"""A server's text on a terminal: escaped, and content blocks as something to read.

Runs on: any thread; no state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..escape import escape

__all__ = ["one_line", "plain", "printed"]


def plain(text: str) -> str:
    """``text``, safe to print. Line ends of every kind become newlines, as a bare carriage return would be escaped."""
    return escape(text.replace("\r\n", "\n").replace("\r", "\n"))


def one_line(text: str) -> str:
    """``text``, safe to print, on one line."""
    return plain(" ".join(text.split()))


def printed(block: Mapping[str, Any]) -> str:
    """A content block, in its wire form, as text: what cannot be shown is named with its type and size."""
    kind = block.get("type")
    if kind == "text":
        return plain(str(block.get("text", "")))
    if kind == "resource_link":
        return plain(f"[{block.get('title') or block.get('name') or 'link'}: {block.get('uri')}]")
    if kind == "resource":
        resource = block.get("resource") or {}
        if isinstance(resource.get("text"), str):
            return plain(resource["text"])
        return _binary(resource.get("mimeType"), resource.get("blob"))
    if kind in ("image", "audio"):
        return _binary(block.get("mimeType"), block.get("data"))
    return plain(f"[a block of type {kind}]")


def _binary(mime_type: object, data: object) -> str:
    size = len(data) * 3 // 4 if isinstance(data, str) else 0
    return plain(f"[{mime_type or 'binary'}, about {size} bytes]")
