"""How a client reaches its server: which URL, which transport.

Runs on: the thread that opens a session.
"""

from __future__ import annotations

import logging
from typing import Any, List, Optional

import requests

from .connection import Connection
from .deadline import Deadline
from .errors import HTTPStatusError, MCPClientError, MCPHandshakeError, MCPUsageError
from .link import Link
from .protocol.urls import public_url
from .server import Command
from .transports.http import HTTP, Headers
from .transports.http_sse import HTTPSSETransport

__all__ = ["Opener"]

_log = logging.getLogger(__name__)

# What is answered where there is no MCP endpoint, so that the next place is worth a look.
_NOTHING_THERE = {404, 405, 406, 410}


class Opener:
    """Opens sessions with one server, and remembers where it was found.

    Parameters:
        auth, headers, session: as ``MCPClient`` takes them.
    """

    def __init__(
        self, auth: Any = None, headers: Optional[Headers] = None, session: Optional[requests.Session] = None
    ) -> None:
        self._auth = auth
        self._headers = headers
        self._session = session
        self._found: Optional[str] = None

    def http(self, connection: Connection, url: str) -> HTTP:
        return HTTP(connection.config, url, self._auth, self._headers, self._session)

    def __call__(self, connection: Connection, deadline: Deadline) -> Link:
        server = connection.server
        if isinstance(server, Command):
            raise MCPUsageError("servers that are started as a command are not supported yet", outcome="not_sent")
        urls = [self._found] if self._found is not None else server.urls
        return self._try_each(connection, urls, deadline)

    def _try_each(self, connection: Connection, urls: List[str], deadline: Deadline) -> Link:
        missing: List[str] = []
        error: MCPClientError
        for url in urls:
            try:
                link = self._open_sse(connection, url, deadline)
                self._found = url
                return link
            except (HTTPStatusError, MCPHandshakeError) as exc:
                error = exc
                if not _nothing_there(exc) or deadline.expired:
                    break
                connection.discard()
                missing.append(public_url(url))
                _log.debug("no MCP server at %s: %s", url, exc)
        if len(missing) > 1:
            last = error
            error = MCPHandshakeError(
                f"no MCP server was found at {', '.join(missing)}; pass the URL of its endpoint, path included",
                outcome="not_sent",
            )
            error.__cause__ = last
        raise error

    def _open_sse(self, connection: Connection, url: str, deadline: Deadline) -> Link:
        http = self.http(connection, url)
        link = connection.new_link(lambda sink: HTTPSSETransport(http, url, connection.config, sink))
        link.dispatcher.start()
        link.transport.open(deadline)
        connection.handshake(link, deadline)
        return link


def _nothing_there(error: MCPClientError) -> bool:
    if isinstance(error, HTTPStatusError):
        return error.status in _NOTHING_THERE
    return "instead of text/event-stream" in error.message
