"""A lock that knows the code which holds it: exclusive, re-entrant, and free whatever becomes of that code."""

from __future__ import annotations

import concurrent.futures
import sys
import threading
import time
from typing import Any, Callable

import pytest
from requests.cookies import RequestsCookieJar

from mcp_sync import locks
from mcp_sync.futures import ToolFuture
from mcp_sync.locks import FrameLock, SteadyCondition
from mcp_sync.transports.credentials import Cookies
from tests.support.clock import AT_ONCE, LONG, within
from tests.support.interrupts import InterruptAt, anywhere


@pytest.fixture(autouse=True)
def as_on_python_39(monkeypatch: pytest.MonkeyPatch) -> None:
    """Conditions have this lock on every version here."""
    monkeypatch.setattr(locks, "SteadyLock", FrameLock)


def elsewhere(work: Callable[[], Any], seconds: float = LONG) -> Any:
    """What ``work`` returns on another thread."""
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert got, "it waits"
    return got[0]


def is_free(lock: Any) -> bool:
    def try_it() -> bool:
        taken = lock.acquire(timeout=AT_ONCE)
        if taken:
            lock.release()
        return bool(taken)

    return bool(elsewhere(try_it))


def test_one_thread_at_a_time() -> None:
    lock, inside, most, total = FrameLock(), 0, 0, 0

    def count(seen: int) -> None:
        nonlocal total
        with lock:
            total = seen + 1

    def work() -> None:
        nonlocal inside, most
        for number in range(300):
            with lock:
                inside += 1
                most = max(most, inside)
                seen = total
                if number % 50 == 0:
                    time.sleep(0)
                count(seen)
                inside -= 1

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
    finally:
        sys.setswitchinterval(before)
    assert (most, total, inside) == (1, 2400, 0)
    assert repr(lock) == "<FrameLock, 0 in it or waiting>"


def test_it_is_held_until_it_was_left_as_often_as_it_was_entered() -> None:
    lock = FrameLock()

    def nested() -> None:
        with lock:
            assert lock._is_owned()
            assert not elsewhere(lambda: lock.acquire(blocking=False))

    with lock:
        nested()
        assert not elsewhere(lambda: lock.acquire(timeout=0.3))
    assert is_free(lock)
    assert not lock._is_owned()
    with pytest.raises(RuntimeError, match="un-acquired"):
        lock.release()


def test_code_that_only_takes_long_keeps_it() -> None:
    lock = FrameLock()
    with lock:
        started = time.monotonic()
        assert not elsewhere(lambda: lock.acquire(timeout=1.0))
        assert time.monotonic() - started >= 0.9
    assert is_free(lock)


def test_what_was_left_without_giving_it_back_is_free() -> None:
    lock = FrameLock()

    def tear() -> None:
        lock._take(locks._Hold(sys._getframe(0)))

    tear()
    assert lock._is_owned()
    assert is_free(lock)
    assert lock._holds == []


def test_the_thread_that_has_torn_it_may_enter_again_meanwhile() -> None:
    lock, inside, errors = FrameLock(), [], []

    def tear() -> None:
        lock._take(locks._Hold(sys._getframe(0)))

    def other() -> None:
        for _ in range(20):
            with lock:
                inside.append(threading.get_ident())
                if len(set(inside)) > 1:
                    errors.append("two at once")
                time.sleep(0.001)
                inside.clear()

    thread = threading.Thread(target=other, daemon=True)
    thread.start()
    for _ in range(5):
        tear()
        with lock:
            inside.append(threading.get_ident())
            time.sleep(0.3)
            if len(set(inside)) > 1:
                errors.append("two at once")
            inside.clear()
    thread.join(LONG)
    assert not thread.is_alive()
    assert errors == []


def test_a_signal_handler_may_enter_while_the_code_below_waits() -> None:
    """It waits behind itself, so to speak."""
    lock = FrameLock()
    below = locks._Hold(sys._getframe(1))
    lock._holds.append(below)
    with within(), lock:
        assert lock._holds[0] is not below
    assert lock._holds == [below]
    lock._leave(below)


@anywhere
@pytest.mark.parametrize("name", ["__enter__", "_take", "__exit__", "_give_back", "_leave", "use"])
def test_an_interrupt_before_any_instruction_leaves_it_free(name: str) -> None:
    lock, number = FrameLock(), 0

    def use() -> None:
        with lock:
            pass

    while True:
        with InterruptAt(use if name == "use" else getattr(FrameLock, name), number) as at:
            try:
                use()
            except KeyboardInterrupt:
                pass
        if lock._holds:
            assert is_free(lock), number
        with within(), lock:
            pass
        if not at.fired:
            break
        number += 1
    assert number > 3


def test_a_condition_waits_and_wakes() -> None:
    condition, seen = SteadyCondition(), []
    assert isinstance(condition._lock, FrameLock)  # type: ignore[attr-defined]  # typeshed does not name it

    def wait() -> None:
        with condition:
            seen.append(condition.wait(LONG))

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    with within():
        while not seen:
            with condition:
                condition.notify_all()
            time.sleep(0.001)
        thread.join(LONG)
    assert seen == [True]
    with condition:
        assert not condition.wait(0.01)
    assert is_free(condition)


def test_several_futures_can_be_waited_for() -> None:
    futures = [ToolFuture() for _ in range(3)]
    assert isinstance(futures[0]._condition._lock, FrameLock)  # type: ignore[attr-defined]

    def fail() -> None:
        for future in futures:
            future.fail(OSError())

    threading.Timer(0.2, fail).start()
    with within():
        done, pending = concurrent.futures.wait(futures, LONG)
        assert len(list(concurrent.futures.as_completed(futures, LONG))) == 3
    assert (len(done), len(pending)) == (3, 0)
    assert all(is_free(future._condition) for future in futures)


@anywhere
def test_a_jar_that_was_interrupted_goes_on() -> None:
    def use(jar: RequestsCookieJar) -> None:
        jar.clear_expired_cookies()

    for number in range(1000):
        jar = Cookies().jar
        with InterruptAt(type(jar).clear_expired_cookies, number) as at:
            try:
                use(jar)
            except KeyboardInterrupt:
                pass
        with within():
            elsewhere(lambda jar=jar: [jar.set("c", "d")])  # type: ignore[misc]
        if not at.fired:
            break
    assert number > 3
