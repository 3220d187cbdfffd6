"""Whatever others send: each target of tests/fuzz/targets.py on bytes that hypothesis makes, and on what was found."""

from __future__ import annotations

import json
from pathlib import Path
from types import FunctionType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
FOUND = sorted(path for path in CORPUS.glob("*/*") if path.is_file())

# Bytes that mean something to a target come much further than any others.
WORDS: dict[str, list[bytes]] = {
    "sse": b"\n|\r|\r\n|data|data: |event: |id: |retry: |:| |x|1|\0|\xc3\xa9|\xff|\xef\xbb\xbf|1234567890".split(b"|"),
    "chunked": b"\r\n|\n|\r|0|1|a|F|;a=b| |0\r\n\r\n|3\r\nabc\r\n|A: b|-|+|0x|_".split(b"|"),
    "lines": [b"\n", b"\r\n", b"x", b"xxxxxxxxxxxxxxxxxxxx", b"\0"],
    "stderr": [b"\n", b"x" * 500, b"\x1b", b"\xff", b" "],
    "jsonrpc": [
        *rb'{|}|[|]|,|:|"|\|\u|\ud800|1|-|.|e|E9|1e400|NaN|null|true|"id":|"result":|"error":|"code":| '.split(b"|"),
        b"\xff",
        b'{"jsonrpc":"2.0","id":1,"result":{}}',
        b"[" * 300,
        b"9" * 4400,
    ],
    "endpoint": (
        b"/|//|///|\\|http:|https:|file:|HTTP:|@|user@|127.0.0.1|[::1]|:8000|:80|:|?|#|%40|%2f|..|.|;|\t|\n| |a|"
        b"example.com|\xc3\xa9|\xe2\x91\xa0|\xef\xbc\x8f|\xff|\0"
    ).split(b"|"),
    "retry_after": b"1|9|-|.|e|inf|nan| |Wed, 21 Oct 2026 07:28:00 GMT|9999|Jan|00:00:00|+9999|,|0".split(b"|"),
    "terminal": "\x1b[2J|\x07|\u202e|\u2066|\x9b|\n|\r|\u2028|\ufeff|\U000e0041|x|http://|@|[|]|:".encode().split(b"|"),
}


def inputs(name: str) -> st.SearchStrategy[bytes]:
    words = WORDS.get(name)
    if words is None:
        return st.binary(max_size=200)
    made = st.builds(
        lambda head, parts: head + b"".join(parts), st.binary(max_size=3), st.lists(st.sampled_from(words))
    )
    return st.one_of(made, st.binary(max_size=200))


@pytest.mark.parametrize("name", TARGETS)
def test_it_holds_for_any_bytes(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @given(inputs(name))
    def holds(data: bytes) -> None:
        target(data)

    holds()


@pytest.mark.parametrize("path", FOUND, ids=[f"{path.parent.name}-{path.name}" for path in FOUND])
def test_it_holds_for_what_was_found(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


def test_every_folder_of_inputs_belongs_to_a_target() -> None:
    assert {path.parent.name for path in FOUND} <= set(TARGETS)


def test_a_target_can_fail() -> None:
    """What is compared is what the package does: a parser that reads otherwise is seen at once."""
    broken = TARGETS["jsonrpc"]
    assert isinstance(broken, FunctionType)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(broken.__globals__, "decode", lambda data: [json.loads(data), {}])
        with pytest.raises(AssertionError):
            broken(b'{"id":1}')
