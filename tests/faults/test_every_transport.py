"""One fault over every transport, with the same outcome: faults.md, Mid-stream, Framing and JSON-RPC."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from mcp_sync import (
    MCPClientError,
    MCPClosedError,
    MCPConnectionError,
    MCPProtocolError,
    MCPServerError,
    MCPTimeoutError,
    MCPUsageError,
    Progress,
)
from mcp_sync.concurrency.deadline import Deadline
from tests.support import inside
from tests.support.beds import ALL, HTTP, OWN, SHARED, STREAMS, Bed, over
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked, reset

RESULT = {"content": [{"type": "text", "text": "hi"}]}
TEXT = "grün 漢字 \U0001f40d"


def works(bed: Bed, client: Any) -> None:
    """The client goes on, and nothing of the fault is left in its table."""
    with within(8):
        assert client.call_tool("echo", {"message": "next"}, timeout=LONG).text == "next"
    assert bed.waiting(client) == 0


def heard_of_the_cancellation(bed: Bed, id: Any, connections: int) -> None:
    """The server was told that the answer is not wanted: by a notification, or without sessions by the closed response
    (2026-07-28, Cancellation)."""
    if bed.name == "stateless":
        bed.server.wait_until(lambda: len(bed.server._wires) < connections, "the response is closed")
    else:
        (note,) = bed.server.wait_for_method("notifications/cancelled")
        assert note["params"]["requestId"] == id


# No answer


@pytest.mark.parametrize("shows", ["result", "progress", "stream"])
def test_a_call_without_an_answer_ends_at_its_deadline_and_is_cancelled(shows: str, bed: Bed) -> None:
    client = bed.connect()
    with within(), pytest.raises(MCPTimeoutError) as caught:
        if shows == "stream":
            list(client.stream_tool("never", timeout=0.3))
        else:
            client.call_tool("never", timeout=0.3, on_progress=print if shows == "progress" else None)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.outcome == "unknown"
    assert caught.value.method == "tools/call"
    assert caught.value.elapsed is not None
    assert 0.3 <= caught.value.elapsed < 3
    assert bed.waiting(client) == 0
    heard_of_the_cancellation(bed, caught.value.request_id, bed.server.connections)
    assert bed.server.tool_calls["never"] == 1
    works(bed, client)


@over(*STREAMS)
def test_pings_and_progress_do_not_extend_the_deadline(bed: Bed) -> None:
    def talk(asked: Asked) -> None:
        stream = bed.stream(asked)
        for number in range(10_000):
            stream.comment()
            asked.progress(number)
            if bed.server.closing.wait(0.02):
                return

    bed.tool("talk", talk)
    client = bed.connect()
    seen: list[Progress] = []
    with within(), pytest.raises(MCPTimeoutError):
        client.call_tool("talk", timeout=0.5, on_progress=seen.append)
    assert len(seen) > 3
    assert bed.server.tool_calls["talk"] == 1
    with within(), pytest.raises(MCPTimeoutError):
        list(client.stream_tool("talk", timeout=0.5))
    works(bed, client)


def test_an_answer_after_the_deadline_is_nobodys(bed: Bed) -> None:
    client = bed.connect()
    with pytest.raises(MCPTimeoutError):
        client.call_tool("slow", timeout=0.3)
    bed.server.gate.set()
    works(bed, client)
    assert bed.server.tool_calls["slow"] == 1
    assert bed.waiting(client) == 0


# What carries the answer breaks


@pytest.mark.parametrize("how", ["reset", "cut", "end"])
@pytest.mark.parametrize("shows", ["result", "progress", "stream"])
def test_a_call_whose_carrier_breaks_may_have_run_and_is_not_sent_again(how: str, shows: str, bed: Bed) -> None:
    """A second attempt would work, and must not be made."""

    def once(asked: Asked) -> None:
        if bed.server.tool_calls["once"] == 1:
            bed.break_off(asked, how)
        else:
            asked.text("SECOND TIME")

    bed.tool("once", once)
    client = bed.connect()
    with within(), pytest.raises(MCPConnectionError) as caught:
        if shows == "stream":
            list(client.stream_tool("once", timeout=LONG))
        else:
            client.call_tool("once", timeout=LONG, on_progress=print if shows == "progress" else None)
    assert caught.value.outcome == "unknown"
    assert caught.value.method == "tools/call"
    assert caught.value.__cause__ is not None or bed.name in OWN
    assert bed.server.tool_calls["once"] == 1
    works(bed, client)
    assert bed.server.tool_calls["once"] == 1


def test_a_caller_who_allows_it_has_the_call_sent_again(bed: Bed) -> None:
    def once(asked: Asked) -> None:
        if bed.server.tool_calls["once"] == 1:
            bed.break_off(asked, "reset")
        else:
            asked.text("second time")

    bed.tool("once", once)
    client = bed.connect()
    with within(8):
        assert client.call_tool("once", retry=True, timeout=LONG).text == "second time"
    assert bed.server.tool_calls["once"] == 2


@pytest.mark.parametrize("shows", ["nothing", "stream"])
def test_a_call_that_may_have_run_is_not_said_to_be_unsent_because_it_could_not_be_sent_again(
    shows: str, bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It broke off, and the client was closed before the second attempt."""
    client = bed.connect(retry_delay=10)
    connection = inside.connection_of(client)
    pause, pausing = connection.pause, threading.Event()

    def pause_and_tell(seconds: float, deadline: Deadline) -> None:
        pausing.set()
        pause(seconds, deadline)

    monkeypatch.setattr(connection, "pause", pause_and_tell)
    bed.tool("once", lambda asked: bed.break_off(asked, "reset"))

    def call() -> None:
        if shows == "stream":
            list(client.stream_tool("once", retry=True, timeout=LONG))
        else:
            client.call_tool("once", retry=True, timeout=LONG)

    with ThreadPoolExecutor(1) as pool, within(8):
        under_way = pool.submit(call)
        assert pausing.wait(LONG)
        client.close()
        error = under_way.exception(LONG)
    assert isinstance(error, MCPClosedError)
    assert error.outcome == "unknown"


