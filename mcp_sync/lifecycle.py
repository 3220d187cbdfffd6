"""The life of a client: what it is connected to, its opening and closing, and what becomes of it in forks, at exit, and
when dropped.

Runs on: the caller's threads; ``_collected`` on whichever thread collects garbage.
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
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Tuple, Type, TypeVar, Union

from pydantic_core import ValidationError

from .calls.operation import Request
from .concurrency.background_close import begin_exit, end
from .concurrency.deadline import Deadline, check_timeout
from .concurrency.forks import disown, in_child, notice
from .discovery.opener import Opener
from .errors import MCPClientError, MCPClosedError, MCPProtocolError, MCPServerError, MCPUsageError
from .escape import excerpt
from .protocol.conversations import Negotiated, list_pages
from .session.connection import Connection
from .session.handlers import Handlers
from .session.target import Command, Remote

if TYPE_CHECKING:
    from .calls.direct_http import Operations
    from .calls.futures import Background
    from .config import MCPClientConfig
    from .protocol.types import Implementation, ServerCapabilities

__all__ = ["Lifecycle"]

_T = TypeVar("_T")
_C = TypeVar("_C", bound="Lifecycle")


class Lifecycle:
    """What every client has, whatever it calls."""

    def __init__(
        self, server: Union[Remote, Command], config: MCPClientConfig, handlers: Handlers, opener: Opener
    ) -> None:
        notice()
        self._server = server
        self._config = config
        self._handlers = handlers
        self._opener = opener
        # Guards what is made lazily.
        self._lock = threading.RLock()
        self._background: Optional[Background] = None
        self._operations: Optional[Operations] = None
        self._holder = _Holder(self._new_connection())
        weakref.finalize(self, _collected, self._holder).atexit = False
        _clients.add(self)

    def _new_connection(self) -> Connection:
        connection = Connection(self._server, self._config, self._handlers, self._opener)
        _connections.add(connection)
        return connection

    def _after_fork(self) -> None:
        """In a forked child the client is as if never connected."""
        disown([self])
        self._background = None
        self._operations = None
        self._opener.after_fork()
        self._holder.renew(self._new_connection())

    # State

    @property
    def config(self) -> MCPClientConfig:
        """The settings, picklable: send these to another process, and make a client of its own there."""
        return self._config

    @property
    def _connection(self) -> Connection:
        notice()
        return self._holder.connection

    def _last_negotiated(self) -> Optional[Negotiated]:
        link = self._connection.last
        return None if link is None else link.negotiated

    def _negotiated(self) -> Negotiated:
        negotiated = self._last_negotiated()
        if negotiated is None:
            raise MCPClosedError("the client has not connected yet: use it in a with block, or call connect()")
        return negotiated

    @property
    def connected(self) -> bool:
        """Whether a session is open. A call on a client that is not connected opens one."""
        return self._connection.live is not None

    @property
    def server_info(self) -> Implementation:
        """Name and version of the server. Raises MCPClosedError before the first session."""
        info: Implementation = self._negotiated().server_info
        return info

    @property
    def server_capabilities(self) -> ServerCapabilities:
        """What the server can do. Raises MCPClosedError before the first session."""
        capabilities: ServerCapabilities = self._negotiated().server_capabilities
        return capabilities

    @property
    def instructions(self) -> Optional[str]:
        """How the server wants to be used, in its own words; None where it says nothing."""
        return self._negotiated().instructions

    @property
    def protocol_version(self) -> Optional[str]:
        """The protocol revision that was agreed on; None before the first session."""
        negotiated = self._last_negotiated()
        return None if negotiated is None else negotiated.revision.version

    @property
    def transport(self) -> Optional[str]:
        """``"sse"``, ``"http"`` or ``"stdio"``; None before the first session."""
        link = self._connection.last
        return None if link is None else link.transport.name

    @property
    def session_id(self) -> Optional[str]:
        """What the server calls the session; None where it has no name. Treat it as a secret."""
        link = self._connection.live
        return None if link is None else link.transport.session_id

    # Lifecycle

    def connect(self: _C, timeout: Optional[float] = None) -> _C:
        """Open the session now instead of with the first call.

        Harmless where one is open; after ``close()`` it opens the client again.

        Returns:
            The client itself.

        Raises:
            MCPConnectionError: nothing answers there; the subclasses say more.
            MCPTimeoutError: not within ``timeout`` seconds.
        """
        deadline = self._deadline(timeout)
        if self._connection.closed:
            with self._lock:
                if self._connection.closed:
                    self._background = None
                    self._holder.renew(self._new_connection())
        self._connection.link(deadline)
        return self

    def close(self, timeout: Optional[float] = None) -> None:
        """End the session. Calls under way raise ``MCPClosedError``. Idempotent; any thread, and from any place: a
        handler, a signal handler, a finalizer. Where it interrupts a call of the same thread it returns within half a
        second, and the rest is done meanwhile.

        Parameters:
            timeout: seconds that the goodbye may take; None means ``close_timeout``.
        """
        deadline = Deadline(self._config.close_timeout if timeout is None else check_timeout(timeout))
        connection = self._connection  # the one of now: connect() may make another before the work is begun
        if not connection.ended.is_set():
            end(functools.partial(self._close, connection, deadline), deadline)

    def _close(self, connection: Connection, deadline: Deadline) -> None:
        with self._lock:
            background, operations = self._background, self._operations
            self._operations = None
        connection.close(deadline)
        if background is not None:
            background.close()
        if operations is not None:
            operations.close()

    def __enter__(self: _C) -> _C:
        return self.connect()

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self.close()

    # What these share

    def _timeout(self, timeout: Optional[float]) -> float:
        return self._config.timeout if timeout is None else check_timeout(timeout)

    def _deadline(self, timeout: Optional[float]) -> Deadline:
        return Deadline(self._timeout(timeout))

    def _ask(self, method: str, params: Dict[str, Any], model: Type[_T], timeout: Optional[float]) -> _T:
        request = Request(self._connection, self._deadline(timeout), repeatable=True)
        return self._read(model, self._fresh(request, method, params), method)

    def _fresh(self, request: Request, method: str, params: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
        """A result from the cache while it is fresh, else from the server."""
        cache = self._connection.cache
        if cache is None:
            return request.result(method, params)
        result = cache.get(method, params)
        if result is None:
            changes = cache.changes
            result = request.result(method, params)
            if not request.took_rounds:
                cache.put(method, params, result, changes)
        return result

    def _list(self, method: str, field: str, model: Type[_T], deadline: Deadline) -> List[_T]:
        cache = self._connection.cache
        try:
            items = self._pages(method, field, deadline)
        except MCPServerError:
            # The cursor of a page that was kept may lead nowhere any more (2026-07-28, Caching, Pagination).
            if cache is None or not cache.forget(method):
                raise
            items = self._pages(method, field, deadline)
        return [self._read(model, item, method) for item in items]

    def _pages(self, method: str, field: str, deadline: Deadline) -> List[Any]:
        request = Request(self._connection, deadline, repeatable=True)
        pages = list_pages(method, field)
        items: List[Any] = []
        try:
            ask = next(pages)
            while True:
                ask = pages.send(self._fresh(request, ask.method, ask.params))
        except StopIteration as done:
            items = done.value
        return items

    def _read(self, model: Type[_T], payload: Any, method: str) -> _T:
        """``payload`` as a model; MCPProtocolError where its shape is wrong."""
        problem = ""
        try:
            self._check_result_type(payload, method)
            return model.model_validate(payload)  # type: ignore[attr-defined, no-any-return]  # a pydantic model
        except ValidationError as exc:
            first = exc.errors(include_input=False, include_url=False)[0]
            problem = f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
        raise MCPProtocolError(
            f"the server's {model.__name__} has a wrong shape ({excerpt(problem)})",
            server=self._server.public,
            method=method,
            outcome="unknown",
        )

    def _check_result_type(self, payload: Any, method: str) -> None:
        """A type of result that nobody here knows is invalid (2026-07-28, Basic, ResultType)."""
        kind = payload.get("resultType", "complete") if isinstance(payload, dict) else "complete"
        link = self._connection.last
        if kind != "complete" and link is not None and not link.is_stateful:
            raise MCPProtocolError(
                f"the server answered with a result of the unknown type {excerpt(str(kind))!r}; request() returns it "
                "as it is",
                server=self._server.public,
                method=method,
                outcome="unknown",
            )

    def _checked_arguments(self, arguments: Optional[Mapping[str, Any]], name: str) -> Dict[str, Any]:
        if arguments is None:
            return {}
        if not isinstance(arguments, (dict, Mapping)) or not all(isinstance(key, str) for key in arguments):
            raise MCPUsageError(
                f"the arguments of {excerpt(name)!r} must be a dict with strings as keys, not "
                f"{type(arguments).__name__}",
                server=self._server.public,
                outcome="not_sent",
            )
        return dict(arguments)

    def __repr__(self) -> str:
        state = "closed" if self._connection.closed else "connected" if self.connected else "not connected"
        return f"<MCPClient {self._server.public}, {state}>"

    def __reduce__(self) -> Tuple[Any, ...]:
        raise TypeError("an MCPClient cannot be pickled or copied: send client.config, and make a client from it there")

    def __copy__(self) -> Lifecycle:
        raise TypeError("an MCPClient cannot be copied: make another one from client.config")

    def __deepcopy__(self, memo: Dict[int, Any]) -> Lifecycle:
        raise TypeError("an MCPClient cannot be copied: make another one from client.config")


class _Holder:
    """The connection of a client, apart from the client: what a finalizer may look at when the client is gone."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.pid = os.getpid()

    def renew(self, connection: Connection) -> None:
        self.connection = connection
        self.pid = os.getpid()


