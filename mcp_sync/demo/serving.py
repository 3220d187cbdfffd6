"""The bundled server on the network: its ASGI app, the listening socket, and a clean end.

Runs on: the process's main thread, which becomes uvicorn's event loop; one more thread when it watches standard input.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Callable

import anyio
import uvicorn
from mcp.server.sse import SseServerTransport
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPDeprecationWarning
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Message, Receive, Scope, Send

from mcp_sync._version import __version__

from . import corpus
from .server import Demo

__all__ = ["CannotListen", "DemoApp", "loopback_names", "serve", "serve_stdio"]

GRACE = 0.1  # seconds that a call which is nearly done has, when the server ends


class CannotListen(Exception):
    """The address cannot be listened on. The message says what to do about it."""


class DemoApp:
    """The ASGI app: both HTTP transports of MCP at ``/mcp``, and two plain JSON operations beside them."""

    def __init__(self, *, host: str = "127.0.0.1") -> None:
        self._demo = Demo()
        security = _security(host)
        self._sse = SseServerTransport("/mcp/messages/", security_settings=security)
        self._sessions = StreamableHTTPSessionManager(self._demo.server, security_settings=security)
        self._open: set[anyio.CancelScope] = set()  # one for each request at /mcp
        self.asgi = Starlette(
            routes=[
                Route("/", _index, methods=["GET"]),
                Route("/mcp", _Endpoint(self)),
                Mount("/mcp/messages/", app=self._sse.handle_post_message),
                Route("/health", _health, methods=["GET"]),
                Route("/items/{item_id}", _item, methods=["GET"]),
            ],
            lifespan=self._lifespan,
        )

    async def end_streams(self) -> None:
        """End every response properly, so that its client sees an end and not a cut; calls that run are cancelled."""
        self._demo.listening.close()
        await anyio.sleep(GRACE)
        for scope in list(self._open):
            scope.cancel()

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        async with self._sessions.run(), anyio.create_task_group() as group:
            group.start_soon(self._demo.deliver_updates)
            yield
            group.cancel_scope.cancel()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request at ``/mcp``, until it is answered or the server ends."""
        answer = _Answer(send)
        with anyio.CancelScope() as until_shutdown:
            self._open.add(until_shutdown)
            try:
                # 2025-03-26, basic/transports: a client that opens the Streamable HTTP GET stream has a session by then
                # and names it; a GET without one is what a client of 2024-11-05 begins with.
                if scope["method"] == "GET" and "mcp-session-id" not in Headers(scope=scope):
                    await self._stream(scope, receive, answer)
                else:
                    await self._sessions.handle_request(scope, receive, answer)
            finally:
                self._open.discard(until_shutdown)
        # Here after a cancel too, whether it was ours or that of sse-starlette, which watches the signal as well.
        await answer.finish()

    async def _stream(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        server = self._demo.server
        try:
            async with self._sse.connect_sse(scope, receive, answer) as (incoming, outgoing):
                await server.run(incoming, outgoing, server.create_initialization_options())
        except ValueError:
            # How the SDK says that it refused the Host or Origin header, which it has answered already.
            if not answer.started:
                raise


class _Endpoint:
    """``DemoApp._answer`` as an ASGI app: Starlette takes a function for a request handler, and that for GET alone."""

    def __init__(self, app: DemoApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app._answer(scope, receive, send)


class _Answer:
    """An ASGI ``send`` that knows how far the response came, and can finish it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False
        self._finished = False

    async def __call__(self, message: Message) -> None:
        self.started = True
        self._finished = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)

    async def finish(self) -> None:
        if not self.started:
            await self({"type": "http.response.start", "status": 503, "headers": [(b"content-length", b"0")]})
        if not self._finished:
            await self({"type": "http.response.body", "body": b""})


class _Uvicorn(uvicorn.Server):
    """A uvicorn that says when it listens, and ends the streams before it waits for them."""

    def __init__(self, config: uvicorn.Config, app: DemoApp, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._app = app
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._app.end_streams()
        await super().shutdown(sockets)


def serve(
    host: str = "127.0.0.1", port: int = 8000, *, until_stdin_closes: bool = False, verbose: bool = False
) -> None:
    """Run the server until SIGINT or SIGTERM, and print the URL it listens on.

    Args:
        host: the address to listen on. All but loopback opens the server, which has no authentication, to the network.
        port: the port; 0 takes a free one.
        until_stdin_closes: end when standard input ends, too: then no server outlives the program that started it.
        verbose: log requests on standard error.

    Raises:
        CannotListen: the address is taken, or is not ours.
    """
    sockets = _listen(host, port)
    port = sockets[0].getsockname()[1]
    _quieten(verbose)
    app = DemoApp(host=host)

    def listening() -> None:
        print(f"mcp-sync demo server {__version__} listening on http://{_bracketed(host)}:{port}/mcp", flush=True)
        if not loopback_names(host):
            print(
                "warning: this address may be reached from other machines, and the server asks for no password",
                file=sys.stderr,
            )

    server = _Uvicorn(
        # log_config=None: basicConfig above is the whole of it. The grace is for calls that are still running.
        uvicorn.Config(app.asgi, log_config=None, access_log=verbose, timeout_graceful_shutdown=1),
        app,
        listening,
    )
    # uvicorn takes these two over while it runs, and raises what it caught again when it is done. With its own handler
    # below its own handler that second one changes nothing, and the process ends by returning from here.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, server.handle_exit)
    if until_stdin_closes:

        def watch() -> None:
            # os.read, not sys.stdin: a daemon thread inside a buffered read would hold the lock that shutdown needs.
            while os.read(0, 4096):
                pass
            server.should_exit = True

        threading.Thread(target=watch, name="mcp-sync-demo-stdin", daemon=True).start()
    server.run(sockets=sockets)


def serve_stdio() -> None:
    """Run the server on standard input and output, as a client starts it."""
    _quieten(verbose=False)

    async def run() -> None:
        demo = Demo()
        async with stdio_server() as (incoming, outgoing), anyio.create_task_group() as group:
            group.start_soon(demo.deliver_updates)
            await demo.server.run(incoming, outgoing, demo.server.create_initialization_options())
            group.cancel_scope.cancel()

    anyio.run(run)


def _quieten(verbose: bool) -> None:
    # Below ERROR the SDK speaks of every client that asked for something wrong, and of calls that a shutdown ends.
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, stream=sys.stderr)
    warnings.simplefilter("ignore", MCPDeprecationWarning)  # older clients still use what 2026-07-28 deprecates


def _listen(host: str, port: int) -> list[socket.socket]:
    """Listening sockets for every address of ``host``: ``localhost`` is two of them on most machines."""
    sockets: list[socket.socket] = []
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(addresses):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            if os.name == "posix":  # elsewhere the option would let two servers share a port
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # With port 0 the first address gets a free port, and the others take the same.
            chosen = sockets[0].getsockname()[1] if port == 0 and len(sockets) > 1 else port
            sock.bind((address[0], chosen, *address[2:]))
            sock.listen(128)
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise CannotListen(_advice(error, host, port)) from error
    return sockets


def _advice(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken: another program listens there. "
            "Choose another one with --port, or --port 0 for a free one."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} on {host} needs more rights than this process has. Choose one above 1023 with --port."
    return f"cannot listen on {host}, port {port}: {error.strerror or error}. Choose another address with --host."


def _security(host: str) -> TransportSecuritySettings:
    """On loopback, refuse requests that name another host: a web page elsewhere may have rebound its name to us."""
    names = loopback_names(host)
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=bool(names),
        allowed_hosts=[*names, *(f"{name}:*" for name in names)],
        allowed_origins=[origin for name in names for origin in (f"http://{name}", f"http://{name}:*")],
    )


def loopback_names(host: str) -> list[str]:
    """The names that a request to ``host`` may use, where all its addresses are loopback's, however it is spelled; else
    none.
    """
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", None, type=socket.SOCK_STREAM)  # noqa: S104  # nosec B104  # refused
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    except (OSError, ValueError):
        return []
    plain = [getattr(address, "ipv4_mapped", None) or address for address in addresses]
    if not all(address.is_loopback for address in plain):
        return []
    names = ["127.0.0.1", "localhost", "::1", host, host.lower(), *map(str, addresses), *map(str, plain)]
    return list(dict.fromkeys(map(_bracketed, names)))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _index(request: Request) -> Response:
    return PlainTextResponse("An MCP server. HTTP+SSE and Streamable HTTP are both at /mcp.\n")


async def _health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _item(request: Request) -> Response:
    found = corpus.document(request.path_params["item_id"])
    if found is None:
        return JSONResponse({"detail": "no such item"}, status_code=404)
    return JSONResponse({"id": found.id, "title": found.title, "tags": list(found.tags), "text": found.text})
