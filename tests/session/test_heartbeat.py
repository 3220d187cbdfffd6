"""When the silence of a stream is taken for its death."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from typing import Callable

import pytest

from mcp_sync.session.heartbeat import Heartbeat
from mcp_sync.transports.http.exchange import watch
from tests.support.clock import eventually

PATIENCE = 10.0


class Stream:
    """What a heartbeat looks at, and what it does. By its own clock, which a test moves on."""

    def __init__(self, interval: float) -> None:
        self.heard_at = -math.inf
        self.is_busy = False
        self.pings = 0
        self.sends_pings = True
        self.dead = threading.Event()
        self.heartbeat = Heartbeat(interval, lambda: self.heard_at, lambda: self.is_busy, self.ping, self.dead.set)

    def ping(self, leaving: Callable[[], None]) -> None:
        self.pings += 1
        if self.sends_pings:
            leaving()

    def let_an_interval_pass(self) -> None:
        self.heartbeat.stop("")

    def die(self) -> None:
        """An interval passes without an answer to the ping, and the moment in which it might still be read."""
        self.heartbeat.stop("")
        assert not self.dead.is_set()
        self.heartbeat.stop("")


@pytest.fixture
def stream() -> Iterator[Stream]:
    made = Stream(20.0)
    yield made
    made.heartbeat.end()


def test_a_silent_interval_costs_a_ping_and_a_second_one_the_stream(stream: Stream) -> None:
    stream.let_an_interval_pass()
    assert stream.pings == 1
    assert not stream.dead.is_set()
    stream.die()
    assert stream.pings == 1
    assert stream.dead.is_set()


def test_an_answer_that_is_read_late_is_an_answer(stream: Stream) -> None:
    """The process was stopped, or busy: the interval is over before the reader has run."""
    stream.let_an_interval_pass()
    stream.let_an_interval_pass()
    # It came right after the ping; by the clock, the interval since then is over as well.
    stream.heard_at = time.monotonic() - 100.0
    stream.let_an_interval_pass()
    assert not stream.dead.is_set()
    assert stream.pings == 1
    # And the silence is counted from there.
    stream.let_an_interval_pass()
    assert stream.pings == 2
    stream.die()
    assert stream.dead.is_set()


def test_the_wait_for_an_answer_begins_when_the_ping_is_sent(stream: Stream) -> None:
    """Not before: what sends it may be busy with what was to be sent earlier."""
    stream.sends_pings = False
    for _ in range(5):
        stream.let_an_interval_pass()
    assert stream.pings == 1
    assert not stream.dead.is_set()
    before = time.monotonic()
    stream.heartbeat._ping_leaves()
    assert stream.heartbeat.deadline_at >= before + 20.0
    stream.die()
    assert stream.dead.is_set()


def test_any_sign_of_life_begins_the_count_anew(stream: Stream) -> None:
    for number in range(1, 4):
        stream.heard_at = -math.inf
        stream.let_an_interval_pass()
        assert stream.pings == number
        stream.heard_at = time.monotonic()
        stream.let_an_interval_pass()
        assert stream.pings == number
    assert not stream.dead.is_set()


def test_the_silence_is_counted_from_what_came_last(stream: Stream) -> None:
    stream.heard_at = time.monotonic() - 15.0
    stream.let_an_interval_pass()
    assert stream.pings == 0
    assert stream.heartbeat.deadline_at == stream.heard_at + 20.0


def test_a_call_that_waits_is_left_to_its_own_deadline(stream: Stream) -> None:
    stream.let_an_interval_pass()
    stream.is_busy = True
    for _ in range(10):
        stream.let_an_interval_pass()
    assert stream.pings == 1
    # And after it has ended there is a ping first.
    stream.is_busy = False
    stream.let_an_interval_pass()
    assert stream.pings == 2
    assert not stream.dead.is_set()
    stream.die()
    assert stream.dead.is_set()


def test_the_watch_lets_the_intervals_pass_and_its_thread_ends_with_the_last_heartbeat() -> None:
    streams = [Stream(0.1) for _ in range(20)]
    for stream in streams:
        stream.heartbeat.start()
    for stream in streams[:19]:
        assert stream.dead.wait(PATIENCE)
        assert stream.pings == 1
    slow = Stream(1000.0)
    slow.heartbeat.start()
    assert streams[19].dead.wait(PATIENCE)
    assert not slow.dead.is_set()
    for stream in (*streams, slow):
        stream.heartbeat.end()
        stream.heartbeat.end()
    assert eventually(lambda: not watch._running)  # its naps are as long as the interval, but it is woken


def test_one_that_has_ended_looks_no_more(stream: Stream) -> None:
    stream.heartbeat.end()
    stream.heartbeat.start()
    stream.let_an_interval_pass()
    assert id(stream.heartbeat) not in watch._watched
