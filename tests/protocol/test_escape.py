"""What a server says, made safe to show."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from mcp_sync.escape import escape, excerpt


@given(st.text())
def test_nothing_is_left_that_drives_a_terminal_or_turns_the_reading_around(text: str) -> None:
    for char in escape(text):
        assert char in "\t\n" or unicodedata.category(char) not in ("Cc", "Zl", "Zp", "Cs")
        assert unicodedata.bidirectional(char) not in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


# Letters and marks that are shown as nothing (Default_Ignorable_Code_Point, which unicodedata does not tell).
_INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0" + "".join(
    map(chr, [*range(0xFE00, 0xFE0E), *range(0x2060, 0x2070), *range(0xE0000, 0xE1000)])
)


@given(
    st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp"), exclude_characters=_INVISIBLE)),
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert escape(text) == text


def test_each_kind_of_control_is_written_out() -> None:
    assert escape("\x1b[2J\x07\r\x7f\x9b\0") == "\\x1b[2J\\x07\\x0d\\x7f\\x9b\\x00"
    assert escape("\u202e\u2066\u200f\u2028\ufeff\ud800") == "\\u202e\\u2066\\u200f\\u2028\\ufeff\\ud800"
    assert escape("tab\tand\nline") == "tab\tand\nline"


def test_an_excerpt_is_short_and_on_one_line() -> None:
    assert excerpt("a\nb") == "a\\nb"
    assert excerpt("x" * 200) == "x" * 200
    assert excerpt("x" * 201) == "x" * 197 + "..."
    assert excerpt("\x1b" * 10, 5) == "\\x1b\\x1b..."
