"""Idle streams: one thread waits on all of them, and each is read on when something comes."""

from __future__ import annotations

import functools
import os
import queue
import selectors
import socket
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Callable

import pytest

from mcp_sync.transports import lookout as module
from mcp_sync.transports.lookout import Lookout

PATIENCE = 10.0

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="select() takes no more than some hundreds there")

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def make_pair() -> Iterator[Callable[[], Pair]]:
    made: list[socket.socket] = []

    def make() -> Pair:
        near, far = socket.socketpair()
        made.extend((near, far))
        return near, far

    yield make
    for sock in made:
        sock.close()


@pytest.fixture
def lookout(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lookout]:
    """One of the test's own, with a thread that ends soon."""
    monkeypatch.setattr(module, "_IDLE_SECONDS", 0.1)
    made = Lookout()
    yield made
    wait_until(lambda: made._selector is None)


def wait_until(condition: Callable[[], bool]) -> None:
    at = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < at, "it did not come to that"
        time.sleep(0.005)


def running() -> int:
    return sum(thread.name == "mcp-sync-lookout" for thread in threading.enumerate())


def test_it_resumes_once_when_something_comes(lookout: Lookout, make_pair: Callable[[], Pair]) -> None:
    near, far = make_pair()
    resumed: queue.Queue[bytes] = queue.Queue()
    assert lookout.park(near, lambda: resumed.put(near.recv(10)))
    with pytest.raises(queue.Empty):
        resumed.get(timeout=0.05)
    far.send(b"x")
    assert resumed.get(timeout=PATIENCE) == b"x"
    far.send(b"y")
    with pytest.raises(queue.Empty):
        resumed.get(timeout=0.05)


def test_what_has_come_already_resumes_at_once(lookout: Lookout, make_pair: Callable[[], Pair]) -> None:
    near, far = make_pair()
    far.send(b"x")
    resumed = threading.Event()
    assert lookout.park(near, resumed.set)
    assert resumed.wait(PATIENCE)


@pytest.mark.parametrize("end", ["the peer closes", "it is shut down here"])
def test_an_end_resumes_too(end: str, lookout: Lookout, make_pair: Callable[[], Pair]) -> None:
    near, far = make_pair()
    resumed = threading.Event()
    assert lookout.park(near, resumed.set)
    if end == "the peer closes":
        far.close()
    else:
        near.shutdown(socket.SHUT_RDWR)
    assert resumed.wait(PATIENCE)


def test_one_thread_waits_on_all_and_ends_when_there_are_none(lookout: Lookout, make_pair: Callable[[], Pair]) -> None:
    wait_until(lambda: running() == 0)  # of other tests
    for _ in range(2):
        pairs = [make_pair() for _ in range(200)]
        resumed: list[int] = []
        for number, (near, _) in enumerate(pairs):
            assert lookout.park(near, functools.partial(resumed.append, number))
        assert running() == 1
        for _, far in pairs:
            far.send(b"x")
        wait_until(lambda: len(resumed) == 200)  # noqa: B023
        assert sorted(resumed) == list(range(200))
        wait_until(lambda: running() == 0)


def test_a_socket_may_be_parked_again_from_where_it_is_resumed(lookout: Lookout, make_pair: Callable[[], Pair]) -> None:
    near, far = make_pair()
    read: queue.Queue[bytes] = queue.Queue()
    left = list(range(100))

    def resume() -> None:
        read.put(near.recv(10))
        left.pop()
        if left:
            assert lookout.park(near, resume)

    assert lookout.park(near, resume)
    for number in range(100):
        far.send(b"%d" % number)
        assert read.get(timeout=PATIENCE) == b"%d" % number


def test_a_number_that_is_used_again_is_another_socket(lookout: Lookout, make_pair: Callable[[], Pair]) -> None:
    """The system gives the numbers of closed sockets to new ones."""
    for _ in range(50):
        near, far = socket.socketpair()
        resumed = threading.Event()
        assert lookout.park(near, resumed.set)
        far.close()
        assert resumed.wait(PATIENCE)
        near.close()


def test_one_that_was_closed_all_the_same_is_resumed_when_its_number_comes_again(
    lookout: Lookout, make_pair: Callable[[], Pair]
) -> None:
    near, far = socket.socketpair()
    closed, resumed = threading.Event(), threading.Event()
    assert lookout.park(near, closed.set)
    wait_until(lambda: not lookout._coming)
    number = near.fileno()
    other, other_far = make_pair()
    near.close()
    os.dup2(other.fileno(), number)
    again = socket.socket(fileno=number)
    try:
        assert lookout.park(again, resumed.set)
        assert closed.wait(PATIENCE)
        assert not resumed.is_set()
        other_far.send(b"x")
        assert resumed.wait(PATIENCE)
    finally:
        again.close()
        far.close()


