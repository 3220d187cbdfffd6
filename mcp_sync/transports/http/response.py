"""An HTTP response, read within bounds: whole or piece by piece, decompressed, under the deadline of its exchange; and
the error for one with an error status.

Runs on: the thread that sent the request.
"""

from __future__ import annotations

import contextlib
import math
import time
from email.utils import parsedate_to_datetime
from typing import Callable, Dict, Iterator, Optional, Type, cast

from requests.structures import CaseInsensitiveDict
from urllib3.response import HTTPResponse

from ...concurrency.clock import monotonic
from ...errors import AuthorizationError, HTTPStatusError, MCPClientError, MessageTooLargeError, RateLimitedError
from ...escape import excerpt
from ...protocol.urls import public_url
from ..masking import Secrets
from .chunked import read_chunks, wire_of
from .exchange import Exchange, watch
from .failures import raise_translated
from .private import original_of
from .unpacking import unpacked

__all__ = ["Response", "seconds_of_retry_after", "status_error"]

_PIECE = 65536
_EXCERPT_BYTES = 4096
# A server that ends a response ends it right after the answer; to open another connection costs less than to wait
# longer.
_END_SECONDS = 0.005
# How long the body of a refusal may take to come, of which an excerpt is shown.
_SOON_SECONDS = 0.5
_LONGEST_RETRY_AFTER = 3600.0
# Never in an error: what a log must not hold.
_SECRET_HEADERS = {"set-cookie", "mcp-session-id", "x-mcp-session-id", "authorization", "proxy-authenticate"}


class Response:
    """An HTTP response whose body is read on the thread that sent the request, under the deadline of its exchange."""

    __slots__ = ("_ended", "_raw", "_read", "_secrets", "content_type", "exchange", "headers", "status", "url")

    def __init__(
        self,
        exchange: Exchange,
        raw: HTTPResponse,
        url: str,
        secrets: Secrets,
        ended: Callable[[Exchange], None],
    ) -> None:
        self._ended = ended
        self._secrets = secrets
        # None once closed: an error that somebody keeps may hold this response, and must not hold its pool.
        self._raw: Optional[HTTPResponse] = raw
        self._read = b""
        self.exchange = exchange
        self.headers = raw.headers
        self.status = raw.status
        self.url = url
        # The media type alone, in lower case; "" where there is none.
        self.content_type = raw.headers.get("content-type", "").split(";")[0].strip().lower()

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

    def hurry(self) -> None:
        """The status says it all: of the body only what comes soon is read."""
        exchange = self.exchange
        if exchange.deadline_at == math.inf:
            exchange.deadline_at = monotonic() + _SOON_SECONDS
            watch.add(exchange)
        watch.hurry(exchange, _SOON_SECONDS)

    def _set_timeout(self, seconds: Optional[float]) -> None:
        raw, connection = self._raw, self.exchange.connection
        if connection is not None:
            connection.set_timeout(self.exchange, seconds)
        elif raw is not None:
            sock = getattr(raw.connection, "sock", None)  # a connection of urllib3's own
            if sock is not None:
                sock.settimeout(seconds)

    def read(self, limit: int) -> bytes:
        """The whole body, decompressed.

        Raises:
            MessageTooLargeError: it is longer than ``limit`` bytes.
            MCPConnectionError, MCPTimeoutError, MCPClosedError: it did not come whole.
        """
        try:
            return self._read_whole(limit)
        except Exception as exc:  # noqa: BLE001  # whatever it is, there is an error for it
            raise_translated(exc, self.exchange, self.url)

    def _read_whole(self, limit: int) -> bytes:
        raw = cast(HTTPResponse, self._raw)  # a response is read before it is closed
        length = raw.length_remaining
        if length is not None and length <= limit and "content-encoding" not in self.headers:
            original = original_of(raw)
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
            parts.append(part)
        return b"".join(parts)

    def chunks(self) -> Iterator[bytes]:
        """The body piece by piece, each as soon as it is there.

        Ends where the body ends; a connection that breaks raises MCPConnectionError.
        """
        try:
            yield from self._pieces()
        except Exception as exc:  # noqa: BLE001  # whatever it is, there is an error for it
            raise_translated(exc, self.exchange, self.url)

    def _pieces(self) -> Iterator[bytes]:
        raw = cast(HTTPResponse, self._raw)  # a response is read before it is closed
        pieces = read_chunks(raw) if raw.chunked and wire_of(raw) is not None else _pieces_of(raw)
        coding = self.headers.get("content-encoding")
        return pieces if coding is None else unpacked(pieces, coding)

    def remember(self, body: bytes) -> None:
        """Keep what was read, for ``excerpt``."""
        self._read = body

    def excerpt(self) -> str:
        """The beginning of the body, escaped, at most 200 characters, without the request's credentials; "" where it
        cannot be read.
        """
        self.hurry()
        parts, size = [self._read], len(self._read)
        try:
            for part in () if self._read else self.chunks():
                parts.append(part)
                size += len(part)
                if size >= _EXCERPT_BYTES:
                    break
        except MCPClientError:
            pass  # the status says more than this does
        text = b"".join(parts)[:_EXCERPT_BYTES].decode("utf-8", "replace").strip()
        return excerpt(self._secrets.mask_excerpt(text) if size >= _EXCERPT_BYTES else self.masked(text))

    def masked(self, text: str) -> str:
        """What the server says, without what it quotes of the request's credentials."""
        return self._secrets.mask(text)

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
            with contextlib.suppress(OSError):  # other code of this process may have closed its descriptor
                raw.close()
            raw.release_conn()
        self._ended(self.exchange)


