"""Many threads, many clients, many calls, many events: nothing swapped, nothing lost, nothing left."""

from __future__ import annotations

import gc
import logging
import os
import random
import resource
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mcp_sync import CallToolResult, MCPClient, Progress
from tests.conftest import open_sockets, our_threads
from tests.load.conftest import Loaded
from tests.soak.tools import expected, step
from tests.support.clock import within
from tests.support.inside import pool_size, waiting

HANG_GUARD = 150.0


@pytest.fixture(autouse=True)
def many_descriptors() -> None:
    """As many as the system lets us have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


def call(client: MCPClient, name: str, **arguments: Any) -> None:
    """A call must get its own answer."""
    assert client.call_tool(name, arguments).text == expected(name, arguments)


def test_64_threads_share_one_client(loaded: Loaded) -> None:
    """They are in the server all at once, and then race each other."""
    barrier = threading.Barrier(64)

    def work(thread: int) -> None:
        barrier.wait(30)
        call(client, "meet", key=f"meet-{thread}", count=64)
        for number in range(10):
            call(client, "echo", key=f"{thread}-{number}", text="a" * 100 * number, back=thread * number)

    with within(HANG_GUARD), loaded.client() as client, ThreadPoolExecutor(64) as pool:
        list(pool.map(work, range(64)))
        assert waiting(client) == 0
    assert set(loaded.runs.values()) == {1}
    assert len(loaded.runs) == 64 * 11


def test_more_callers_than_the_pool_keeps_connections_for_are_in_the_server_at_once(
    loaded: Loaded, full: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """None waits for another: those beyond get connections of their own, which are closed afterwards."""
    callers = 500 if full else 150
    assert callers > pool_size()
    before = open_sockets()
    with within(HANG_GUARD), loaded.client() as client, ThreadPoolExecutor(callers) as pool:
        list(pool.map(lambda caller: call(client, "meet", key=f"{caller}", count=callers), range(callers)))
        assert waiting(client) == 0
        # The pool, and the streams of the server's own.
        assert open_sockets() - before <= pool_size() + 2
        call(client, "echo", key="after")
    assert loaded.runs == Counter({**{f"{caller}": 1 for caller in range(callers)}, "after": 1})
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_10_000_calls_are_each_answered_once_with_their_own_answer(loaded: Loaded, full: bool) -> None:
    """Slow answers, in random order."""
    callers, calls = (500, 20) if full else (150, 6)

    def work(caller: int) -> None:
        chance = random.Random(caller)
        for number in range(calls):
            call(client, "slow", key=f"{caller}-{number}", seconds=chance.uniform(0, 0.2))

    with within(HANG_GUARD), loaded.client() as client, ThreadPoolExecutor(callers) as pool:
        list(pool.map(work, range(callers)))
        assert waiting(client) == 0
    assert loaded.runs == Counter({f"{caller}-{number}": 1 for caller in range(callers) for number in range(calls)})


def test_no_event_of_a_long_stream_is_lost(loaded: Loaded, full: bool) -> None:
    steps = 100_000 if full else 25_000
    arguments = {"key": "long", "steps": steps}
    count, result = 0, None
    with (
        within(HANG_GUARD),
        loaded.client(timeout=HANG_GUARD) as client,
        client.stream_tool("count", arguments) as stream,
    ):
        for event in stream:
            if isinstance(event, Progress):
                count += 1
                assert event.progress == count
                assert event.message == step("long", count)
            elif isinstance(event, CallToolResult):
                result = event.text
    assert count == steps
    assert result == expected("count", arguments)


def test_no_progress_of_a_long_call_is_lost(loaded: Loaded) -> None:
    """The same for a callback, while other threads call."""
    seen: list[float] = []
    arguments = {"key": "long", "steps": 20_000}
    with within(HANG_GUARD), loaded.client(timeout=HANG_GUARD) as client, ThreadPoolExecutor(4) as pool:
        others = [pool.submit(call, client, "echo", key=f"other-{n}") for n in range(100)]
        result = client.call_tool("count", arguments, on_progress=lambda progress: seen.append(progress.progress))
        for other in others:
            other.result(60)
    assert seen == list(range(1, 20_001))
    assert result.text == expected("count", arguments)


@pytest.mark.parametrize("loaded", ["sse", "http-json", "modern"], indirect=True)
def test_500_clients_live_in_one_process_and_leave_nothing(loaded: Loaded, full: bool) -> None:
    count = 500 if full else 60
    threads, sockets, memory = threading.active_count(), open_sockets(), resident()
    with within(HANG_GUARD), ThreadPoolExecutor(32) as pool:
        pool_threads = 32
        clients = [loaded.client() for _ in range(count)]
        try:
            list(pool.map(lambda client: client.connect(), clients))
            keyed = list(enumerate(clients)) * 2
            list(pool.map(lambda pair: call(pair[1], "echo", key=f"{pair[0]}"), keyed))
            # A reader and a dispatcher where there is a stream of the server's own; and the watch of all.
            assert threading.active_count() - threads - pool_threads <= 2 * count + 2
            # The stream, and a connection for each call that ran at the same time as another of its client.
            assert open_sockets() - sockets <= 2 * count + pool_threads
            assert (resident() - memory) / count < 0.5  # MB
        finally:
            list(pool.map(MCPClient.close, clients))
    assert our_threads() == []
    assert open_sockets() <= sockets
    assert set(loaded.runs.values()) == {2}
    del clients, keyed
    gc.collect()


def resident() -> float:
    """The resident memory of this process in MB; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return 0.0
