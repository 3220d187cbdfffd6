"""The short way of a plain request: a connection of urllib3's pool, and nothing of what its ``urlopen`` does for
retries, redirects and bodies of any kind.

Runs on: the calling thread.
"""

from __future__ import annotations

import http.client
from typing import Any, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import urlsplit

from urllib3 import HTTPHeaderDict, Retry, Timeout
from urllib3.response import HTTPResponse

from .connections import InterruptibleConnection
from .heads import write_head

__all__ = ["Route"]

# Headers that say how the request is framed or where it goes: urllib3 knows what to do about them.
_OF_THE_WIRE = frozenset({"connection", "content-length", "expect", "host", "transfer-encoding"})
_NO_BODY = frozenset({"DELETE", "GET", "HEAD", "OPTIONS"})
_NO_RETRIES = Retry(False)


class _Answer(HTTPResponse):
    """A response that gives its connection back once. urllib3's forgets it only afterwards: an interrupt between, and
    the connection is in the pool twice, and two threads read each other's answers.
    """

    def release_conn(self) -> None:
        pool, connection = self._pool, self._connection
        if pool is not None and connection is not None:
            self._connection = None
            pool._put_conn(connection)


class Route(NamedTuple):
    """The way to one URL."""

    pool: Any
    # What stands in the request line.
    target: str
    # None where urllib3 has to find out what it is, or a proxy is in between.
    host: Optional[str]

    @classmethod
    def to(cls, url: str, pool: Any, target: str) -> Route:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        default = f":{443 if parts.scheme == 'https' else 80}"
        host = host[: -len(default)] if host.endswith(default) else host
        is_plain = host.isascii() and "%" not in host and target.startswith("/") and " " not in target
        is_ours = issubclass(pool.ConnectionCls, InterruptibleConnection) and pool.proxy is None
        return cls(pool, target, host if host and is_plain and is_ours else None)

    def exchange(
        self, method: str, headers: Mapping[str, str], body: Optional[bytes], timeouts: Tuple[float, float]
    ) -> HTTPResponse:
        """Send one request, and return its response with the body still to be read.

        Parameters:
            timeouts: for connecting, and for each operation after that, in seconds.

        Raises:
            OSError, http.client.HTTPException, urllib3.exceptions.HTTPError, ValueError: no response came.
        """
        if self.host is None or not _OF_THE_WIRE.isdisjoint(map(str.lower, headers)):
            return self._the_long_way(method, headers, body, timeouts)
        size = len(body) if body is not None else (None if method in _NO_BODY else 0)
        head = write_head(method, self.target, self.host, headers, size)
        pool = self.pool
        connection = pool._get_conn()
        try:
            return self._answer(connection, method, connection.transact(method, head, body, timeouts))
        except BaseException:
            connection.close()
            pool._put_conn(None)
            raise

    def _the_long_way(
        self, method: str, headers: Mapping[str, str], body: Optional[bytes], timeouts: Tuple[float, float]
    ) -> HTTPResponse:
        answer: HTTPResponse = self.pool.urlopen(
            method,
            self.target,
            body=body,
            headers=dict(headers),
            retries=_NO_RETRIES,
            redirect=False,
            timeout=Timeout(connect=timeouts[0], read=timeouts[1]),
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
        )
        return answer

    def _answer(self, connection: Any, method: str, response: http.client.HTTPResponse) -> HTTPResponse:
        return _Answer(
            body=response,
            headers=HTTPHeaderDict(response.headers.items()),
            status=response.status,
            version=response.version,
            reason=response.reason,
            preload_content=False,
            decode_content=False,
            original_response=response,
            pool=self.pool,
            connection=connection,
            request_method=method,
            request_url=self.target,
        )
