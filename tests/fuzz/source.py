"""Structure out of a fuzzer's bytes: numbers, choices, JSON values, and pieces of a stream.

Used by tests, on whichever thread runs them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

__all__ = ["Source"]

_T = TypeVar("_T")

_DEEPEST = 6
_SCALARS: Sequence[Any] = (
    None,
    True,
    False,
    0,
    1,
    7,
    -1,
    2**53,
    2**64,
    10**4000,
    1.0,
    7.0,
    1.5,
    1e308,
    float("inf"),
    float("nan"),
    "",
    "7",
    "07",
    "text",
    "\x1b[2J\u202e",
    "\ud800",
    "a\r\nX-Evil: 1",
    "x" * 300,
    "complete",
    "object",
    "string",
)


class Source:
    """Takes a fuzzer's bytes one after the other; when they are used up, zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def spent(self) -> bool:
        return self._position >= len(self._data)

    def byte(self) -> int:
        self._position += 1
        return 0 if self._position > len(self._data) else self._data[self._position - 1]

    def pick(self, choices: Sequence[_T]) -> _T:
        return choices[self.byte() % len(choices)]

    def rest(self) -> bytes:
        rest = self._data[self._position :]
        self._position = len(self._data)
        return rest

    def text(self, size: int) -> str:
        """Text that may hold anything, halves of surrogate pairs too."""
        piece = self._data[self._position : self._position + size]
        self._position += size
        return piece.decode("utf-8", "surrogatepass" if self.byte() % 2 else "replace") if _is_text(piece) else "?"

    def value(self, names: Sequence[str], depth: int = 0) -> Any:
        """A value as Python's json may return it."""
        kind = self.byte() % 8
        if kind == 0 and depth < _DEEPEST:
            return [self.value(names, depth + 1) for _ in range(self.byte() % 5)]
        if kind in (1, 2, 3) and depth < _DEEPEST:
            return {self.name(names): self.value(names, depth + 1) for _ in range(self.byte() % 7)}
        if kind == 4:
            return self.text(self.byte() % 12)
        if kind == 5:
            return self.name(names)
        return self.pick(_SCALARS)

    def name(self, names: Sequence[str]) -> str:
        return self.text(self.byte() % 8) if self.byte() % 16 == 15 else self.pick(names)


def _is_text(piece: bytes) -> bool:
    try:
        piece.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def pieces(data: bytes, seed: int) -> Iterator[bytes]:
    """``data`` in pieces of random sizes, some of them empty."""
    dice = random.Random(seed)
    largest = dice.choice((1, 2, 3, 8, 64))
    position = 0
    while position < len(data):
        size = dice.randint(0, largest)
        yield data[position : position + size]
        position += size
