"""The connections that a client has now, apart from the client, and what happens to them at a fork, at the end of the
interpreter, and when the client is dropped.

Runs on: the caller's threads; ``collected`` on the thread that collects garbage.
"""

from __future__ import annotations

import atexit
import functools
import os
import sys
import threading
import warnings
import weakref
from importlib import import_module
from typing import TYPE_CHECKING, Callable, List, TypeVar

from ..concurrency.background_close import begin_exit, close_dropped, close_in_background
from ..concurrency.deadline import Deadline
from ..concurrency.forks import disown, in_child, notice
from ..errors import MCPClientError
from .common import Common
from .connection import Connection
from .identities import Identities

if TYPE_CHECKING:
    from ..config import MCPClientConfig

__all__ = ["Home"]

_T = TypeVar("_T")

_EXIT_SECONDS = 1.0
_PACKAGE = __name__.partition(".")[0]
_CONFIG = f"{_PACKAGE}.config"
# What is imported at first use, and must be there before a fork.
_IMPORTED_LATER = (
    "calls.changes",
    "calls.direct_http",
    "calls.futures",
    "calls.many",
    "calls.tasks",
    "calls.tools",
    "config",
    "discovery.stdio_probe",
    "transports.http_sse",
    "transports.streamable_http",
)


class Home:
    """The connections of now.

    Parameters:
        make_connection: makes a connection; it must not refer to the client.
        after_fork: is called in a forked child before a connection is made there.
        config: the client's settings.
    """

    def __init__(
        self,
        make_connection: Callable[[Common], Connection],
        after_fork: Callable[[], None],
        config: MCPClientConfig,
    ) -> None:
        notice()
        self._config = config
        self._make_connection = make_connection
        self._after_fork = after_fork
        # Guards the change from the connections until close() to those after it.
        self._lock = threading.RLock()
        # How many ``with`` blocks there are: the last one that ends closes the client.
        self._blocks = 0
        self._pid = os.getpid()
        self._identities = Identities(self._make, self._config)
        _homes.add(self)

    def _make(self, common: Common) -> Connection:
        connection = self._make_connection(common)
        _connections.add(connection)
        return connection

    @property
    def identities(self) -> Identities:
        """The connections of now; in a forked child, its own."""
        if self._pid != os.getpid():
            notice()
        return self._identities

    @property
    def connection(self) -> Connection:
        """The connection of calls that show nothing of their own."""
        if self._pid != os.getpid():
            notice()
        return self._identities.everybody

    def reopen(self) -> None:
        """Make new connections if those of now were closed."""
        if self.identities.closed:
            with self._lock:
                if self._identities.closed:
                    self._identities = Identities(self._make, self._config)

    def enter(self) -> None:
        """A ``with`` block of the client begins."""
        with self._lock:
            self._blocks += 1

    def leave(self) -> bool:
        """A ``with`` block ends. Returns whether it was the last one."""
        with self._lock:
            self._blocks -= 1
            return self._blocks <= 0

    def close(self, deadline: Deadline) -> None:
        """Close the connections of now, whichever thread this is, and whatever that was doing."""
        if sys.is_finalizing():
            return  # what was open has been closed, and no thread runs any more that could do it
        identities = self.identities  # connect() may make others before the work is begun
        identities.refuse()  # a connect() that comes later must not find them open
        if not identities.ended.is_set():
            close_in_background(functools.partial(identities.close, deadline), deadline)

    def renew_in_child(self) -> None:
        """In a forked child the client is as if it had never connected."""
        disown([self])
        self._after_fork()
        self._identities = Identities(self._make, self._config)
        self._pid = os.getpid()

    @property
    def has_been_open(self) -> bool:
        """Whether this process has a session to end."""
        return self._pid == os.getpid() and not self._identities.closed and self._identities.have_sessions

    def collected(self) -> None:
        """The client was dropped. If it was not closed, this is done for it.

        This can run on any thread at any moment, one of ours included, so the closing happens elsewhere.
        """
        if not self.has_been_open:
            return
        identities, connection = self._identities, self._identities.everybody
        close_dropped(functools.partial(identities.close, Deadline(connection.config.close_timeout)))
        warnings.warn(
            f"an MCPClient for {connection.target.public} was not closed; use it in a with block, or call close()",
            ResourceWarning,
            stacklevel=2,
        )

    def at_exit(self, deadline: Deadline) -> None:
        """The program ends."""
        if self._pid == os.getpid() and self._identities.have_sessions:
            _close(self._identities.close, deadline)


# The homes of this process, for what must be done at its end and after a fork.
_homes: weakref.WeakSet[Home] = weakref.WeakSet()
# Their connections, former ones included: calls and streams may hold them.
_connections: weakref.WeakSet[Connection] = weakref.WeakSet()


def _all_of(some: weakref.WeakSet[_T]) -> List[_T]:
    for _ in range(100):
        try:
            return list(some)
        except RuntimeError:
            continue  # another thread has made one meanwhile
    return []


def _close(close: Callable[[Deadline], None], deadline: Deadline) -> None:
    try:
        close(deadline)
    except MCPClientError:
        pass  # a session that cannot be ended in order is no error at exit


def _at_exit() -> None:
    begin_exit()
    notice()  # of a fork: what the parent closes is its own
    deadline = Deadline(_EXIT_SECONDS)
    for home in _all_of(_homes):
        home.at_exit(deadline)
    for connection in _all_of(_connections):
        # Where a handler closed it, or its client was dropped, a daemon thread is at it, and ends with the program.
        if connection.closed or connection.last is not None:
            _close(connection.close, deadline)


def _before_fork() -> None:
    """Import what is otherwise imported at first use: an import that another thread is at when this one forks would
    never end in the child, and a thread that needs the module there would wait for ever.
    """
    if not _homes and _CONFIG not in sys.modules:
        return  # nobody has made a client, or is making the first one
    "localhost".encode("idna")  # looking up a host imports the codec
    from ..protocol import types

    for name in types.__all__:
        getattr(types, name)
    for name in _IMPORTED_LATER:
        import_module(f"{_PACKAGE}.{name}")


def _after_fork_in_child() -> None:
    disown(_connections)
    for home in list(_homes):
        home.renew_in_child()


atexit.register(_at_exit)
in_child(_after_fork_in_child, last=True)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
