"""Server text made safe for a terminal: control and direction characters as escapes.

Runs on: any thread; no state.
"""

from __future__ import annotations

import re

__all__ = ["escape", "excerpt"]

# C0 but for tab and newline, DEL and C1, the direction marks, embeddings, overrides and isolates, and the line and
# paragraph separators.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def escape(text: str) -> str:
    """``text`` with every character that could drive a terminal, or reorder what a reader sees, written as an escape;
    tab and newline stay.
    """
    return _UNSAFE.sub(_visible, text)


def excerpt(text: str, limit: int = 200) -> str:
    """The first ``limit`` characters of ``text``, escaped, on one line."""
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    return escape(cut.replace("\n", "\\n"))
