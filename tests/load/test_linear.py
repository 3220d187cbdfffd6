"""Four times the work costs four times the time, not sixteen: of this process's own CPU, in one run."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

import pytest

from mcp_sync import MCPClient, Progress
from tests.load.conftest import Loaded
from tests.soak.tools import expected
from tests.support.clock import within

HANG_GUARD = 150.0
# What four times the work may cost: 16 would be quadratic.
FACTOR = 8.0
CHANCES = 4
# Seconds that nobody counts: the collector, threads that start, and what else goes on in a test process.
SLACK = 0.15


def cost(work: Callable[[int], object], size: int) -> float:
    started = time.process_time()
    work(size)
    return time.process_time() - started


def is_linear(work: Callable[[int], object], size: int) -> None:
    """What is not linear never looks so; what is may look otherwise on a busy machine, which wakes threads more often
    for the same work: it gets further chances.
    """
    work(size)  # whatever is made once
    seen: list[str] = []
    for _ in range(CHANCES):
        small, large = cost(work, size), cost(work, 4 * size)
        if large <= FACTOR * small + SLACK:
            return
        seen.append(f"{size} cost {small:.3f} s, and {4 * size} cost {large:.3f} s")
    raise AssertionError("; ".join(seen))


def echo(client: MCPClient, **arguments: object) -> None:
    arguments = {"key": "k", **arguments}
    assert client.call_tool("echo", arguments).text == expected("echo", arguments)


def test_calls_one_after_another(loaded: Loaded, full: bool) -> None:
    def run(count: int) -> None:
        for _ in range(count):
            echo(client)

    with within(HANG_GUARD), loaded.client() as client:
        is_linear(run, 1000 if full else 100)


def test_callers_at_once(loaded: Loaded, full: bool) -> None:
    def run(callers: int) -> None:
        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(lambda _: echo(client), range(4 * callers)))

    with within(HANG_GUARD), loaded.client() as client:
        is_linear(run, 64 if full else 16)


def test_calls_in_the_background(loaded: Loaded, full: bool) -> None:
    def run(count: int) -> None:
        futures = [client.submit("echo", {"key": "k"}) for _ in range(count)]
        assert {future.result(HANG_GUARD).text for future in futures} == {expected("echo", {"key": "k"})}

    with within(HANG_GUARD), loaded.client() as client:
        is_linear(run, 1000 if full else 100)


def test_events_of_one_stream(loaded: Loaded, full: bool) -> None:
    def run(steps: int) -> None:
        with client.stream_tool("count", {"key": "k", "steps": steps}, timeout=HANG_GUARD) as stream:
            assert sum(isinstance(event, Progress) for event in stream) == steps

    with within(HANG_GUARD), loaded.client() as client:
        is_linear(run, 25_000 if full else 1_500)


def test_bytes_of_one_result(loaded: Loaded) -> None:
    with within(HANG_GUARD), loaded.client() as client:
        is_linear(lambda size: echo(client, back=size), 1_000_000)


def test_bytes_of_one_request(loaded: Loaded) -> None:
    with within(HANG_GUARD), loaded.client() as client:
        is_linear(lambda size: echo(client, text="a" * size), 1_000_000)


@pytest.mark.parametrize("loaded", ["sse", "http-json", "modern"], indirect=True)
def test_clients(loaded: Loaded, full: bool) -> None:
    def run(count: int) -> None:
        clients = [loaded.client() for _ in range(count)]
        for client in clients:
            echo(client)
        for client in clients:
            client.close()

    with within(HANG_GUARD):
        is_linear(run, 40 if full else 8)
