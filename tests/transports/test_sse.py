"""The framer: what WHATWG HTML says about event streams, whatever the sizes of the pieces that arrive."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mcp_sync.errors import MCPProtocolError
from mcp_sync.protocol.messages import decode
from mcp_sync.transports.sse import Framer
from tests.support.whatwg import Seen, interpret

LIMIT = 64 * 1024 * 1024
LARGE = 70_000


def frame(*chunks: bytes, limit: int = LIMIT) -> Seen:
    framer = Framer(limit)
    events = [event for chunk in chunks for event in framer.feed(chunk)]
    texts = [
        (event.event, event.data if isinstance(event.data, str) else event.data.decode("utf-8", "replace"))
        for event in events
    ]
    return Seen([event for event in texts if event[1]], framer.last_event_id, framer.retry_ms)


STREAMS = {
    "one event": b"event: message\ndata: hello\n\n",
    "several data lines": b"data: one\ndata: two\ndata\ndata:three\n\n",
    "crlf": b"event: a\r\ndata: 1\r\nid: 7\r\n\r\ndata: 2\r\n\r\n",
    "cr": b"event: a\rdata: 1\rid: 7\r\rdata: 2\r\r",
    "mixed line ends": b"data: 1\r\n\ndata: 2\n\r\ndata: 3\r\r\ndata: 4\n\r\r\n",
    "bom": b"\xef\xbb\xbfdata: first\n\ndata: second\n\n",
    "comments": b": ping\n\n:\n\ndata: 1\n: between\ndata: 2\n\n",
    "no space, many spaces": b"data:1\ndata:  2\n\n",
    "no colon": b"data\n\ndata: x\nfoo\n\n",
    "unknown fields": b"foo: 1\ndata: x\nDATA: y\ndatax: z\n data: w\n\n",
    "utf-8": "data: grün 漢字 \U0001f40d\nid: ü\n\n".encode(),
    "only an id": b"id: 1\n\nid: 2\ndata: x\n\nid\n\ndata: y\n\n",
    "only a retry": b"retry: 1500\n\ndata: x\n\n",
    "retry garbage": b"retry: 10\nretry: 1.5\nretry: -1\nretry: x\nretry:\nretry: \xd9\xa3\ndata: x\n\n",
    "nul in the id": b"id: good\ndata: 1\n\nid: b\0d\ndata: 2\n\n",
    "empty name": b": c\n:\ndata: x\n\n",
    "event without data": b"event: endpoint\n\ndata: x\n\n",
    "pretty-printed": b'data: {\ndata:   "a": [\ndata:     1\ndata:   ]\ndata: }\n\n',
    "cut off": b"data: whole\nid: 1\n\ndata: cut\nid: 2\n",
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
def test_it_reads_what_the_standard_says(stream: bytes) -> None:
    assert frame(stream) == interpret(stream)


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
def test_the_same_result_whatever_the_position_of_a_split(stream: bytes) -> None:
    whole = frame(stream)
    for position in range(len(stream) + 1):
        assert frame(stream[:position], stream[position:]) == whole, position


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
def test_the_same_result_byte_by_byte(stream: bytes) -> None:
    assert frame(*(bytes([byte]) for byte in stream)) == frame(stream)


_piece = st.sampled_from(
    b"\n|\r|\r\n|data|data: |event: |id: |retry: |:| |x|1|\0|\xc3\xa9|\xff|\xef\xbb\xbf".split(b"|")
)


@settings(max_examples=400, deadline=None)
@given(st.lists(_piece, max_size=40), st.integers(1, 7))
@example([b"\xef\xbb\xbf", b"\n", b"data: ", b"x", b"\n", b"\r", b"\n"], 1)
def test_it_agrees_with_the_standard_on_anything(pieces: list[bytes], size: int) -> None:
    stream = b"".join(pieces)
    assert frame(*(stream[i : i + size] for i in range(0, len(stream), size))) == interpret(stream)


def test_a_bad_byte_costs_a_character_and_not_the_stream() -> None:
    seen = frame(b"data: a\xffb\n\ndata: next\n\n")
    assert seen.events == [("message", "a\ufffdb"), ("message", "next")]


def test_an_event_that_the_end_cut_off_is_never_returned() -> None:
    assert frame(b'data: {"jsonrpc": "2.0"}\n').events == []
    assert frame(b'data: {"jsonrpc": "2.0"}').events == []


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("lines", [1, 5])
@pytest.mark.parametrize("prefix", ["data: ", "data:"])
def test_a_large_event_reads_like_a_small_one(line_end: str, lines: int, prefix: str) -> None:
    def stream(size: int) -> bytes:
        text = line_end.join([": c", "event: big", "id: 9", *[prefix + "é" * (size // lines // 2)] * lines, "foo: x"])
        return (text + line_end * 2).encode()

    small, large = frame(stream(1000)), frame(stream(LARGE * 3))
    assert [event[0] for event in large.events] == [event[0] for event in small.events] == ["big"]
    assert large.events[0][1] == "\n".join(["é" * (LARGE * 3 // lines // 2)] * lines)
    assert large.id == small.id == "9"


@pytest.mark.parametrize("size", [10, LARGE])
def test_a_bad_byte_in_json_costs_a_character_whatever_the_size(size: int) -> None:
    framer = Framer(LIMIT)
    (event,) = framer.feed(b'data: {"text": "' + b"x" * size + b'\xff"}\n\n')
    assert decode(event.data) == [{"text": "x" * size + "\ufffd"}]


def test_a_large_event_between_small_ones_keeps_its_place() -> None:
    large = b"data: " + b"x" * LARGE + b"\n\n"
    seen = frame(b"data: before\n\n" + large + b"event: end\ndata: after\n\n")
    assert [(kind, len(text)) for kind, text in seen.events] == [("message", 6), ("message", LARGE), ("end", 5)]


def test_an_event_at_the_limit_is_taken_and_one_over_it_is_not() -> None:
    assert frame(b"data: " + b"x" * 94 + b"\n\n", limit=100).events == [("message", "x" * 94)]
    with pytest.raises(MCPProtocolError, match="over the limit of 100 bytes"):
        frame(b"data: " + b"x" * 95 + b"\n\n", limit=100)


def test_many_small_events_are_not_one_large_one() -> None:
    assert len(frame(b"data: x\n\n" * 100, limit=100).events) == 100


def test_a_line_without_end_is_stopped_at_the_limit() -> None:
    framer = Framer(1000)
    fed = 0
    with pytest.raises(MCPProtocolError, match="over the limit"):
        for _ in range(1000):
            framer.feed(b"x" * 100)
            fed += 100
    assert fed <= 1000


def test_a_resumed_stream_knows_the_id_and_nothing_of_what_was_cut_off() -> None:
    framer = Framer(LIMIT)
    framer.feed(b"\xef\xbb\xbfid: 4\nretry: 20\ndata: x\n\ndata: cut")
    resumed = framer.continued()
    assert (resumed.last_event_id, resumed.retry_ms) == ("4", 20)
    assert [event.text for event in resumed.feed(b"\xef\xbb\xbfdata: next\n\n")] == ["next"]


def _seconds(chunks: list[bytes]) -> float:
    """Of the processor, the best of three: what else the machine does must not matter."""
    best = float("inf")
    for _ in range(3):
        framer = Framer(LIMIT)
        start = time.thread_time()
        for chunk in chunks:
            framer.feed(chunk)
        best = min(best, time.thread_time() - start)
    return best


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda n: [b"data: "] + [b"x"] * n + [b"\n\n"], 8_000),
        (lambda n: [b"data: "] + [b"x" * 4096] * n + [b"\n\n"], 500),
        (lambda n: [b"data: x\n" * n + b"\n"], 10_000),
        (lambda n: [b":\n\n"] * n, 1_500),
        (lambda n: [b"\n"] * n, 1_500),
        (lambda n: [b"id: 1\nretry: 2\n"] * n + [b"\n"], 1_500),
    ],
    ids=["one byte at a time", "one long line", "many lines", "comments", "blank lines", "ids and retries"],
)
def test_its_time_grows_in_line_with_the_input(make: object, size: int) -> None:
    assert callable(make)
    once, eight_times = _seconds(make(size)), _seconds(make(size * 8))
    # 8 where it is linear, 64 where it is quadratic.
    assert eight_times < once * 28 + 0.02


def test_an_event_in_tiny_pieces_takes_no_more_memory_than_it_should() -> None:
    size = 120_000
    framer = Framer(LIMIT)
    tracemalloc.start()
    try:
        framer.feed(b"data: ")
        for number in range(size // 2):
            framer.feed(b"%02d" % (number % 100))
        (event,) = framer.feed(b"\n\n")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(event.data) == size
    assert peak < 6 * size


@pytest.mark.clock
def test_an_event_of_eight_megabytes_takes_less_than_a_second() -> None:
    message = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"text": "x" * 8_000_000}}).encode()
    stream = b"event: message\r\ndata: " + message + b"\r\n\r\n"
    chunks = [stream[i : i + 65536] for i in range(0, len(stream), 65536)]
    assert _seconds(chunks) < 1.0


def test_an_event_of_64_megabytes_takes_less_than_five_seconds() -> None:
    piece = b"x" * 65536
    framer = Framer(LIMIT)
    start = time.thread_time()
    framer.feed(b"data: ")
    for _ in range(1000):
        framer.feed(piece)
    (event,) = framer.feed(b"\n\n")
    assert time.thread_time() - start < 5.0
    assert len(event.data) == 65_536_000
