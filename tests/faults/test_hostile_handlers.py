"""What a hostile server may try with the handlers of 2026-07-28: run them without end, keep them at work after the
deadline of the call, or have what they raise disappear. They run on their own threads, as under every revision.
"""

from __future__ import annotations

import contextvars
import itertools
import signal
import threading
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPClientError, MCPClosedError, MCPProtocolError, MCPTimeoutError
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked
from tests.transports.streamable_http.modern import ModernServer

Connect = Callable[..., MCPClient]
SAMPLE = {
    "method": "sampling/createMessage",
    "params": {"messages": [{"role": "user", "content": {"type": "text", "text": "2 + 2?"}}], "maxTokens": 9},
}
SAMPLED = {"role": "assistant", "content": {"type": "text", "text": "4"}, "model": "abacus"}


@pytest.fixture
def modern() -> Iterator[ModernServer]:
    running = ModernServer()
    with running:
        yield running


class Handler:
    """A sampling handler that counts its runs, and does what a test wants."""

    def __init__(self, do: Callable[[], object] = lambda: None) -> None:
        self.runs = 0
        self.do = do

    def __call__(self, params: Any) -> Any:
        self.runs += 1
        self.do()
        return SAMPLED


def needs(count: int) -> dict[str, Any]:
    return {
        "resultType": "input_required",
        "inputRequests": {f"q{n}": SAMPLE for n in range(count)},
        "requestState": "",
    }


def wants(server: ModernServer, count: int) -> None:
    """The tool ``work`` wants so many inputs, and has its result then."""

    def work(asked: Asked) -> None:
        if "inputResponses" in asked.params:
            asked.text("done")
        else:
            asked.answer(needs(count))

    server.tools["work"] = work


def wants_for_ever(server: ModernServer, per_look: int) -> None:
    """The tool ``work`` is a task that wants other input at each look."""
    task = {"taskId": "t-1", "createdAt": "2026-01-01T00:00:00Z", "ttlMs": None, "pollIntervalMs": 50}
    numbers = itertools.count()

    def get(asked: Asked) -> None:
        new = {f"q{next(numbers)}": SAMPLE for _ in range(per_look)}
        asked.answer({"resultType": "complete", **task, "status": "input_required", "inputRequests": new})

    server.tools["work"] = lambda asked: asked.answer({"resultType": "task", **task, "status": "working"})
    server.methods["tasks/get"] = get
    for method in ("tasks/update", "tasks/cancel"):
        server.methods[method] = lambda asked: asked.answer({"resultType": "complete"})


# Money


def test_no_handler_runs_for_a_round_of_too_many_inputs(modern: ModernServer, make_client: Connect) -> None:
    wants(modern, 600)
    handler = Handler()
    client = make_client(modern.mcp_url, sampling_handler=handler)
    with within(), pytest.raises(MCPProtocolError, match="more than 32 inputs in one round") as caught:
        client.call_tool("work", timeout=LONG)
    assert caught.value.outcome == "unknown"
    assert handler.runs == 0


def test_a_round_of_many_inputs_is_answered(modern: ModernServer, make_client: Connect) -> None:
    wants(modern, 32)
    handler = Handler()
    assert make_client(modern.mcp_url, sampling_handler=handler).call_tool("work", timeout=LONG).text == "done"
    assert handler.runs == 32


@pytest.mark.parametrize(("per_look", "runs"), [(32, 96), (200, 0)])
def test_the_inputs_of_one_task_are_bounded(
    per_look: int, runs: int, modern: ModernServer, make_client: Connect
) -> None:
    wants_for_ever(modern, per_look)
    handler = Handler()
    client = make_client(modern.mcp_url, sampling_handler=handler)
    with within(), pytest.raises(MCPProtocolError, match="which is where this client stops"):
        client.call_tool("work", timeout=LONG)
    assert handler.runs == runs
    modern.wait_for_method("tasks/cancel")


