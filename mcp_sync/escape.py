"""Server text made safe for a terminal: control and direction characters as escapes.

Runs on: any thread; no state.
"""

from __future__ import annotations

import os
import re
from pathlib import PurePath

__all__ = ["command_name", "escape", "excerpt", "one_line"]

# C0 but for tab and newline, DEL and C1; what reorders or hides text: direction marks, embeddings, overrides and
# isolates, characters without a width (joiners, fillers, variation selectors but the two of emoji, annotations, tags),
# line and paragraph separators; and halves of surrogate pairs.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def escape(text: str) -> str:
    """``text`` with every character that could drive a terminal, or reorder what a reader sees, written as an escape;
    tab and newline stay.
    """
    return _UNSAFE.sub(_visible, text)


def excerpt(text: str, limit: int = 200) -> str:
    """The first ``limit`` characters of ``text``, escaped, on one line."""
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    return one_line(cut)


def one_line(text: str) -> str:
    """``text``, escaped, line breaks too: no name can look like several entries of a list."""
    return escape(text.replace("\n", "\\n"))


def command_name(command: str) -> str:
    """What a command may be called: its file's name. A whole command line in one string is no file, and may hold a
    secret after its first word.
    """
    words = command.split()
    program = words[0] if len(words) > 1 and not os.path.exists(command) else command
    return one_line(PurePath(program).name)
