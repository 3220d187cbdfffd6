"""An exchange that is over has no hold on the connection that carried it: the next one is left alone."""

from __future__ import annotations

import threading
from typing import Any, Callable

import pytest
import requests

from mcp_sync import MCPClient
from mcp_sync.transports.http.connections import InterruptibleConnection
from mcp_sync.transports.http.exchange import ANSWERED, Exchange
from mcp_sync.transports.http.sender import Sender
from tests.support.beds import OWN, Bed, over
from tests.support.fault_server import FaultServer

Connect = Callable[..., MCPClient]


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> list[Exchange]:
    """Every exchange that is begun, in order."""
    begun: list[Exchange] = []
    begin = Sender._begin

    def note(self: Sender, exchange: Exchange, *args: Any) -> None:
        begun.append(exchange)
        begin(self, exchange, *args)

    monkeypatch.setattr(Sender, "_begin", note)
    return begun


def stop_before(monkeypatch: pytest.MonkeyPatch, name: str, finished: list[Exchange]) -> None:
    """The stops come when the pool has looked whether a connection is good, and before its next exchange has it."""
    method = getattr(InterruptibleConnection, name)

    def delayed(self: InterruptibleConnection, *args: Any, **kwargs: Any) -> Any:
        for exchange in finished:
            exchange.stop(ANSWERED)
        return method(self, *args, **kwargs)

    monkeypatch.setattr(InterruptibleConnection, name, delayed)


@over(*OWN)
def test_a_stop_that_comes_too_late_leaves_the_next_call_alone(
    bed: Bed, exchanges: list[Exchange], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = bed.connect()
    client.call_tool("echo", {"message": "first"})
    finished = list(exchanges)
    stop_before(monkeypatch, "transact", finished)
    assert client.call_tool("echo", {"message": "second"}).text == "second"
    assert bed.server.tool_calls["echo"] == 2


def test_so_it_is_on_a_session_that_the_user_brought(
    http_server: FaultServer, make_client: Connect, exchanges: list[Exchange], monkeypatch: pytest.MonkeyPatch
) -> None:
    with requests.Session() as session:
        client = make_client(http_server.mcp_url, session=session).connect()
        client.call_tool("echo", {"message": "first"})
        finished = list(exchanges)
        stop_before(monkeypatch, "request", finished)
        assert client.call_tool("echo", {"message": "second"}).text == "second"
        client.close()
    assert http_server.tool_calls["echo"] == 2


def test_a_connection_that_was_shut_down_is_not_given_out(
    http_server: FaultServer, make_client: Connect, exchanges: list[Exchange], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop comes when the answer was read, and before the connection is back in the pool."""
    client = make_client(http_server.mcp_url, transport="http").connect()
    client.call_tool("echo", {"message": "first"})
    let_go = InterruptibleConnection.let_go

    def stopped_before(self: InterruptibleConnection) -> bool:
        exchanges[-1].stop(ANSWERED)
        return let_go(self)

    with monkeypatch.context() as patch:
        patch.setattr(InterruptibleConnection, "let_go", stopped_before)
        assert client.call_tool("echo", {"message": "second"}).text == "second"
    # The look whether a kept connection is good is not what keeps it from being given out.
    monkeypatch.setattr("urllib3.connection.HTTPConnection.is_connected", True)
    assert client.call_tool("echo", {"message": "third"}).text == "third"


@over("http-sse", "stateless")
def test_those_who_leave_streams_and_those_who_call_are_not_in_each_others_way(
    bed: Bed, exchanges: list[Exchange]
) -> None:
    """By chance, beside the tests above by order: each leaves a stream, or calls, over a pool that all share."""
    client = bed.connect()
    failures: list[BaseException] = []

    def leave() -> None:
        for _ in range(30):
            stream = client.stream_tool("progress", {"count": 5})
            with stream:
                next(stream)
            stream.cancel()
            del exchanges[:-50]

    def call() -> None:
        for number in range(60):
            assert client.call_tool("echo", {"message": str(number)}).text == str(number)

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001  # it fails the test below
            failures.append(exc)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (leave, call) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
