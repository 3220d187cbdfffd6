"""Our client against real Streamable HTTP servers (2025-03-26 to 2026-07-28, Streamable HTTP)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Optional

import pytest

from mcp_sync import CallToolResult, MCPClient, Progress, SessionExpiredError

from .behaviour import Behaviour, Deaths, answers, need
from .conftest import Connect, started
from .real_servers import LEGACY, SERVERS, Running

pytestmark = pytest.mark.interop
TRANSPORT = "http"


class TestBehaviour(Behaviour):
    """The whole suite."""


class TestDeaths(Deaths):
    """The whole suite."""


def test_the_server_is_found_below_its_origin(running: Running) -> None:
    with MCPClient(running.origin, timeout=20) as client:
        assert client.transport == "http"
        assert running.server.dialect.tools <= {tool.name for tool in client.list_tools()}


def test_a_forgotten_session_does_not_run_a_tool_twice(connect: Connect, fresh: Running, revision: str) -> None:
    need("echo", fresh, revision)
    need("diary", fresh, revision)
    echo = fresh.server.dialect.echo
    assert echo is not None
    client = connect(fresh, retry_delay=0.1)
    answers(client, echo("before"))
    fresh.restart()
    # Either the client had noticed and has a new session, or the server refused a call that must not be repeated.
    refused: Optional[SessionExpiredError] = None
    try:
        answers(client, echo("first"))
    except SessionExpiredError as expired:
        refused = expired
    assert refused is None or refused.outcome == "refused"
    answers(client, echo("second"))
    assert fresh.diary().count("echo") == (3 if refused is None else 2)


def test_a_call_that_may_be_repeated_survives_a_forgotten_session(
    connect: Connect, fresh: Running, revision: str
) -> None:
    need("echo", fresh, revision)
    echo = fresh.server.dialect.echo
    assert echo is not None
    client = connect(fresh, retry_delay=0.1)
    answers(client, echo("before"))
    fresh.restart()
    answers(client, echo("after"), retry=True)


def test_threads_that_lose_their_session_together_find_one_again(
    connect: Connect, fresh: Running, revision: str
) -> None:
    need("crowd", fresh, revision)
    client = connect(fresh, retry_delay=0.1)
    client.list_tools()
    fresh.restart()
    barrier = threading.Barrier(8)

    def ask() -> set[str]:
        barrier.wait(10)
        return {tool.name for tool in client.list_tools()}

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(ask) for _ in range(8)]:
            assert fresh.server.dialect.tools <= done.result(30)


# Streams that end before the answer, and are resumed (2025-11-25, Streamable HTTP, Resumability and Redelivery)

# Those with a tool that drops its stream.
RESUMABLE = [
    pytest.param("mcp1-http-events", marks=pytest.mark.cross_section),
    "mcp2-http-events",
    "ts1-polling",
]


@pytest.fixture(scope="module", params=RESUMABLE)
def resumable(request: pytest.FixtureRequest) -> Iterator[Running]:
    with started(SERVERS[request.param]) as running:
        yield running


@pytest.fixture
def resuming(resumable: Running) -> Iterator[MCPClient]:
    with MCPClient(resumable.target, timeout=20, protocol_version=LEGACY) as client:
        assert client.protocol_version == LEGACY
        yield client


def test_a_dropped_stream_is_resumed(resumable: Running, resuming: MCPClient) -> None:
    already = resumable.diary().count("drop started")
    assert resuming.call_tool("drop", {}).text == "survived"
    assert resumable.diary().count("drop started") == already + 1


def test_a_dropped_stream_keeps_its_events(resumable: Running, resuming: MCPClient) -> None:
    already = resumable.diary().count("drop_slowly started")
    with resuming.stream_tool("drop_slowly", {"seconds": 0.3}) as stream:
        events = list(stream)
    assert [event.message for event in events if isinstance(event, Progress)] == ["before", "after"]
    assert isinstance(events[-1], CallToolResult)
    assert events[-1].text == "survived slowly"
    assert resumable.diary().count("drop_slowly started") == already + 1


def test_eight_dropped_streams_are_resumed_each_for_its_own_call(resumable: Running, resuming: MCPClient) -> None:
    already = resumable.diary().count("drop_slowly started")
    barrier = threading.Barrier(8)

    def call(worker: int) -> str:
        barrier.wait(10)
        name, text = ("drop_slowly", "survived slowly") if worker % 2 else ("drop", "survived")
        assert resuming.call_tool(name, {}).text == text
        return text

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(call, worker) for worker in range(8)]:
            done.result(30)
    assert resumable.diary().count("drop_slowly started") == already + 4
