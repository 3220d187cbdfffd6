"""Interrupts of ``map()`` and ``submit()``: whatever they strike, however many there are, no call begins any more."""

from __future__ import annotations

import signal
import sys
import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Callable, Optional

import pytest

from mcp_sync import MCPClient
from mcp_sync.calls import many
from mcp_sync.calls.futures import ToolFuture
from mcp_sync.concurrency.workers import Workers
from tests.support.beds import Bed, over
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a signal of the system's is what interrupts")

WIDTH = 4
CALLS = 500


def strike() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def interrupted_map(bed: Bed, client: MCPClient, executor: Optional[Executor]) -> int:
    """A map that is interrupted at its tenth call: how many calls the server had seen by then."""
    struck = threading.Event()

    def tenth(asked: Asked) -> None:
        if bed.server.tool_calls["it"] >= 10 and not struck.is_set():
            struck.set()
            strike()
        asked.text("done")

    bed.tool("it", tenth)
    with within(), pytest.raises(KeyboardInterrupt):
        client.map("it", [{}] * CALLS, max_workers=WIDTH, executor=executor, timeout=LONG)
    return bed.server.tool_calls["it"]


@pytest.mark.parametrize("second", ["none", "as the clean-up begins", "in the middle of the clean-up"])
@pytest.mark.parametrize("where", ["ours", "executor"])
@over("sse", "http-json", "stdio")
def test_a_map_that_is_interrupted_twice_calls_nothing_more(
    bed: Bed, where: str, second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = bed.connect()

    def struck_again(*_: Any) -> None:
        raise KeyboardInterrupt

    def struck_in_the_middle(work: Callable[[], None], deadline: Any) -> None:
        monkeypatch.setattr(ToolFuture, "cancel", struck_again)
        work()

    with monkeypatch.context() as patch:
        if second == "as the clean-up begins":
            patch.setattr(many, "close_in_background", struck_again)
        elif second == "in the middle of the clean-up":
            patch.setattr(many, "close_in_background", struck_in_the_middle)
        if where == "executor":
            with ThreadPoolExecutor(WIDTH) as pool:
                seen = interrupted_map(bed, client, pool)
        else:
            seen = interrupted_map(bed, client, None)
    monkeypatch.undo()
    # What was under way may have come in meanwhile, and a call that is made now comes after all of them.
    assert client.call_tool("echo", {"message": "hi"}, timeout=LONG).text == "hi"
    assert bed.server.tool_calls["it"] <= seen + WIDTH
    assert client.map("echo", [{"message": "x"}] * 3, timeout=LONG)[2].text == "x"
    assert bed.server.tool_calls["it"] <= seen + WIDTH


@over("http-json")
def test_a_submit_that_is_interrupted_makes_no_call_that_nobody_has(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    client = bed.connect()
    usual = Workers.submit
    gate = threading.Event()

    def struck(self: Workers, job: Callable[[], None]) -> bool:
        def later() -> None:
            gate.wait(20)
            job()

        usual(self, later)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Workers, "submit", struck)
        with pytest.raises(KeyboardInterrupt):
            client.submit("echo", {"message": "nobody's"})
    gate.set()
    assert client.submit("echo", {"message": "hi"}).result(LONG).text == "hi"
    assert bed.server.tool_calls["echo"] == 1


def test_what_is_still_in_an_executors_queue_when_a_map_has_failed_does_not_begin(bed: Bed) -> None:
    client = bed.connect()
    gate = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(gate.wait, 20)

        class Failing(ThreadPoolExecutor):
            taken = 0

            def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
                self.taken += 1
                if self.taken == 3:
                    raise RuntimeError("no more")
                return pool.submit(fn, *args, **kwargs)

        with pytest.raises(Exception, match="no more"):
            client.map("echo", [{}] * 5, executor=Failing(1))
        gate.set()
    assert bed.server.tool_calls["echo"] == 0
