"""Connections that one deadline bounds and another thread can interrupt: requests' adapter over urllib3's pools.

Runs on: the thread that sends a request; ``interrupt`` on any.

What each override buys:
* ``_new_conn``: the connect timeout covers the look-up and all addresses together (urllib3's is per address, and a
  look-up has none).
* ``request``: head and body leave in one ``sendall`` (two cost about 25 us more, and Nagle's delay where the server
  does not switch it off).
* ``is_connected``: a connection that was idle for some seconds is not used again: servers close them after five, and
  the race would lose a request.
* ``response_class``: a head that the server cut off is an error, interim responses are passed over, and a plain head
  is read in one piece (heads.py).
* ``transact``: one request and the head of its response, without what urllib3 does for retries, redirects and bodies
  of any kind, and http.client for each header.
"""

from __future__ import annotations

import errno
import functools
import http.client
import os
import queue
import socket
import threading
import weakref
from typing import Any, List, Optional, Tuple, cast

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager, Retry
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from ...concurrency.clock import monotonic
from ...concurrency.events import Event
from ...concurrency.forks import in_child
from ...concurrency.signals import from_signal_handler
from .exchange import Exchange, current, shut_down
from .heads import WholeHeadResponse
from .look_up import look_up
from .redaction import quiet_urllib3

__all__ = ["Adapter", "InterruptibleConnection", "StoppedBeforeSending", "make_interruptible"]

# uvicorn and node close idle connections after 5 s.
_IDLE_SECONDS = 4.0
# As many threads as one client may well have; a connection beyond it is closed after use.
_POOL_SIZE = 100
# Bodies up to this many bytes are joined with their head.
_JOINED = 65536
_ANSWERED_EARLY = {errno.EPIPE, errno.ECONNRESET, getattr(errno, "EPROTOTYPE", errno.EPIPE)}


quiet_urllib3()


class StoppedBeforeSending(OSError):
    """The exchange was stopped before anything of it was sent."""