def test_one_that_fails_keeps_nobody_else_waiting(
    lookout: Lookout, make_pair: Callable[[], Pair], caplog: pytest.LogCaptureFixture
) -> None:
    (bad, bad_far), (good, good_far) = make_pair(), make_pair()
    resumed = threading.Event()

    def fail() -> None:
        raise ValueError("what cannot be")

    assert lookout.park(bad, fail)
    assert lookout.park(good, resumed.set)
    bad_far.send(b"x")
    wait_until(lambda: "could not be read on" in caplog.text)
    good_far.send(b"x")
    assert resumed.wait(PATIENCE)


def test_one_that_cannot_be_resumed_now_is_resumed_later(lookout: Lookout, make_pair: Callable[[], Pair]) -> None:
    near, far = make_pair()
    tried: queue.Queue[float] = queue.Queue()
    answers = iter([False, False, True])

    def resume() -> bool:
        tried.put(time.monotonic())
        return next(answers)

    assert lookout.park(near, resume)
    far.send(b"x")
    first, _, third = (tried.get(timeout=PATIENCE) for _ in range(3))
    assert third - first >= 0.15  # not at once, again and again
    with pytest.raises(queue.Empty):
        tried.get(timeout=0.25)


def test_whoever_was_resumed_is_not_kept(lookout: Lookout, make_pair: Callable[[], Pair]) -> None:
    """The thread may wait for hours until the next one comes."""

    class Stream:
        def __init__(self) -> None:
            self.resumed = threading.Event()

        def resume(self) -> None:
            self.resumed.set()

    (near, far), (idle, _) = make_pair(), make_pair()
    stream = Stream()
    kept = weakref.ref(stream)
    ended = threading.Event()
    assert lookout.park(idle, ended.set)
    assert lookout.park(near, stream.resume)
    far.send(b"x")
    assert stream.resumed.wait(PATIENCE)
    del stream
    wait_until(lambda: kept() is None)
    idle.shutdown(socket.SHUT_RDWR)
    assert ended.wait(PATIENCE)


@pytest.mark.parametrize("missing", ["a thread", "a descriptor", "a way to wait on many"])
def test_without_what_it_needs_nothing_is_parked_or_left_behind(
    missing: str, lookout: Lookout, make_pair: Callable[[], Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: object) -> None:
        raise RuntimeError("can't start new thread") if missing == "a thread" else OSError("too many open files")

    near, _ = make_pair()
    if missing == "a thread":
        monkeypatch.setattr(module, "start", fails)
    elif missing == "a descriptor":
        monkeypatch.setattr(selectors, "DefaultSelector", fails)
    else:
        monkeypatch.delattr("select.epoll", raising=False)
        monkeypatch.delattr("select.kqueue", raising=False)
    assert not lookout.park(near, lambda: None)
    assert (lookout._selector, lookout._bell, lookout._ear) == (None, None, None)


def test_a_socket_that_cannot_be_waited_on_is_read_on_at_once(lookout: Lookout) -> None:
    near, far = socket.socketpair()
    far.close()
    near.close()  # its number is -1
    resumed = threading.Event()
    assert lookout.park(near, resumed.set)
    assert resumed.wait(PATIENCE)


def test_when_its_thread_fails_all_are_read_on(
    lookout: Lookout, make_pair: Callable[[], Pair], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (near, _), (other, _) = make_pair(), make_pair()
    resumed = threading.Event()
    again = threading.Event()
    assert lookout.park(near, resumed.set)

    def fails(self: Lookout, selector: object) -> None:
        monkeypatch.undo()
        raise MemoryError

    monkeypatch.setattr(Lookout, "_take_in", fails)
    assert lookout.park(other, again.set)
    assert resumed.wait(PATIENCE)
    assert again.wait(PATIENCE)
    assert "the thread that waits on idle streams failed" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_its_own_and_the_parent_goes_on(lookout: Lookout, make_pair: Callable[[], Pair]) -> None:
    near, far = make_pair()
    resumed = threading.Event()
    assert lookout.park(near, resumed.set)
    wait_until(lambda: not lookout._coming)
    copies = {end for end in (lookout._bell, lookout._ear) if end is not None}
    child = os.fork()
    if child == 0:
        status = 1
        try:
            lookout.leave()
            assert len(copies) == 2
            assert not any(_is_open(copy) for copy in copies)
            here, there = socket.socketpair()
            seen = threading.Event()
            assert lookout.park(here, seen.set)
            there.send(b"x")
            status = 0 if seen.wait(PATIENCE) and not resumed.is_set() else 2
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert not resumed.is_set()
    far.send(b"x")
    assert resumed.wait(PATIENCE)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
