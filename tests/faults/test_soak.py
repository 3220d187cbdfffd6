"""Everything at once: many threads calling while connections break at random; rules 2, 3, 5 and 8 of faults.md."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPClientError, MCPConnectionError, Progress, ToolStream
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked, FaultServer, Wire
from tests.support.inside import reconnect_after, waiting

Connect = Callable[..., MCPClient]
THREADS, CALLS = 8, 40


class Chaos:
    """Breaks one connection every few milliseconds, in one way or another."""

    def __init__(self, server: FaultServer, seed: int) -> None:
        self._server = server
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.strikes = 0

    def _run(self) -> None:
        while not self._stop.wait(self._random.uniform(0.005, 0.05)):
            wires: list[Wire] = list(self._server._wires)
            if wires:
                self.strikes += 1
                getattr(self._random.choice(wires), self._random.choice(["reset", "finish", "interrupt"]))()

    def __enter__(self) -> Chaos:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(10)


def arrivals(server: FaultServer) -> Counter[str]:
    """How often each call reached the server."""
    return Counter(message["params"]["arguments"]["message"] for message in server.sent("tools/call"))


@pytest.mark.parametrize("seed", [1, 2])
def test_no_call_is_made_twice_or_answered_with_anothers_result_whatever_breaks(
    seed: int, server: FaultServer, make_client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconnect_after(monkeypatch, 0.01)
    client = make_client(server.sse_url, transport="sse", timeout=LONG, max_retries=20, retry_delay=0.01)
    answered: list[str] = []

    def call(name: str) -> None:
        try:
            assert client.call_tool("echo", {"message": name}).text == name
            answered.append(name)
        except MCPConnectionError as exc:
            assert exc.outcome in ("not_sent", "refused", "unknown")
            if exc.outcome == "not_sent":
                assert arrivals(server)[name] == 0

    def work(thread: int) -> None:
        for number in itertools.count():
            if number >= CALLS and chaos.strikes > 5:
                return
            call(f"{thread}-{number}")

    with Chaos(server, seed) as chaos, ThreadPoolExecutor(THREADS) as pool, within(60):
        list(pool.map(work, range(THREADS)))
    assert max(arrivals(server).values()) == 1
    assert answered
    assert waiting(client) == 0
    # What the last strike broke may not be known yet, so a first call may find out.
    with within(20):
        while True:
            try:
                assert client.call_tool("echo", {"message": "after"}).text == "after"
                break
            except MCPConnectionError:
                pass


def test_streams_that_break_end_with_an_error_and_never_with_half_a_result(
    server: FaultServer, make_client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconnect_after(monkeypatch, 0.01)
    client = make_client(server.sse_url, transport="sse", timeout=LONG, max_retries=20, retry_delay=0.01)

    def count(asked: Asked) -> None:
        for number in range(20):
            asked.progress(number)
            time.sleep(0.001)  # long enough for something to break meanwhile
        asked.text("20")

    server.tools["count"] = count
    whole = 0

    def read(stream: ToolStream) -> None:
        nonlocal whole
        seen: list[Any] = []
        try:
            for event in stream:
                seen.append(event)
        except MCPClientError as exc:
            assert isinstance(exc, MCPConnectionError)  # either outcome is right
            return
        assert [event.progress for event in seen if isinstance(event, Progress)] == list(range(20))
        assert stream.result.text == "20"
        whole += 1

    def work(thread: int) -> None:
        for number in range(10):
            read(client.stream_tool("count", {"message": f"{thread}-{number}"}))

    with Chaos(server, 3), ThreadPoolExecutor(4) as pool, within(60):
        list(pool.map(work, range(4)))
    assert max(arrivals(server).values()) == 1


def test_sessions_that_are_opened_and_closed_from_many_threads_leave_nothing(
    server: FaultServer, make_client: Connect
) -> None:
    """connect(), calls and close() race; each call ends with its result or a plain error of ours."""
    client = make_client(server.sse_url, transport="sse", timeout=LONG)
    results: Counter[str] = Counter()
    lock = threading.Lock()

    def work(thread: int) -> None:
        chance = random.Random(thread)
        for number in range(30):
            try:
                if chance.random() < 0.2:
                    client.close()
                    outcome = "closed"
                elif chance.random() < 0.3:
                    client.connect()
                    outcome = "connected"
                else:
                    assert client.call_tool("echo", {"message": f"{thread}-{number}"}).text == f"{thread}-{number}"
                    outcome = "answered"
            except MCPClientError as exc:
                outcome = type(exc).__name__
            with lock:
                results[outcome] += 1

    with ThreadPoolExecutor(8) as pool, within(60):
        list(pool.map(work, range(8)))
    assert sum(results.values()) == 240
    assert set(results) <= {"closed", "connected", "answered", "MCPClosedError", "MCPConnectionError"}
    assert max(arrivals(server).values(), default=0) <= 1
    client.close()
    server.wait_until(lambda: not server._wires, "all connections are closed")
