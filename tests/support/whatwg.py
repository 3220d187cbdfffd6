"""The event stream of WHATWG HTML, 9.2.6, written down as it stands there: slow, plain, and independent of the package.

Used by tests, on whichever thread runs them.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

__all__ = ["Seen", "interpret"]


class Seen(NamedTuple):
    """What a stream comes to: events with data, the last id, the last retry."""

    events: list[tuple[str, str]]
    id: str
    retry: Optional[int]


def interpret(stream: bytes) -> Seen:
    """What the stream says, up to where it ends.

    But for three things. ``retry``, like ``id``, counts with the block that it is in, which may be cut off. A ``retry``
    of more than nine digits is ignored: it would be eleven days. An event whose data is empty is left out.
    """
    text = stream.decode("utf-8", "replace")
    text = text[1:] if text.startswith("\ufeff") else text
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]
    events: list[tuple[str, str]] = []
    data, kind, id, last_id = "", "", "", ""
    retry = last_retry = None
    for line in lines:
        if not line:
            last_id, last_retry = id, retry
            if data:
                events.append((kind or "message", data[:-1]))
            data, kind = "", ""
            continue
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "data":
            data += value + "\n"
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            id = value
        elif name == "retry" and value.isascii() and value.isdigit() and len(value) <= 9:
            retry = int(value)
    return Seen([event for event in events if event[1]], last_id, last_retry)
