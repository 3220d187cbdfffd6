"""What a child process writes, cut into lines: the messages of its stdout, and the log of its stderr.

Runs on: the transport's reader thread for ``Lines``; its stderr thread for ``ServerLog``, whose ``tail`` any thread may
call.
"""

from __future__ import annotations

import builtins
import logging
import sys
from typing import List

from ...concurrency.log import Log, Sparing
from ...errors import MCPProtocolError, MessageTooLargeError
from ...escape import escape, excerpt
from ...protocol.messages import Message, encode
from ...protocol.unreadable import Unreadable, decode_or_mark
from ..masking import Secrets

__all__ = ["Lines", "Messages", "ServerLog", "line_of"]

_log = Log(__package__ or __name__)

# Pieces of an unfinished line are joined up to this many bytes.
_PIECE = 65536
# This much of stderr goes into errors. More is kept, so that no secret is cut in two before it is masked.
_TAIL_BYTES = 2048
# Of a line that is shown, so much is masked and cut.
_LONGEST_SHOWN = 10_000
# A longer line is logged in pieces.
_LONGEST_LINE = 4096
# A notebook shows at most this many lines of one server.
_MOST_SHOWN = 1000


class Lines:
    """Cuts one stream into lines, in linear time.

    Parameters:
        limit: the longest line in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # What came since the last line end: pieces of some size, joined only when the line is complete.
        self._unfinished: List[bytearray] = []
        self._size = 0

    def feed(self, chunk: bytes) -> List[bytes]:
        """The lines that ``chunk`` completes, without their ends; what the stream's end cuts off is never returned.

        Raises:
            MessageTooLargeError: a line is over the limit.
        """
        lines = chunk.split(b"\n")
        if len(lines) > 1:
            if self._unfinished:
                lines[0] = b"".join([*self._unfinished, lines[0]])
                self._unfinished.clear()
            self._size = 0
        self._keep(lines[-1])
        if self._size > self._limit or max(map(len, lines)) > self._limit:
            raise MessageTooLargeError(
                f"the server sent a message over the limit of {self._limit} bytes; raise max_message_bytes if that is "
                "intended",
                outcome="unknown",
            )
        return lines[:-1]

    @property
    def unfinished(self) -> bytes:
        """The beginning of the line that has no end yet."""
        return bytes(b"".join(self._unfinished[:1])[:_LONGEST_SHOWN])

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._unfinished and len(self._unfinished[-1]) < _PIECE:
            self._unfinished[-1] += piece
        elif piece:
            self._unfinished.append(bytearray(piece))


class Messages:
    """Decodes what comes from stdout, and keeps for errors what is no message.

    Parameters:
        limit: the longest line in bytes.
        log: gets a warning of it, and masks it.
    """

    def __init__(self, limit: int, log: ServerLog) -> None:
        self._lines = Lines(limit)
        self._log = log
        self._sparing = Sparing(_log)
        # What was skipped last.
        self._skipped = ""

    def feed(self, chunk: bytes) -> List[Message]:
        """The messages that ``chunk`` completes.

        Raises:
            MessageTooLargeError: a line is over the limit.
        """
        return [message for line in self._lines.feed(chunk) for message in self._decode(line)]

    def _decode(self, line: bytes) -> List[Message]:
        line = line.removeprefix(b"\xef\xbb\xbf")
        if not line or line.isspace():
            return []
        if line.lstrip()[:1] in (b"{", b"["):
            messages = decode_or_mark(line)
            if not isinstance(messages[0], Unreadable):
                return messages
            frame = messages[0]
            if frame.ids or frame.may_be_answer:
                self._skipped = self._shown(line)
                text = f"the server wrote to stdout a message that cannot be read: {self._skipped!r}"
                frame.error = MCPProtocolError(text, outcome="unknown")
                return messages
        self._skipped = self._shown(line)
        self._sparing.warning(
            "stdout", "%s wrote to stdout what is no message; it is skipped: %s", self._log.server, self._skipped
        )
        return []

    def _shown(self, line: bytes) -> str:
        return excerpt(self._log.masked(line[:_LONGEST_SHOWN].decode("utf-8", "replace").rstrip()))

    def remark(self) -> str:
        """What may explain that an answer did not come, for an error's text. Any thread."""
        rest = self._lines.unfinished
        if rest:
            return f"; what it wrote to stdout last has no line end: {self._shown(rest)!r}"
        return f"; it wrote to stdout what is no message: {self._skipped!r}" if self._skipped else ""

    def end(self) -> None:
        """Nothing more comes."""
        self._sparing.tell_rest()


class ServerLog:
    """What a server writes to stderr: its end, for errors, and each line, for the log.

    In a notebook, where logging is not configured, the lines are shown below the cell.

    Parameters:
        log: gets the lines, at INFO.
        server: its name.
        secrets: what the server was given; they are masked.
    """

    def __init__(self, log: Log, server: str, secrets: Secrets) -> None:
        self.server = server
        self._log = log
        self.masked = secrets.mask
        # In bytes: what ends a piece may be the beginning of the longest of them.
        self._longest = secrets.longest
        self._last = b""
        self._dropped = False
        self._line = b""
        self._shown = 0

    def wrote(self, chunk: bytes) -> None:
        kept = 2 * _TAIL_BYTES + self._longest
        self._dropped = self._dropped or len(self._last) + len(chunk) > kept
        self._last = (self._last + chunk[-kept:])[-kept:]
        if not self._log.isEnabledFor(logging.INFO) and not self._is_for_cell:
            return
        lines = (self._line + chunk).split(b"\n")
        self._line = lines.pop()
        for line in lines:
            self._log_line(line)
        if len(self._line) > _LONGEST_LINE + self._longest:
            # The end waits for the next piece: a secret may just have begun there.
            text = self.masked(self._line.decode("utf-8", "replace")).encode("utf-8")
            cut = max(len(text) - self._longest, 0)
            self._log_line(text[:cut])
            self._line = text[cut:]

    def flush(self) -> None:
        """Log the unfinished line: stderr has ended."""
        self._log_line(self._line)
        self._line = b""

    def _log_line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            try:
                text = excerpt(self.masked(text), _LONGEST_LINE)
                self._log.info("%s: %s", self.server, text)
                if self._is_for_cell:
                    self._show(text)
            # A filter of the user's that fails must not fill the server's pipe.
            except Exception:  # noqa: BLE001, S110  # nosec B110  # see above
                pass

    @property
    def _is_for_cell(self) -> bool:
        in_notebook = hasattr(builtins, "__IPYTHON__") and "ipykernel" in sys.modules
        return in_notebook and self._shown <= _MOST_SHOWN and not self._log.hasHandlers()

    def _show(self, text: str) -> None:
        self._shown += 1
        what = (
            text if self._shown <= _MOST_SHOWN else "... the rest is not shown; logging.basicConfig(level=20) shows it"
        )
        sys.stderr.write(f"{self.server}: {what}\n")

    def tail(self) -> str:
        """The last 2 kB, to be added to an error's text."""
        text = self._last.decode("utf-8", "replace").replace("\r\n", "\n")
        text = self.masked(text, is_end=self._dropped)
        text = escape(text.encode("utf-8")[-_TAIL_BYTES:].decode("utf-8", "ignore")).strip()
        return f"; it wrote to stderr:\n{text}" if text else "; it wrote nothing to stderr"


def line_of(message: Message) -> bytes:
    """``message`` as it goes to a server's stdin."""
    line = encode(message)
    if b"\xe2\x80" in line:
        # Legal in JSON, but Node's readline ends a line at them too: U+2028 and U+2029.
        line = line.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return line + b"\n"
