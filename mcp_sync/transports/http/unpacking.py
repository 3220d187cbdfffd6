"""Compressed bodies, unpacked within bounds.

Runs on: the thread that reads the response.

Nothing compressed is asked for. urllib3 unpacks each piece whole before anybody can count, 64 KiB to 64 MiB, and as
many codings on top of each other as a server names: here it is one coding, a piece at a time.
"""

from __future__ import annotations

import zlib
from typing import Any, Iterator

from ...errors import MCPProtocolError, MessageTooLargeError
from ...escape import excerpt

__all__ = ["unpacked"]

_PIECE = 65536
# A body that unpacks to more than this, and to more than so many times its size, is a bomb. JSON shrinks to a tenth or
# twentieth.
_MOST_BYTES = 4 * 1024 * 1024
_MOST_TIMES = 100
# For zlib: the header of gzip or zlib, whichever it is.
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


def unpacked(pieces: Iterator[bytes], coding: str) -> Iterator[bytes]:
    """The content of a body, piece by piece.

    Parameters:
        coding: the ``Content-Encoding`` header.

    Raises:
        MCPProtocolError: the coding is none of gzip, deflate and identity, or more than one; it is a bomb; or it is not
            what it says.
    """
    name = coding.strip().lower()
    if name in ("", "identity"):
        yield from pieces
        return
    if name not in ("gzip", "x-gzip", "deflate"):
        raise MCPProtocolError(
            f"the server's answer has the Content-Encoding {excerpt(name)!r}, which was not asked for",
            outcome="unknown",
        )
    size = packed = 0
    decoder = _Decoder(may_be_raw=name == "deflate")
    for piece in pieces:
        packed += len(piece)
        for part in decoder.feed(piece):
            size += len(part)
            if size > _MOST_BYTES and size > _MOST_TIMES * packed:
                raise MessageTooLargeError(
                    f"the server's compressed answer is over the limit: it unpacks to more than {_MOST_TIMES} times "
                    "its size",
                    outcome="unknown",
                )
            yield part
    if packed and not decoder.is_over:
        raise MCPProtocolError("the server's compressed answer is cut off", outcome="unknown")


class _Decoder:
    """One coding. A gzip file may have several members; "deflate" is zlib's format, but for some servers."""

    def __init__(self, may_be_raw: bool) -> None:
        self._may_be_raw = may_be_raw
        self._zlib: Any = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._has_begun = False

    @property
    def is_over(self) -> bool:
        return bool(self._zlib.eof)

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._zlib.eof:
                self._zlib = zlib.decompressobj(_GZIP_OR_ZLIB)
            try:
                part = self._zlib.decompress(data, _PIECE)
            except zlib.error as exc:
                if self._has_begun or not self._may_be_raw:
                    raise MCPProtocolError(f"the server's compressed answer is not what it says: {exc}") from None
                self._may_be_raw = False
                self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
                continue
            self._has_begun = True
            data = self._zlib.unused_data if self._zlib.eof else self._zlib.unconsumed_tail
            if part:
                yield part
