"""Messages that are not as they should be: faults.md, JSON-RPC."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPProtocolError, MCPTimeoutError, Progress
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked, FaultServer

Connect = Callable[..., MCPClient]
RESULT = {"content": [{"type": "text", "text": "hi"}]}


@pytest.mark.parametrize(
    "frame",
    ["not json", "{", "[]", "1", "null", '"text"', "[1, 2]", '{"method": "x"', "\x1b[31m", "NaN", "[0"],
)
def test_a_frame_that_is_no_message_is_skipped_and_told_in_the_log(
    frame: str, server: FaultServer, client: MCPClient, caplog: pytest.LogCaptureFixture
) -> None:
    def noisy(asked: Asked) -> None:
        asked.session.stream.event(frame)  # type: ignore[union-attr]
        asked.text("hi")

    server.tools["noisy"] = noisy
    with caplog.at_level(logging.WARNING, "mcp_sync"), within():
        assert client.call_tool("noisy", timeout=LONG).text == "hi"
    (record,) = [record for record in caplog.records if record.name.startswith("mcp_sync")]
    assert "\x1b" not in record.getMessage()
    assert len(record.getMessage()) < 600


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"jsonrpc": "2.0"},
        {"jsonrpc": "2.0", "id": None, "result": {}},
        {"jsonrpc": "2.0", "id": 12345, "result": {}},
        {"jsonrpc": "2.0", "id": "nobody", "error": {"code": 1, "message": "x"}},
        {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error"}},
        {"jsonrpc": "2.0", "id": True, "result": {}},
        {"jsonrpc": "2.0", "id": [1], "result": {}},
        {"jsonrpc": "2.0", "id": {"a": 1}, "result": {}},
        {"jsonrpc": "2.0", "method": 7},
        {"jsonrpc": "2.0", "method": None, "id": 5},
        {"jsonrpc": "2.0", "method": "notifications/unknown"},
        {"jsonrpc": "2.0", "method": "notifications/progress"},
        {"jsonrpc": "2.0", "method": "notifications/progress", "params": []},
        {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": {"a": 1}}},
        {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": "other", "progress": 1}},
        {"jsonrpc": "2.0", "method": "notifications/message", "params": "text"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": [1]}},
        {"jsonrpc": "2.0", "method": "notifications/cancelled"},
        {"jsonrpc": "2.0", "method": "sampling/createMessage", "id": None},
        {"jsonrpc": "2.0", "method": "sampling/createMessage", "id": [1]},
        {"jsonrpc": "2.0", "method": "", "id": 1},
        [{"jsonrpc": "2.0", "id": True, "result": {}}, {}],
    ],
    ids=str,
)
def test_a_message_that_is_nobodys_or_odd_harms_nobody(message: Any, server: FaultServer, connect: Connect) -> None:
    client = connect(notification_handler=lambda notification: None, log_handler=lambda log: None)

    def odd(asked: Asked) -> None:
        asked.send(message)
        asked.progress(1)
        asked.text("hi")

    server.tools["odd"] = odd
    seen: list[Progress] = []
    with within():
        assert client.call_tool("odd", timeout=LONG, on_progress=seen.append).text == "hi"
    assert len(seen) == 1
    assert server.count("GET") == 1


def test_an_answer_that_comes_twice_is_taken_once(server: FaultServer, client: MCPClient) -> None:
    def twice(asked: Asked) -> None:
        asked.text("first")
        asked.text("second")

    server.tools["twice"] = twice
    for _ in range(3):
        assert client.call_tool("twice", timeout=LONG).text == "first"


def test_ids_are_unlikely_to_be_another_clients(server: FaultServer, connect: Connect) -> None:
    """Some gateways send everybody's answers to everybody."""
    firsts = set()
    for _ in range(5):
        connect()
        firsts.add(server.sent("initialize")[-1]["id"])
    assert len(firsts) == 5
    assert min(firsts) > 1000
    assert max(firsts) < 2**53  # a float of JavaScript's holds it


def test_a_batch_that_answers_three_calls_is_taken_apart(server: FaultServer, client: MCPClient) -> None:
    together = threading.Barrier(3)
    lock = threading.Lock()
    batch: list[dict[str, Any]] = []

    def collect(asked: Asked) -> None:
        with lock:
            batch.append(
                {
                    "jsonrpc": "2.0",
                    "id": asked.id,
                    "result": {"content": [{"type": "text", "text": asked.arguments["n"]}]},
                }
            )
        together.wait(10)
        with lock:
            if batch:
                asked.session.send([{"jsonrpc": "2.0", "method": "notifications/x"}, *batch, {"jsonrpc": "1.0"}])
                batch.clear()

    server.tools["collect"] = collect
    with ThreadPoolExecutor(3) as pool, within():
        texts = pool.map(lambda n: client.call_tool("collect", {"n": n}, timeout=LONG).text, ["a", "b", "c"])
        assert list(texts) == ["a", "b", "c"]


def test_a_reader_who_stands_still_loses_the_oldest_events_and_never_the_result(
    server: FaultServer, client: MCPClient
) -> None:
    def flood(asked: Asked) -> None:
        one = b'data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":%d}}\r\n\r\n'
        for start in range(0, 40_000, 500):
            asked.session.stream.send(b"".join(one % n for n in range(start, start + 500)))  # type: ignore[union-attr]
        asked.text("done")
        flooded.set()

    flooded = threading.Event()
    server.tools["flood"] = flood
    with client.stream_tool("flood", timeout=LONG) as stream:
        first = next(stream)
        assert flooded.wait(20)
        # Another call's answer comes by the same stream, behind all of that.
        with within(10):
            assert client.call_tool("echo", {"message": "through"}, timeout=LONG).text == "through"
        rest = list(stream)
    assert first.data == 0  # type: ignore[union-attr]
    assert rest[-1].text == "done"  # type: ignore[union-attr]
    numbers = [event.data for event in rest[:-1]]  # type: ignore[union-attr]
    assert numbers[-1] == 39_999
    assert numbers == sorted(numbers)
    # As many as may be unread, and as many again that the caller had taken when it stood still.
    assert len(numbers) <= 20_000


def test_a_result_that_is_nested_without_end_is_refused(server: FaultServer, client: MCPClient) -> None:
    def deep(asked: Asked) -> None:
        nested = "[" * 100_000 + "]" * 100_000
        asked.session.stream.event(  # type: ignore[union-attr]
            f'{{"jsonrpc":"2.0","id":{asked.id},"result":{{"content":[],"x":{nested}}}}}'
        )

    server.tools["deep"] = deep
    with within(), pytest.raises((MCPProtocolError, MCPTimeoutError)):
        client.call_tool("deep", timeout=1.0)
    assert client.call_tool("echo", {"message": "next"}, timeout=LONG).text == "next"