@over(*SHARED)
@pytest.mark.parametrize("how", ["reset", "cut", "end"])
def test_a_lost_stream_wakes_everyone_at_once_each_with_an_error_of_its_own(how: str, bed: Bed) -> None:
    client = bed.connect()
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(client.call_tool, "never", timeout=LONG) for _ in range(8)]
        bed.server.wait_for_call("never", 8)
        with within():
            getattr(bed.server.session.stream, how)()
            errors = [call.exception(LONG) for call in calls]
    assert {type(error) for error in errors} == {MCPConnectionError}
    assert all(error is not None and error.__cause__ is not None for error in errors)
    assert {error.outcome for error in errors if isinstance(error, MCPConnectionError)} == {"unknown"}
    assert len({id(error) for error in errors}) == 8
    assert len({error.request_id for error in errors if isinstance(error, MCPConnectionError)}) == 8
    works(bed, client)
    assert bed.server.tool_calls["never"] == 8


@pytest.mark.parametrize("end", ["end", "cut", "reset"])
@pytest.mark.parametrize("keep", [-4, 0.5, 0.1], ids=["whole JSON", "half", "a tenth"])
def test_a_frame_that_is_cut_off_is_never_a_result(keep: float, end: str, bed: Bed) -> None:
    if bed.name == "stdio" and keep == -4:
        keep = -1  # the line end is all that is missing

    def cut(asked: Asked) -> None:
        message = {"jsonrpc": "2.0", "id": asked.id, "result": {"content": [{"type": "text", "text": "TRUNCATED"}]}}
        bed.send_part(asked, message, keep, end)

    bed.tool("cut", cut)
    client = bed.connect()
    with within(), pytest.raises(MCPConnectionError) as caught:
        client.call_tool("cut", timeout=LONG)
    assert not isinstance(caught.value, MCPProtocolError)
    assert caught.value.outcome == "unknown"
    assert bed.server.tool_calls["cut"] == 1
    works(bed, client)


@over(*HTTP)
def test_one_of_eight_calls_reset_leaves_seven_answers(bed: Bed) -> None:
    client = bed.connect()
    bed.server.instead(lambda request: b'"message":"3"' in request.body, reset)
    start = threading.Barrier(8)

    def call(number: int) -> Any:
        start.wait(10)
        try:
            return client.call_tool("echo", {"message": str(number)}, timeout=LONG).text
        except MCPClientError as exc:
            return exc

    with ThreadPoolExecutor(8) as pool, within():
        results = list(pool.map(call, range(8)))
    failed = results.pop(3)
    assert isinstance(failed, MCPConnectionError)
    assert failed.outcome == "unknown"
    assert results == ["0", "1", "2", "4", "5", "6", "7"]
    assert bed.server.tool_calls["echo"] == 8
    assert bed.server.count("GET") == 1 or bed.name != "sse"
    works(bed, client)


