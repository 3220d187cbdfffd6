"""ToolStream: a tool call as an iterator that ends by itself."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mcp_sync import (
    CallToolResult,
    LogMessage,
    MCPCancelledError,
    MCPClient,
    MCPServerError,
    MCPTimeoutError,
    Notification,
    Progress,
    ToolError,
)
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked, FaultServer


def talk(asked: Asked) -> None:
    asked.progress(1, 2, "one")
    asked.log("text", "warning")
    asked.send({"jsonrpc": "2.0", "method": "notifications/custom", "params": {"x": 1}})
    asked.progress(2, 2)
    asked.text("done")


def test_it_yields_what_comes_in_order_and_the_result_last(server: FaultServer, client: MCPClient) -> None:
    server.tools["talk"] = talk
    events = list(client.stream_tool("talk"))
    assert [type(event) for event in events] == [Progress, LogMessage, Notification, Progress, CallToolResult]
    one, log, custom, two, result = events
    assert isinstance(one, Progress)
    assert (one.progress, one.total, one.message, one.fraction) == (1, 2, "one", 0.5)
    assert isinstance(log, LogMessage)
    assert (log.level, log.data) == ("warning", "text")
    assert isinstance(custom, Notification)
    assert (custom.method, custom.params) == ("notifications/custom", {"x": 1})
    assert isinstance(two, Progress)
    assert two.message is None
    assert isinstance(result, CallToolResult)
    assert result.text == "done"


def test_it_ends_by_itself_and_stays_ended(server: FaultServer, client: MCPClient) -> None:
    stream = client.stream_tool("progress", {"count": 2})
    assert len(list(stream)) == 3
    assert list(stream) == []
    assert stream.result.text == "2 steps"
    assert stream.events_received == 2
    assert repr(stream) == "<ToolStream 'progress', over, 2 events>"


def test_nothing_is_sent_before_it_is_begun(server: FaultServer, client: MCPClient) -> None:
    stream = client.stream_tool("echo")
    assert repr(stream) == "<ToolStream 'echo', not started, 0 events>"
    stream.close()
    assert list(stream) == []
    client.ping()
    assert server.tool_calls["echo"] == 0


def test_the_result_can_be_asked_for_at_once(server: FaultServer, client: MCPClient) -> None:
    with client.stream_tool("progress") as stream:
        assert stream.result.text == "3 steps"
        assert stream.result is stream.result


def test_each_event_is_there_when_it_comes_and_not_at_the_end(server: FaultServer, client: MCPClient) -> None:
    gates = [threading.Event() for _ in range(3)]

    def step(asked: Asked) -> None:
        for number, gate in enumerate(gates):
            asked.wait(gate)
            asked.progress(number + 1)
        asked.text("done")

    server.tools["step"] = step
    with client.stream_tool("step", timeout=LONG) as stream, within():
        for number, gate in enumerate(gates):
            gate.set()
            event = next(stream)
            assert isinstance(event, Progress)
            assert event.progress == number + 1
        assert stream.result.text == "done"


def test_leaving_the_block_early_cancels_the_tool(server: FaultServer, client: MCPClient) -> None:
    def half(asked: Asked) -> None:
        asked.progress(1)

    server.tools["half"] = half
    with within(), client.stream_tool("half", timeout=LONG) as stream:
        next(stream)
    (note,) = server.wait_for_method("notifications/cancelled")
    assert note["params"]["requestId"] == server.sent("tools/call")[0]["id"]
    assert list(stream) == []
    with pytest.raises(MCPCancelledError):
        stream.result  # noqa: B018  # the property is the test


def test_leaving_the_block_by_an_exception_cancels_the_tool(server: FaultServer, client: MCPClient) -> None:
    def half(asked: Asked) -> None:
        asked.progress(1)

    server.tools["half"] = half
    with pytest.raises(ZeroDivisionError), client.stream_tool("half", timeout=LONG) as stream:
        next(stream)
        1 / 0  # noqa: B018
    server.wait_for_method("notifications/cancelled")


def test_a_finished_stream_cancels_nothing(server: FaultServer, client: MCPClient) -> None:
    with client.stream_tool("progress") as stream:
        list(stream)
        stream.cancel()
    stream.close()
    client.ping()
    assert server.sent("notifications/cancelled") == []


def test_cancel_from_another_thread_ends_the_iteration(server: FaultServer, client: MCPClient) -> None:
    stream = client.stream_tool("never", timeout=LONG)
    with ThreadPoolExecutor(1) as pool, within():
        reading = pool.submit(list, stream)
        server.wait_for_call("never")
        stream.cancel()
        stream.cancel()
        assert reading.result(10) == []
    assert stream.cancelled
    server.wait_for_method("notifications/cancelled")
    with pytest.raises(MCPCancelledError):
        stream.result  # noqa: B018  # the property is the test


def test_cancel_before_the_start_sends_nothing(server: FaultServer, client: MCPClient) -> None:
    stream = client.stream_tool("echo")
    stream.cancel()
    assert list(stream) == []
    client.ping()
    assert server.tool_calls["echo"] == 0


def test_close_from_another_thread_ends_the_iteration(server: FaultServer, client: MCPClient) -> None:
    stream = client.stream_tool("never", timeout=LONG)
    with ThreadPoolExecutor(1) as pool, within():
        reading = pool.submit(list, stream)
        server.wait_for_call("never")
        stream.close()
        assert reading.result(10) == []
    server.wait_for_method("notifications/cancelled")


def test_a_tool_that_fails_ends_the_iteration_with_its_error(server: FaultServer, client: MCPClient) -> None:
    stream = client.stream_tool("fail")
    with pytest.raises(ToolError, match="it failed"):
        list(stream)
    with pytest.raises(ToolError):
        stream.result  # noqa: B018  # the property is the test
    (result,) = client.stream_tool("fail", raise_on_error=False)
    assert isinstance(result, CallToolResult)
    assert result.is_error
    with pytest.raises(MCPServerError):
        list(client.stream_tool("no such tool"))


def test_a_stream_without_a_result_ends_at_its_deadline(server: FaultServer, client: MCPClient) -> None:
    stream = client.stream_tool("never", timeout=0.3)
    with within(), pytest.raises(MCPTimeoutError):
        list(stream)
    server.wait_for_method("notifications/cancelled")


def test_the_deadline_counts_from_the_first_event_that_is_asked_for(server: FaultServer, client: MCPClient) -> None:
    stream = client.stream_tool("echo", {"message": "hi"}, timeout=0.5)
    server.closing.wait(0.7)  # longer than the timeout: it must not have begun to count
    assert stream.result.text == "hi"


def test_on_progress_is_told_on_the_thread_that_iterates(server: FaultServer, client: MCPClient) -> None:
    seen: list[Any] = []
    stream = client.stream_tool("progress", on_progress=lambda p: seen.append((p.progress, threading.current_thread())))
    list(stream)
    assert seen == [(number, threading.current_thread()) for number in (1, 2, 3)]


def test_two_streams_at_once_have_their_own_progress(server: FaultServer, client: MCPClient) -> None:
    together = threading.Barrier(2)

    def step(asked: Asked) -> None:
        for number in range(50):
            asked.progress(asked.arguments["base"] + number)
            if number == 0:
                together.wait(10)
        asked.text(str(asked.arguments["base"]))

    server.tools["step"] = step

    def read(base: int) -> list[float]:
        stream = client.stream_tool("step", {"base": base}, timeout=LONG)
        return [event.progress for event in stream if isinstance(event, Progress)]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(read, [0, 1000])) == [list(range(50)), list(range(1000, 1050))]


def test_an_event_of_a_wrong_shape_is_a_notification_so_that_nothing_is_lost(
    server: FaultServer, client: MCPClient
) -> None:
    def odd(asked: Asked) -> None:
        asked.send({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": 7}})
        asked.send(
            {
                "jsonrpc": "2.0",
                "method": "notifications/progress",
                "params": {"progressToken": asked.token, "progress": "x"},
            }
        )
        asked.text("done")

    server.tools["odd"] = odd
    one, two, _ = client.stream_tool("odd")
    assert isinstance(one, Notification)
    assert isinstance(two, Notification)


def test_a_call_without_a_listener_asks_for_no_progress(server: FaultServer, client: MCPClient) -> None:
    client.call_tool("echo", {"message": "x"})
    client.call_tool("echo", {"message": "x"}, on_progress=lambda progress: None, meta={"trace": "1"})
    plain, watched = server.sent("tools/call")
    assert "_meta" not in plain["params"]
    assert watched["params"]["_meta"] == {"trace": "1", "progressToken": watched["id"]}
