"""Connections that one deadline bounds and another thread can interrupt.

Runs on: the thread that sends a request; ``interrupt`` on any.

What each override of urllib3's buys:
* ``open_socket``: the connect timeout covers the look-up and all addresses together (urllib3's is per address, and a
  look-up has none).
* ``is_connected``: a connection that was idle for some seconds is not used again: servers close them after five, and
  the race would lose a request.
* ``response_class``: a head that the server cut off is an error, interim responses are passed over, and a plain head
  is read in one piece (heads.py).
* ``transact``: one request and the head of its response, without what urllib3 does for retries, redirects and bodies
  of any kind, and http.client for each header.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import http.client
import os
import socket
import threading
import weakref
from typing import Any, List, Mapping, NamedTuple, Optional, Tuple, cast

from urllib3 import HTTPHeaderDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.response import HTTPResponse

from ...concurrency.clock import monotonic
from ...concurrency.events import Event
from ...concurrency.forks import in_child
from . import private
from .exchange import Exchange, StoppedBeforeSending, current, shut_down
from .heads import WholeHeadResponse, write_head
from .look_up import look_up
from .redaction import quiet_urllib3

__all__ = ["InterruptibleConnection", "InterruptibleHTTPSConnection", "Route", "keepalive_options"]

# uvicorn and node close idle connections after 5 s.
_IDLE_SECONDS = 4.0
_NO_BODY = frozenset({"DELETE", "GET", "HEAD", "OPTIONS"})
# Bodies up to this many bytes are joined with their head.
_JOINED = 65536
_ANSWERED_EARLY = {errno.EPIPE, errno.ECONNRESET, getattr(errno, "EPROTOTYPE", errno.EPIPE)}
# What ``connect_ex`` returns where the time-out of the socket passed.
_TIMED_OUT = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EINPROGRESS}


quiet_urllib3(lambda: current.exchange is not None)


class Route(NamedTuple):
    """The direct way to one URL: the pool, and what stands in the request line and in the Host header."""

    pool: Any
    target: str
    host: str


class _Answer(private.ReleasedOnce, HTTPResponse):
    """The response to a request that went the direct way."""


class InterruptibleConnection(private.ConnectionHooks, HTTPConnection):
    """A connection that knows the exchange it carries."""

    response_class = WholeHeadResponse

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _connections.add(self)
        # Guards the two below: an interrupt must never hit the exchange that gets this connection from the pool next.
        self._guard = threading.RLock()
        self._exchange: Optional[Exchange] = None
        self._was_shut_down = False
        # The socket that carries the exchange: from before it is connected, when urllib3 does not know it yet, until
        # after the head of an answer that says ``Connection: close``, when http.client has forgotten it.
        self.wire: Optional[socket.socket] = None
        # Ends a look-up of the host; from before that until it is over.
        self._looking_up: Optional[Event] = None
        self._last_used = monotonic()

    # The exchange

    def interrupt(self, exchange: Exchange) -> None:
        """Shut the socket down if it still carries ``exchange``, or is about to. Any thread."""
        with self._guard:
            if self._exchange is exchange:
                self._was_shut_down = True
                shut_down(self.wire)
                if self._looking_up is not None:
                    self._looking_up.set()

    def set_timeout(self, exchange: Exchange, seconds: Optional[float]) -> None:
        """Bound each operation on the socket, if it still carries ``exchange``."""
        with self._guard:
            if self._exchange is exchange and self.wire is not None and self.wire.fileno() >= 0:
                self.wire.settimeout(seconds)

    def let_go(self) -> bool:
        """The exchange has ended: what stops it later does not reach this connection any more.

        Returns:
            Whether another exchange can have it: it was not shut down.
        """
        with self._guard:
            self._exchange = None
            self._last_used = monotonic()
            return not self._was_shut_down

    def _adopt(self) -> Optional[Exchange]:
        """Carry the exchange of this thread."""
        exchange = current.exchange
        with self._guard:
            self._exchange = exchange
        if exchange is not None:
            exchange.connection = self
        return exchange

    # Sending

    def transact(
        self,
        route: Route,
        method: str,
        headers: Mapping[str, str],
        body: Optional[bytes],
        timeouts: Tuple[float, float],
    ) -> HTTPResponse:
        """Send one plain request, and return its response with the body still to be read: without what ``urlopen`` of
        urllib3 does for retries, redirects and bodies of any kind. Where it fails, the connection is closed.

        Parameters:
            timeouts: for connecting, and for each operation after that, in seconds.

        Raises:
            OSError, http.client.HTTPException, urllib3.exceptions.HTTPError, ValueError: no response came.
        """
        try:
            size = len(body) if body is not None else (None if method in _NO_BODY else 0)
            head = write_head(method, route.target, route.host, headers, size)
            exchange = self._adopt()
            if self.sock is None:
                self.timeout = timeouts[0]
                self.connect()
            sock = cast(socket.socket, self.sock)
            sock.settimeout(timeouts[1])
            if exchange is not None:
                exchange.begin_to_send()
            try:
                if body is None or len(body) <= _JOINED:
                    sock.sendall(head + body if body else head)
                else:
                    sock.sendall(head)
                    sock.sendall(body)
            except OSError as exc:
                # As urllib3 does: the server may have answered before it read everything.
                if exc.errno not in _ANSWERED_EARLY:
                    raise
            if exchange is not None and exchange.departed is not None:
                exchange.departed.set()
            return self._answer(route, method, sock)
        except BaseException:
            self.close()
            raise

    def _answer(self, route: Route, method: str, sock: socket.socket) -> HTTPResponse:
        """Read the head of the response."""
        response: http.client.HTTPResponse = self.response_class(sock, method=method)
        try:
            response.begin()
        except BaseException:
            response.close()
            raise
        if response.will_close:
            self.close()  # the response has the socket now, and ends it
        return _Answer(
            body=response,
            headers=HTTPHeaderDict(response.headers.items()),
            status=response.status,
            version=response.version,
            reason=response.reason,
            preload_content=False,
            decode_content=False,
            original_response=response,
            pool=route.pool,
            connection=self,
            request_method=method,
            request_url=route.target,
        )

    def close(self) -> None:
        with contextlib.suppress(OSError):  # other code of this process may have closed its descriptor
            super().close()

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **kwargs: Any) -> None:
        exchange = self._adopt()
        self._last_used = monotonic()
        if self.sock is None:
            self.connect()
        if exchange is not None:
            exchange.begin_to_send()
        super().request(method, url, body=body, headers=headers, **kwargs)
        if exchange is not None and exchange.departed is not None:
            exchange.departed.set()

    # Connecting

    @property
    def is_connected(self) -> bool:
        """Asked by the pool before it gives the connection out; urllib3's own pools take it back without a word."""
        idle = monotonic() - self._last_used
        return self.let_go() and idle < _IDLE_SECONDS and super().is_connected

    def connect(self) -> None:
        self._adopt()
        self._was_shut_down = False  # an exchange that is stopped from here on sends nothing
        super().connect()
        self.wire = cast(socket.socket, self.sock)

    def open_socket(self, host: str) -> socket.socket:
        timeout = self.timeout if isinstance(self.timeout, (int, float)) else None
        at = None if timeout is None else monotonic() + timeout
        self._looking_up = Event()
        if self._exchange is not None and self._exchange.stopped is not None:
            raise StoppedBeforeSending(self._exchange.stopped)
        try:
            addresses = look_up(host, self.port, timeout, self._looking_up)
        except socket.gaierror as exc:
            raise NameResolutionError(self.host, self, exc) from exc
        except socket.timeout:
            addresses = []
        self._looking_up = None
        failure: Optional[OSError] = None
        for position, address in enumerate(addresses):
            # An address that drops packets must not eat what the ones after it need.
            left = None if at is None else (at - monotonic()) / (len(addresses) - position)
            if left is not None and left <= 0:
                break
            try:
                sock = self._new_socket(address, left)
            except OSError as exc:
                failure = exc  # of a kind that this machine does not have
                continue
            # Not ``connect``: what that raises could also be what a signal handler raises, such as a TimeoutError.
            code = self._connect(sock, address[4])
            if not code:
                return sock
            if code not in _TIMED_OUT:
                failure = OSError(code, os.strerror(code))
            # One dead address; the next gets what is left.
        if failure is not None:
            raise NewConnectionError(self, f"Failed to establish a new connection: {failure}") from failure
        raise ConnectTimeoutError(self, f"Connection to {self.host} timed out. (connect timeout={timeout})")

    def _new_socket(self, address: Any, timeout: Optional[float]) -> socket.socket:
        sock = socket.socket(*address[:3])
        try:
            for option in self.socket_options or ():
                sock.setsockopt(*option)
            sock.settimeout(timeout)
            if self.source_address:
                sock.bind(self.source_address)
        except BaseException:
            sock.close()
            raise
        return sock

    def _connect(self, sock: socket.socket, address: Any) -> int:
        """Returns 0, or the number of the error, with the socket closed."""
        self.wire = sock
        code = -1
        try:
            code = sock.connect_ex(address)
        finally:
            if code:
                sock.close()
        return code


