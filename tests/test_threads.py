"""A thread starts and ends whatever interrupts the one that starts it."""

from __future__ import annotations

import threading
import time
from typing import Callable

import pytest

from mcp_sync.threads import join, start
from mcp_sync.wake import Flag
from tests.support.clock import AT_ONCE, LONG, within
from tests.support.interrupts import InterruptAt, anywhere


def test_it_runs_and_is_joined() -> None:
    ran: list[int] = []
    thread = threading.Thread(target=lambda: ran.append(threading.get_ident()), daemon=True)
    with within():
        start(thread)
        join(thread, LONG)
    assert not thread.is_alive()
    assert ran == [thread.ident]


def test_it_starts_from_another_thread_too() -> None:
    inner = threading.Thread(target=lambda: None, daemon=True)
    outer = threading.Thread(target=lambda: start(inner), daemon=True)
    with within():
        start(outer)
        join(outer, LONG)
        join(inner, LONG)
    assert inner.ident is not None


def test_who_starts_it_hears_that_there_is_no_thread_to_give() -> None:
    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    with within(), pytest.raises(RuntimeError, match="can't start new thread"):
        start(Refused())


def test_one_that_was_never_begun_is_not_waited_for() -> None:
    with within():
        join(threading.Thread(target=lambda: None), LONG)


def test_a_join_ends_in_time() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait, args=(LONG,), daemon=True)
    start(thread)
    with within():
        join(thread, 0.05)
        join(thread, -1.0)
    assert thread.is_alive()
    over.set()
    join(thread, LONG)


@anywhere
@pytest.mark.parametrize("function", [start, Flag.wait])
def test_an_interrupt_leaves_no_thread_that_cannot_go_on(function: Callable[..., object]) -> None:
    """Of those that were begun, that is."""
    for number in range(500):
        ran = threading.Event()
        thread = threading.Thread(target=ran.set, daemon=True)
        with InterruptAt(function, number) as at:
            try:
                start(thread)
            except KeyboardInterrupt:
                pass
        until = time.monotonic() + AT_ONCE
        while thread.is_alive() and time.monotonic() < until:
            time.sleep(0.001)
        assert not thread.is_alive(), number
        if not at.fired:
            break
    assert number > 3
