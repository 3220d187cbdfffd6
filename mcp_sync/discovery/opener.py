"""How a client finds out what its server speaks: which URL, which transport, which revision.

Runs on: the thread that opens a session.

Each transport is imported when a server is first reached by it: a program that starts its server as a command never
loads requests, and one that only imports this package loads neither.

The order is the specification's (2026-07-28, Streamable HTTP, Backward Compatibility): a modern request first, then
``initialize``, then a GET for HTTP+SSE. What was found is remembered for the process, per URL, and forgotten when it
does not hold any more.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple

from ..concurrency.deadline import Deadline
from ..concurrency.forks import in_child
from ..concurrency.log import Log
from ..concurrency.undisturbed import load
from ..credentials import EVERYBODY, NO_AUTH, gives_credentials, names
from ..errors import (
    AuthorizationError,
    HTTPStatusError,
    MCPClientError,
    MCPHandshakeError,
    MCPProtocolError,
    MCPUsageError,
    may_pass,
    needs_descriptors,
)
from ..protocol.revisions import REVISIONS
from ..protocol.urls import public_url
from ..session.connection import Connection
from ..session.session import Session
from ..session.target import Command
from .handshake import NO_STREAMABLE_HTTP, agree_without_handshake, handshake

if TYPE_CHECKING:
    import requests

    from ..credentials import Headers
    from ..transports.http.sender import Sender

__all__ = ["Opener"]

_log = Log(__name__)

# What anything is answered with where there is no MCP endpoint at all, so that the next place is worth a look.
_NOTHING_THERE = frozenset({404, 405, 406, 410})
# How long the GET stream may take to open before the first call, where what the server asks for would come on it.
_GET_STREAM_SECONDS = 0.2
_TRANSPORTS = f"{__name__.partition('.')[0]}.transports"
# What an import takes at once, and a little more for the threads beside it.
_DESCRIPTORS = 4


class _Found(NamedTuple):
    """What a server turned out to be."""

    url: str
    transport: str
    is_modern: bool


_memory: Dict[str, _Found] = {}
_memory_lock = threading.RLock()


def _after_fork_in_child() -> None:
    global _memory_lock
    _memory_lock = threading.RLock()


in_child(_after_fork_in_child)


class Opener:
    """Opens sessions with one server, and remembers what it found.

    Parameters:
        auth, headers, session: as ``MCPClient`` takes them.
    """

    def __init__(
        self, auth: Any = None, headers: Optional[Headers] = None, session: Optional[requests.Session] = None
    ) -> None:
        self._auth = auth
        self._headers = headers
        self._session = session

    def after_fork(self) -> None:
        """In a forked child: the user's own session must not use the parent's connections."""
        if self._session is not None:
            from ..transports.http.sender import Sender

            Sender.forget_connections(self._session)

    def http(self, connection: Connection, url: str) -> Sender:
        """What sends requests to ``url``."""
        _import_transport("http.sender")
        from ..transports.http.credentials import Cookies, Means
        from ..transports.http.pools import Adapter
        from ..transports.http.sender import Sender

        session, auth, cookies = self._session, self._auth, connection.companion(Cookies, Cookies)
        adapter = connection.common.companions.get(Adapter, Adapter) if session is None else None
        if session is not None and connection.identity != EVERYBODY:
            session = cookies.beside(session)
        shown = connection.credentials
        if gives_credentials(auth) or (auth is None and shown is not None and names(shown.headers, "authorization")):
            auth = NO_AUTH
        # What a function gives comes with each call.
        headers = None if callable(self._headers) else self._headers
        means = Means(adapter, cookies, None if connection.identity == EVERYBODY else connection.latest_credentials)
        return Sender(connection.config, url, auth, headers, session, means)

    def __call__(self, connection: Connection, deadline: Deadline) -> Session:
        """Open a session.

        Raises:
            MCPConnectionError, MCPTimeoutError, MCPClosedError: there is none; nothing is left open.
        """
        server = connection.target
        if isinstance(server, Command):
            return self._open_command(connection, server, deadline)
        if connection.config.transport == "stdio":
            raise MCPUsageError('transport="stdio" needs a command, not a URL', outcome="not_sent")
        key = f"{connection.config.transport} {connection.config.protocol_version} {server.urls[0]}"
        with _memory_lock:
            found = _memory.get(key)
        if found is not None:
            try:
                return self._open_found(connection, found, deadline)
            except (HTTPStatusError, MCPHandshakeError) as exc:
                if isinstance(exc, AuthorizationError) or may_pass(exc) or deadline.expired:
                    raise
                _log.debug("%s is not what it was: %s", connection.target.public, exc)
                with _memory_lock:
                    _memory.pop(key, None)
                connection.discard()
        session, found = self._search(connection, server.urls, deadline)
        self._remember(key, found)
        return session

    # HTTP

    def _search(self, connection: Connection, urls: List[str], deadline: Deadline) -> Tuple[Session, _Found]:
        missing: List[str] = []
        error: MCPClientError = MCPUsageError("there is no URL to look at", outcome="not_sent")
        for url in urls:
            try:
                return self._try(connection, url, deadline)
            except (HTTPStatusError, MCPHandshakeError) as exc:
                error = exc
                if not _nothing_there(exc) or deadline.expired:
                    break
                connection.discard()
                missing.append(public_url(url))
                _log.debug("no MCP server at %s: %s", public_url(url), exc)
        if len(missing) > 1:
            places = ", ".join(missing)
            last, error = (
                error,
                MCPHandshakeError(
                    f"no MCP server was found at {places}; pass the URL of its endpoint, path included",
                    outcome="not_sent",
                ),
            )
            error.__cause__ = last
        raise error

    def _try(self, connection: Connection, url: str, deadline: Deadline) -> Tuple[Session, _Found]:
        """Find out what is at ``url``."""
        wanted = connection.config.transport
        if wanted == "sse":
            return self._open_sse(connection, url, deadline, "transport= says so"), _Found(url, "sse", False)
        refused: MCPClientError
        try:
            session = self._open_http(connection, url, deadline)
            return session, _Found(url, "http", not session.is_stateful)
        except (HTTPStatusError, MCPHandshakeError) as exc:
            refused = exc
        if wanted == "http" or not _may_be_sse(refused):
            raise refused
        connection.discard()
        _log.debug("%s takes no POST (%s); trying HTTP+SSE", public_url(url), refused)
        error: MCPClientError
        try:
            return self._open_sse(connection, url, deadline, f"it takes no POST: {refused.message}"), _Found(
                url, "sse", False
            )
        except (HTTPStatusError, MCPHandshakeError) as exc:
            error = exc
        # Of two refusals the one that says more: a POST that is answered with something else than "not here".
        raise refused if _nothing_there(error) and not _nothing_there(refused) else error

    def _open_found(self, connection: Connection, found: _Found, deadline: Deadline) -> Session:
        if found.transport == "sse":
            return self._open_sse(connection, found.url, deadline, "it did so before")
        return self._open_http(connection, found.url, deadline, found.is_modern)

    def _open_sse(self, connection: Connection, url: str, deadline: Deadline, because: str) -> Session:
        _import_transport("http_sse")
        from ..transports.http_sse import HTTPSSETransport

        # Never a probe here: an unknown method ends the session of old servers.
        version = connection.config.protocol_version
        if version is not None and not REVISIONS[version].has_handshake:
            raise MCPHandshakeError(f"HTTP+SSE cannot carry protocol revision {version}", outcome="not_sent")
        http = self.http(connection, url)
        session = connection.new_session(lambda sink: HTTPSSETransport(http, url, connection.config, sink))
        session.because = because
        session.open(deadline)
        handshake(connection, session, deadline)
        return session

    def _open_http(
        self, connection: Connection, url: str, deadline: Deadline, is_modern: Optional[bool] = None
    ) -> Session:
        _import_transport("streamable_http")
        from ..transports.streamable_http import StreamableHTTPTransport

        http = self.http(connection, url)

        session = connection.new_session(lambda sink: StreamableHTTPTransport(http, url, connection.config, sink))
        if agree_without_handshake(connection, session, deadline, is_modern):
            return session
        session.stamp = None
        session.transport.agree({}, stateful=True)
        handshake(connection, session, deadline)
        if session.transport.session_id is not None:
            # What the server asks for during the first call would come on it.
            session.listen(deadline, wait=_GET_STREAM_SECONDS if connection.handlers.answers_anything else 0.0)
        return session

    # stdio

    def _open_command(self, connection: Connection, server: Command, deadline: Deadline) -> Session:
        if connection.config.transport not in ("auto", "stdio"):
            raise MCPUsageError(
                f'transport="{connection.config.transport}" needs a URL, not a command', outcome="not_sent"
            )
        _import_transport("stdio.transport")
        load("discovery.stdio_probe")
        from .stdio_probe import start_server

        key = "\0".join([*server.argv, str(connection.config.protocol_version), str(connection.config.cwd)])
        with _memory_lock:
            # Forgotten until it has shown to hold: the next attempt after a failure finds out anew.
            found = _memory.pop(key, None)
        session = start_server(connection, server, deadline, None if found is None else found.is_modern)
        self._remember(key, _Found(server.public, "stdio", not session.is_stateful))
        return session

    def _remember(self, key: str, found: _Found) -> None:
        with _memory_lock:
            if len(_memory) > 1000:
                _memory.clear()
            _memory[key] = found


def _import_transport(transport: str) -> None:
    """Import a transport, having looked whether there are the file descriptors that this needs.

    Without one an import fails halfway, with an OSError, or leaves a library half there: urllib3 without TLS.
    """
    if f"{_TRANSPORTS}.{transport}" in sys.modules:
        return
    taken: List[int] = []
    try:
        with needs_descriptors:
            for _ in range(_DESCRIPTORS):
                taken.append(os.open(os.devnull, os.O_RDONLY))
    finally:
        for descriptor in taken:
            os.close(descriptor)
    load(f"transports.{transport}")


def _may_be_sse(error: MCPClientError) -> bool:
    """Whether a server that refused a POST like this may still speak HTTP+SSE."""
    if isinstance(error, HTTPStatusError):
        return error.status in NO_STREAMABLE_HTTP
    # It answered, but not with JSON-RPC; a server that does, and says no, has said it.
    return isinstance(error.__cause__, MCPProtocolError)


def _nothing_there(error: MCPClientError) -> bool:
    if isinstance(error, HTTPStatusError):
        return error.status in _NOTHING_THERE
    return isinstance(error, MCPHandshakeError) and "instead of text/event-stream" in error.message
