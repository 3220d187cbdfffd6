"""What comes on a stream and is no message: events of other names, frames that cannot be decoded, lines without an
end.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from mcp_sync import MCPClientError, MCPConnectionError, MCPProtocolError, MCPTimeoutError
from mcp_sync.protocol.messages import decode
from mcp_sync.protocol.unreadable import Unreadable, decode_or_mark
from tests.support.beds import SHARED, Bed, over
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked, Stream

DEEP = "[" * 100_000 + "]" * 100_000
DIGITS = "1" * 200_000


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.WARNING, "mcp_sync"):
        yield


def send(bed: Bed, asked: Asked, text: str) -> None:
    """Any text as one frame."""
    bed.stream(asked).event(text)


# Events of other names


NAMED = [("ping", "ping"), ("ping", "2026-11-28T12:00:00Z"), ("open", ""), ("heartbeat", "{}"), ("keepalive", "[1]")]


@pytest.mark.parametrize(("name", "data"), NAMED)
@over("http-sse", "stateless", "sse")
def test_an_event_of_another_name_is_for_nobody(
    bed: Bed, name: str, data: str, caplog: pytest.LogCaptureFixture
) -> None:
    def pinging(asked: Asked) -> None:
        for _ in range(3):
            bed.stream(asked).event(data, event=name)
        asked.text("hi")

    bed.tool("pinging", pinging)
    client = bed.connect()
    with within():
        assert client.call_tool("pinging", timeout=LONG).text == "hi"
    assert not caplog.records


@over("http-sse", "sse")
def test_not_even_a_message_comes_under_another_name(bed: Bed) -> None:
    def wrong(asked: Asked) -> None:
        for text, event in (("wrong", "answer"), ("right", "message")):
            result = {"content": [{"type": "text", "text": text}]}
            message = {"jsonrpc": "2.0", "id": asked.id, "result": result}
            bed.stream(asked).event(json.dumps(message), event=event)
        if bed.name == "http-sse":
            bed.stream(asked).end()

    bed.tool("wrong", wrong)
    assert bed.connect().call_tool("wrong", timeout=LONG).text == "right"


@pytest.mark.parametrize("event", [None, ""])
@over("http-sse", "sse")
def test_an_event_without_a_name_is_a_message(bed: Bed, event: Any) -> None:
    def unnamed(asked: Asked) -> None:
        message = {"jsonrpc": "2.0", "id": asked.id, "result": {"content": [{"type": "text", "text": "hi"}]}}
        bed.stream(asked).event(json.dumps(message), event=event)
        if bed.name == "http-sse":
            bed.stream(asked).end()

    bed.tool("unnamed", unnamed)
    assert bed.connect().call_tool("unnamed", timeout=LONG).text == "hi"


@over("http-json")
def test_a_get_stream_may_ping_without_a_word(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    heard = threading.Event()
    client = bed.connect(notification_handler=lambda notification: heard.set())
    client.call_tool("echo", {"message": "hi"})
    bed.server.wait_until(lambda: bed.server.session.stream is not None)
    stream = bed.server.session.stream
    assert stream is not None
    for name, data in NAMED:
        stream.event(data, event=name)
    bed.server.session.notify("notifications/tools/list_changed")
    assert heard.wait(LONG)
    assert not caplog.records


# Frames that cannot be decoded


def answers(id: object) -> dict[str, str]:
    return {
        "deep": f'{{"jsonrpc":"2.0","id":{id},"result":{{"content":[],"structuredContent":{DEEP}}}}}',
        "deep, the id last": f'{{"result":{{"content":[],"structuredContent":{DEEP}}},"id":{id},"jsonrpc":"2.0"}}',
        "digits": f'{{"jsonrpc":"2.0","id":{id},"result":{{"content":[],"structuredContent":{DIGITS}}}}}',
        "cut": f'{{"jsonrpc": "2.0", "id": {id}, "result": {{"content": [{{"type": "te',
        "cut, the id as text": f'{{"id": "{id}", "jsonrpc": "2.0", "result": {{',
        "two commas": f'{{"jsonrpc":"2.0",,"id":{id},"result":{{}}}}',
        "cut in a batch": f'[{{"jsonrpc":"2.0","id":{id},"result":{{"a"',
    }


@pytest.mark.parametrize("kind", list(answers(0)))
@over(*SHARED)
def test_the_call_whose_id_can_be_read_fails_at_once_and_no_other(bed: Bed, kind: str) -> None:
    bed.tool("bad", lambda asked: send(bed, asked, answers(asked.id)[kind]))
    client = bed.connect()
    other = client.submit("slow", timeout=LONG)
    bed.server.wait_for_call("slow")
    with within(), pytest.raises(MCPProtocolError) as caught:
        client.call_tool("bad", timeout=LONG)
    assert caught.value.outcome == "unknown"
    assert len(str(caught.value)) < 1000
    assert not other.done()
    bed.server.gate.set()
    assert other.result(LONG).text
    assert client.call_tool("echo", {"message": "next"}).text == "next"


@pytest.mark.parametrize(
    "frame",
    [
        '{"jsonrpc": "2.0"',
        '{"jsonrpc":"2.0","result":{"content":[{"type":"text","text":"te',
        '{"result": {"content": [',
        f'{{"jsonrpc":"2.0","result":{DEEP}}}',
        "[" * 100_000,
    ],
    ids=lambda text: text[:20],
)
@over(*SHARED)
def test_a_call_that_waits_alone_fails_at_once(bed: Bed, frame: str) -> None:
    bed.tool("bad", lambda asked: send(bed, asked, frame))
    client = bed.connect()
    with within(), pytest.raises(MCPProtocolError):
        client.call_tool("bad", timeout=LONG)
    assert client.call_tool("echo", {"message": "next"}).text == "next"


NOISE = [
    "not json",
    "[INFO] starting",
    "{'a': 1}",
    '{"level": "info", "msg": "cut',
    "{",
    "[]",
    "[1, 2]",
    '{"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "cut',
    '{"jsonrpc": "2.0", "id": 5, "method": "ping", "params": [',
]


@pytest.mark.parametrize("noise", NOISE)
@over(*SHARED)
def test_what_is_no_answer_fails_nobody(bed: Bed, noise: str, caplog: pytest.LogCaptureFixture) -> None:
    def noisy(asked: Asked) -> None:
        for _ in range(200):
            send(bed, asked, noise)
        asked.text("hi")

    bed.tool("noisy", noisy)
    client = bed.connect()
    with within():
        assert client.call_tool("noisy", timeout=LONG).text == "hi"
    assert len(caplog.records) == 1
    client.close()
    assert len(caplog.records) <= 2


@over("http-sse")
def test_an_answer_that_came_before_a_bad_frame_counts(bed: Bed) -> None:
    def both(asked: Asked) -> None:
        message = {"jsonrpc": "2.0", "id": asked.id, "result": {"content": [{"type": "text", "text": "hi"}]}}
        frame = bed.server.frame(message) + bed.server.frame("{")
        asked.own_stream().send(frame)
        asked.own_stream().end()

    bed.tool("both", both)
    assert bed.connect().call_tool("both").text == "hi"


@over("http-json")
def test_a_bad_frame_on_the_get_stream_fails_no_call(bed: Bed) -> None:
    client = bed.connect()
    client.call_tool("echo", {"message": "hi"})
    bed.server.wait_until(lambda: bed.server.session.stream is not None)
    waiting = client.submit("slow", timeout=LONG)
    bed.server.wait_for_call("slow")
    stream = bed.server.session.stream
    assert isinstance(stream, Stream)
    stream.event('{"jsonrpc": "2.0", "result": {"content": [')
    bed.server.gate.set()
    assert waiting.result(LONG).text


# stdio: lines


@over("stdio")
def test_what_was_left_without_its_line_end_is_quoted(bed: Bed) -> None:
    def unfinished(asked: Asked) -> None:
        bed.stream(asked).send(b'{"jsonrpc": "2.0", "id": 1, "result": "no line end"}')

    bed.tool("unfinished", unfinished)
    with pytest.raises(MCPTimeoutError, match="no line end") as caught:
        bed.connect().call_tool("unfinished", timeout=0.5)
    assert "has no line end" in str(caught.value)


@over("stdio")
def test_it_is_quoted_where_the_server_ends_too(bed: Bed) -> None:
    def unfinished(asked: Asked) -> None:
        bed.stream(asked).send(b"Traceback: something")
        bed.stream(asked).end()

    bed.tool("unfinished", unfinished)
    with pytest.raises(MCPConnectionError, match="Traceback: something"):
        bed.connect().call_tool("unfinished", timeout=LONG)


@over("stdio")
def test_what_was_skipped_is_quoted_with_secrets_masked(bed: Bed) -> None:
    bed.tool("silent", lambda asked: send(bed, asked, "starting with s3cr3t-value now"))
    client = bed.connect(env={"KEY": "s3cr3t-value"})
    with pytest.raises(MCPClientError, match="starting with") as caught:
        client.call_tool("silent", timeout=0.5)
    assert "s3cr3t" not in str(caught.value)


# The reading of it


@pytest.mark.parametrize(
    "spoil", [lambda text: text[:-1], lambda text: text + "x", lambda text: text.replace("{", "{,")]
)
def test_the_id_of_a_spoilt_answer_is_found(spoil: Callable[[str], str]) -> None:
    text = json.dumps({"jsonrpc": "2.0", "id": 4294967299, "result": {"content": [{"type": "text", "text": "id"}]}})
    (marked,) = decode_or_mark(spoil(text))
    assert isinstance(marked, Unreadable)
    assert marked.ids == {4294967299}


@pytest.mark.parametrize("piece", [" ", "[", "{", '"id": ', '"id":1,', '{"a":', "\n", '"jsonrpc" :', '"'])
def test_to_look_for_it_takes_linear_time(piece: str) -> None:
    with within():
        decode_or_mark("{" + piece * (2_000_000 // len(piece)))
        decode_or_mark(b'{"id":' + piece.encode() * (500_000 // len(piece)))


def test_what_can_be_decoded_is_not_marked() -> None:
    text = '{"jsonrpc": "2.0", "id": 1, "result": {}}'
    assert decode_or_mark(text) == decode(text)
