"""Who waits for which answer: the table, its races, and what becomes of events."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Optional

import pytest

from mcp_sync.concurrency.budget import Budget
from mcp_sync.concurrency.deadline import Deadline
from mcp_sync.errors import MCPClientError, MCPClosedError, MCPConnectionError
from mcp_sync.session.dispatcher import Dispatcher
from mcp_sync.session.waiter import Waiter
from tests.support.clock import eventually

PATIENCE = 10.0


class Recorder:
    """Takes what a dispatcher passes on."""

    wants_progress = False

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.notifications: list[Any] = []
        self.lost: list[Any] = []

    def asked(self, message: Any, calls: Any = ()) -> None:
        self.requests.append(message)

    def notified(self, message: Any) -> None:
        self.notifications.append(message)


def make(recorder: Optional[Recorder] = None, started: bool = False) -> Dispatcher:
    recorder = recorder or Recorder()
    made = Dispatcher(recorder, lambda error: None, recorder.lost.append)
    if started:
        made.start()
    return made


@pytest.fixture
def heard() -> Recorder:
    return Recorder()


@pytest.fixture
def dispatcher(heard: Recorder) -> Iterator[Dispatcher]:
    """A dispatcher whose thread runs."""
    made = make(heard, started=True)
    yield made
    made.lost(MCPClosedError("over"))
    made.join(Deadline(PATIENCE))


def result(id: object, value: object = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "result": {"value": value}}


def note(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params}


def test_an_answer_goes_to_its_waiter_and_takes_it_out_of_the_table(dispatcher: Dispatcher) -> None:
    one, two = Waiter(1), Waiter(2)
    dispatcher.expect(one)
    dispatcher.expect(two)
    dispatcher.arrived([result(2, "two"), result(1, "one")])
    assert one.wait(Deadline(PATIENCE))
    assert two.wait(Deadline(PATIENCE))
    assert one.answer == result(1, "one")
    assert two.answer == result(2, "two")
    assert dispatcher.waiting == 0


@pytest.mark.parametrize("spelled", ["7", 7.0])
def test_an_id_in_another_spelling_finds_its_waiter(dispatcher: Dispatcher, spelled: object) -> None:
    waiter = Waiter(7)
    dispatcher.expect(waiter)
    dispatcher.arrived([result(spelled)])
    assert waiter.wait(Deadline(PATIENCE))


@pytest.mark.parametrize("foreign", [8, "x", None, True, [1], {"a": 1}, 1.5])
def test_an_answer_that_is_nobodys_is_dropped(dispatcher: Dispatcher, foreign: object) -> None:
    waiter = Waiter(1)
    dispatcher.expect(waiter)
    dispatcher.arrived([result(foreign), result(1)])
    assert waiter.wait(Deadline(PATIENCE))
    assert waiter.answer == result(1)


def test_an_answer_that_came_before_the_wait_is_there(dispatcher: Dispatcher) -> None:
    waiter = Waiter(1)
    dispatcher.expect(waiter)
    dispatcher.arrived([result(1)])
    assert eventually(lambda: dispatcher.waiting == 0)
    assert waiter.wait(Deadline(0.0)) or waiter.settled


def test_a_wait_ends_at_its_deadline(dispatcher: Dispatcher) -> None:
    waiter = Waiter(1)
    dispatcher.expect(waiter)
    assert not waiter.wait(Deadline(0.05))
    dispatcher.withdraw(waiter)
    assert dispatcher.waiting == 0
    dispatcher.withdraw(waiter)
    dispatcher.arrived([result(1)])
    assert not waiter.settled


def test_a_lost_stream_fails_everyone_with_an_error_each_and_refuses_who_comes_after(
    dispatcher: Dispatcher, heard: Recorder
) -> None:
    waiters = [Waiter(number) for number in range(5)]
    for waiter in waiters:
        dispatcher.expect(waiter)
    cause = MCPConnectionError("gone")
    dispatcher.lost(cause)
    dispatcher.lost(MCPClosedError("later"))
    failures = []
    for waiter in waiters:
        assert waiter.wait(Deadline(PATIENCE))
        assert waiter.failure is not None
        failures.append(waiter.failure())
    assert len({id(failure) for failure in failures}) == 5
    assert {failure.outcome for failure in failures} == {"unknown"}
    assert all(failure.__cause__ is cause for failure in failures)
    assert heard.lost == [cause]
    with pytest.raises(MCPConnectionError) as caught:
        dispatcher.expect(Waiter(9))
    assert caught.value.outcome == "not_sent"


@pytest.mark.parametrize("has_thread", [True, False])
def test_who_is_woken_by_a_loss_finds_the_session_lost(has_thread: bool) -> None:
    lost = threading.Event()
    dispatcher = Dispatcher(Recorder(), lambda error: None, lambda error: lost.set())
    if has_thread:
        dispatcher.start()
    waiter = Waiter(1)
    dispatcher.expect(waiter)
    dispatcher.lost(MCPConnectionError("gone"))
    assert waiter.wait(Deadline(PATIENCE))
    assert lost.is_set()
    dispatcher.join(Deadline(PATIENCE))


def test_what_arrived_before_the_loss_is_delivered(dispatcher: Dispatcher) -> None:
    waiter = Waiter(1)
    dispatcher.expect(waiter)
    dispatcher.arrived([result(1)])
    dispatcher.lost(MCPConnectionError("gone"))
    assert waiter.wait(Deadline(PATIENCE))
    assert waiter.answer == result(1)
    assert waiter.failure is None


def test_requests_and_notifications_go_where_they_belong(dispatcher: Dispatcher, heard: Recorder) -> None:
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    dispatcher.arrived([ping, note("notifications/x")])
    assert eventually(lambda: bool(heard.notifications))
    assert heard.requests == [ping]
    assert heard.notifications == [note("notifications/x")]


def test_a_request_with_the_id_of_one_of_ours_is_not_its_answer(dispatcher: Dispatcher, heard: Recorder) -> None:
    waiter = Waiter(1)
    dispatcher.expect(waiter)
    dispatcher.arrived([{"jsonrpc": "2.0", "id": 1, "method": "ping"}, result(1)])
    assert waiter.wait(Deadline(PATIENCE))
    assert len(heard.requests) == 1


@pytest.mark.parametrize("bad", [{"method": 7}, {"method": {}, "id": 1}, {"method": []}])
def test_a_message_that_cannot_be_routed_keeps_nobody_from_theirs(
    dispatcher: Dispatcher, bad: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    waiter = Waiter(1)
    dispatcher.expect(waiter)
    dispatcher.arrived([bad, result(1)])
    assert waiter.wait(Deadline(PATIENCE))


def test_a_listener_that_raises_keeps_nobody_from_theirs(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Recorder):
        def asked(self, message: Any, calls: Any = ()) -> None:
            raise RuntimeError("x")

        notified = asked

    dispatcher = make(Failing())
    waiter = Waiter(1)
    dispatcher.expect(waiter)
    dispatcher.route([note("notifications/x"), {"id": 5, "method": "ping"}, result(1)])
    assert waiter.settled


# Events


def test_progress_goes_to_the_call_whose_token_it_names(dispatcher: Dispatcher) -> None:
    one, two = Waiter(1, "progress"), Waiter(2, "all")
    dispatcher.expect(one)
    dispatcher.expect(two)
    dispatcher.arrived([note("notifications/progress", progressToken=token, progress=1) for token in (2, "1", 3, None)])
    dispatcher.arrived([result(1), result(2)])
    assert one.wait(Deadline(PATIENCE))
    assert eventually(lambda: two.settled)
    assert [message["params"]["progressToken"] for message in one.take()] == ["1"]
    assert [message["params"]["progressToken"] for message in two.take()] == [2]


def test_a_call_that_wants_no_events_gets_none(dispatcher: Dispatcher) -> None:
    waiter = Waiter(1)
    dispatcher.expect(waiter)
    dispatcher.arrived([note("notifications/progress", progressToken=1), note("notifications/message"), result(1)])
    assert waiter.wait(Deadline(PATIENCE))
    assert waiter.take() == []


def test_on_a_shared_stream_every_open_call_that_wants_all_sees_a_log_message(dispatcher: Dispatcher) -> None:
    one, two, three = Waiter(1, "all"), Waiter(2, "all"), Waiter(3, "progress")
    for waiter in (one, two, three):
        dispatcher.expect(waiter)
    dispatcher.arrived([note("notifications/message", data=1), result(3)])
    assert eventually(lambda: three.settled)
    assert len(one.take()) == len(two.take()) == 1
    assert three.take() == []


def test_on_a_calls_own_response_only_that_call_is_answered_or_told() -> None:
    dispatcher = make()
    one, two = Waiter(1, "all"), Waiter(2, "all")
    dispatcher.expect(one)
    dispatcher.expect(two)
    dispatcher.route(
        [
            result(2),
            note("notifications/message", data=1),
            note("notifications/progress", progressToken=2, progress=1),
            result(1),
        ],
        one,
    )
    assert one.settled
    assert not two.settled
    assert len(one.take()) == 1
    assert two.take() == []


def test_an_error_without_an_id_on_a_calls_own_response_is_that_calls() -> None:
    dispatcher = make()
    waiter = Waiter(1)
    dispatcher.expect(waiter)
    dispatcher.route([{"jsonrpc": "2.0", "id": None, "error": {"code": 1, "message": "x"}}])
    assert not waiter.settled
    dispatcher.route([{"jsonrpc": "2.0", "id": None, "error": {"code": 1, "message": "x"}}], waiter)
    assert waiter.settled


def test_events_that_came_before_the_answer_are_in_the_inbox_when_it_is_seen(dispatcher: Dispatcher) -> None:
    waiter = Waiter(1, "all")
    dispatcher.expect(waiter)
    dispatcher.arrived([note("notifications/message", data=n) for n in range(100)] + [result(1)])
    seen: list[Any] = []
    while True:
        assert waiter.wait(Deadline(PATIENCE))
        settled = waiter.settled
        seen += waiter.take()
        if settled:
            break
    assert [message["params"]["data"] for message in seen] == list(range(100))


def test_a_full_inbox_loses_its_oldest_and_never_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    from mcp_sync.session import waiter as module

    monkeypatch.setattr(module, "_INBOX_SIZE", 10)
    dispatcher = make()
    waiter = Waiter(1, "all")
    dispatcher.expect(waiter)
    start = time.monotonic()
    dispatcher.route([note("notifications/message", data=n) for n in range(1000)] + [result(1)])
    assert time.monotonic() - start < 5  # it waits for the reader once, not a thousand times
    assert [message["params"]["data"] for message in waiter.take()] == list(range(990, 1000))
    assert waiter.dropped == 990
    assert waiter.settled


# Races


def test_each_of_many_racing_waiters_is_settled_exactly_once(dispatcher: Dispatcher) -> None:
    """Answers, withdrawals and the end of the session, all at once: everybody ends, nobody twice, nothing is left."""
    count = 400
    waiters = [Waiter(number) for number in range(count)]
    settled: list[int] = []
    lock = threading.Lock()
    start = threading.Barrier(4)

    class Counting(Waiter):
        __slots__ = ()

        def settle(self, answer: Any) -> None:
            with lock:
                settled.append(int(self.id))
            super().settle(answer)

        def fail(self, failure: Any) -> None:
            with lock:
                settled.append(int(self.id))
            super().fail(failure)

    waiters = [Counting(number) for number in range(count)]
    for waiter in waiters:
        dispatcher.expect(waiter)

    def answer() -> None:
        start.wait(PATIENCE)
        for number in range(0, count, 2):
            dispatcher.arrived([result(number), result(number)])

    def answer_directly() -> None:
        start.wait(PATIENCE)
        for number in range(0, count, 3):
            dispatcher.route([result(number)], waiters[number])

    def withdraw() -> None:
        start.wait(PATIENCE)
        for number in range(0, count, 5):
            dispatcher.withdraw(waiters[number])

    def end() -> None:
        start.wait(PATIENCE)
        time.sleep(0.002)  # so that some have been settled and some not
        dispatcher.abandon(lambda: MCPClosedError("closed", outcome="unknown"))

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(run) for run in (answer, answer_directly, withdraw, end)]:
            future.result(PATIENCE)
    assert eventually(lambda: dispatcher._queue.unfinished_tasks == 0)
    assert dispatcher.waiting == 0
    assert len(settled) == len(set(settled))
    for number, waiter in enumerate(waiters):
        assert waiter.settled or number % 5 == 0


def test_the_callers_who_wait_when_it_is_abandoned_are_woken_at_once() -> None:
    dispatcher = make()
    waiters = [Waiter(number) for number in range(20)]
    for waiter in waiters:
        dispatcher.expect(waiter)
    with ThreadPoolExecutor(20) as pool:
        waits = [pool.submit(waiter.wait, Deadline(60.0)) for waiter in waiters]
        start = time.monotonic()
        dispatcher.abandon(lambda: MCPClosedError("closed"))
        assert all(wait.result(PATIENCE) for wait in waits)
    assert time.monotonic() - start < 5
    with pytest.raises(MCPClientError):
        dispatcher.expect(Waiter(99))


def test_who_is_taken_out_while_all_are_failed_is_woken_too() -> None:
    """As by the first one who is woken, and cancels the others."""
    dispatcher = make()
    others = [Waiter(number) for number in range(1, 5)]

    class First(Waiter):
        def fail(self, failure: Callable[[], MCPClientError]) -> None:
            super().fail(failure)
            for other in others:
                dispatcher.withdraw(other)

    for waiter in (First(0), *others):
        dispatcher.expect(waiter)
    dispatcher.abandon(lambda: MCPClosedError("closed"))
    assert all(waiter.wait(Deadline(0.0)) for waiter in others)


def _dispatcher_threads() -> int:
    return sum(thread.name == "mcp-sync-dispatcher" for thread in threading.enumerate())


def test_an_answer_stays_behind_what_came_before_it() -> None:
    gate, order = threading.Event(), []

    class Slow(Recorder):
        def notified(self, message: Any) -> None:
            gate.wait(PATIENCE)
            order.append(message["method"])

    dispatcher = make(Slow(), started=True)
    waiter = Waiter(1)
    dispatcher.expect(waiter)
    dispatcher.arrived([note("notifications/first")])
    dispatcher.arrived([result(1)])
    assert not waiter.settled
    gate.set()
    assert waiter.wait(Deadline(PATIENCE))
    assert order == ["notifications/first"]
    dispatcher.lost(MCPClosedError("over"))
    dispatcher.join(Deadline(PATIENCE))


def test_everything_goes_through_the_queue_to_the_one_thread(heard: Recorder) -> None:
    """The reader settles nobody itself: that is the dispatcher thread's."""
    dispatcher, waiter = make(heard), Waiter(1)
    dispatcher.expect(waiter)
    dispatcher.arrived([note("notifications/x"), result(1)])
    assert not waiter.settled
    dispatcher.start()
    assert waiter.wait(Deadline(PATIENCE))
    assert len(heard.notifications) == 1
    dispatcher.lost(MCPClosedError("over"))
    dispatcher.join(Deadline(PATIENCE))
    assert len(heard.lost) == 1


