"""Deadlines, faults of one call among several, interruptions: faults.md, rules 1, 3, 7 and 10."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest
import requests

from mcp_sync import MCPClient, MCPClientError, MCPClosedError, MCPConnectionError, MCPTimeoutError
from tests.support.clock import AT_ONCE, LONG, within
from tests.support.fault_server import ALWAYS, Asked, FaultServer, Request, Wire, finish, hold, reset, status
from tests.support.inside import waiting
from tests.transports.streamable_http.waiting import wait_for_get_stream

Connect = Callable[..., MCPClient]


def _no_head(wire: Wire, request: Request) -> None:
    wire.hold()


def _dripped_head(wire: Wire, request: Request) -> None:
    wire.drip(b"HTTP/1.1 200 OK\r\n" + b"x-slow: y\r\n" * 1000, pause=0.05)


def _slow_json(wire: Wire, request: Request) -> None:
    wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10000\r\n\r\n")
    wire.drip(b"{" + b" " * 9998, pause=0.05)


def _slow_error(wire: Wire, request: Request) -> None:
    wire.send(b"HTTP/1.1 500 No\r\ncontent-type: text/plain\r\ncontent-length: 10000\r\n\r\n")
    wire.drip(b"x" * 9999, pause=0.05)


def _silent_stream(wire: Wire, request: Request) -> None:
    wire.stream()
    wire.hold()


def _pings(wire: Wire, request: Request) -> None:
    stream = wire.stream()
    while not wire.server.closing.wait(0.02):
        stream.comment()


def _progress(wire: Wire, request: Request) -> None:
    stream = wire.stream()
    token = (request.messages[0]["params"].get("_meta") or {}).get("progressToken", "?")
    while not wire.server.closing.wait(0.02):
        params = {"progressToken": token, "progress": 1}
        stream.message({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})


SLOW = [_no_head, _dripped_head, _slow_json, _slow_error, _silent_stream, _pings, _progress]


@pytest.mark.parametrize("shows", ["result", "progress", "stream"])
@pytest.mark.parametrize("slow", SLOW, ids=[slow.__name__.strip("_") for slow in SLOW])
def test_a_call_ends_at_its_deadline_whatever_drips_in_and_is_cancelled(
    slow: Any, shows: str, server: FaultServer, client: MCPClient
) -> None:
    wait_for_get_stream(server, client)
    server.instead("tools/call", slow)
    with within(), pytest.raises(MCPClientError) as caught:
        if shows == "stream":
            with client.stream_tool("echo", timeout=0.4) as stream:
                list(stream)
        else:
            client.call_tool("echo", timeout=0.4, on_progress=print if shows == "progress" else None)
    error = caught.value
    assert error.outcome == "unknown"
    if slow is not _slow_error:
        assert isinstance(error, MCPTimeoutError)
        assert isinstance(error, TimeoutError)
        (note,) = server.wait_for_method("notifications/cancelled")
        assert note["params"]["requestId"] == error.request_id == server.sent("tools/call")[0]["id"]
    assert server.tool_calls["echo"] == 1
    assert waiting(client) == 0
    assert client.call_tool("echo", {"message": "next"}).text == "next"


@pytest.mark.parametrize("behaviour", [finish, reset], ids=["FIN", "RST"])
@pytest.mark.parametrize("shows", ["result", "progress"])
def test_one_call_of_eight_is_reset_and_seven_are_answered(
    shows: str, behaviour: Any, server: FaultServer, client: MCPClient
) -> None:
    arrived = threading.Barrier(8)

    def together(wire: Wire, request: Request) -> None:
        arrived.wait(10)
        if request.messages[0]["params"]["arguments"]["message"] == "3":
            behaviour(wire, request)
        else:
            server.serve(wire, request)

    server.instead("tools/call", together, 8)

    def call(number: int) -> str:
        on_progress = print if shows == "progress" else None
        return client.call_tool("echo", {"message": str(number)}, timeout=LONG, on_progress=on_progress).text

    with ThreadPoolExecutor(8) as pool, within(10):
        calls = [pool.submit(call, number) for number in range(8)]
        error = calls.pop(3).exception(LONG)
        assert [call.result(LONG) for call in calls] == ["0", "1", "2", "4", "5", "6", "7"]
    assert isinstance(error, MCPConnectionError)
    assert error.outcome == "unknown"
    assert server.tool_calls["echo"] == 8
    assert client.connected
    assert len(server.sent("initialize")) == 1


@pytest.mark.parametrize("answers", ["json", "sse"])
def test_eight_threads_get_each_its_own_answers(answers: str, server: FaultServer, client: MCPClient) -> None:
    server.answers = answers
    arrived = threading.Barrier(8)
    start = threading.Barrier(8)

    def meet(asked: Asked) -> None:
        arrived.wait(10)  # all eight are under way at once
        asked.text(str(asked.arguments["message"]))

    server.tools["meet"] = meet

    def call(number: int) -> list[str]:
        start.wait(10)
        texts = [client.call_tool("meet", {"message": f"{number}"}, timeout=LONG).text]
        texts += [client.call_tool("echo", {"message": f"{number}-{turn}"}, timeout=LONG).text for turn in range(20)]
        return texts

    with ThreadPoolExecutor(8) as pool, within(20):
        results = list(pool.map(call, range(8)))
    for number, texts in enumerate(results):
        assert texts == [str(number), *(f"{number}-{turn}" for turn in range(20))]
    ids = [message["id"] for message in server.sent("tools/call")]
    assert len(set(ids)) == len(ids) == 8 * 21


def test_a_500_is_one_calls_error(server: FaultServer, client: MCPClient) -> None:
    slow = [client.submit("slow", timeout=LONG) for _ in range(3)]
    server.wait_for_call("slow", 3)
    server.instead("tools/call", status(500))
    with pytest.raises(MCPConnectionError):
        client.call_tool("echo")
    server.gate.set()
    assert [call.result(LONG).text for call in slow] == ["slow"] * 3


# Interruptions


def interrupt_when_called(server: FaultServer, name: str) -> threading.Thread:
    """Ctrl-C in the main thread, once the tool was called."""

    def interrupt() -> None:
        server.wait_for_call(name)
        # One that comes when the interpreter has looked for signals, and is about to wait for the socket, is only seen
        # when that wait is over.
        server.closing.wait(0.1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    return thread


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system has no pthread_kill")
@pytest.mark.parametrize("shows", ["result", "progress", "stream"])
@pytest.mark.parametrize("slow", [_no_head, _silent_stream, _pings], ids=["no head", "silent", "pings"])
def test_ctrl_c_in_a_call_is_a_keyboard_interrupt_and_the_client_goes_on(
    slow: Any, shows: str, server: FaultServer, client: MCPClient
) -> None:
    wait_for_get_stream(server, client)
    server.instead("tools/call", slow)
    thread = interrupt_when_called(server, "echo")
    try:
        with within(), pytest.raises(KeyboardInterrupt) as caught:
            if shows == "stream":
                with client.stream_tool("echo", timeout=LONG) as stream:
                    list(stream)
            else:
                client.call_tool("echo", timeout=LONG, on_progress=print if shows == "progress" else None)
    finally:
        thread.join(10)
    assert type(caught.value) is KeyboardInterrupt
    (note,) = server.wait_for_method("notifications/cancelled")
    assert note["params"]["requestId"] == server.sent("tools/call")[0]["id"]
    assert waiting(client) == 0
    with within():
        assert client.call_tool("echo", {"message": "next"}, timeout=LONG).text == "next"
    assert len(server.sent("initialize")) == 1


@pytest.mark.parametrize("closes", [True, False], ids=["closed", "dropped"])
def test_a_stream_may_be_left_where_an_interrupt_is_handled(
    closes: bool, server: FaultServer, client: MCPClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its generator ends without a word, although an interrupt is the context of its end."""

    def work(asked: Asked) -> None:
        asked.progress(1)
        asked.wire.hold()

    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: complaints.append(unraisable.exc_value))
    server.tools["slow"] = work
    stream = client.stream_tool("slow", timeout=LONG)
    next(stream)
    with within():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            if closes:
                stream.close()
            del stream
            gc.collect()
        server.wait_for_method("notifications/cancelled")
    assert complaints == []


