"""When the silence of a stream is taken for its death."""

from __future__ import annotations

from typing import Optional

from mcp_sync.heartbeat import Heartbeat


class Stream:
    """Counts what comes in, and the pings."""

    def __init__(self) -> None:
        self.pulse: Optional[int] = 0
        self.pings = 0

    def ping(self) -> None:
        self.pings += 1


def heartbeat_of(stream: Stream) -> Heartbeat:
    heartbeat = Heartbeat(20.0, lambda: stream.pulse, stream.ping)
    heartbeat.heard()
    return heartbeat


def test_a_silent_interval_costs_a_ping_and_a_second_one_the_stream() -> None:
    stream = Stream()
    heartbeat = heartbeat_of(stream)
    assert not heartbeat.is_over(busy=False)
    assert stream.pings == 1
    assert heartbeat.is_over(busy=False)
    assert stream.pings == 1


def test_any_sign_of_life_begins_the_count_anew() -> None:
    stream = Stream()
    heartbeat = heartbeat_of(stream)
    for number in range(1, 4):
        assert not heartbeat.is_over(busy=False)
        assert stream.pings == number
        heartbeat.heard()
    assert not heartbeat.is_over(busy=False)
    assert stream.pings == 4
    stream.pulse = 1  # a comment
    assert not heartbeat.is_over(busy=False)
    assert not heartbeat.is_over(busy=False)
    assert stream.pings == 5


def test_a_stream_that_is_kept_alive_by_comments_is_never_pinged() -> None:
    stream = Stream()
    heartbeat = heartbeat_of(stream)
    for number in range(1, 10):
        stream.pulse = number
        assert not heartbeat.is_over(busy=False)
    assert stream.pings == 0


def test_a_call_that_waits_is_left_to_its_own_deadline() -> None:
    stream = Stream()
    heartbeat = heartbeat_of(stream)
    assert not heartbeat.is_over(busy=False)
    for _ in range(10):
        assert not heartbeat.is_over(busy=True)
    assert stream.pings == 1
    # And after it has ended there is a ping first.
    assert not heartbeat.is_over(busy=False)
    assert stream.pings == 2
    assert heartbeat.is_over(busy=False)


def test_before_the_handshake_is_through_nothing_follows_from_silence() -> None:
    stream = Stream()
    stream.pulse = None
    heartbeat = heartbeat_of(stream)
    for _ in range(5):
        assert not heartbeat.is_over(busy=False)
    assert stream.pings == 0