# The clients of this process, for what must be done at its end and after a fork.
_clients: weakref.WeakSet[Lifecycle] = weakref.WeakSet()
# Their connections, former ones included: calls and streams may hold them.
_connections: weakref.WeakSet[Connection] = weakref.WeakSet()
_EXIT_SECONDS = 1.0
_CONFIG = f"{__package__}.config"
_IMPORTED_LATER = (
    "config",
    "calls.futures",
    "calls.changes",
    "calls.mapping",
    "calls.direct_http",
    "discovery.stdio_probe",
    "calls.tasks",
    "calls.tools",
    "transports.http_sse",
    "transports.streamable_http",
)


def _collected(holder: _Holder) -> None:
    """A client was dropped without being closed.

    This can run on any thread at any moment, one of ours included, so the closing happens elsewhere.
    """
    connection = holder.connection
    if holder.pid != os.getpid() or connection.closed or connection.last is None:
        return
    end(functools.partial(connection.close, Deadline(connection.config.close_timeout)), Deadline(0.0))
    warnings.warn(
        f"an MCPClient for {connection.server.public} was not closed; use it in a with block, or call close()",
        ResourceWarning,
        stacklevel=2,
    )


def _all_clients() -> List[Lifecycle]:
    for _ in range(100):
        try:
            return list(_clients)
        except RuntimeError:
            continue  # another thread has made one meanwhile
    return []


def _at_exit() -> None:
    begin_exit()
    deadline = Deadline(_EXIT_SECONDS)
    for client in _all_clients():
        if client._holder.pid == os.getpid() and client._connection.last is not None:
            _quietly(functools.partial(client._connection.close, deadline))


def _before_fork() -> None:
    """Import what is otherwise imported at first use: an import that another thread is at when this one forks would
    never end in the child, and who needs the module there would wait for ever.
    """
    if not _clients and _CONFIG not in sys.modules:
        return  # nobody has made a client, or is making the first one
    "localhost".encode("idna")  # looking up a host imports the codec
    from .protocol import types

    for name in types.__all__:
        getattr(types, name)
    for name in _IMPORTED_LATER:
        import_module(f".{name}", __package__)


def _after_fork_in_child() -> None:
    disown(_connections)
    for client in list(_clients):
        client._after_fork()


atexit.register(_at_exit)
in_child(_after_fork_in_child, last=True)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)


def _quietly(action: Callable[[], object]) -> None:
    try:
        action()
    except MCPClientError:
        pass  # a goodbye that is not heard is no error