def test_one_of_eight_calls_answered_badly_leaves_seven_answers(bed: Bed) -> None:
    def tool(asked: Asked) -> None:
        if asked.arguments["n"] == "3":
            asked.reply({"jsonrpc": "2.0", "id": asked.id})
        else:
            asked.text(asked.arguments["n"])

    bed.tool("n", tool)
    client = bed.connect()
    with within():
        futures = [client.submit("n", {"n": str(number)}, timeout=LONG) for number in range(8)]
        results = [future.exception(LONG) or future.result().text for future in futures]
    assert isinstance(results.pop(3), MCPProtocolError)
    assert results == ["0", "1", "2", "4", "5", "6", "7"]
    assert bed.server.tool_calls["n"] == 8


@over(*HTTP)
@pytest.mark.parametrize("how", ["interrupt", "reset"])
def test_an_idle_connection_that_the_server_closed_costs_no_call(how: str, bed: Bed) -> None:
    client = bed.connect()
    assert client.call_tool("echo", {"message": "1"}).text == "1"
    server = bed.server
    streams = {session.stream.wire for session in server.sessions.values() if session.stream is not None}
    for wire in list(server._wires - streams):
        getattr(wire, how)()
    server.wait_until(lambda: server._wires <= streams, "the idle connections are closed")
    # The client's kernel has the FIN or RST by now: it is the same machine.
    assert client.call_tool("echo", {"message": "2"}, timeout=LONG).text == "2"
    assert server.tool_calls["echo"] == 2


# How the bytes come


def _answer(asked: Asked, text: str = TEXT) -> Any:
    return {"jsonrpc": "2.0", "id": asked.id, "result": {"content": [{"type": "text", "text": text}]}}


@pytest.mark.parametrize("size", [1, 3])
def test_the_answer_is_the_same_in_pieces_of_any_size(size: int, bed: Bed) -> None:
    def drip(asked: Asked) -> None:
        if bed.name == "http-json":
            body = json.dumps(_answer(asked), ensure_ascii=False).encode()
            asked.wire.send(
                asked.wire.head(200, {"content-type": "application/json", "content-length": f"{len(body)}"})
            )
            asked.wire.drip(body, size)
        else:
            bed.stream(asked).drip(asked.server.frame(_answer(asked)), size)

    bed.tool("drip", drip)
    client = bed.connect()
    with within():
        assert client.call_tool("drip", timeout=LONG).text == TEXT


def test_an_answer_of_eight_megabytes_is_no_matter(bed: Bed) -> None:
    text = "x" * 8_000_000
    bed.tool("large", lambda asked: asked.text(text))
    client = bed.connect()
    with within():
        assert client.call_tool("large", timeout=LONG).text == text


def test_an_argument_of_eight_megabytes_is_no_matter(bed: Bed) -> None:
    client = bed.connect()
    text = "x" * 8_000_000
    with within(8):
        assert client.call_tool("echo", {"message": text}, timeout=LONG).text == text


# What the messages say


@pytest.mark.parametrize(
    "answer",
    [
        {"jsonrpc": "1.0", "result": RESULT},
        {"result": RESULT},
        {"jsonrpc": "2.0"},
        {"jsonrpc": "2.0", "result": None},
        {"jsonrpc": "2.0", "result": "text"},
        {"jsonrpc": "2.0", "result": [1]},
        {"jsonrpc": "2.0", "error": "text"},
        {"jsonrpc": "2.0", "error": {"message": "no code"}},
        {"jsonrpc": "2.0", "error": {"code": True, "message": "x"}},
        {"jsonrpc": "2.0", "error": []},
        {"jsonrpc": "2.0", "result": {"content": "not a list"}},
        {"jsonrpc": "2.0", "result": {"content": [], "isError": "perhaps"}},
    ],
    ids=str,
)
def test_an_answer_of_a_wrong_shape_is_that_calls_error_at_once(answer: dict[str, Any], bed: Bed) -> None:
    bed.tool("wrong", lambda asked: asked.reply({**answer, "id": asked.id}))
    client = bed.connect()
    with within(), pytest.raises(MCPProtocolError) as caught:
        client.call_tool("wrong", timeout=LONG)
    assert caught.value.outcome == "unknown"
    assert caught.value.method == "tools/call"
    assert bed.server.tool_calls["wrong"] == 1
    works(bed, client)


