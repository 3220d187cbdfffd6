"""One clock for several waits."""

from __future__ import annotations

import math
import threading
import time

import pytest

from mcp_sync.concurrency.deadline import Deadline, check_timeout
from mcp_sync.errors import MCPUsageError


@pytest.mark.parametrize("given", [0, 1, 0.5, 10**10, math.inf])
def test_a_number_of_seconds_is_taken(given: float) -> None:
    assert check_timeout(given) == given
    assert isinstance(check_timeout(given), float)


@pytest.mark.parametrize("given", [-1, -0.001, math.nan, True, "5", None, [], -math.inf])
def test_anything_else_is_a_usage_error_that_is_a_value_error_too(given: object) -> None:
    with pytest.raises(MCPUsageError, match="must be a number of seconds") as caught:
        check_timeout(given)
    assert isinstance(caught.value, ValueError)
    assert caught.value.outcome == "not_sent"


def test_it_counts_down_and_never_below_zero() -> None:
    deadline = Deadline(50.0)
    first = deadline.remaining
    assert 0 < deadline.remaining <= first <= 50.0
    assert not deadline.expired
    over = Deadline(0.0)
    assert over.expired
    assert over.remaining == 0.0


@pytest.mark.parametrize("timeout", [1e10, 1e300, math.inf])
def test_what_is_left_never_overflows_a_wait(timeout: float) -> None:
    deadline = Deadline(timeout)
    assert not deadline.expired
    event = threading.Event()
    event.set()
    assert event.wait(deadline.remaining)
    threading.Condition().acquire(timeout=deadline.remaining)


def test_the_wall_clock_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    deadline = Deadline(50.0)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 49.0 < deadline.remaining <= 50.0
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert not deadline.expired


def test_the_sooner_of_two_wins() -> None:
    deadline = Deadline(10.0)
    assert deadline.sooner(None) is deadline
    assert deadline.sooner(20.0) is deadline
    assert deadline.sooner(1.0).timeout == 1.0


def test_it_tells_how_long_it_has_been_going() -> None:
    deadline = Deadline(1.0)
    assert 0 <= deadline.elapsed < 60
    assert repr(deadline).startswith("Deadline(1 s")