def test_what_on_progress_raises_ends_the_call_and_cancels_the_tool(server: FaultServer, client: MCPClient) -> None:
    def work(asked: Asked) -> None:
        asked.progress(1)
        asked.wire.hold()

    class Enough(Exception):
        pass

    def stop(progress: Any) -> None:
        raise Enough

    server.tools["work"] = work
    with within(), pytest.raises(Enough):
        client.call_tool("work", timeout=LONG, on_progress=stop)
    assert server.wait_for_method("notifications/cancelled")
    assert client.call_tool("echo", {"message": "next"}).text == "next"


@pytest.mark.parametrize("way", ["cancel", "leave"])
def test_a_stream_that_is_left_is_cancelled(way: str, server: FaultServer, client: MCPClient) -> None:
    def work(asked: Asked) -> None:
        asked.progress(1)
        asked.wire.hold()

    server.tools["work"] = work
    with within(), client.stream_tool("work", timeout=LONG) as stream:
        next(stream)
        if way == "cancel":
            stream.cancel()
            assert list(stream) == []
    (note,) = server.wait_for_method("notifications/cancelled")
    assert note["params"]["requestId"] == server.sent("tools/call")[0]["id"]
    assert client.call_tool("echo", {"message": "next"}).text == "next"


def test_a_future_that_is_cancelled_while_it_runs_stops_the_tool(server: FaultServer, client: MCPClient) -> None:
    server.instead("tools/call", hold)
    future = client.submit("echo", timeout=LONG)
    server.wait_for_call("echo")
    with within():
        assert future.cancel()
    assert server.wait_for_method("notifications/cancelled")


