"""Server-sent events out of bytes: whole, clean blocks for sseclient-py, and the two fields it loses.

Runs on: the thread that reads the stream; a framer belongs to one stream.

sseclient-py joins chunks quadratically, delivers an event that a disconnect cut short, drops ``retry:``-only and
``id:``-only events, keeps a BOM and NULs, merges two events at ``\\n\\r\\n``, and one bad byte of UTF-8 ends it. So it
is fed only complete blocks with plain line ends and good UTF-8, and ``id`` and ``retry`` are kept beside it (WHATWG
HTML, 9.2.6, Interpreting an event stream).

All events that came together go to it together. One of more than 64 KiB is cut up here, for the memory that it takes.
"""

from __future__ import annotations

import logging
import re
from typing import Any, Callable, List, NamedTuple, Optional, Union

from sseclient import SSEClient

from ..errors import MCPUsageError, MessageTooLargeError
from .http.private import silence

__all__ = ["Framer", "ServerSentEvent"]

_BOM = b"\xef\xbb\xbf"
_ID = re.compile(rb"^id(?::\x20?([^\n]*))?$", re.MULTILINE)
_RETRY = re.compile(rb"^retry:\x20?([0-9]{1,9})$", re.MULTILINE)
# In bytes; each request that goes on with the stream carries it.
_LONGEST_ID = 1024
# sseclient-py copies a line eight times and joins lines quadratically: nothing for a small event, 80 MB for one of 10.
_LARGE = 65536


class ServerSentEvent(NamedTuple):
    """One event: its type, and its data (bytes where there is much of it; JSON is decoded from either)."""

    event: str
    data: Union[str, bytes]

    @property
    def text(self) -> str:
        return self.data if isinstance(self.data, str) else self.data.decode("utf-8", "replace")


