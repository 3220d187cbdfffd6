"""``map(..., executor=...)``: threads, processes, Dask, executors that break, and clients that cannot travel."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from typing import Any, Callable

import pytest

from mcp_sync import MCPClientError, MCPConnectionError, MCPUsageError, ToolError
from tests.support.beds import Bed, over
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked

WHILE_IT_STARTS = 40.0


def accept(params: Any) -> dict[str, Any]:
    return {"action": "decline"}


def where(asked: Asked) -> None:
    asked.text(asked.session.id or str(asked.request.connection))


@pytest.fixture(params=["fork", "spawn"] if sys.platform != "win32" else ["spawn"])
def pool(request: pytest.FixtureRequest) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, multiprocessing.get_context(request.param)) as executor:
        yield executor


@over("sse", "http-sse", "stateless", "stdio")
def test_calls_are_made_in_other_processes(bed: Bed, pool: ProcessPoolExecutor) -> None:
    client = bed.connect()
    arguments = [{"message": str(number)} for number in range(12)]
    with within(WHILE_IT_STARTS):
        results = client.map("echo", arguments, executor=pool, timeout=LONG)
    assert [result.text for result in results] == [str(number) for number in range(12)]
    assert bed.server.tool_calls["echo"] == 12


@over("http-json")
def test_each_process_keeps_one_client_for_the_same_settings(bed: Bed) -> None:
    bed.tool("where", where)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        client, other = bed.connect(), bed.make(default_headers={"X-User": "bob"})
        sessions = [
            {result.text for result in each.map("where", [{}] * 5, executor=pool, timeout=LONG)}
            for each in (client, client, other, client)
        ]
    assert all(len(names) == 1 for names in sessions)
    assert sessions[0] == sessions[1] == sessions[3] != sessions[2]
    assert client.session_id not in sessions[0]


@over("http-json")
def test_a_process_that_ends_closes_its_session(bed: Bed, pool: ProcessPoolExecutor) -> None:
    assert bed.make().map("echo", [{"message": "x"}], executor=pool, timeout=LONG)[0].text == "x"
    assert bed.server.sessions
    pool.shutdown()
    bed.server.wait_until(lambda: not bed.server.sessions, "the session of the other process is closed")
    assert bed.server.count("DELETE") == 1


@over("http-json")
def test_a_token_and_headers_go_along(bed: Bed) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        bed.make(auth="secret", headers={"X-User": "alice"}).map(
            "echo", [{"message": "x"}], executor=pool, timeout=LONG
        )
    (call,) = [request for request in bed.server.requests if "tools/call" in request.rpc_methods]
    assert (call.headers["authorization"], call.headers["x-user"]) == ("Bearer secret", "alice")


@over("http-json")
def test_failures_come_back_as_they_are(bed: Bed, pool: ProcessPoolExecutor) -> None:
    client = bed.connect()
    with within(WHILE_IT_STARTS), pytest.raises(ToolError) as caught:
        client.map("fail", [{}] * 3, executor=pool, timeout=LONG)
    assert caught.value.result is not None
    assert client.map("fail", [{}], executor=pool, raise_on_error=False, timeout=LONG)[0].is_error


@over("http-json")
@pytest.mark.parametrize(
    "live",
    [
        {"elicitation_handler": accept},
        {"sampling_handler": lambda params: {}},
        {"log_handler": print},
        {"roots": ["file:///a"]},
        {"auth": lambda request: request},
    ],
    ids=lambda live: next(iter(live)),
)
def test_a_client_that_cannot_travel_says_so_at_once(bed: Bed, live: dict[str, Any]) -> None:
    client = bed.make(**live)
    with ProcessPoolExecutor(1) as pool, within(), pytest.raises(MCPUsageError) as caught:
        client.map("echo", [{}] * 3, executor=pool, timeout=LONG)
    assert next(iter(live)) in str(caught.value)
    assert caught.value.outcome == "not_sent"
    assert bed.server.requests == []
    with ThreadPoolExecutor(1) as threads:
        if "auth" not in live:
            assert client.map("echo", [{"message": "x"}], executor=threads)[0].text == "x"


@over("http-json")
def test_arguments_that_cannot_travel_say_so_at_once(bed: Bed, pool: ProcessPoolExecutor) -> None:
    client = bed.make()
    with within(WHILE_IT_STARTS), pytest.raises(MCPUsageError) as caught:
        client.map("echo", [{"message": threading.Lock()}], executor=pool, timeout=LONG)
    assert caught.value.outcome == "not_sent"
    assert bed.server.tool_calls["echo"] == 0


@over("http-json")
def test_a_pool_that_breaks_fails_what_it_held(bed: Bed) -> None:
    client = bed.connect()
    with ProcessPoolExecutor(1) as pool:
        pid = pool.submit(os.getpid).result(20)
        bed.tool("kill", lambda asked: os.kill(pid, 9))
        with within(WHILE_IT_STARTS), pytest.raises(MCPConnectionError) as caught:
            client.map("kill", [{}] * 4, executor=pool, timeout=LONG)
        assert caught.value.outcome == "unknown"
        assert isinstance(caught.value.__cause__, BrokenProcessPool)
        with within(), pytest.raises(MCPConnectionError) as caught:
            client.map("echo", [{}] * 4, executor=pool, timeout=LONG)
        assert caught.value.outcome == "not_sent"
    assert bed.server.tool_calls["kill"] == 1
    assert client.map("echo", [{"message": "x"}])[0].text == "x"


@over("http-json")
def test_an_executor_that_was_shut_down_takes_no_calls(bed: Bed) -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with within(), pytest.raises(MCPConnectionError) as caught:
        bed.make().map("echo", [{}] * 2, executor=pool, timeout=LONG)
    assert caught.value.outcome == "not_sent"


@over("http-json")
def test_an_executor_that_gives_up_what_waits_fails_that(bed: Bed) -> None:
    client = bed.connect()
    pool = ThreadPoolExecutor(1)
    gate = threading.Event()
    pool.submit(gate.wait, 20)
    with ThreadPoolExecutor(1) as caller:
        call = caller.submit(client.map, "echo", [{}], executor=pool)
        while not pool._work_queue.qsize():
            pass
        pool.shutdown(wait=False, cancel_futures=True)
        gate.set()
        error = call.exception(20)
    assert isinstance(error, MCPClientError)
    assert error.outcome == "not_sent"


class Inline(concurrent.futures.Executor):
    """Does the work at once, as executors for tests do."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as exc:  # noqa: BLE001  # it is the future's
            future.set_exception(exc)
        return future


