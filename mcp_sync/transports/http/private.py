"""The private names of other libraries that this package touches: all of them, so that a new version is checked here.

Runs on: whichever thread uses what it gives. It loads none of the libraries: each class stands before the library's own
in the bases of ours.

Seen in: urllib3 2.3 to 2.8; sseclient-py 1.8 and 1.9; http.client and concurrent.futures of Python 3.9 to 3.13. Of
requests nothing private is used. tests/transports/http/test_private.py fails where a version has one no more.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any, Callable, Optional, cast

if TYPE_CHECKING:
    import http.client
    import threading
    from concurrent.futures import Future

    import requests
    from sseclient import SSEClient
    from urllib3.response import HTTPResponse

__all__ = [
    "ConnectionHooks",
    "EndHooks",
    "PoolHooks",
    "ReleasedOnce",
    "TLSPoolHooks",
    "original_of",
    "raw_of",
    "set_condition",
    "set_framing",
    "silence",
    "take_head",
]

_SILENT = logging.Logger("sseclient", logging.CRITICAL)


class ConnectionHooks:
    """Before urllib3's HTTPConnection: ``open_socket`` says how it connects."""

    _dns_host: str
    open_socket: Callable[[str], socket.socket]

    def _new_conn(self) -> socket.socket:
        return self.open_socket(self._dns_host)  # unlike ``host`` it keeps the last dot of a full name


class PoolHooks:
    """Before urllib3's HTTPConnectionPool: connections come from ``take`` and end in ``give_back``."""

    _get_conn: Any
    give_back: Callable[[Any], None]

    def take(self) -> Any:
        """An idle connection that is still good, or a new one."""
        return self._get_conn()

    def _put_conn(self, conn: Any) -> None:
        self.give_back(conn)


class TLSPoolHooks:
    """Before urllib3's HTTPSConnectionPool: it does not warn of each connection whose peer is not verified."""

    def _validate_conn(self, conn: Any) -> None:
        if conn.is_closed:
            conn.connect()


class ReleasedOnce:
    """Before urllib3's HTTPResponse, which forgets its connection after it has given it back: an interrupt between, and
    the connection is in the pool twice, and two threads read each other's answers.
    """

    _pool: Any
    _connection: Any

    def release_conn(self) -> None:
        pool, connection = self._pool, self._connection
        if pool is not None and connection is not None:
            self._connection = None
            pool.give_back(connection)


def raw_of(response: requests.Response) -> HTTPResponse:
    """urllib3's response under one of requests', or one of what was read already, or what an adapter made up."""
    from io import BytesIO

    from urllib3.response import BaseHTTPResponse, HTTPResponse

    read: Any = response._content
    raw: Any = response.raw
    if read is False and isinstance(raw, BaseHTTPResponse):
        return cast("HTTPResponse", raw)
    headers = {name: value for name, value in response.headers.items() if name.lower() != "content-encoding"}
    return HTTPResponse(
        BytesIO(response.content or b""), headers=headers, status=response.status_code, preload_content=False
    )


def original_of(response: HTTPResponse) -> Optional[http.client.HTTPResponse]:
    """http.client's response under one of urllib3's, which has the buffered file of the socket as ``fp``."""
    original: Optional[http.client.HTTPResponse] = response._original_response
    return original


class EndHooks:
    """Before http.client's HTTPResponse: ``at_end`` is called before the file that it reads is closed."""

    fp: Any
    _method: str

    def _close_conn(self) -> None:
        self.at_end()
        super()._close_conn()  # type: ignore[misc]  # http.client's

    def at_end(self) -> None:
        """The body is over, or given up."""
        raise NotImplementedError

    def has_body(self, status: int) -> bool:
        """Whether a response with this status has a body, by the method of its request."""
        return self._method != "HEAD" and status not in (204, 304)


def take_head(response: http.client.HTTPResponse, status: int, reason: str, headers: http.client.HTTPMessage) -> None:
    """What http.client's ``begin`` concludes from a head of HTTP/1.1, but for where the body ends."""
    this: Any = response
    this.code = this.status = status
    this.reason = reason
    this.version = 11
    this.headers = this.msg = headers
    this.will_close = "close" in (headers.get("connection") or "").lower()


def set_framing(response: http.client.HTTPResponse, length: Optional[int], is_chunked: bool, closes: bool) -> None:
    """How a body ends: after so many bytes, by its own framing, or with the connection."""
    this: Any = response
    this.chunked = is_chunked
    this.chunk_left = None
    this.length = length
    this.will_close = closes or this.will_close or (length is None and not is_chunked)


def silence(client: SSEClient) -> None:
    """sseclient-py logs each event, and what it does not understand as it came: a server's text, unescaped."""
    parser: Any = client
    parser._logger = _SILENT


def set_condition(future: Future[Any], condition: threading.Condition) -> None:
    """Have a future use ``condition``, as its own would be left locked by an interrupt."""
    future._condition = condition
