"""A `requests.Session` that the user brought: deadlines, interruptions and outcomes hold with it as without."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from mcp_sync import MCPClient, MCPClientError, MCPClosedError, MCPConnectionError, MCPTimeoutError
from tests.support.beds import HTTP, Bed, over
from tests.support.certificates import Certificates
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, FaultServer, Request, Wire, finish, hold, reset


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


class OtherAdapter(HTTPAdapter):
    """As somebody writes it who wants connections of another kind."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = type("Mine", (type(pool).ConnectionCls,), {})
        return pool


def _dripped_head(wire: Wire, request: Request) -> None:
    wire.drip(b"HTTP/1.1 200 OK\r\n" + b"x-slow: y\r\n" * 1000, pause=0.05)


@over(*HTTP)
@pytest.mark.parametrize("adapter", [HTTPAdapter, OtherAdapter])
@pytest.mark.parametrize("end", [reset, finish])
def test_a_call_that_may_have_run_is_not_sent_again(
    end: Any, adapter: type[HTTPAdapter], bed: Bed, session: requests.Session
) -> None:
    session.mount("http://", adapter())
    client = bed.connect(session=session, timeout=LONG)
    bed.server.instead("tools/call", end)
    with pytest.raises(MCPConnectionError) as caught, within():
        client.call_tool("echo", {"message": "once"})
    assert caught.value.outcome == "unknown"
    assert bed.server.tool_calls["echo"] == 1
    assert client.call_tool("echo", {"message": "again"}).text == "again"


@over(*HTTP)
@pytest.mark.parametrize("slow", [hold, _dripped_head])
def test_a_head_that_does_not_come_is_a_timeout(slow: Any, bed: Bed, session: requests.Session) -> None:
    client = bed.connect(session=session, timeout=LONG)
    bed.server.instead("tools/call", slow)
    with within(), pytest.raises(MCPTimeoutError) as caught:
        client.call_tool("echo", timeout=0.3)
    assert caught.value.outcome == "unknown"
    assert bed.server.tool_calls["echo"] == 1


@over(*HTTP)
def test_close_wakes_a_call_whose_head_does_not_come(bed: Bed, session: requests.Session) -> None:
    client = bed.connect(session=session, timeout=LONG)
    bed.server.instead("tools/call", hold)
    errors: list[MCPClientError] = []

    def call() -> None:
        try:
            client.call_tool("echo")
        except MCPClientError as exc:
            errors.append(exc)

    caller = threading.Thread(target=call)
    caller.start()
    bed.server.wait_for_call("echo")
    with within():
        client.close()
        caller.join()
    assert isinstance(errors[0], MCPClosedError)


def test_a_session_that_does_not_trust_the_server_sends_nothing(
    session: requests.Session, certificates: Certificates
) -> None:
    with FaultServer("http", tls=certificates.self_signed()) as server, within():
        with pytest.raises(MCPConnectionError, match="no secure connection") as caught:
            MCPClient(server.mcp_url, session=session, timeout=LONG).connect()
        assert caught.value.outcome == "not_sent"
        assert not server.requests


def test_its_connections_serve_the_user_as_before(session: requests.Session) -> None:
    with FaultServer("http") as server:
        server.instead(lambda request: request.path == "/mine", lambda wire, _: wire.respond(200, "mine"), ALWAYS)
        assert session.get(server.url + "/mine").text == "mine"
        with MCPClient(server.mcp_url, session=session, timeout=LONG) as client:
            assert client.call_tool("echo", {"message": "ours"}).text == "ours"
            assert session.get(server.url + "/mine").text == "mine"
        assert session.get(server.url + "/mine").text == "mine"