@functools.cache
def keepalive_options() -> List[Tuple[int, int, int]]:
    """Find a dead peer within a minute: probes after 20 s of silence, and 50 s at most for data that is not
    acknowledged. Names that a system lacks are left out.
    """
    wanted = {
        "TCP_NODELAY": 1,
        "TCP_KEEPIDLE": 20,
        "TCP_KEEPALIVE": 20,
        "TCP_KEEPINTVL": 10,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 50_000,
    }
    known = [(socket.IPPROTO_TCP, getattr(socket, name), wanted[name]) for name in wanted if hasattr(socket, name)]
    return [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *known]


class InterruptibleHTTPSConnection(InterruptibleConnection, HTTPSConnection):
    """The same over TLS."""

    _twin: Optional[socket.socket] = None

    def open_socket(self, host: str) -> socket.socket:
        sock = super().open_socket(host)
        # TLS takes the socket over before the first word is exchanged, and gives nothing in return until the last one
        # is: meanwhile another name for the same connection is what an interrupt shuts down.
        self._twin = self.wire = sock.dup()
        return sock

    def connect(self) -> None:
        try:
            super().connect()
        finally:
            twin, self._twin = self._twin, None
            if twin is not None:
                twin.close()


# What a forked child inherits.
_connections: weakref.WeakSet[InterruptibleConnection] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """Let go of the parent's connections: of the descriptors alone, since anything else would be seen by the server.

    Kept, they would outlive the parent: the server would not see its end.
    """
    for connection in list(_connections):
        for sock in (connection.sock, connection.wire):
            detach = getattr(sock, "detach", None)
            fd = -1 if detach is None else detach()
            if fd >= 0:
                os.close(fd)


in_child(_after_fork_in_child)