def test_no_thread_is_started_for_a_session_that_was_closed_while_it_was_being_opened() -> None:
    dispatcher = make()
    dispatcher.lost(MCPClosedError("closed meanwhile"))
    dispatcher.start()
    assert _dispatcher_threads() == 0


@pytest.mark.parametrize("has_thread", [True, False])
def test_what_comes_after_the_loss_is_not_kept_and_holds_up_nobody(has_thread: bool) -> None:
    budget = Budget(1_000_000)
    recorder = Recorder()
    dispatcher = Dispatcher(recorder, lambda error: None, recorder.lost.append, budget)
    if has_thread:
        dispatcher.start()
    else:
        dispatcher.arrived([note("notifications/x")])
        assert budget.held
    dispatcher.lost(MCPConnectionError("lost"))
    dispatcher.join(Deadline(PATIENCE))

    def go_on() -> None:
        for _ in range(2_000):  # more than the queue takes
            dispatcher.arrived([note("notifications/x")])

    reader = threading.Thread(target=go_on, daemon=True)
    reader.start()
    reader.join(PATIENCE)
    assert not reader.is_alive()
    assert budget.held == 0


def test_a_stream_is_not_given_up_while_a_call_waits(dispatcher: Dispatcher, heard: Recorder) -> None:
    waiter = Waiter(1)
    dispatcher.expect(waiter)
    assert not dispatcher.lost_if_idle(MCPConnectionError("dead"))
    assert heard.lost == []
    dispatcher.withdraw(waiter)
    assert dispatcher.lost_if_idle(MCPConnectionError("dead"))
    dispatcher.join(Deadline(PATIENCE))
    assert [str(error) for error in heard.lost] == ["dead"]
    with pytest.raises(MCPConnectionError, match="dead"):
        dispatcher.expect(Waiter(2))


def test_the_thread_ends_when_the_stream_is_lost_and_only_then(dispatcher: Dispatcher) -> None:
    assert _dispatcher_threads() == 1
    dispatcher.lost(MCPClosedError("over"))
    dispatcher.join(Deadline(PATIENCE))
    assert not any(thread.name == "mcp-sync-dispatcher" for thread in threading.enumerate())
