"""A condition that an interrupt cannot leave locked."""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import Any

from mcp_sync.concurrency.events import Condition
from tests.support.clock import LONG

PATIENCE = 10.0


class InterruptAtCall:
    """Raises KeyboardInterrupt once, when the nth of the Python functions inside the block is called or returns."""

    def __init__(self, number: int) -> None:
        self._left = number
        self.fired = False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "return") and not self.fired:
            self._left -= 1
            if self._left < 0:
                self.fired = True
                raise KeyboardInterrupt


def can_be_entered_by_another_thread(condition: Condition) -> bool:
    entered = threading.Event()

    def enter() -> None:
        with condition:
            entered.set()

    thread = threading.Thread(target=enter, daemon=True)
    thread.start()
    return entered.wait(PATIENCE)


def enter(condition: Condition, at: InterruptAtCall) -> None:
    sys.setprofile(at)
    try:
        with condition:
            pass
    finally:
        sys.setprofile(None)


def test_an_interrupt_while_it_is_entered_or_left_does_not_leave_it_locked() -> None:
    number = 0
    while True:
        condition = Condition()
        at = InterruptAtCall(number)
        try:
            enter(condition, at)
        except KeyboardInterrupt:
            pass
        assert can_be_entered_by_another_thread(condition), f"interrupted at {number}"
        if not at.fired:
            break
        number += 1


def test_it_may_be_entered_and_notified_by_what_interrupts_its_holder() -> None:
    condition = Condition()
    ready = threading.Event()
    woken: list[bool] = []

    def wait() -> None:
        with condition:
            ready.set()
            woken.append(condition.wait(LONG))

    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    assert ready.wait(PATIENCE)

    def interrupted() -> None:
        with condition, condition:  # the handler of a signal, in the middle of what the first guards
            condition.notify_all()

    handler = threading.Thread(target=interrupted, daemon=True)
    handler.start()
    handler.join(PATIENCE)
    waiter.join(PATIENCE)
    assert not handler.is_alive()
    assert woken == [True]
