"""Attempts to go on with a stream: never without a pause, and not for ever without progress."""

from __future__ import annotations

import pytest

from mcp_sync.concurrency import attempts as attempts_module
from mcp_sync.concurrency.attempts import Attempts


def test_five_attempts_without_progress_are_all() -> None:
    attempts = Attempts()
    assert [attempts.may_go_on(False) for _ in range(7)] == [True] * 5 + [False] * 2


def test_progress_begins_the_count_anew_and_the_pause_at_half_a_second() -> None:
    attempts = Attempts()
    for _ in range(4):
        attempts.may_go_on(False)
    assert attempts.delay() >= 4.0
    assert attempts.may_go_on(True)
    assert 0.5 <= attempts.delay() <= 0.625
    assert [attempts.may_go_on(False) for _ in range(5)] == [True] * 4 + [False]


def test_a_stream_that_was_open_for_long_was_no_vain_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(attempts_module, "monotonic", lambda: now[0])
    attempts = Attempts()
    for _ in range(20):
        attempts.begin()
        now[0] += 60.0
        assert attempts.may_go_on(False)


def test_none_may_be_allowed() -> None:
    assert not Attempts(allowed=False).may_go_on(True)