def test_an_answer_with_result_and_error_is_an_error(bed: Bed) -> None:
    bed.tool(
        "both",
        lambda asked: asked.reply(
            {"jsonrpc": "2.0", "id": asked.id, "result": RESULT, "error": {"code": 7, "message": "no"}}
        ),
    )
    client = bed.connect()
    with within(), pytest.raises(MCPServerError) as caught:
        client.call_tool("both", timeout=LONG)
    assert caught.value.code == 7


@pytest.mark.parametrize("spell", [str, float], ids=["decimal string", "integral float"])
def test_an_id_that_comes_back_in_another_spelling_is_ours(spell: Callable[[int], Any], bed: Bed) -> None:
    bed.tool("spelled", lambda asked: asked.reply({"jsonrpc": "2.0", "id": spell(asked.id), "result": RESULT}))
    client = bed.connect()
    with within():
        assert client.call_tool("spelled", timeout=LONG).text == "hi"


@pytest.mark.parametrize(
    "spell",
    [
        lambda n: True,
        lambda n: None,
        lambda n: f" {n}",
        lambda n: f"0{n}",
        lambda n: n + 0.5,
        lambda n: -n,
        lambda n: n + 1,
        lambda n: [n],
    ],
    ids=["true", "null", "blank", "zero", "fraction", "negative", "next", "list"],
)
def test_an_answer_to_another_id_is_never_the_result(spell: Callable[[int], Any], bed: Bed) -> None:
    """On a shared stream it is nobody's, and the call waits on; a response of the call's own ends without its own."""
    bed.tool("spelled", lambda asked: asked.reply({"jsonrpc": "2.0", "id": spell(asked.id), "result": RESULT}))
    client = bed.connect()
    with (
        within(),
        pytest.raises(MCPTimeoutError if bed.is_shared else (MCPProtocolError, MCPConnectionError)) as caught,
    ):
        client.call_tool("spelled", timeout=0.4 if bed.is_shared else LONG)
    assert caught.value.outcome == "unknown"
    assert bed.server.tool_calls["spelled"] == 1
    works(bed, client)


@over(*STREAMS)
@pytest.mark.parametrize("frame", ["not json", "{", "[]", "1", '{"method": "x"', "[0"], ids=lambda f: f[:9])
def test_what_is_not_json_is_skipped_or_the_error_of_the_call_on_whose_stream_it_came(frame: str, bed: Bed) -> None:
    def noisy(asked: Asked) -> None:
        bed.stream(asked).event(frame)
        asked.text("hi")

    bed.tool("noisy", noisy)
    client = bed.connect()
    with within():
        if bed.is_shared:
            assert client.call_tool("noisy", timeout=LONG).text == "hi"
        else:
            with pytest.raises(MCPProtocolError) as caught:
                client.call_tool("noisy", timeout=LONG)
            assert caught.value.outcome == "unknown"
    assert bed.server.tool_calls["noisy"] == 1
    works(bed, client)


def test_a_batch_is_taken_apart(bed: Bed) -> None:
    def batch(asked: Asked) -> None:
        messages: list[Any] = [{"jsonrpc": "2.0", "method": "notifications/x"}, _answer(asked), {"jsonrpc": "1.0"}]
        if bed.name == "http-json":
            asked.wire.respond(200, messages)
        else:
            bed.stream(asked).event(messages)
            if asked.stream is not None:
                asked.stream.end()

    bed.tool("batch", batch)
    client = bed.connect()
    with within():
        assert client.call_tool("batch", timeout=LONG).text == TEXT


def test_64_answers_in_reverse_go_to_their_own_callers(bed: Bed) -> None:
    """64 in flight at the server at once, answered last first."""
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

    bed.tool("reverse", reverse)
    client = bed.connect()
    names = [str(number) for number in range(64)]
    with ThreadPoolExecutor(64) as pool, within(20):
        assert list(pool.map(lambda n: client.call_tool("reverse", {"n": n}, timeout=LONG).text, names)) == names
    assert bed.server.tool_calls["reverse"] == 64
    assert bed.waiting(client) == 0


@over(*STREAMS)
def test_20_000_notifications_and_a_handler_that_stands_still_do_not_hold_the_answer_up(bed: Bed) -> None:
    go = threading.Event()
    seen: list[Any] = []

    def handler(notification: Any) -> None:
        seen.append(notification)
        go.wait(20)

    client = bed.connect(notification_handler=handler)
    one = bed.server.frame({"jsonrpc": "2.0", "method": "notifications/x", "params": {"n": 1}})

    def flood(asked: Asked) -> None:
        for _ in range(100):
            bed.stream(asked).send(one * 200)
        asked.text("done")

    bed.tool("flood", flood)
    try:
        with within(20):
            assert client.call_tool("flood", timeout=LONG).text == "done"
        assert len(seen) == 1
        kept, dropped = inside.notices(client)
        assert kept <= 1000
        assert dropped > 10_000
    finally:
        go.set()


