"""One session at a time: who opens it, who waits, how long between two attempts."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from mcp_sync import (
    AuthorizationError,
    HTTPStatusError,
    MCPClientConfig,
    MCPClientError,
    MCPClosedError,
    MCPConnectionError,
    MCPHandshakeError,
    MCPProtocolError,
    MCPServerError,
    MCPTimeoutError,
    SessionExpiredError,
)
from mcp_sync.concurrency.deadline import Deadline
from mcp_sync.errors import may_pass
from mcp_sync.session.connection import Connection
from mcp_sync.session.handlers import Handlers
from mcp_sync.session.target import Remote
from tests.support.clock import AT_ONCE, LONG, eventually, within

PATIENCE = 10.0


class Failing:
    """Opens no session: fails in the ways it was told, one after the other, and counts."""

    def __init__(self, *failures: BaseException) -> None:
        self._failures = list(failures)
        self.times: list[float] = []
        self.entered = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def __call__(self, connection: Connection, deadline: Deadline) -> Any:
        self.times.append(time.monotonic())
        self.entered.set()
        self.go.wait(PATIENCE)
        raise self._failures.pop(0) if len(self._failures) > 1 else self._failures[0]


def connection(open_session: Callable[[Connection, Deadline], Any], **options: Any) -> Connection:
    return Connection(Remote(["http://a/mcp"]), MCPClientConfig(**options), Handlers(), open_session)


def test_the_first_attempt_is_the_only_one() -> None:
    opener = Failing(MCPConnectionError("refused", outcome="not_sent"))
    with within(), pytest.raises(MCPConnectionError):
        connection(opener).session(Deadline(LONG))
    assert len(opener.times) == 1


@pytest.mark.parametrize(
    "failure",
    [
        HTTPStatusError("x", status=500, outcome="unknown"),
        MCPHandshakeError("x", outcome="unknown"),
        MCPTimeoutError("x", outcome="unknown"),
        MCPProtocolError("x", outcome="unknown"),
    ],
)
def test_whatever_the_handshake_met_the_call_that_needed_it_was_not_sent(failure: MCPClientError) -> None:
    with pytest.raises(MCPClientError) as caught:
        connection(Failing(failure)).session(Deadline(LONG))
    assert caught.value.outcome == "not_sent"
    assert caught.value.server == "http://a/mcp"


def test_those_who_wait_for_an_attempt_share_its_failure_each_as_a_copy() -> None:
    opener = Failing(MCPConnectionError("refused"))
    opener.go.clear()
    shared = connection(opener)
    with ThreadPoolExecutor(5) as pool:
        waits = [pool.submit(shared.session, Deadline(LONG)) for _ in range(5)]
        assert opener.entered.wait(PATIENCE)
        attempt = shared._attempt
        assert attempt is not None
        assert eventually(lambda: len(attempt.done._waiting) == 4)
        opener.go.set()
        errors = [wait.exception(PATIENCE) for wait in waits]
    assert {type(error) for error in errors} == {MCPConnectionError}
    assert len({id(error) for error in errors}) == 5
    assert len(opener.times) == 1


def test_a_wait_for_anothers_attempt_ends_at_ones_own_deadline() -> None:
    opener = Failing(MCPConnectionError("refused"))
    opener.go.clear()
    shared = connection(opener)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(shared.session, Deadline(LONG))
        assert opener.entered.wait(PATIENCE)
        with within(), pytest.raises(MCPTimeoutError) as caught:
            shared.session(Deadline(0.1))
        assert caught.value.outcome == "not_sent"
        opener.go.set()
        assert isinstance(slow.exception(PATIENCE), MCPConnectionError)


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), SystemExit()])
def test_an_attempt_that_was_interrupted_is_taken_over_by_who_waits(failure: BaseException) -> None:
    opener = Failing(failure, MCPConnectionError("the second attempt"))
    opener.go.clear()
    shared = connection(opener)
    outcomes: list[BaseException] = []

    def attempt() -> None:
        try:
            shared.session(Deadline(LONG))
        except BaseException as exc:  # noqa: BLE001  # KeyboardInterrupt among them
            outcomes.append(exc)

    threads = [threading.Thread(target=attempt) for _ in range(2)]
    threads[0].start()
    assert opener.entered.wait(PATIENCE)
    threads[1].start()
    opener.go.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert {type(outcome) for outcome in outcomes} == {type(failure), MCPConnectionError}
    assert len(opener.times) == 2


def test_close_ends_every_wait_and_refuses_what_comes() -> None:
    opener = Failing(MCPConnectionError("refused"))
    shared = connection(opener)
    with within():
        shared.close(Deadline(5.0))
        shared.close(Deadline(5.0))
        with pytest.raises(MCPClosedError) as caught:
            shared.session(Deadline(LONG))
    assert caught.value.outcome == "not_sent"
    assert opener.times == []


def test_a_pause_ends_with_the_deadline_and_with_close() -> None:
    shared = connection(Failing(MCPConnectionError("x")))
    with within():
        shared.pause(LONG, Deadline(0.1))
    with ThreadPoolExecutor(1) as pool, within():
        pausing = pool.submit(shared.pause, LONG, Deadline(LONG))
        shared.close(Deadline(5.0))
        assert isinstance(pausing.exception(AT_ONCE), (MCPClosedError, type(None)))


@pytest.mark.parametrize(
    ("failure", "passing"),
    [
        (HTTPStatusError("x", status=503), True),
        (HTTPStatusError("x", status=502), True),
        (HTTPStatusError("x", status=504), True),
        (HTTPStatusError("x", status=429), True),
        (HTTPStatusError("x", status=500), False),
        (HTTPStatusError("x", status=404), False),
        (AuthorizationError("x", status=401), False),
        (SessionExpiredError("x", status=404), False),
        (MCPConnectionError("x", outcome="not_sent"), True),
        (MCPTimeoutError("x", outcome="not_sent"), True),
        (MCPHandshakeError("x", outcome="not_sent"), False),
        (MCPClosedError("x", outcome="not_sent"), False),
        (MCPServerError("x", outcome="not_sent"), False),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'status', '')}",
)
def test_only_what_may_pass_is_tried_again(failure: MCPClientError, passing: bool) -> None:
    assert may_pass(failure) is passing


def test_ids_are_drawn_by_many_threads_and_never_twice() -> None:
    shared = connection(Failing(MCPConnectionError("x")))
    with ThreadPoolExecutor(8) as pool:
        drawn = [
            number for ids in pool.map(lambda n: [shared._new_id() for _ in range(500)], range(8)) for number in ids
        ]
    assert len(set(drawn)) == 4000
