"""Events that a signal handler may set, whatever it interrupts."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any, Callable

import pytest

from mcp_sync.concurrency.events import Event
from tests.support.clock import LONG, within

PATIENCE = 10.0


class BeforeLine:
    """Runs ``do`` once, before the nth line that a thread executes in ``threading`` and in the module under test, on
    that thread: as a signal handler would run.
    """

    def __init__(self, number: int, do: Callable[[], object]) -> None:
        self._left = number
        self._do = do
        self.where = ""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_globals.get("__name__") not in ("threading", Event.__module__):
            return None
        if event == "line" and not self.where:
            self._left -= 1
            if self._left < 0:
                self.where = f"{frame.f_code.co_name}:{frame.f_lineno}"
                sys.settrace(None)
                self._do()
        return None if self.where else self


def wait_on_a_thread(event: Event, at: BeforeLine) -> list[bool]:
    """What ``wait`` returns on a thread with ``at`` in it; nothing while it waits."""
    returned: list[bool] = []

    def wait() -> None:
        sys.settrace(at)
        try:
            returned.append(event.wait(LONG))
        finally:
            sys.settrace(None)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    thread.join(1.0 if not at.where else PATIENCE)
    thread.join(PATIENCE if at.where else 0)
    return returned


def test_what_interrupts_a_wait_may_set_the_event_before_any_of_its_lines() -> None:
    number = 0
    while True:
        event = Event()
        at = BeforeLine(number, event.set)
        returned = wait_on_a_thread(event, at)
        if not at.where:
            event.set()  # the thread waits: there are no more lines
            break
        assert returned == [True], f"set before {at.where}, it is waited for all the same"
        number += 1
    assert number > 2


def test_what_interrupts_set_may_set_it_before_any_of_its_lines() -> None:
    number = 0
    while True:
        event = Event()
        at = BeforeLine(number, event.set)

        def set_it(event: Event = event, at: BeforeLine = at) -> None:
            sys.settrace(at)
            event.set()
            sys.settrace(None)

        waiter = threading.Thread(target=event.wait, args=(LONG,), daemon=True)
        setter = threading.Thread(target=set_it, daemon=True)
        waiter.start()
        setter.start()
        setter.join(PATIENCE)
        waiter.join(PATIENCE)
        assert not setter.is_alive(), f"set before {at.where}, it hangs"
        assert not waiter.is_alive(), f"set before {at.where}, its waiter hangs"
        if not at.where:
            break
        number += 1
    assert number > 1


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers of POSIX")
def test_a_signal_handler_sets_the_event_that_the_main_thread_waits_for() -> None:
    event = Event()
    before = signal.signal(signal.SIGALRM, lambda number, frame: event.set())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with within(PATIENCE):
            assert event.wait(LONG)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_it_wakes_everyone_and_stays_set_until_it_is_cleared() -> None:
    event = Event()
    assert not event.wait(0.01)
    waiters = [threading.Thread(target=event.wait, args=(LONG,), daemon=True) for _ in range(8)]
    for waiter in waiters:
        waiter.start()
    event.set()
    for waiter in waiters:
        waiter.join(PATIENCE)
    assert not any(waiter.is_alive() for waiter in waiters)
    assert event.wait(0)
    event.clear()
    assert not event.wait(0)
    assert isinstance(event, threading.Event)
