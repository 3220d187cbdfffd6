"""The heads of requests and responses: written in one piece, and read in one piece where they are as they mostly are.

Runs on: the thread that sends a request and reads its response.

What it buys: http.client writes a head header by header, in 26 us, and reads it line by line through the parser of
e-mail, in 75 (Python 3.13). Here that is 3 and 21, for a head of HTTP/1.1 that arrived whole, with plain lines; every
other one (1xx, HTTP/1.0, folded lines, lone line feeds, heads that come in pieces) is http.client's to read, from its
first byte.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
from typing import Any, Callable, Mapping, Optional, cast

from .exchange import shut_down
from .private import EndHooks, set_framing, take_head

__all__ = ["WholeHeadResponse", "write_head"]

_HEAD = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: ([\t -~]*))?\r\n((?:[!#-'*+.0-9A-Z^-z|~-]+:[\t -~]*\r\n)*)\r\n")
# http.client's own bound.
_MOST_HEADERS = 100
# RFC 9110, section 8.6: digits alone. Nothing is longer than what 18 of them say.
_SIZE = re.compile("[0-9]{1,18}\\Z")
_FOLD = re.compile("[ \t]*\r?\n[ \t]*")
# Lines of a head, those of interim responses before it included.
_HEAD_LINES = 1000


def write_head(method: str, target: str, host: str, headers: Mapping[str, str], size: Optional[int]) -> bytes:
    """The head of a request.

    Parameters:
        size: of the body in bytes; None where there is none.

    Raises:
        ValueError: something in it would end a line, or is not of Latin-1.
    """
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    if size is not None:
        lines.append(f"Content-Length: {size}")
    for name, value in headers.items():
        lines.append(f"{name}: {value}")
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
        raise ValueError("a header contains a line break")
    if " " in target:
        raise ValueError("the path of the URL contains a space")
    return (text + "\r\n\r\n").encode("latin-1")


class WholeHeadResponse(EndHooks, http.client.HTTPResponse):
    """A response whose head must end with its empty line: http.client takes one that was cut off for a complete one.
    Interim responses are passed over; http.client takes those other than 100 for the answer. Where its body ends must
    be beyond doubt, and after it nothing may have come that was not asked for: else the next response on the connection
    would be another's.
    """

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._sock = sock

    def at_end(self) -> None:
        if not self.will_close and _has_more(self.fp, self._sock):
            shut_down(self._sock)  # so no pool gives it to another request

    def begin(self) -> None:
        peek = getattr(self.fp, "peek", None)
        come = peek(1) if peek is not None else b""
        match = _HEAD.match(come)
        if match is None or match[3].count(b"\n") > _MOST_HEADERS:
            self._begin_slowly()
            self._frame_body()
            return
        self.fp.read(match.end())
        message = http.client.HTTPMessage()
        for line in match[3].decode("ascii").split("\r\n")[:-1]:
            name, _, value = line.partition(":")
            message.set_raw(name, value.lstrip(" \t"))
        take_head(self, int(match[1]), (match[2] or b"").decode("ascii").strip(), message)
        self._frame_body()

    def _begin_slowly(self) -> None:
        lines = _LastLine(self.fp)
        self.fp = cast(Any, lines)  # http.client reads the head with readline alone
        try:
            super().begin()
            while 102 <= self.status < 200 and lines.last != b"":
                # RFC 9110, section 15.2: any number may come before the answer, asked for or not.
                self.headers = self.msg = cast(Any, None)  # not begun
                super().begin()
        finally:
            if cast(Any, self.fp) is lines:
                self.fp = lines.fp
        if lines.last == b"":
            raise http.client.RemoteDisconnected("the connection ended inside the response's head")
        # RFC 9112, section 5.2: a folded value is one line, and is sent back as one.
        if any("\n" in value for value in self.headers.values()):
            unfolded = http.client.HTTPMessage()
            for name, value in self.headers.items():
                unfolded.set_raw(name, _FOLD.sub(" ", value))
            self.headers = self.msg = unfolded

    def _frame_body(self) -> None:
        """Find where the body ends (RFC 9112, section 6.3). http.client takes "+8" and "0_8" for numbers, and the first
        of two sizes.
        """
        sizes, codings = set(), []
        for name, value in self.headers.items():
            lowered = name.lower()
            if lowered == "content-length":
                sizes.add(value.strip())
            elif lowered == "transfer-encoding":
                codings.append(value.strip().lower())
        if len(sizes) > 1 or not all(map(_SIZE.match, sizes)) or codings not in ([], ["chunked"], ["identity"]):
            raise http.client.HTTPException("the response does not say where its body ends")
        has_body = self.has_body(self.status)
        is_chunked = codings == ["chunked"]
        length: Optional[int] = None
        if not has_body:
            length = 0
            del self.headers["transfer-encoding"]  # by which urllib3 would wait for a body
        elif sizes and not is_chunked:
            length = int(sizes.pop())
        is_doubtful = bool(codings) and (bool(sizes) or codings == ["identity"] or self.status in (204, 304))
        set_framing(self, length, is_chunked and has_body, is_doubtful)


def _has_more(file: Any, sock: socket.socket) -> bool:
    """Whether something has come already: in the file's buffer, in the TLS layer, or in the socket."""
    if file is None or file.closed:
        return False
    before = sock.gettimeout()
    try:
        sock.settimeout(0)
        return bool(file.peek(1))
    except (OSError, ValueError):
        return False  # it would block, or is at its end
    finally:
        with contextlib.suppress(OSError):
            sock.settimeout(before)


class _LastLine:
    """A file of which only lines are read, not without end, and that remembers the last."""

    __slots__ = ("close", "flush", "fp", "last", "left")

    def __init__(self, fp: Any) -> None:
        self.fp = fp
        self.last: Optional[bytes] = None
        self.left = _HEAD_LINES
        self.close: Callable[[], None] = fp.close
        self.flush: Callable[[], None] = fp.flush

    def readline(self, limit: int = -1) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise http.client.HTTPException("the response's head does not end")
        self.last = line = self.fp.readline(limit)
        return cast(bytes, line)