class InterruptibleConnection(HTTPConnection):
    """A connection that knows the exchange it carries."""

    response_class = WholeHeadResponse

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _connections.add(self)
        # Guards the two below: an interrupt must never hit the exchange that gets this connection from the pool next.
        self._guard = threading.RLock()
        self._exchange: Optional[Exchange] = None
        self._was_shut_down = False
        # The socket that carries the exchange: from before it is connected, when urllib3 does not know it
        # yet, until after the head of an answer that says
        # ``Connection: close``, when http.client has forgotten it.
        self.wire: Optional[socket.socket] = None
        # Ends a look-up of the host; from before that until it is over.
        self._looking_up: Optional[Event] = None
        self._outbox: Optional[List[bytes]] = None
        self._last_used = monotonic()

    def interrupt(self, exchange: Exchange) -> None:
        """Shut the socket down if it still carries ``exchange``, or is about to."""
        with self._guard:
            if self._exchange is exchange:
                self._was_shut_down = True
                shut_down(self.wire)
                if self._looking_up is not None:
                    self._looking_up.set()

    def set_timeout(self, exchange: Exchange, seconds: Optional[float]) -> None:
        """Have each operation of the socket take so long at most, if it still carries ``exchange``."""
        with self._guard:
            if self._exchange is exchange and self.wire is not None:
                self.wire.settimeout(seconds)

    def let_go(self) -> bool:
        """The exchange has ended: whoever stops it later does not reach this connection any more.

        Returns:
            Whether another exchange can have it: nobody has shut it down.
        """
        with self._guard:
            self._exchange = None
            return not self._was_shut_down

    def _adopt(self) -> None:
        exchange = current.exchange
        if exchange is not self._exchange:
            with self._guard:
                self._exchange = exchange
        if exchange is not None:
            exchange.carried_by(self)

    def connect(self) -> None:
        self._adopt()
        self._was_shut_down = False  # an exchange that is stopped from here on sends nothing
        super().connect()
        self.wire = cast(socket.socket, self.sock)

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **kwargs: Any) -> None:
        self._adopt()
        self._last_used = monotonic()
        self._outbox = []
        try:
            super().request(method, url, body=body, headers=headers, **kwargs)
            self._flush()
        finally:
            self._outbox = None

    def transact(
        self, method: str, head: bytes, body: Optional[bytes], timeouts: Tuple[float, float]
    ) -> http.client.HTTPResponse:
        """Send one request, whose head is written already, and read the head of its response.

        Parameters:
            timeouts: for connecting, and for each operation after that, in seconds.
        """
        self._adopt()
        self._last_used = monotonic()
        if self.sock is None:
            self.timeout = timeouts[0]
            self.connect()
        sock = cast(socket.socket, self.sock)
        sock.settimeout(timeouts[1])
        try:
            self._depart([head + body] if body is not None and len(body) <= _JOINED else [head, body or b""])
        except OSError as exc:
            # As urllib3 does: the server may have answered before it read everything.
            if exc.errno not in _ANSWERED_EARLY:
                raise
        response: http.client.HTTPResponse = self.response_class(sock, method=method)
        try:
            response.begin()
        except BaseException:
            response.close()
            raise
        if response.will_close:
            self.close()  # the response has the socket now, and ends it
        return response

    def send(self, data: Any) -> None:
        if self._outbox is None:
            super().send(data)
        else:
            self._outbox.append(data)
            if len(data) > _JOINED:
                self._flush()

    def _flush(self) -> None:
        parts, self._outbox = self._outbox, []
        if not parts:
            return
        if self.sock is None:
            self.connect()
        self._depart([b"".join(parts)] if sum(map(len, parts)) <= 2 * _JOINED else parts)

    def _depart(self, parts: List[bytes]) -> None:
        exchange = self._exchange
        if exchange is not None:
            if exchange.stopped is not None:
                raise StoppedBeforeSending(exchange.stopped)
            exchange.sent = True
        for part in parts:
            super().send(part)
        if exchange is not None and exchange.departed is not None:
            exchange.departed.set()

    def used(self) -> None:
        """The connection has just finished an exchange."""
        self._last_used = monotonic()

    @property
    def is_connected(self) -> bool:
        """Asked by the pool before it gives the connection out; urllib3's own pools take it back without a word."""
        return self.let_go() and monotonic() - self._last_used < _IDLE_SECONDS and super().is_connected

    def _new_conn(self) -> socket.socket:
        timeout = self.timeout if isinstance(self.timeout, (int, float)) else None
        at = None if timeout is None else monotonic() + timeout
        self._looking_up = Event()
        if self._exchange is not None and self._exchange.stopped is not None:
            raise StoppedBeforeSending(self._exchange.stopped)
        try:
            addresses = look_up(self._dns_host, self.port, timeout, self._looking_up)
        except socket.gaierror as exc:
            raise NameResolutionError(self.host, self, exc) from exc
        except socket.timeout:
            addresses = []
        self._looking_up = None
        failure: Optional[OSError] = None
        for position, (family, kind, proto, _, address) in enumerate(addresses):
            # An address that drops packets must not eat what the ones after it need.
            left = None if at is None else (at - monotonic()) / (len(addresses) - position)
            if left is not None and left <= 0:
                break
            try:
                return self._connect_to(family, kind, proto, address, left)
            except OSError as exc:
                if from_signal_handler(exc) is not None:
                    raise
                if not isinstance(exc, socket.timeout):
                    failure = exc
                # One dead address; the next gets what is left.
        if failure is not None:
            raise NewConnectionError(self, f"Failed to establish a new connection: {failure}") from failure
        raise ConnectTimeoutError(self, f"Connection to {self.host} timed out. (connect timeout={timeout})")

    def _connect_to(self, family: int, kind: int, proto: int, address: Any, timeout: Optional[float]) -> socket.socket:
        self.wire = sock = socket.socket(family, kind, proto)
        try:
            for option in self.socket_options or ():
                sock.setsockopt(*option)
            sock.settimeout(timeout)
            if self.source_address:
                sock.bind(self.source_address)
            sock.connect(address)
        except BaseException:
            sock.close()
            raise
        return sock


@functools.cache
def keepalive_options() -> List[Tuple[int, int, int]]:
    """Find a dead peer within a minute: probes after 20 s of silence, and 50 s at most for data that is not
    acknowledged. Names that a system lacks are left out.
    """
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (
        ("TCP_KEEPIDLE", 20),
        ("TCP_KEEPALIVE", 20),
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 50_000),
    ):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


