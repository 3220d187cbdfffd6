"""The GET stream, which is optional, and never waited for: quirks.md, C (2025-11-25, Listening for Messages)."""

from __future__ import annotations

import json
import queue
import threading
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, Progress
from mcp_sync.transports.get_stream import GetStream
from mcp_sync.transports.sse import Framer
from tests.support.certificates import Certificates
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, Asked, FaultServer, finish, hold, reset, status
from tests.support.inside import get_stream_is_open, get_stream_settled, resume_after, session_of
from tests.transports.streamable_http.waiting import wait_for_get_stream, wait_for_requests

Connect = Callable[..., MCPClient]


def test_it_is_asked_for_with_its_own_media_type_alone(server: FaultServer, client: MCPClient) -> None:
    wait_for_get_stream(server, client)
    (get,) = [request for request in server.requests if request.method == "GET"]
    assert get.headers["accept"] == "text/event-stream"
    assert "last-event-id" not in get.headers
    assert get.body == b""


@pytest.mark.parametrize("code", [400, 401, 404, 405, 406, 409, 500])
def test_a_server_without_one_is_asked_once_and_nobody_hears_of_it(
    code: int, server: FaultServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server.instead("GET", status(code, "<h1>no</h1>", {"content-type": "text/html"}), ALWAYS)
    with within():
        client = connect(timeout=LONG)
        wait_for_requests(server, "GET")
        assert client.call_tool("echo", {"message": "hi"}).text == "hi"
        assert get_stream_settled(client, 10)
        assert client.call_tool("echo", {"message": "hi"}).text == "hi"
        client.close()
    assert server.count("GET") == 1
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def test_a_200_that_is_no_stream_is_no_stream(server: FaultServer, connect: Connect) -> None:
    server.instead("GET", status(200, "<h1>Welcome</h1>", {"content-type": "text/html"}), ALWAYS)
    client = connect()
    wait_for_requests(server, "GET")
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    assert client.connected
    assert server.count("GET") == 1


@pytest.mark.parametrize("with_handlers", [False, True])
def test_a_head_that_never_comes_holds_nothing_up_and_close_neither(
    with_handlers: bool, server: FaultServer, connect: Connect
) -> None:
    server.instead("GET", hold, ALWAYS)
    with within():
        client = connect(timeout=LONG, **({"roots": ["file:///a"]} if with_handlers else {}))
        wait_for_requests(server, "GET")
        assert client.call_tool("echo", {"message": "hi"}).text == "hi"
        results = client.map("echo", [{"message": str(number)} for number in range(8)])
        assert [result.text for result in results] == [str(number) for number in range(8)]
    with within(2.0):
        client.close()
    assert server.count("DELETE") == 1


def test_what_the_server_says_there_reaches_the_handlers(server: FaultServer, connect: Connect) -> None:
    heard: list[Any] = []
    both = threading.Event()

    def hear(item: Any) -> None:
        heard.append(item)
        if len(heard) == 2:
            both.set()

    def hear_custom(note: Any) -> None:
        if note.method == "x/y":
            hear(note)

    client = connect(log_handler=hear, notification_handler=hear_custom)
    wait_for_get_stream(server, client)
    server.session.notify("notifications/message", {"level": "error", "data": "help"})
    server.session.notify("x/y", {"unknown": [1]})
    assert both.wait(10)
    assert heard[0].data == "help"
    assert heard[1].params == {"unknown": [1]}


def test_what_the_server_asks_there_is_answered(server: FaultServer, connect: Connect) -> None:
    client = connect(roots=["file:///work"])
    wait_for_get_stream(server, client)
    with within():
        assert server.session.ask("roots/list")["result"] == {"roots": [{"uri": "file:///work"}]}
        assert server.session.ask("ping", id=0)["result"] == {}
        assert server.session.ask("sampling/createMessage")["error"]["code"] == -32601


def test_a_server_that_asks_at_once_can_when_the_first_call_comes(server: FaultServer, connect: Connect) -> None:
    def work(asked: Asked) -> None:
        assert asked.session.stream is not None, "the GET stream is not open yet"
        asked.text(str(asked.session.ask("roots/list")["result"]["roots"]))

    server.tools["work"] = work
    client = connect(roots=["file:///work"])
    with within():
        assert "file:///work" in client.call_tool("work", timeout=LONG).text


def test_it_is_on_its_way_before_the_first_call(
    server: FaultServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = GetStream._read_once
    may_begin = threading.Event()

    def held_up(stream: GetStream, framer: Framer) -> Any:
        may_begin.wait(10)
        return read(stream, framer)

    monkeypatch.setattr(GetStream, "_read_once", held_up)
    scheduler = threading.Timer(0.1, may_begin.set)
    scheduler.start()
    with within():
        client = connect(timeout=LONG)
    scheduler.join()
    # The server cannot say: requests on two connections reach it in any order.
    transport: Any = session_of(client).transport
    assert transport._get_stream._departed.is_set()


@pytest.mark.parametrize("answers", ["json", "sse"])
def test_progress_that_comes_there_is_seen_before_the_answer(
    answers: str, server: FaultServer, client: MCPClient
) -> None:
    server.answers = answers
    gate = threading.Event()

    def work(asked: Asked) -> None:
        asked.session.notify("notifications/progress", {"progressToken": asked.token, "progress": 1})
        server.wait(gate)  # opened by who has seen the progress
        asked.text("result")

    server.tools["work"] = work
    wait_for_get_stream(server, client)
    with within():
        assert client.call_tool("work", timeout=LONG, on_progress=lambda progress: gate.set()).text == "result"
    gate.clear()
    kinds = []
    with within(), client.stream_tool("work", timeout=LONG) as stream:
        for event in stream:
            kinds.append(type(event).__name__)
            gate.set()
    assert kinds == ["Progress", "CallToolResult"]


def test_log_messages_that_come_there_during_a_call_are_its_streams(server: FaultServer, client: MCPClient) -> None:
    gate = threading.Event()

    def work(asked: Asked) -> None:
        asked.session.notify("notifications/message", {"level": "info", "data": "half"})
        server.wait(gate)
        asked.text("result")

    server.tools["work"] = work
    wait_for_get_stream(server, client)
    seen: list[Any] = []
    with within(), client.stream_tool("work", timeout=LONG) as stream:
        for event in stream:
            seen.append(event)
            gate.set()
    assert seen[0].data == "half"
    assert seen[1].text == "result"


def test_an_answer_that_comes_there_is_taken_too(server: FaultServer, client: MCPClient) -> None:
    def work(asked: Asked) -> None:
        content = {"content": [{"type": "text", "text": "by GET"}]}
        asked.session.send({"jsonrpc": "2.0", "id": asked.id, "result": content})
        asked.wire.hold()

    server.tools["work"] = work
    wait_for_get_stream(server, client)
    with within():
        assert client.call_tool("work", timeout=LONG).text == "by GET"
    assert server.tool_calls["work"] == 1


@pytest.mark.parametrize("end", ["cut", "reset"])
def test_when_it_breaks_it_is_opened_again_and_calls_go_on(end: str, server: FaultServer, client: MCPClient) -> None:
    wait_for_get_stream(server, client)
    stream = server.session.stream
    assert stream is not None
    stream.event({"jsonrpc": "2.0", "method": "x/y"}, id="7", retry=100)
    slow = client.submit("slow", timeout=LONG)
    server.wait_for_call("slow")
    getattr(stream, end)()
    wait_for_requests(server, "GET", 2)
    again = [request for request in server.requests if request.method == "GET"][1]
    assert again.headers["last-event-id"] == "7"
    server.gate.set()
    assert slow.result(LONG).text == "slow"
    assert client.connected
    assert len(server.sent("initialize")) == 1


@pytest.mark.parametrize("behaviour", [finish, reset], ids=["FIN", "RST"])
def test_when_it_never_comes_it_is_asked_for_a_few_times_and_further_apart(
    behaviour: Any, server: FaultServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    resume_after(monkeypatch, 0.05)
    server.instead("GET", behaviour, ALWAYS)
    client = connect()
    assert get_stream_settled(client, 20)
    times = server.times("GET")
    assert len(times) == 6
    pauses = [later - sooner for sooner, later in zip(times, times[1:])]
    assert all(pause >= least for pause, least in zip(pauses, (0.05, 0.1, 0.2, 0.4, 0.8)))
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"


def test_retry_0_and_the_end_again_and_again_is_no_storm(server: FaultServer, connect: Connect) -> None:
    def end_at_once(wire: Any, request: Any) -> None:
        stream = wire.stream()
        stream.event(None, event=None, retry=0)
        stream.end()

    server.instead("GET", end_at_once, ALWAYS)
    client = connect()
    wait_for_requests(server, "GET", 3)
    times = server.times("GET")
    assert times[1] - times[0] >= 0.48
    assert times[2] - times[1] >= 0.98
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    client.close()
    assert server.count("GET") <= 4


def test_a_frame_there_that_is_no_json_is_skipped(server: FaultServer, connect: Connect) -> None:
    heard = threading.Event()
    client = connect(notification_handler=lambda note: heard.set())
    wait_for_get_stream(server, client)
    stream = server.session.stream
    assert stream is not None
    stream.event("{nonsense")
    stream.event("")
    server.session.notify("x/y")
    assert heard.wait(10)
    assert server.count("GET") == 1


def test_a_flood_of_progress_there_does_not_lose_the_answer(server: FaultServer, client: MCPClient) -> None:
    def work(asked: Asked) -> None:
        for number in range(2000):
            asked.session.notify("notifications/progress", {"progressToken": asked.token, "progress": number})
        asked.text("result")

    server.tools["work"] = work
    wait_for_get_stream(server, client)
    seen: list[Progress] = []
    with within(10):
        assert client.call_tool("work", timeout=LONG, on_progress=seen.append).text == "result"
    assert [item.progress for item in seen] == sorted(item.progress for item in seen)
    assert seen


# Its thread


def readers() -> int:
    return sum(thread.name == "mcp-sync-reader" for thread in threading.enumerate())


def test_one_thread_reads_it_until_the_client_is_closed(server: FaultServer, connect: Connect) -> None:
    heard: queue.Queue[object] = queue.Queue()
    client = connect(log_handler=lambda record: heard.put(record.data), roots=["file:///work"])
    wait_for_get_stream(server, client)
    for count in range(3):
        assert readers() == 1
        server.session.notify("notifications/message", {"level": "error", "data": count})
        assert heard.get(timeout=10) == count
        with within():
            assert server.session.ask("ping", id=0)["result"] == {}
    assert server.count("GET") == 1
    assert get_stream_is_open(client)
    with within():
        client.close()
    assert not get_stream_is_open(client)
    assert readers() == 0


def test_what_comes_in_pieces_is_put_together(server: FaultServer, connect: Connect) -> None:
    heard: queue.Queue[object] = queue.Queue()
    client = connect(log_handler=lambda record: heard.put(record.data))
    wait_for_get_stream(server, client)
    message = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x" * 100_000}}
    event = b"data: " + json.dumps(message).encode() + b"\n\n"
    stream = server.session.stream
    assert stream is not None
    for start, stop in ((0, 7), (7, 60_000), (60_000, len(event))):
        stream.send(event[start:stop])
    assert heard.get(timeout=10) == "x" * 100_000


def test_over_tls_it_is_read_too(certificates: Certificates, make_client: Connect) -> None:
    heard: queue.Queue[object] = queue.Queue()
    with FaultServer("http", tls=certificates.good()) as server, within():
        client = make_client(
            server.mcp_url,
            transport="http",
            verify=certificates.ca_path,
            log_handler=lambda record: heard.put(record.data),
        )
        client.connect()
        wait_for_get_stream(server, client)
        for count in range(3):
            server.session.notify("notifications/message", {"level": "error", "data": count})
            assert heard.get(timeout=10) == count
        client.close()


class NoThread(threading.Thread):
    """A thread of the stream's that does not start, because of ``failure``."""

    failure: BaseException = RuntimeError("can't start new thread")

    def start(self) -> None:
        if self.name == "mcp-sync-reader":
            raise self.failure
        super().start()


def test_where_no_thread_can_be_started_calls_go_on_without_the_stream(
    server: FaultServer, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mcp_sync.transports.get_stream.threading.Thread", NoThread)
    with within():
        client = connect(timeout=LONG, close_timeout=LONG)
        assert client.call_tool("echo", {"message": "hi"}).text == "hi"
        assert not get_stream_is_open(client)
        client.close()
    assert "no thread could be started for the server's own messages" in caplog.text
    assert server.count("GET") == 0


def test_an_interrupt_before_its_thread_is_started_keeps_close_from_nothing(
    server: FaultServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(NoThread):
        failure = KeyboardInterrupt()

    monkeypatch.setattr("mcp_sync.transports.get_stream.threading.Thread", Interrupted)
    with within(), pytest.raises(KeyboardInterrupt):
        connect(timeout=LONG, close_timeout=LONG)
    wait_for_requests(server, "DELETE")