class Never(concurrent.futures.Executor):
    """Fails whatever it is given, later, as an executor does whose workers die."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def fail() -> None:
            if future.set_running_or_notify_cancel():
                future.set_exception(OSError("the machine is gone"))

        threading.Timer(0.05, fail).start()
        return future


@over("http-json", "stdio")
def test_an_executor_of_the_same_process_uses_the_client_itself(bed: Bed) -> None:
    client = bed.connect(log_handler=print)
    connections = bed.server.connections
    assert [result.text for result in client.map("echo", [{"message": "x"}] * 3, executor=Inline())] == ["x"] * 3
    with ThreadPoolExecutor(1) as pool:
        client.map("echo", [{"message": "x"}] * 3, executor=pool)
    assert bed.server.connections <= connections + 1


@over("http-json")
def test_whatever_an_executor_fails_with_is_an_error_of_the_call(bed: Bed) -> None:
    with within(), pytest.raises(MCPConnectionError) as caught:
        bed.make().map("echo", [{}] * 3, executor=Never(), timeout=LONG)
    assert caught.value.outcome == "unknown"


@pytest.mark.skipif(find_spec("distributed") is None, reason="dask.distributed is not installed")
@over("http-json")
@pytest.mark.parametrize("processes", [True, False], ids=["processes", "threads"])
def test_calls_are_made_by_dask(bed: Bed, processes: bool) -> None:
    bed.tool("where", where)
    client, live = bed.connect(), bed.make(log_handler=print)
    with dask(processes) as dask_client:
        executor = dask_client.get_executor()
        results = client.map("echo", [{"message": str(number)} for number in range(10)], executor=executor)
        assert [result.text for result in results] == [str(number) for number in range(10)]
        sessions = {result.text for result in client.map("where", [{}] * 6, executor=executor, timeout=LONG)}
        assert (client.session_id in sessions) is not processes
        with pytest.raises(ToolError):
            client.map("fail", [{}], executor=executor, timeout=LONG)
        if processes:
            with within(), pytest.raises(MCPUsageError, match="log_handler"):
                live.map("echo", [{}] * 2, executor=executor, timeout=LONG)


def dask(processes: bool) -> Any:
    import distributed

    make: Any = distributed.Client
    return make(n_workers=1, threads_per_worker=2, processes=processes, dashboard_address=None, set_as_default=False)