def _pieces_of(raw: HTTPResponse) -> Iterator[bytes]:
    while True:
        piece = raw.read1(_PIECE, decode_content=False)
        if not piece:
            return
        yield piece


def status_error(response: Response, what: str, kind: Optional[Type[HTTPStatusError]] = None) -> HTTPStatusError:
    """The error for a response with an error status; reads an excerpt of its body.

    Parameters:
        what: what was asked, as the beginning of the message: "opening the stream".
        kind: the class to raise instead of the one that the status calls for.
    """
    status = response.status
    body = response.excerpt()
    hint = _HINTS.get(status, "")
    if status == 401 and "resource_metadata" in response.headers.get("www-authenticate", ""):
        hint = "the server offers sign-in (OAuth): pass auth= with a token of it"
    if kind is None:
        kind = _KINDS.get(status, HTTPStatusError)
    # 503 too: a gateway says it of a server that broke off, and a server of a call that its end cut short.
    outcome = "refused" if status < 500 else "unknown"
    shown = (item for item in response.headers.items() if item[0].lower() not in _SECRET_HEADERS)
    headers = {name: response.masked(value) for name, value in shown}
    return kind(
        f"{what} was answered with HTTP status {status}"
        + (f"; {hint}" if hint else "")
        + (f": {body!r}" if body else ""),
        status=status,
        headers=CaseInsensitiveDict(headers),
        body=body,
        retry_after=seconds_of_retry_after(response.headers.get("retry-after")),
        outcome=outcome,
        server=public_url(response.url),
    )


_KINDS: Dict[int, Type[HTTPStatusError]] = {401: AuthorizationError, 403: AuthorizationError, 429: RateLimitedError}
_HINTS = {
    400: "the server does not take this request",
    401: "the server wants credentials: pass auth=",
    403: "the server does not allow this: check the credentials and the host name",
    404: "nothing is there: check the path of the URL",
    405: "the server does not take this method there: check the path of the URL",
    429: "the server asks to slow down",
    503: "the server is not available right now",
}


def seconds_of_retry_after(value: Optional[str]) -> Optional[float]:
    """Seconds from a Retry-After header, a number or a date (RFC 9110, section 10.2.3), between 0 and an hour."""
    if value is None:
        return None
    text = value.strip()
    try:
        seconds = (
            float(text) if text.isascii() and text.isdigit() else parsedate_to_datetime(text).timestamp() - time.time()
        )
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)
