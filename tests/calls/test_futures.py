"""Calls in the background: futures whose cancel() stops the tool."""

from __future__ import annotations

import concurrent.futures
import functools
import os
import signal
import threading
import time
from typing import Any, Callable, cast

import pytest

from mcp_sync import (
    CallToolResult,
    MCPClient,
    MCPClosedError,
    MCPConnectionError,
    MCPTimeoutError,
    MCPUsageError,
    ToolError,
)
from mcp_sync.calls.futures import Background, ToolFuture
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked, FaultServer


def test_a_future_has_the_result(server: FaultServer, client: MCPClient) -> None:
    future = client.submit("echo", {"message": "hi"})
    assert isinstance(future, concurrent.futures.Future)
    result = future.result(LONG)
    assert isinstance(result, CallToolResult)
    assert result.text == "hi"
    assert future.done()
    assert not future.running()
    assert not future.cancel()


def test_a_future_has_the_exception(server: FaultServer, client: MCPClient) -> None:
    assert isinstance(client.submit("fail").exception(LONG), ToolError)
    assert isinstance(client.submit("never", timeout=0.2).exception(LONG), MCPTimeoutError)
    assert client.submit("fail", raise_on_error=False).result(LONG).is_error


def test_what_cannot_be_sent_is_told_by_submit_itself(server: FaultServer, client: MCPClient) -> None:
    with pytest.raises(MCPUsageError):
        client.submit("")
    with pytest.raises(MCPUsageError):
        client.submit("echo", {"message": "hi"}, timeout=-1)


def test_cancelling_a_running_call_stops_the_tool(server: FaultServer, client: MCPClient) -> None:
    future = client.submit("never", timeout=LONG)
    server.wait_for_call("never")
    assert future.running()
    with within():
        assert future.cancel()
        assert future.cancel()
        assert future.cancelled()
        with pytest.raises(concurrent.futures.CancelledError):
            future.result(LONG)
        (note,) = server.wait_for_method("notifications/cancelled")
    assert note["params"]["requestId"] == server.sent("tools/call")[0]["id"]
    assert client.call_tool("echo", {"message": "next"}).text == "next"


def test_cancelling_before_the_call_began_sends_nothing(server: FaultServer, client: MCPClient) -> None:
    futures = [client.submit("slow", timeout=LONG) for _ in range(64)]
    server.wait_for_call("slow", 64)
    last = client.submit("echo", timeout=LONG)  # 64 run at once
    assert last.cancel()
    server.gate.set()
    assert {future.result(LONG).text for future in futures} == {"slow"}
    assert server.tool_calls["echo"] == 0


def test_waiting_for_several_futures_works(server: FaultServer, client: MCPClient) -> None:
    slow, quick, stopped = client.submit("slow"), client.submit("echo", {"message": "q"}), client.submit("never")
    server.wait_for_call("never")
    done, _ = concurrent.futures.wait([slow, quick], LONG, concurrent.futures.FIRST_COMPLETED)
    assert done == {quick}
    stopped.cancel()
    server.gate.set()
    finished = list(concurrent.futures.as_completed([slow, quick, stopped], LONG))
    assert set(finished) == {slow, quick, stopped}


def test_a_callback_is_told_of_the_end_and_of_a_cancellation(server: FaultServer, client: MCPClient) -> None:
    told = threading.Semaphore(0)
    future = client.submit("never", timeout=LONG)
    future.add_done_callback(lambda done: told.release())
    server.wait_for_call("never")
    future.cancel()
    assert told.acquire(timeout=10)
    client.submit("echo").add_done_callback(lambda done: told.release())
    assert told.acquire(timeout=10)


def test_progress_of_a_background_call_is_told(server: FaultServer, client: MCPClient) -> None:
    seen: list[float] = []
    client.submit("progress", {"count": 3}, on_progress=lambda progress: seen.append(progress.progress)).result(LONG)
    assert seen == [1, 2, 3]


def test_close_ends_calls_that_run_and_those_that_wait(server: FaultServer, client: MCPClient) -> None:
    futures = [client.submit("never", timeout=LONG) for _ in range(70)]
    server.wait_for_call("never", 64)
    with within(8):
        client.close()
        done, left = concurrent.futures.wait(futures, 6)
    assert not left
    assert all(future.cancelled() or isinstance(future.exception(), MCPClosedError) for future in done)
    with pytest.raises(MCPClosedError):
        client.submit("echo").result(LONG)


def test_close_settles_the_thousands_of_calls_that_wait_for_a_thread(server: FaultServer, client: MCPClient) -> None:
    futures = [client.submit("never", timeout=LONG) for _ in range(3000)]
    server.wait_for_call("never", 64)
    with within(8):
        client.close()
        errors = [future.exception(6) for future in futures]
    assert all(isinstance(error, MCPClosedError) for error in errors)
    assert [error.outcome for error in errors if isinstance(error, MCPClosedError)].count("not_sent") >= 3000 - 64
    assert server.tool_calls["never"] == 64


