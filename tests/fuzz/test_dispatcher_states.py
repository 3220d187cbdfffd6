"""The table of waiters as a machine: whatever is done to it in whatever order, nobody is lost and nobody is swapped."""

from __future__ import annotations

import threading
from typing import Any, Optional

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from mcp_sync.concurrency.deadline import Deadline
from mcp_sync.errors import MCPClientError, MCPClosedError, MCPConnectionError
from mcp_sync.session.dispatcher import Dispatcher
from mcp_sync.session.waiter import Waiter

PATIENCE = 20.0


class Table(RuleBasedStateMachine):
    """A dispatcher beside a plain account of what each waiter must have come to."""

    waiters = Bundle("waiters")

    def __init__(self) -> None:
        super().__init__()
        # Set when the thread has come to the message after the one that was brought.
        self.passed = threading.Event()
        self.losses: list[MCPClientError] = []
        self.dispatcher = Dispatcher(self, lambda error: None, self.losses.append)
        # The account: who is in the table; whose answer came; who was failed, by which reason.
        self.inside: dict[int, Waiter] = {}
        self.answered: dict[int, Any] = {}
        self.failed: dict[int, str] = {}
        self.events: dict[int, int] = {}
        self.over: Optional[str] = None
        self.lost = False
        self.ids = 0

    @initialize(threaded=st.booleans())
    def begin(self, threaded: bool) -> None:
        self.threaded = threaded
        if threaded:
            self.dispatcher.start()

    wants_progress = False

    def notified(self, message: Any) -> None:
        pass

    def asked(self, message: Any, calls: Any = ()) -> None:
        if message["id"] == "marker":
            self.passed.set()

    def _bring(self, message: dict[str, Any], via: Optional[Waiter] = None) -> None:
        """By the shared stream, and through the thread where there is one; or on a response."""
        if via is not None or not self.threaded or self.lost:
            self.dispatcher.route([message], via)
            return
        self.passed.clear()
        self.dispatcher.arrived([message, {"jsonrpc": "2.0", "id": "marker", "method": "ping"}])
        assert self.passed.wait(PATIENCE)

    @rule(target=waiters, wants=st.sampled_from([None, "progress", "all"]))
    def expect(self, wants: Optional[str]) -> Waiter:
        self.ids += 1
        waiter = Waiter(self.ids, wants)
        self.events[self.ids] = 0
        try:
            self.dispatcher.expect(waiter)
        except MCPClientError as error:
            assert self.over is not None
            assert error.outcome == "not_sent"
            assert error.message == self.over
            self.failed[self.ids] = "never in"
        else:
            assert self.over is None
            self.inside[self.ids] = waiter
        return waiter

    @rule(waiter=waiters, spelling=st.sampled_from([int, str, float]), by=st.sampled_from(["stream", "own", "other"]))
    def answer(self, waiter: Waiter, spelling: Any, by: str) -> None:
        number = int(waiter.id)
        message = {"jsonrpc": "2.0", "id": spelling(number), "result": {"of": number}}
        via = {"stream": None, "own": waiter, "other": Waiter(-1)}[by]
        self._bring(message, via)
        if by != "other" and self.inside.pop(number, None) is not None:
            self.answered[number] = message
            assert waiter.answer is message
            assert waiter.event.is_set()
        else:
            assert waiter.answer is not message

    @rule(waiter=waiters)
    def answer_without_an_id_on_its_own_response(self, waiter: Waiter) -> None:
        message = {"jsonrpc": "2.0", "id": None, "error": {"code": -1, "message": ""}}
        self._bring(message, waiter)
        if self.inside.pop(int(waiter.id), None) is not None:
            self.answered[int(waiter.id)] = message
            assert waiter.answer is message

    @rule(waiter=waiters, own=st.booleans())
    def progress(self, waiter: Waiter, own: bool) -> None:
        message = {
            "jsonrpc": "2.0",
            "method": "notifications/progress",
            "params": {"progressToken": waiter.id, "progress": 1},
        }
        self._bring(message, waiter if own else None)
        if waiter.id in self.inside and waiter.wants is not None:
            self.events[int(waiter.id)] += 1

    @rule()
    def log_message(self) -> None:
        self._bring({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": 1}})
        for number, waiter in self.inside.items():
            self.events[number] += waiter.wants == "all"

    @rule(
        junk=st.dictionaries(
            st.sampled_from(["id", "method", "params", "result", "error"]),
            st.one_of(st.none(), st.booleans(), st.integers(-2, 0), st.floats(), st.just(""), st.lists(st.none())),
        )
    )
    def junk(self, junk: dict[str, Any]) -> None:
        self._bring(junk)

    @rule(waiter=consumes(waiters))
    def withdraw(self, waiter: Waiter) -> None:
        self.dispatcher.withdraw(waiter)
        if self.inside.pop(int(waiter.id), None) is not None:
            assert waiter.answer is None
            assert waiter.failure is None
            self.failed[int(waiter.id)] = "withdrawn"

    @rule(waiter=waiters)
    def take(self, waiter: Waiter) -> None:
        assert len(waiter.take()) == self.events[int(waiter.id)]
        self.events[int(waiter.id)] = 0

    @rule()
    def abandon(self) -> None:
        reason = f"abandoned with {self.ids}"
        self.dispatcher.abandon(lambda: MCPClosedError(reason))
        self._all_fail(reason)

    @rule()
    def lose(self) -> None:
        if not self.threaded:
            return
        self.dispatcher.lost(MCPConnectionError("lost"))
        self.dispatcher.join(Deadline(PATIENCE))
        if not self.lost:
            assert len(self.losses) == 1
            self.lost = True
            self._all_fail("lost")

    def _all_fail(self, reason: str) -> None:
        if self.over is None:
            self.over = reason
        for number in self.inside:
            self.failed[number] = reason
        left = list(self.inside.values())
        self.inside.clear()
        errors = [waiter.failure() for waiter in left if waiter.failure is not None]
        assert len({id(error) for error in errors}) == len(errors) == len(left)
        for waiter in left:
            assert waiter.event.is_set()
            assert waiter.answer is None

    @invariant()
    def the_table_holds_whom_it_should(self) -> None:
        assert self.dispatcher.waiting == len(self.inside)
        for number, waiter in self.inside.items():
            assert not waiter.settled
            assert number not in self.answered
            assert number not in self.failed

    @invariant()
    def nobody_has_somebody_elses_answer(self) -> None:
        for number, message in self.answered.items():
            assert number not in self.inside
            assert message["id"] is None or int(message["id"]) == number

    def teardown(self) -> None:
        self.dispatcher.abandon(lambda: MCPClosedError("over"))
        assert self.dispatcher.waiting == 0
        self.dispatcher.lost(MCPClosedError("over"))
        self.dispatcher.join(Deadline(PATIENCE))


TestTable = Table.TestCase
TestTable.settings = settings(max_examples=40, stateful_step_count=40, deadline=None, derandomize=True, database=None)
