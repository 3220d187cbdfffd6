"""What the commands make of a server's text before it reaches a terminal."""

from __future__ import annotations

import pytest

from mcp_sync.cli.words import one_line, plain, printed

HOSTILE = "a\x1b[2Jb\x9b31mc\u202ed\x07e\x00"


def test_control_and_direction_characters_are_escaped() -> None:
    assert plain(HOSTILE) == "a\\x1b[2Jb\\x9b31mc\\u202ed\\x07e\\x00"


def test_line_ends_of_every_kind_become_newlines_and_one_line_has_none() -> None:
    assert plain("a\r\nb\rc\nd\te") == "a\nb\nc\nd\te"
    assert one_line("a\r\n b\n\nc") == "a b c"


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"type": "text", "text": "hi"}, "hi"),
        ({"type": "text", "text": "\x1b]0;owned\x07"}, "\\x1b]0;owned\\x07"),
        ({"type": "image", "mimeType": "image/png", "data": "AAAA"}, "[image/png, about 3 bytes]"),
        ({"type": "audio", "mimeType": "a\x1b", "data": "AAAA"}, "[a\\x1b, about 3 bytes]"),
        ({"type": "resource", "resource": {"uri": "x:y", "text": "body"}}, "body"),
        ({"type": "resource", "resource": {"uri": "x:y", "blob": "AAAA"}}, "[binary, about 3 bytes]"),
        ({"type": "resource_link", "uri": "x:y", "name": "n"}, "[n: x:y]"),
        ({"type": "hologram\x1b"}, "[a block of type hologram\\x1b]"),
    ],
)
def test_every_kind_of_block_has_something_to_read(block: dict[str, object], text: str) -> None:
    assert printed(block) == text
