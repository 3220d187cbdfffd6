"""The small pool: bounded, never blocking its callers, gone when there is nothing to do."""

from __future__ import annotations

import functools
import threading

import pytest

from mcp_sync.concurrency import workers as workers_module
from mcp_sync.concurrency.workers import Workers
from tests.support.clock import eventually

PATIENCE = 10.0


def alive(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


def wait_for_none(name: str) -> None:
    assert eventually(lambda: not alive(name)), f"{name} is still alive"


class Gate:
    """A job that blocks until it is let go, and counts how many are in it at once."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.lock = threading.Lock()
        self.inside = 0
        self.most = 0
        self.done = 0
        self.entered = threading.Semaphore(0)

    def __call__(self) -> None:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.entered.release()
        assert self.open.wait(PATIENCE)
        with self.lock:
            self.inside -= 1
            self.done += 1


def test_a_job_runs_on_a_thread_of_the_pool() -> None:
    pool = Workers("mcp-sync-test-a", threads=2, backlog=10)
    names: list[str] = []
    ran = threading.Event()

    def job() -> None:
        names.append(threading.current_thread().name)
        assert threading.current_thread().daemon
        ran.set()

    assert pool.submit(job)
    assert ran.wait(PATIENCE)
    assert names == ["mcp-sync-test-a"]
    pool.close()
    wait_for_none("mcp-sync-test-a")


def test_no_more_threads_than_allowed_and_no_more_jobs_than_fit() -> None:
    pool = Workers("mcp-sync-test-b", threads=3, backlog=5)
    gate = Gate()
    for _ in range(3):
        assert pool.submit(gate)
    for _ in range(3):
        assert gate.entered.acquire(timeout=PATIENCE)
    assert [pool.submit(gate) for _ in range(7)] == [True] * 5 + [False] * 2
    assert alive("mcp-sync-test-b") == 3
    assert pool.dropped == 2
    gate.open.set()
    for _ in range(5):
        assert gate.entered.acquire(timeout=PATIENCE)
    pool.close()
    wait_for_none("mcp-sync-test-b")
    assert (gate.most, gate.done) == (3, 8)


def test_where_the_oldest_makes_room_the_newest_are_kept_in_order() -> None:
    pool = Workers("mcp-sync-test-c", threads=1, backlog=3, drop_oldest=True)
    gate = Gate()
    pool.submit(gate)
    assert gate.entered.acquire(timeout=PATIENCE)
    ran: list[int] = []
    finished = threading.Event()

    def note(number: int) -> None:
        ran.append(number)
        if number == 9:
            finished.set()

    for number in range(10):
        assert pool.submit(functools.partial(note, number))
    gate.open.set()
    assert finished.wait(PATIENCE)
    assert ran == [7, 8, 9]
    assert pool.dropped == 7
    pool.close()
    wait_for_none("mcp-sync-test-c")


@pytest.mark.parametrize("failure", [RuntimeError("x"), SystemExit(3), KeyboardInterrupt()])
def test_a_job_that_raises_anything_ends_itself_and_nothing_else(failure: BaseException) -> None:
    pool = Workers("mcp-sync-test-d", threads=1, backlog=10)

    def fail() -> None:
        raise failure

    ran = threading.Event()
    pool.submit(fail)
    pool.submit(ran.set)
    assert ran.wait(PATIENCE)
    pool.close()
    wait_for_none("mcp-sync-test-d")


def test_close_forgets_what_waits_and_refuses_what_comes() -> None:
    pool = Workers("mcp-sync-test-e", threads=1, backlog=10)
    gate = Gate()
    ran = threading.Event()
    pool.submit(gate)
    assert gate.entered.acquire(timeout=PATIENCE)
    pool.submit(ran.set)
    pool.close()
    assert not pool.submit(ran.set)
    gate.open.set()
    wait_for_none("mcp-sync-test-e")
    assert not ran.is_set()
    pool.close()


def test_idle_threads_end_by_themselves_and_the_next_job_starts_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "_IDLE_SECONDS", 0.05)
    pool = Workers("mcp-sync-test-f", threads=2, backlog=10)
    for _ in range(3):
        ran = threading.Event()
        assert pool.submit(ran.set)
        assert ran.wait(PATIENCE)
        wait_for_none("mcp-sync-test-f")


def test_every_job_runs_once_whoever_submits_it() -> None:
    pool = Workers("mcp-sync-test-g", threads=4, backlog=100_000)
    lock = threading.Lock()
    ran: list[int] = []
    start = threading.Barrier(8)
    everything = threading.Event()

    def job(number: int) -> None:
        with lock:
            ran.append(number)
            if len(ran) == 800:
                everything.set()

    def submit_each(base: int) -> None:
        start.wait(PATIENCE)
        for number in range(base, base + 100):
            assert pool.submit(functools.partial(job, number))

    threads = [threading.Thread(target=submit_each, args=(base * 100,)) for base in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert everything.wait(PATIENCE)
    assert sorted(ran) == list(range(800))
    pool.close()
    wait_for_none("mcp-sync-test-g")


def test_a_system_without_threads_to_give_refuses_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool = Workers("mcp-sync-test-h", threads=2, backlog=10)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        assert not pool.submit(lambda: None)
    ran = threading.Event()
    assert pool.submit(ran.set)
    assert ran.wait(PATIENCE)
    pool.close()
    wait_for_none("mcp-sync-test-h")


def test_settling_waits_for_what_was_submitted_and_no_longer_than_it_may() -> None:
    pool = Workers("mcp-sync-test-i", threads=1, backlog=10)
    pool.settle(PATIENCE)  # nothing is to be waited for
    assert alive("mcp-sync-test-i") == 0
    go, ran = threading.Event(), threading.Event()
    pool.submit(lambda: ran.set() if go.wait(PATIENCE) else None)
    pool.settle(0.05)
    assert not ran.is_set()
    threading.Timer(0.05, go.set).start()
    pool.settle(PATIENCE)
    assert ran.is_set()
    pool.close()
    pool.settle(PATIENCE)
    wait_for_none("mcp-sync-test-i")
