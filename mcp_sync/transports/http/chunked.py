"""Bodies in chunks (RFC 9112, section 7.1), read as many chunks at a time as have arrived.

Runs on: the thread that reads the response.

urllib3 hands over one chunk at a time, and servers send every event in a chunk of its own: with a burst of events that
is 7 us for each of them (``read1``, Python 3.13), nearly as much as all the rest of an event. Reading what is there,
and cutting it up here, is 1 us.
"""

from __future__ import annotations

import http.client
import io
import re
from typing import Any, Iterator, List, Optional

from urllib3.response import HTTPResponse

from .private import original_of

__all__ = ["ChunkDecoder", "read_chunks", "wire_of"]

_PIECE = 65536
_SIZE_LINE = re.compile(rb"([0-9a-fA-F]{1,15})\r\n")
_LONGEST_LINE = 4096
_MOST_TRAILERS = 100


class ChunkDecoder:
    """Takes the framing off, however it is cut up. ``done`` once the body, trailers included, is over."""

    def __init__(self) -> None:
        self._pending = b""
        # Bytes of the current chunk that are still to come; -2 before its size line, -1 before the line end after it.
        self._left = -2
        self._trailers: Optional[int] = None
        self.done = False
        # What came after the end, and must not have.
        self.excess = b""

    def feed(self, data: bytes) -> bytes:
        """The payload in ``data``.

        Raises:
            http.client.HTTPException: this is no framing.
        """
        if self._pending:
            data = self._pending + data
            self._pending = b""
        payload: List[bytes] = []
        position, end = 0, len(data)
        while position < end and not self.done:
            if self._left == -2 and self._trailers is None:
                # The common case, a whole chunk, in one step.
                line = _SIZE_LINE.match(data, position)
                if line is not None:
                    start = line.end()
                    stop = start + int(line[1], 16)
                    if start < stop and data[stop : stop + 2] == b"\r\n":
                        payload.append(data[start:stop])
                        position = stop + 2
                        continue
            if self._left > 0:
                piece = data[position : position + self._left]
                payload.append(piece)
                position += len(piece)
                self._left -= len(piece)
                if self._left == 0:
                    self._left = -1
                continue
            stop = data.find(b"\n", position)
            if stop < 0:
                if end - position > _LONGEST_LINE:
                    raise http.client.LineTooLong("chunk size")
                self._pending = data[position:]
                break
            if self._left == -1 and data[position : stop + 1] != b"\r\n":
                # A lone line feed too: http.client would take the next byte for it, and read another body.
                raise http.client.HTTPException("a chunk is longer than it says")
            self._take_line(data[position:stop].rstrip(b"\r"))
            position = stop + 1
        if self.done:
            self.excess = data[position:]
        return payload[0] if len(payload) == 1 else b"".join(payload)

    def _take_line(self, line: bytes) -> None:
        if self._trailers is not None:
            self._trailers += 1
            if self._trailers > _MOST_TRAILERS:
                raise http.client.HTTPException("too many trailers")
            self.done = not line
        elif self._left == -1:
            self._left = -2
        else:
            size = line.split(b";", 1)[0].strip()
            if not size or len(size) > 15 or not all(char in b"0123456789abcdefABCDEF" for char in size):
                raise http.client.HTTPException("a chunk does not say its size")
            self._left = int(size, 16)
            if self._left == 0:
                self._trailers = 0


def wire_of(raw: HTTPResponse) -> Any:
    """The buffered file under a response, or None where urllib3 does not show it."""
    return getattr(original_of(raw), "fp", None)


def read_chunks(raw: HTTPResponse) -> Iterator[bytes]:
    """The payload of a body in chunks, as soon as it is there. At its end the connection goes back to the pool.

    Raises:
        http.client.HTTPException, OSError: it did not come whole.
    """
    original: Any = original_of(raw)
    wire = wire_of(raw)
    decoder = ChunkDecoder()
    more = False
    while not decoder.done:
        if not more:
            wire.peek(1)  # waits in the file's own buffer: read1 would hold 64 KiB for as long as nothing comes
        data = wire.read1(_PIECE)
        more = len(data) >= io.DEFAULT_BUFFER_SIZE
        if not data:
            raise http.client.IncompleteRead(b"")
        payload = decoder.feed(data)
        if payload:
            yield payload
    original.close()
    if not decoder.excess:
        raw.release_conn()