@pytest.mark.parametrize("state", ["running", "waiting"])
def test_a_call_that_waits_for_a_thread_hears_of_the_close(state: str) -> None:
    """Whether close() comes before its thread has it or after, something comes of it."""
    background = Background(cast(Any, None))
    gates = [threading.Event() for _ in range(64)]
    inside = threading.Semaphore(0)

    def block(gate: threading.Event) -> str:
        inside.release()
        assert gate.wait(10)
        return "done"

    running = [background.submit(functools.partial(lambda gate, _: block(gate), gate)) for gate in gates]
    for _ in gates:
        assert inside.acquire(timeout=10)
    waiting = background.submit(lambda _: "never begun")
    background.close()
    for gate in gates:
        gate.set()
    if state == "running":
        assert {str(future.result(10)) for future in running} == {"done"}
    else:
        error = waiting.exception(10)
        assert isinstance(error, MCPClosedError)
        assert error.outcome == "not_sent"
        with pytest.raises(MCPClosedError):
            background.submit(lambda _: None)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_future_of_the_parent_does_not_keep_a_forked_child_waiting(server: FaultServer, client: MCPClient) -> None:
    """The thread that runs the call is not in the child."""
    done, pending = client.submit("echo", {"message": "hi"}), client.submit("never", timeout=LONG)
    assert done.result(LONG).text == "hi"
    server.wait_for_call("never")
    pid = os.fork()
    if not pid:
        status = 1
        try:
            signal.alarm(20)
            pending.result()
        except MCPClosedError as exc:
            status = 0 if exc.outcome == "unknown" and done.result().text == "hi" else 2
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    pending.cancel()


@pytest.mark.parametrize("first", ["work", "cancel"])
def test_a_race_between_the_end_and_a_cancellation_has_one_winner(first: str) -> None:
    for _ in range(200):
        future = ToolFuture()
        start = threading.Barrier(2)

        def work(future: ToolFuture = future, start: threading.Barrier = start) -> None:
            start.wait(10)
            future.run(lambda: CallToolResult(content=[]))

        thread = threading.Thread(target=work)
        thread.start()
        start.wait(10)
        if first == "work":
            time.sleep(0)  # let the other thread have its turn
        cancelled = future.cancel()
        thread.join(10)
        assert future.done()
        assert future.cancelled() == cancelled
        if not cancelled:
            assert future.result().content == []


# map


def test_map_returns_the_results_in_order(server: FaultServer, client: MCPClient) -> None:
    results = client.map("echo", [{"message": str(number)} for number in range(30)], max_workers=5)
    assert [result.text for result in results] == [str(number) for number in range(30)]
    assert client.map("echo", []) == []


def test_a_map_for_which_no_thread_can_start_fails_at_once(
    server: FaultServer, client: MCPClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name == "mcp-sync-map":
            raise RuntimeError("can't start new thread")
        start(self)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with within(), pytest.raises(MCPConnectionError) as caught:
            client.map("echo", [{"message": "hi"}] * 3)
    assert caught.value.outcome == "not_sent"
    assert server.tool_calls["echo"] == 0


def test_map_runs_as_many_at_once_as_it_was_told(server: FaultServer, client: MCPClient) -> None:
    together = threading.Barrier(4)
    lock = threading.Lock()
    inside = most = 0

    def meet(asked: Asked) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        together.wait(15)
        with lock:
            inside -= 1
        asked.text("met")

    server.tools["meet"] = meet
    assert len(client.map("meet", [{}] * 8, max_workers=4, timeout=LONG)) == 8
    assert most == 4


def test_the_first_failure_of_a_map_is_raised_and_the_rest_is_not_begun(server: FaultServer, client: MCPClient) -> None:
    def second(asked: Asked) -> None:
        if asked.arguments["n"] == 1:
            asked.text("no", isError=True)
        else:
            asked.text("yes")

    server.tools["second"] = second
    with within(), pytest.raises(ToolError, match="no"):
        client.map("second", [{"n": n} for n in range(500)], max_workers=1)
    assert server.tool_calls["second"] < 500


def test_a_map_on_ones_own_executor_leaves_it_usable(server: FaultServer, client: MCPClient) -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert len(client.map("echo", [{"message": "x"}] * 5, executor=pool)) == 5
        assert pool.submit(int, "3").result() == 3


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "4"])
def test_a_number_of_workers_without_sense_is_a_usage_error(wrong: object, client: MCPClient) -> None:
    with pytest.raises(MCPUsageError, match="max_workers"):
        client.map("echo", [{}], max_workers=wrong)  # type: ignore[arg-type]


def test_close_ends_a_map(server: FaultServer, client: MCPClient) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.map, "never", [{}] * 20, max_workers=4, timeout=LONG)
        server.wait_for_call("never", 4)
        with within():
            client.close()
            assert isinstance(call.exception(10), MCPClosedError)


@pytest.mark.parametrize("how", ["future", "stream"])
def test_a_call_that_is_cancelled_while_its_session_opens_is_never_sent(
    how: str, server: FaultServer, make_client: Callable[..., MCPClient]
) -> None:
    usual = server.methods["initialize"]

    def slow(asked: Asked) -> None:
        asked.wait(server.gate)
        usual(asked)

    server.methods["initialize"] = slow
    client = make_client(server.sse_url, transport="sse", timeout=LONG)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        if how == "future":
            future = client.submit("echo", timeout=LONG)
            server.wait_for_method("initialize")
            assert future.cancel()
            server.gate.set()
        else:
            stream = client.stream_tool("echo", timeout=LONG)
            reading = pool.submit(list, stream)
            server.wait_for_method("initialize")
            stream.cancel()
            server.gate.set()
            assert reading.result(10) == []
        client.ping(timeout=LONG)
    assert server.tool_calls["echo"] == 0
    assert server.sent("notifications/cancelled") == []
