"""requests' adapter over pools of interruptible connections.

Runs on: the thread that sends a request; a pool gives a connection to one thread at a time.
"""

from __future__ import annotations

import http.client
import queue
import weakref
from typing import Any, List, Optional, Tuple
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager, Retry, connectionpool
from urllib3.connection import HTTPConnection, HTTPSConnection

from ...concurrency.forks import in_child
from . import private
from .connections import InterruptibleConnection, InterruptibleHTTPSConnection, Route, keepalive_options

__all__ = ["Adapter", "is_patched", "make_interruptible"]

# As many threads as one client may well have; a connection beyond it is closed after use.
_POOL_SIZE = 100
_NO_RETRIES = Retry(False)


class IdleConnections:
    """A pool's idle connections, the last one in first out.

    In place of urllib3's queue, whose lock is not re-entrant: a signal handler that calls the client in the middle of
    ``put`` would wait for itself. That one is also filled with a None for each connection that there may be, which
    takes a tenth of what connecting does. Here to append and to pop are one step of the interpreter each.
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

    def forget(self) -> None:
        """Let go of all, without closing them."""
        self.queue = []


class Pool(private.PoolHooks, HTTPConnectionPool):
    """Connections to one server."""

    ConnectionCls = InterruptibleConnection
    QueueCls: Any = IdleConnections

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _pools.add(self)

    def give_back(self, connection: Any) -> None:
        """Keep a connection for the next request, where there is room."""
        if connection is None:
            return
        idle = self.pool
        try:
            if connection.let_go() and idle is not None:
                idle.put(connection, block=False)
                while self.pool is None and idle.queue:
                    idle.get().close()  # the pool was closed meanwhile, and had emptied itself before
                return
        except (queue.Full, queue.Empty):
            pass  # of the former urllib3 would warn: of what no user of ours can change
        connection.close()


class TLSPool(private.TLSPoolHooks, Pool, HTTPSConnectionPool):
    """The same over TLS. MCPClient has warned, once, of connections without verification."""

    ConnectionCls = InterruptibleHTTPSConnection


_POOLS: Any = {"http": Pool, "https": TLSPool}
_INTERRUPTIBLE = {HTTPConnection: InterruptibleConnection, HTTPSConnection: InterruptibleHTTPSConnection}


def make_interruptible(adapter: Any, request: Any, verify: Any, proxies: Any, cert: Any) -> None:
    """Have the connections that a session of the user's own will open for ``request`` be interruptible.

    Those that it has already stay as they are, and so do those of adapters that are not requests' own.
    """
    if isinstance(adapter, HTTPAdapter):
        pool: Any = adapter.get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
        pool.ConnectionCls = _INTERRUPTIBLE.get(pool.ConnectionCls, pool.ConnectionCls)


class Adapter(HTTPAdapter):
    """requests' adapter with interruptible connections, and no retries of its own (a retry would send a call twice)."""

    def __init__(self) -> None:
        super().__init__(pool_connections=4, pool_maxsize=_POOL_SIZE)
        self.max_retries = _NO_RETRIES

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, socket_options=keepalive_options(), **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(proxy, socket_options=keepalive_options(), **kwargs)
        if type(manager) is ProxyManager:  # that of SOCKS proxies has connections of its own
            manager.pool_classes_by_scheme = _POOLS
        return manager

    def close(self) -> None:
        # urllib3 closes a pool's idle connections only when nobody refers to the pool any more.
        for pool in self._open_pools():
            pool.close()
        super().close()

    def close_idle(self) -> None:
        """Close the idle connections: where a session has ended, they may be as dead as it is."""
        for pool in self._open_pools():
            idle = pool.pool
            try:
                while idle is not None:
                    connection = idle.get(block=False)
                    if connection is not None:  # as urllib3's own queues hold for what is not there
                        connection.close()
            except queue.Empty:
                pass  # all are closed

    def _open_pools(self) -> List[Any]:
        managers: List[PoolManager] = [self.poolmanager, *self.proxy_manager.values()]
        # Not a dict: it cannot be iterated.
        found = [manager.pools.get(key) for manager in managers for key in manager.pools.keys()]  # noqa: SIM118
        return [pool for pool in found if pool is not None]

    @staticmethod
    def route(url: str, target: str, pool: Any) -> Optional[Route]:
        """The direct way to ``url``; None where urllib3 has to find out what it is, or a proxy is in between."""
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        default = f":{443 if parts.scheme == 'https' else 80}"
        host = host[: -len(default)] if host.endswith(default) else host
        is_plain = host.isascii() and "%" not in host and target.startswith("/") and " " not in target
        return (
            Route(pool, target, host) if host and is_plain and pool.proxy is None and isinstance(pool, Pool) else None
        )


# What a request would pass through, and the file that the code of each comes from.
_PASSED = (
    (requests.Session, ("request", "send", "get_adapter"), requests.sessions.__file__),
    (HTTPAdapter, ("send",), requests.adapters.__file__),
    (HTTPConnectionPool, ("urlopen",), connectionpool.__file__),
    (http.client.HTTPConnection, ("request", "putrequest", "endheaders", "send", "getresponse"), http.client.__file__),
)
_looked_at: Tuple[Tuple[Any, ...], bool] = ((), False)


def is_patched() -> bool:
    """Whether something that a request passes is not the library's own any more, as under responses, requests-mock or
    tracing: then it takes the ordinary way through requests, where that is noticed.
    """
    global _looked_at
    passed = tuple([vars(owner).get(name) for owner, names, _ in _PASSED for name in names])
    known, answer = _looked_at
    if passed != known:
        files = [file for _, names, file in _PASSED for _ in names]
        answer = any(
            getattr(getattr(function, "__code__", None), "co_filename", None) != file
            for function, file in zip(passed, files)
        )
        _looked_at = passed, answer
    return answer or http.client.HTTPConnection.debuglevel > 0


# What a forked child inherits.
_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """Let go of the parent's connections, without a lock, since another thread may have held it."""
    for pool in list(_pools):
        idle: Any = pool.pool
        if idle is not None:
            idle.forget()  # not a new one: urllib3's finalizer of the pool has this one


in_child(_after_fork_in_child)
