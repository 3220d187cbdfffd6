"""An HTTP response, read within bounds: whole or piece by piece, decompressed, under the deadline of its exchange.

Runs on: the thread that sent the request.
"""

from __future__ import annotations

import math
from typing import Callable, Iterator, Mapping, Optional, cast

from urllib3.response import HTTPResponse

from ...concurrency.signals import from_signal_handler
from ...errors import MCPClientError, MessageTooLargeError
from ...escape import excerpt
from .chunked import read_chunks, wire_of
from .exchange import Exchange, watch
from .failures import translate
from .redaction import without_secrets

__all__ = ["Response"]

_PIECE = 65536
_EXCERPT_BYTES = 4096
# A body that unpacks to more than this, and to more than so many times its size, is a bomb. JSON shrinks to a tenth or
# twentieth; and nothing compressed was asked for.
_UNPACKED_BYTES = 4 * 1024 * 1024
_UNPACKED_TIMES = 100
# A server that ends a response ends it right after the answer; to open another connection costs less than to wait
# longer.
_END_SECONDS = 0.005


class Response:
    """An HTTP response whose body is read on the thread that sent the request, under the deadline of its exchange."""

    __slots__ = ("_ended", "_raw", "_read", "_sent", "exchange", "headers", "status", "url")

    def __init__(
        self,
        exchange: Exchange,
        raw: HTTPResponse,
        url: str,
        sent: Mapping[str, str],
        ended: Callable[[Exchange], None],
    ) -> None:
        self._ended = ended
        self._sent = sent
        # None once closed: an error that somebody keeps may hold this response, and must not hold its pool.
        self._raw: Optional[HTTPResponse] = raw
        self._read = b""
        self.exchange = exchange
        self.headers = raw.headers
        self.status = raw.status
        self.url = url

    @property
    def content_type(self) -> str:
        """The media type alone, in lower case; "" where there is none."""
        return self.headers.get("content-type", "").split(";")[0].strip().lower()

    def unbound(self) -> None:
        """Lift the deadline: from now on the stream may be silent for as long as it likes."""
        watch.discard(self.exchange)
        self.exchange.deadline_at = math.inf
        self._set_timeout(None)

    def hasten(self) -> None:
        """What was wanted is there: read on to the end, so that the connection can be kept, but only if that comes at
        once.
        """
        self._set_timeout(_END_SECONDS)

    def _set_timeout(self, seconds: Optional[float]) -> None:
        raw = self._raw
        if self.exchange.connection is not None:
            self.exchange.connection.set_timeout(self.exchange, seconds)
            return
        sock = None if raw is None else getattr(raw.connection, "sock", None)
        if sock is not None:
            sock.settimeout(seconds)

    def read(self, limit: int) -> bytes:
        """The whole body, decompressed.

        Raises:
            MessageTooLargeError: it is longer than ``limit`` bytes.
            MCPConnectionError, MCPTimeoutError, MCPClosedError: it did not come whole.
        """
        error: Optional[MCPClientError] = None
        try:
            return self._read_whole(limit)
        except MCPClientError:
            raise
        except Exception as exc:  # noqa: BLE001  # translate() knows what to make of it
            raised = from_signal_handler(exc)
            if raised is not None:
                raise raised from None
            error = translate(exc, self.exchange, self.url, None)
        raise error

    def _read_whole(self, limit: int) -> bytes:
        raw = self._opened()
        length = raw.length_remaining
        packed = "content-encoding" in self.headers
        if length is not None and length <= limit and not packed:
            original = raw._original_response
            if original is None or not length or original.length != length:
                return raw.read(decode_content=False)
            # A third of what urllib3's own read costs, which buffers and decodes.
            body: bytes = original.read()
            raw.release_conn()
            return body
        parts, size = [], 0
        for part in self._pieces():
            size += len(part)
            if size > limit:
                raise MessageTooLargeError(
                    f"the server's answer is over the limit of {limit} bytes (max_message_bytes)", outcome="unknown"
                )
            if packed and size > _UNPACKED_BYTES and size > _UNPACKED_TIMES * raw.tell():
                raise MessageTooLargeError(
                    f"the server's compressed answer is over the limit: it unpacks to more than {_UNPACKED_TIMES} "
                    "times its size",
                    outcome="unknown",
                )
            parts.append(part)
        return b"".join(parts)

    def chunks(self) -> Iterator[bytes]:
        """The body piece by piece, each as soon as it is there.

        Ends where the body ends; a connection that breaks raises MCPConnectionError.
        """
        error: Optional[MCPClientError] = None
        try:
            yield from self._pieces()
        except MCPClientError:
            raise
        except Exception as exc:  # noqa: BLE001  # translate() knows what to make of it
            raised = from_signal_handler(exc)
            if raised is not None:
                raise raised from None
            error = translate(exc, self.exchange, self.url, None)
        if error is not None:
            raise error

    def _opened(self) -> HTTPResponse:
        return cast(HTTPResponse, self._raw)  # a response is read before it is closed

    def _pieces(self) -> Iterator[bytes]:
        raw = self._opened()
        encoded = "content-encoding" in self.headers
        if raw.chunked and not encoded and wire_of(raw) is not None:
            yield from read_chunks(raw)
        else:
            while True:
                piece = raw.read1(_PIECE, decode_content=encoded)
                if not piece:
                    return
                yield piece

    def remember(self, body: bytes) -> None:
        """Keep what was read, for ``excerpt``."""
        self._read = body

    def excerpt(self) -> str:
        """The beginning of the body, escaped, at most 200 characters, without the request's credentials; "" where it
        cannot be read.
        """
        parts, size = [self._read], 0
        try:
            for part in () if self._read else self.chunks():
                parts.append(part)
                size += len(part)
                if size >= _EXCERPT_BYTES:
                    break
        except MCPClientError:
            pass  # the status says more than this does
        return excerpt(self.masked(b"".join(parts)[:_EXCERPT_BYTES].decode("utf-8", "replace").strip()))

    def masked(self, text: str) -> str:
        """What the server says, without what it quotes of the request's credentials."""
        return without_secrets(text, self.url, self._sent)

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else close it.

        Idempotent; the thread that reads calls it.
        """
        raw, self._raw = self._raw, None
        if raw is None:
            return
        if raw.connection is not None and raw.length_remaining == 0:
            # No body: reading nothing returns the connection to the pool.
            try:
                raw.read(decode_content=False)
            except Exception:  # noqa: BLE001, S110  # nosec B110  # it is closed below all the same
                pass
        if raw.connection is not None:
            raw.close()
        raw.release_conn()
        self._ended(self.exchange)
