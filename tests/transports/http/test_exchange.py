"""The watch: exchanges stopped at their deadlines, by one thread that ends when there is nothing to watch."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mcp_sync.transports.http.exchange import ANSWERED, CLOSED, EXPIRED, Exchange, Watch, shut_down
from tests.support.clock import eventually

PATIENCE = 10.0


class Recording:
    """Stands for a connection: notes that it was interrupted."""

    def __init__(self) -> None:
        self.interrupted = threading.Event()

    def interrupt(self, exchange: Exchange) -> None:
        self.interrupted.set()


def exchange(seconds: float) -> tuple[Exchange, threading.Event]:
    made = Exchange(time.monotonic() + seconds)
    connection: Any = Recording()
    made.connection = connection
    return made, connection.interrupted


def running() -> bool:
    return any(thread.name == "mcp-sync-watch" for thread in threading.enumerate())


@pytest.fixture
def watch() -> Iterator[Watch]:
    """A watch of this test's own, whose thread is gone at the end."""
    made = Watch()
    yield made
    assert eventually(lambda: not made._running)


def test_an_exchange_is_stopped_at_its_deadline_and_told_why(watch: Watch) -> None:
    one, stopped = exchange(0.05)
    watch.add(one)
    assert stopped.wait(PATIENCE)
    assert one.stopped == EXPIRED


def test_the_sooner_deadline_comes_first_whatever_the_order(watch: Watch) -> None:
    late, late_stopped = exchange(60.0)
    soon, soon_stopped = exchange(0.05)
    watch.add(late)
    watch.add(soon)
    assert soon_stopped.wait(PATIENCE)
    assert not late_stopped.is_set()
    watch.discard(late)


def test_one_that_fails_to_stop_does_not_keep_the_others_from_their_deadlines(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Exchange):
        def stop(self, reason: str) -> None:
            raise ValueError("broken")

    sound, stopped = exchange(0.1)
    watch.add(Broken(time.monotonic() + 0.05))
    watch.add(sound)
    assert stopped.wait(PATIENCE)
    assert "broken" in caplog.text


def test_a_discarded_exchange_is_left_alone(watch: Watch) -> None:
    gone, gone_stopped = exchange(0.1)
    watch.add(gone)
    watch.discard(gone)
    watch.discard(gone)
    other, other_stopped = exchange(0.2)
    watch.add(other)
    assert other_stopped.wait(PATIENCE)
    assert not gone_stopped.is_set()
    assert gone.stopped is None


def test_a_deadline_can_be_brought_forward_and_never_put_off(watch: Watch) -> None:
    one, stopped = exchange(60.0)
    watch.add(one)
    watch.settle(one, ANSWERED, 0.05)
    watch.hurry(one, 50.0)
    assert stopped.wait(PATIENCE)
    assert one.stopped == ANSWERED
    never_added, never_stopped = exchange(60.0)
    watch.hurry(never_added, 0.0)
    assert not never_stopped.is_set()


def test_the_first_reason_stays() -> None:
    one, _ = exchange(math.inf)
    one.stop(CLOSED)
    one.stop(EXPIRED)
    assert one.stopped == CLOSED


def test_an_exchange_of_another_process_is_never_interrupted() -> None:
    one, stopped = exchange(math.inf)
    one.pid += 1
    one.stop(CLOSED)
    assert one.stopped == CLOSED
    assert not stopped.is_set()


def test_the_thread_ends_with_nothing_to_watch_and_starts_again(watch: Watch) -> None:
    for _ in range(2):
        one, stopped = exchange(0.01)
        watch.add(one)
        assert stopped.wait(PATIENCE)
        assert eventually(lambda: not watch._running)


def test_a_thread_that_cannot_start_leaves_nothing(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    one, stopped = exchange(0.01)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            watch.add(one)
    watch.add(one)
    assert stopped.wait(PATIENCE)


def test_many_exchanges_that_come_and_go_are_each_stopped_or_left_alone(watch: Watch) -> None:
    stopped: list[threading.Event] = []
    left: list[threading.Event] = []

    def work(number: int) -> None:
        for index in range(50):
            one, event = exchange(0.02)
            watch.add(one)
            if index % 2:
                watch.discard(one)
                left.append(event)
            else:
                stopped.append(event)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert all(event.wait(PATIENCE) for event in stopped)
    assert watch._watched == {}


def test_shutting_a_socket_down_frees_who_is_blocked_in_it() -> None:
    one, other = socket.socketpair()
    with one, other:
        freed = threading.Event()

        def read() -> None:
            one.recv(1)
            freed.set()

        thread = threading.Thread(target=read)
        thread.start()
        shut_down(one)
        assert freed.wait(PATIENCE)
        thread.join(PATIENCE)
        shut_down(one)
    shut_down(one)
    shut_down(None)
