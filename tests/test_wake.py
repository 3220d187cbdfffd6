"""A flag wakes everybody, once and for ever, from any place."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Optional

import pytest

from mcp_sync.wake import Flag
from tests.support.clock import AT_ONCE, LONG, within

needs_alarms = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="signals with a timer are a thing of POSIX")


def test_whoever_waits_wakes_when_it_is_set() -> None:
    flag = Flag()
    woken: list[bool] = []
    barrier = threading.Barrier(9)

    def wait() -> None:
        barrier.wait(LONG)
        woken.append(flag.wait(LONG))

    threads = [threading.Thread(target=wait, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    barrier.wait(LONG)
    with within():
        flag.set()
        for thread in threads:
            thread.join(LONG)
    assert woken == [True] * 8
    assert flag.is_set()
    assert flag._bells == []


def test_a_flag_that_is_set_is_not_waited_for() -> None:
    flag = Flag()
    flag.set()
    flag.set()
    assert flag.wait()
    assert flag.wait(0)


@pytest.mark.parametrize("timeout", [0, -1.0, 0.05])
def test_a_wait_ends_in_time(timeout: float) -> None:
    flag = Flag()
    begun = time.monotonic()
    assert not flag.wait(timeout)
    assert max(timeout, 0) <= time.monotonic() - begun + 0.001 < AT_ONCE
    assert flag._bells == []
    assert not flag.is_set()


def test_many_who_set_and_many_who_wait_do_not_miss_each_other() -> None:
    for _ in range(200):
        flag = Flag()
        outcomes: list[bool] = []
        barrier = threading.Barrier(4)

        def wait(flag: Flag = flag, barrier: threading.Barrier = barrier, outcomes: list[bool] = outcomes) -> None:
            barrier.wait(LONG)
            outcomes.append(flag.wait(LONG))

        def set_it(flag: Flag = flag, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(LONG)
            flag.set()

        threads = [threading.Thread(target=work, daemon=True) for work in (wait, wait, set_it, set_it)]
        with within():
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(LONG)
        assert outcomes == [True, True]


@needs_alarms
def test_a_signal_handler_may_set_what_the_code_below_it_waits_for() -> None:
    flag = Flag()

    def handler(_: int, __: Optional[FrameType]) -> None:
        flag.set()

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with within():
            assert flag.wait(LONG)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@needs_alarms
def test_a_wait_that_is_interrupted_leaves_nothing_behind() -> None:
    flag = Flag()

    def handler(_: int, __: Optional[FrameType]) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with within(), pytest.raises(KeyboardInterrupt):
            flag.wait(LONG)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert flag._bells == []
    assert repr(flag) == "<Flag, not set, 0 waiting>"
