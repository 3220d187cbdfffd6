"""Our client against real HTTP+SSE servers (2024-11-05, HTTP with SSE)."""

from __future__ import annotations

import pytest
import requests

from mcp_sync import MCPClient

from .behaviour import Behaviour, Deaths, answers, need
from .conftest import Connect
from .real_servers import Running

pytestmark = pytest.mark.interop
TRANSPORT = "sse"


class TestBehaviour(Behaviour):
    """The whole suite."""


class TestDeaths(Deaths):
    """The whole suite."""


def test_the_server_is_found_below_its_origin(running: Running, revision: str) -> None:
    with MCPClient(running.origin, timeout=20) as client:
        assert client.transport == "sse"
        assert running.server.dialect.tools <= {tool.name for tool in client.list_tools()}


def test_the_transport_may_be_named(connect: Connect, running: Running) -> None:
    client = connect(running, transport="sse")
    assert running.server.dialect.tools <= {tool.name for tool in client.list_tools()}


def test_an_own_session_is_used_and_left_open(connect: Connect, running: Running, revision: str) -> None:
    need("echo", running, revision)
    assert running.server.dialect.echo is not None
    with requests.Session() as session:
        session.headers["X-Interop"] = "mine"
        client = connect(running, session=session)
        answers(client, running.server.dialect.echo("mine"))
        client.close()
        assert session.get(running.origin, timeout=5).status_code
