"""Messages that are not as they should be: faults.md, JSON-RPC."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPProtocolError, MCPServerError, MCPTimeoutError, Progress
from tests.support import inside
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked, FaultServer

Connect = Callable[..., MCPClient]
RESULT = {"content": [{"type": "text", "text": "hi"}]}


@pytest.mark.parametrize(
    "frame",
    ["not json", "{", "[]", "1", "null", '"text"', "[1, 2]", '{"jsonrpc": "2.0"', "\x1b[31m", "NaN", "[" * 50_000],
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


@pytest.mark.parametrize(
    "answer",
    [
        {"jsonrpc": "1.0", "result": RESULT},
        {"result": RESULT},
        {"jsonrpc": "2.0"},
        {"jsonrpc": "2.0", "result": None},
        {"jsonrpc": "2.0", "result": "text"},
        {"jsonrpc": "2.0", "error": "text"},
        {"jsonrpc": "2.0", "error": {"message": "no code"}},
        {"jsonrpc": "2.0", "result": {"content": "not a list"}},
        {"jsonrpc": "2.0", "result": {"content": [7]}},
        {"jsonrpc": "2.0", "result": {"content": [], "isError": "perhaps"}},
    ],
    ids=str,
)
def test_an_answer_of_a_wrong_shape_is_that_calls_error_at_once(
    answer: dict[str, Any], server: FaultServer, client: MCPClient
) -> None:
    server.tools["wrong"] = lambda asked: asked.reply({**answer, "id": asked.id})
    with within(), pytest.raises(MCPProtocolError) as caught:
        client.call_tool("wrong", timeout=LONG)
    assert caught.value.outcome == "unknown"
    assert caught.value.method == "tools/call"
    assert client.call_tool("echo", {"message": "next"}).text == "next"


def test_an_answer_with_result_and_error_is_an_error(server: FaultServer, client: MCPClient) -> None:
    server.tools["both"] = lambda asked: asked.reply(
        {"jsonrpc": "2.0", "id": asked.id, "result": RESULT, "error": {"code": 7, "message": "no"}}
    )
    with within(), pytest.raises(MCPServerError) as caught:
        client.call_tool("both", timeout=LONG)
    assert caught.value.code == 7


@pytest.mark.parametrize("spell", [str, float], ids=["decimal string", "integral float"])
def test_an_id_that_comes_back_in_another_spelling_is_ours(
    spell: Callable[[int], Any], server: FaultServer, client: MCPClient
) -> None:
    server.tools["spelled"] = lambda asked: asked.reply({"jsonrpc": "2.0", "id": spell(asked.id), "result": RESULT})
    with within():
        assert client.call_tool("spelled", timeout=LONG).text == "hi"


@pytest.mark.parametrize(
    "spell", [lambda n: True, lambda n: f" {n}", lambda n: f"0{n}", lambda n: n + 0.5, lambda n: -n]
)
def test_an_id_that_is_not_ours_is_not_taken_for_it(
    spell: Callable[[int], Any], server: FaultServer, client: MCPClient
) -> None:
    server.tools["spelled"] = lambda asked: asked.reply({"jsonrpc": "2.0", "id": spell(asked.id), "result": RESULT})
    with within(), pytest.raises(MCPTimeoutError):
        client.call_tool("spelled", timeout=0.3)


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


def test_a_batch_is_taken_apart(server: FaultServer, client: MCPClient) -> None:
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


def test_answers_in_reverse_go_to_their_own_callers(server: FaultServer, client: MCPClient) -> None:
    """64 in flight, answered last first."""
    together = threading.Barrier(64)
    asked_so_far: list[Asked] = []
    lock = threading.Lock()

    def reverse(asked: Asked) -> None:
        with lock:
            asked_so_far.append(asked)
        together.wait(15)
        with lock:
            while asked_so_far:
                one = asked_so_far.pop()
                one.text(one.arguments["n"])

    server.tools["reverse"] = reverse
    names = [str(number) for number in range(64)]
    with ThreadPoolExecutor(64) as pool, within(20):
        assert list(pool.map(lambda n: client.call_tool("reverse", {"n": n}, timeout=LONG).text, names)) == names


def test_an_answer_is_not_held_up_by_a_flood_of_notifications(server: FaultServer, connect: Connect) -> None:
    """20,000 of them, and a handler that has not finished with the first."""
    slow = threading.Event()
    seen = 0

    def handler(notification: Any) -> None:
        nonlocal seen
        seen += 1
        slow.wait(20)

    client = connect(notification_handler=handler)

    def flood(asked: Asked) -> None:
        one = b'data: {"jsonrpc":"2.0","method":"notifications/x","params":{"n":1}}\r\n\r\n'
        for _ in range(100):
            asked.session.stream.send(one * 200)  # type: ignore[union-attr]
        asked.text("done")

    server.tools["flood"] = flood
    try:
        with within(20):
            assert client.call_tool("flood", timeout=LONG).text == "done"
        assert seen == 1
        kept, dropped = inside.notices(client)
        assert kept <= 1000
        assert dropped > 10_000
    finally:
        slow.set()


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


def test_pages_without_end_are_stopped(server: FaultServer, client: MCPClient) -> None:
    number = 0

    def pages(asked: Asked) -> None:
        nonlocal number
        number += 1
        asked.answer({"tools": [server.tool_list[0]], "nextCursor": str(number)})

    server.methods["tools/list"] = pages
    with within(20), pytest.raises(MCPProtocolError, match="do not end"):
        client.list_tools(timeout=LONG)
    assert number <= 101


def test_all_pages_share_one_deadline(server: FaultServer, client: MCPClient) -> None:
    def pages(asked: Asked) -> None:
        server.closing.wait(0.1)
        asked.answer({"tools": [], "nextCursor": str(asked.id)})

    server.methods["tools/list"] = pages
    with within(), pytest.raises(MCPTimeoutError):
        client.list_tools(timeout=0.5)


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