class _InterruptibleHTTPSConnection(InterruptibleConnection, HTTPSConnection):
    """The same over TLS."""


_INTERRUPTIBLE = {HTTPConnection: InterruptibleConnection, HTTPSConnection: _InterruptibleHTTPSConnection}


class _Idle:
    """A pool's idle connections, the last one in first out.

    urllib3's queue is filled with a None for each connection that there may be: 100 steps for each new pool, half of
    what connecting costs, and three conditions that nobody waits for. Here nothing stands for what is not there, and
    to append and to pop are one step of the interpreter each.
    """

    __slots__ = ("maxsize", "queue")

    def __init__(self, maxsize: int) -> None:
        self.maxsize = maxsize
        self.queue: List[Any] = []

    def put(self, connection: Any, block: bool = False) -> None:
        if connection is None:
            return
        if len(self.queue) >= self.maxsize:
            raise queue.Full
        self.queue.append(connection)

    def get(self, block: bool = False, timeout: Optional[float] = None) -> Any:
        try:
            return self.queue.pop()
        except IndexError:
            raise queue.Empty from None  # for urllib3 to open another


class _Pool(HTTPConnectionPool):
    ConnectionCls = InterruptibleConnection
    QueueCls: Any = _Idle

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _pools.add(self)

    def _put_conn(self, conn: Any) -> None:
        pool = self.pool
        try:
            if pool is not None and (conn is None or conn.let_go()):
                pool.put(conn, block=False)
                while self.pool is None and pool.queue:
                    pool.get().close()  # it was closed meanwhile, and has emptied itself before
                return
        except (queue.Full, queue.Empty):
            pass  # of the former urllib3 would warn: of what no user of ours can change
        if conn is not None:
            conn.close()


class _TLSPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _InterruptibleHTTPSConnection

    def _validate_conn(self, conn: Any) -> None:
        # urllib3 warns here of each connection without verification: MCPClient has done so, once.
        if conn.is_closed:
            conn.connect()


def make_interruptible(adapter: Any, request: Any, verify: Any, proxies: Any, cert: Any) -> None:
    """Have the connections that a session of the user's own will open for ``request`` be interruptible.

    Those that it has already stay as they are, and so do those of adapters that are not requests' own.
    """
    if isinstance(adapter, HTTPAdapter):
        pool: Any = adapter.get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
        pool.ConnectionCls = _INTERRUPTIBLE.get(pool.ConnectionCls, pool.ConnectionCls)


_POOLS: Any = {"http": _Pool, "https": _TLSPool}


def _adapt(manager: PoolManager) -> None:
    if manager.pool_classes_by_scheme is not _POOLS:
        manager.pool_classes_by_scheme = _POOLS
        manager.pools.lock = threading.RLock()


class Adapter(HTTPAdapter):
    """requests' adapter with interruptible connections, and no retries of its own (a retry would send a call twice)."""

    def __init__(self) -> None:
        super().__init__(pool_connections=4, pool_maxsize=_POOL_SIZE)
        self.max_retries = Retry(False)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, socket_options=keepalive_options(), **kwargs)
        _adapt(self.poolmanager)

    def close(self) -> None:
        # urllib3 closes a pool's idle connections only when nobody refers to the pool any more.
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118  # not a dict: it cannot be iterated
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close()
        super().close()

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(proxy, socket_options=keepalive_options(), **kwargs)
        _adapt(manager)
        return manager


# What a forked child inherits.
_connections: weakref.WeakSet[InterruptibleConnection] = weakref.WeakSet()
_pools: weakref.WeakSet[HTTPConnectionPool] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """Let go of the parent's connections: of the descriptors alone, since anything else would be seen by the server,
    and without a lock, since another thread may have held it.

    Kept, they would outlive the parent: the server would not see its end.
    """
    for connection in list(_connections):
        for sock in (connection.sock, connection.wire):
            detach = getattr(sock, "detach", None)
            fd = -1 if detach is None else detach()
            if fd >= 0:
                os.close(fd)
    for pool in list(_pools):
        connections = pool.pool
        if connections is not None:
            # urllib3 empties it when the pool is collected, under its lock.
            connections.__init__(connections.maxsize)  # type: ignore[misc]  # the same object: a finalizer has it


in_child(_after_fork_in_child)