@over(*STREAMS)
def test_a_reader_who_stands_still_loses_the_oldest_events_and_never_the_result(bed: Bed) -> None:
    def flood(asked: Asked) -> None:
        for start in range(0, 20_000, 500):
            bed.stream(asked).send(
                b"".join(
                    bed.server.frame(
                        {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": n}}
                    )
                    for n in range(start, start + 500)
                )
            )
        asked.text("done")

    bed.tool("flood", flood)
    client = bed.connect()
    with within(30), client.stream_tool("flood", timeout=LONG) as stream:
        first: Any = next(stream)
        if bed.is_shared:
            # Another call's answer comes by the same stream, behind all of that.
            assert client.call_tool("echo", {"message": "through"}, timeout=LONG).text == "through"
        events: list[Any] = list(stream)
    assert first.data == 0
    assert events[-1].text == "done"
    numbers = [event.data for event in events[:-1]]
    assert numbers[-1] == 19_999
    assert numbers == sorted(numbers)


def test_pages_without_end_are_stopped_and_share_one_deadline(bed: Bed) -> None:
    pages = 0

    def list_tools(asked: Asked) -> None:
        nonlocal pages
        pages += 1
        asked.answer({"tools": [bed.server.tool_list[0]], "nextCursor": str(pages)})

    bed.server.methods["tools/list"] = list_tools
    client = bed.connect()
    with within(20), pytest.raises(MCPProtocolError, match="do not end"):
        client.list_tools(timeout=LONG)
    assert pages <= 101

    def slowly(asked: Asked) -> None:
        bed.server.closing.wait(0.1)
        asked.answer({"tools": [], "nextCursor": str(asked.id)})

    bed.server.methods["tools/list"] = slowly
    with within(), pytest.raises(MCPTimeoutError):
        client.list_tools(timeout=0.5)


# Clocks


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_wall_clock_that_jumps_has_no_effect(jump: float, bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    client = bed.connect()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    assert client.call_tool("echo", {"message": "hi"}, timeout=LONG).text == "hi"
    with within(), pytest.raises(MCPTimeoutError) as caught:
        client.call_tool("never", timeout=0.3)
    assert caught.value.elapsed is not None
    assert 0.3 <= caught.value.elapsed < 4


def test_a_timeout_of_zero_is_over_before_anything_is_sent(bed: Bed) -> None:
    client = bed.connect()
    for call in (client.call_tool, client.submit):
        with within(), pytest.raises(MCPTimeoutError) as caught:
            result: Any = call("echo", timeout=0)
            result.result(LONG)
        assert caught.value.outcome == "not_sent"
    with pytest.raises(MCPTimeoutError):
        list(client.stream_tool("echo", timeout=0))
    assert bed.server.tool_calls["echo"] == 0
    works(bed, client)


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("-inf"), "5", True])
def test_what_is_no_number_of_seconds_is_a_value_error(wrong: Any, bed: Bed) -> None:
    client = bed.connect()
    for call in (client.call_tool, client.stream_tool, client.submit):
        with pytest.raises(ValueError, match="timeout") as caught:
            call("echo", timeout=wrong)
        assert isinstance(caught.value, MCPUsageError)
    assert bed.server.tool_calls["echo"] == 0


@pytest.mark.parametrize("forever", [float("inf"), 1e10, 2**80])
def test_a_timeout_of_any_size_is_waited_out(forever: float, bed: Bed) -> None:
    client = bed.connect(timeout=forever)
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    assert client.call_tool("progress", on_progress=lambda progress: None).text == "3 steps"
    assert len(list(client.stream_tool("progress"))) == 4
    assert client.submit("echo", {"message": "hi"}).result(LONG).text == "hi"
    client.close(timeout=forever)


def test_a_timeout_of_none_is_the_clients_own(bed: Bed) -> None:
    client = bed.connect()
    client.close()
    hasty = bed.connect(timeout=1.0)
    with within(6), pytest.raises(MCPTimeoutError, match=r"1 s"):
        hasty.call_tool("never", timeout=None)


assert set(ALL) == {*SHARED, *OWN}
