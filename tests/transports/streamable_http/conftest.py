"""A server over Streamable HTTP with sessions (2025-11-25), one without (2026-07-28), and clients of both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable

import pytest

from mcp_sync import MCPClient
from tests.support.fault_server import FaultServer
from tests.transports.streamable_http.modern import ModernServer

Connect = Callable[..., MCPClient]


@pytest.fixture
def server(http_server: FaultServer) -> FaultServer:
    """A well-behaved server with sessions, until the test makes it misbehave."""
    return http_server


@pytest.fixture
def connect(make_client: Connect, server: FaultServer) -> Connect:
    """Connects a client to ``server``, which finds out by itself what that speaks."""

    def make(**options: object) -> MCPClient:
        return make_client(server.mcp_url, **options).connect()

    return make


@pytest.fixture
def client(connect: Connect) -> MCPClient:
    """A client connected to ``server``, with the default timeout of 30 seconds."""
    return connect()


@pytest.fixture
def modern() -> Iterator[ModernServer]:
    """A well-behaved server of the stateless kind; what clients may not send to it fails the test."""
    running = ModernServer()
    with running:
        yield running
    assert not running.violations


@pytest.fixture
def join(make_client: Connect, modern: ModernServer) -> Connect:
    """Connects a client to ``modern``."""

    def make(**options: object) -> MCPClient:
        return make_client(modern.mcp_url, **options).connect()

    return make