def test_the_deadline_is_looked_at_before_each_handler(modern: ModernServer, make_client: Connect) -> None:
    wants(modern, 20)
    gate, ran = threading.Event(), threading.Event()

    def stay() -> None:
        ran.set()
        gate.wait(LONG)

    handler = Handler(stay)
    # The clock of the call stands still while a handler answers, so long at most.
    client = make_client(modern.mcp_url, sampling_handler=handler, input_timeout=0.1)
    client.connect()
    with within(), pytest.raises(MCPTimeoutError) as caught:
        client.call_tool("work", timeout=0.3)
    assert ran.is_set()
    assert caught.value.outcome == "unknown"
    gate.set()
    wait_for_handlers()
    assert handler.runs == 1
    assert len(modern.sent("tools/call")) == 1


def wait_for_handlers() -> None:
    for thread in threading.enumerate():
        if thread.name == "mcp-sync-handler":
            thread.join(LONG)


# Threads


def test_a_handler_runs_on_a_thread_of_its_own_in_the_callers_context(
    modern: ModernServer, make_client: Connect
) -> None:
    wants(modern, 2)
    user = contextvars.ContextVar("user", default="nobody")
    seen: list[Any] = []
    handler = Handler(lambda: seen.append((threading.current_thread(), user.get())))
    user.set("alice")
    make_client(modern.mcp_url, sampling_handler=handler).call_tool("work", timeout=LONG)
    assert [name for _, name in seen] == ["alice"] * 2
    assert threading.current_thread() not in [thread for thread, _ in seen]


def test_close_does_not_wait_for_a_handler(modern: ModernServer, make_client: Connect) -> None:
    wants(modern, 2)
    gate = threading.Event()

    def close() -> None:
        client.close()
        gate.wait(LONG)

    client = make_client(modern.mcp_url, sampling_handler=Handler(close))
    try:
        with within(), pytest.raises(MCPClosedError) as caught:
            client.call_tool("work", timeout=LONG)
        assert caught.value.outcome == "unknown"
    finally:
        gate.set()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=lambda error: repr(error))
def test_what_is_no_exception_comes_out_as_it_is(
    error: BaseException, modern: ModernServer, make_client: Connect
) -> None:
    wants(modern, 2)

    def leave() -> None:
        raise error

    handler = Handler(leave)
    client = make_client(modern.mcp_url, sampling_handler=handler)
    with within(), pytest.raises(type(error)) as caught:
        client.call_tool("work", timeout=LONG)
    assert caught.value is error
    assert handler.runs == 1
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals of threads are POSIX")
def test_ctrl_c_while_a_handler_runs_is_a_keyboard_interrupt(modern: ModernServer, make_client: Connect) -> None:
    wants(modern, 2)
    gate = threading.Event()

    def interrupt() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        gate.wait(LONG)

    handler = Handler(interrupt)
    client = make_client(modern.mcp_url, sampling_handler=handler)
    # Not SIGINT itself, which pytest's workers have a use for.
    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    try:
        with within(), pytest.raises(KeyboardInterrupt):
            client.call_tool("work", timeout=LONG)
    finally:
        signal.signal(signal.SIGUSR1, before)
        gate.set()
    wait_for_handlers()
    assert handler.runs == 1


def test_handlers_may_call_the_client_and_be_asked_again(modern: ModernServer, make_client: Connect) -> None:
    """More deeply than there are worker threads."""
    wants(modern, 1)
    depth: list[int] = []

    def call() -> None:
        depth.append(1)
        if len(depth) < 12:
            client.call_tool("work", timeout=LONG)

    client = make_client(modern.mcp_url, sampling_handler=Handler(call))
    with within():
        assert client.call_tool("work", timeout=LONG).text == "done"
    assert len(depth) == 12


def test_an_exception_of_a_handler_stays_the_clients_error(modern: ModernServer, make_client: Connect) -> None:
    wants(modern, 2)

    def fail() -> None:
        raise ValueError("private")

    with pytest.raises(MCPClientError) as caught:
        make_client(modern.mcp_url, sampling_handler=Handler(fail)).call_tool("work", timeout=LONG)
    assert "private" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