class Framer:
    """Cuts one stream into events.

    Attributes:
        last_event_id: the last ``id`` of a whole event, kept between events; "" before the first, and where it is too
            long.
        retry_ms: the last ``retry`` in milliseconds, or None.

    Parameters:
        limit: the largest event in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # What came since the last blank line. It grows where it is: pieces that are joined at the end take twice the
        # memory of a large event, and one for each byte that a slow server sends, fifty times.
        self._begun = bytearray()
        self._started = False
        # The last piece ended in CR: an LF that follows belongs to it.
        self._after_cr = False
        # What comes next begins a line: an LF there is a blank line.
        self._at_line_start = True
        self.last_event_id = ""
        self.retry_ms: Optional[int] = None

    def continued(self) -> Framer:
        """A framer for the stream that resumes this one: it knows the last id, and nothing of what was cut off."""
        framer = Framer(self._limit)
        framer.last_event_id = self.last_event_id
        framer.retry_ms = self.retry_ms
        return framer

    def feed(self, chunk: bytes) -> List[ServerSentEvent]:
        """The events that ``chunk`` completes; an event that the stream's end cuts off is never returned.

        Raises:
            MessageTooLargeError: an event is over the limit.
        """
        if not self._started:
            chunk = self._without_bom(chunk)
        if b"\r" in chunk or self._after_cr:
            chunk = self._with_plain_line_ends(chunk)
        if not chunk:
            return []
        end = chunk.rfind(b"\n\n") + 2
        if end < 2:
            if self._at_line_start and chunk[:1] == b"\n":
                end = 1
            else:
                self._keep(chunk)
                return []
        blocks: Union[bytes, bytearray] = chunk if end == len(chunk) else chunk[:end]
        if self._begun:
            begun, self._begun = self._begun, bytearray()
            begun += blocks
            blocks = begun if len(begun) > _LARGE else bytes(begun)
        self._at_line_start = True
        if end < len(chunk):
            self._keep(chunk[end:])
        if len(blocks) > self._limit and any(len(block) > self._limit for block in blocks.split(b"\n\n")):
            raise self._over_the_limit()
        if isinstance(blocks, bytes) and len(blocks) <= _LARGE:
            self._note_id_and_retry(blocks)
            return _events(blocks)
        return _large_blocks(blocks, self._note_id_and_retry)

    def _without_bom(self, chunk: bytes) -> bytes:
        if self._begun:
            chunk = bytes(self._begun) + chunk
            self._begun = bytearray()
        if len(chunk) < 3 and _BOM.startswith(chunk):
            self._begun += chunk
            return b""
        self._started = True
        return chunk[3:] if chunk.startswith(_BOM) else chunk

    def _with_plain_line_ends(self, chunk: bytes) -> bytes:
        if self._after_cr and chunk[:1] == b"\n":
            chunk = chunk[1:]
            self._after_cr = False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk

    def _keep(self, chunk: bytes) -> None:
        self._begun += chunk
        self._at_line_start = chunk.endswith(b"\n")
        if len(self._begun) > self._limit:
            raise self._over_the_limit()

    def _over_the_limit(self) -> MessageTooLargeError:
        return MessageTooLargeError(
            f"the server sent a message over the limit of {self._limit} bytes; raise max_message_bytes if that is "
            "intended",
            outcome="unknown",
        )

    def _note_id_and_retry(self, blocks: bytes) -> None:
        if blocks.startswith(b"id") or b"\nid" in blocks:
            for match in _ID.finditer(blocks):
                value = match[1] or b""
                if b"\0" not in value:
                    # One that cannot be sent back leaves nothing to go on from.
                    self.last_event_id = "" if len(value) > _LONGEST_ID else value.decode("utf-8", "replace")
        if blocks.startswith(b"retry:") or b"\nretry:" in blocks:
            for match in _RETRY.finditer(blocks):
                self.retry_ms = int(match[1])


if not hasattr(SSEClient, "events"):
    raise MCPUsageError(
        "the package sseclient is installed over sseclient-py: run pip uninstall sseclient, then "
        "pip install --force-reinstall sseclient-py",
        outcome="not_sent",
    )


class _Parser(SSEClient):
    """It logs that it was made, too, under the name of its module: what the program's handlers raise must not come out
    of there.
    """

    __module__ = f"{__name__}.parser"


logging.getLogger(_Parser.__module__).setLevel(logging.CRITICAL + 1)


def _events(blocks: bytes) -> List[ServerSentEvent]:
    """What sseclient-py makes of whole blocks."""
    if not blocks.isascii():
        try:
            blocks.decode("utf-8")
        except UnicodeDecodeError:
            blocks = blocks.decode("utf-8", "replace").encode("utf-8")
    client: Any = _Parser(iter([blocks]))
    silence(client)
    return [ServerSentEvent(event.event, event.data) for event in client.events()]


def _large_blocks(blocks: Union[bytes, bytearray], note: Callable[[bytes], None]) -> List[ServerSentEvent]:
    """The same, where there is much of it: large events with as few copies and searches as can be.

    Parameters:
        note: is given what may hold an ``id`` or a ``retry``.
    """
    events: List[ServerSentEvent] = []
    position = 0
    while position < len(blocks):
        # As many small blocks together as there are, or else one that is large.
        end = blocks.rfind(b"\n\n", position, position + _LARGE) + 2
        if end >= 2:
            small = bytes(blocks[position:end])
            note(small)
            events += _events(small)
        else:
            found = blocks.find(b"\n\n", position)
            end = len(blocks) if found < 0 else found + 2
            events += _large_event(blocks, position, end, note)
        position = end
    return events


def _large_event(
    blocks: Union[bytes, bytearray], start: int, stop: int, note: Callable[[bytes], None]
) -> List[ServerSentEvent]:
    """One large block: only the values are cut out."""
    name = b""
    data: List[bytes] = []
    with memoryview(blocks) as view:
        while start < stop:
            end = blocks.find(b"\n", start, stop)
            if end < 0:
                end = stop
            head = bytes(view[start : min(start + 7, end)])
            if head.startswith(b"data:"):
                data.append(bytes(view[start + (6 if head[5:6] == b" " else 5) : end]))
            elif head == b"data":
                data.append(b"")
            elif head.startswith(b"event:"):
                name = bytes(view[start + (7 if head[6:7] == b" " else 6) : end])
            elif head.startswith((b"id", b"retry:")):
                note(bytes(view[start:end]))
            start = end + 1
    if not data:
        return []
    return [
        ServerSentEvent(name.decode("utf-8", "replace") or "message", data[0] if len(data) == 1 else b"\n".join(data))
    ]