@pytest.mark.parametrize("slow", [_no_head, _silent_stream, _pings], ids=["no head", "silent", "pings"])
@pytest.mark.parametrize("shows", ["result", "progress"])
def test_close_wakes_every_call_at_once(slow: Any, shows: str, server: FaultServer, client: MCPClient) -> None:
    server.instead("tools/call", slow, ALWAYS)
    with ThreadPoolExecutor(4) as pool:
        on_progress = print if shows == "progress" else None
        calls = [pool.submit(client.call_tool, "echo", timeout=LONG, on_progress=on_progress) for _ in range(4)]
        server.wait_for_call("echo", 4)
        with within(2.5):
            client.close()
            errors = [call.exception(AT_ONCE) for call in calls]
    for error in errors:
        assert isinstance(error, MCPClosedError)
        assert error.outcome == "unknown"
    assert len({id(error) for error in errors}) == 4
    assert server.count("DELETE") == 1


@pytest.mark.parametrize("answers", ["json", "sse"])
def test_an_answer_is_read_by_the_caller_itself(
    answers: str, server: FaultServer, client: MCPClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = answers
    wait_for_get_stream(server, client)
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def note(thread: threading.Thread) -> None:
        if thread.name.startswith("mcp-sync-"):
            started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", note)
    assert client.call_tool("echo", {"message": "hi"}, timeout=LONG).text == "hi"
    assert [thread.name for thread in started if thread.name != "mcp-sync-watch"] == []


def test_a_session_that_the_user_brought_ends_with_its_own_close_whatever_went_wrong(
    server: FaultServer, connect: Connect
) -> None:
    kept: list[MCPClientError] = []
    gc.disable()
    try:
        with requests.Session() as session:
            client = connect(session=session, timeout=LONG)
            for fault in (status(500, "no"), reset, finish, hold):
                server.instead("tools/call", fault)
                with pytest.raises(MCPClientError) as caught:
                    client.call_tool("echo", timeout=0.3)
                kept.append(caught.value)  # a caller may keep an error, which must not keep a socket
            client.map("echo", [{"message": str(number)} for number in range(4)])
            client.close()
        server.wait_until(lambda: not server._wires, "the end of every connection")
    finally:
        gc.enable()
    assert len(kept) == 4
