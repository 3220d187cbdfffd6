"""Closing, interrupting, many threads, and a server that asks, over every transport: faults.md, Concurrency and
lifecycle, and Server-initiated requests."""

from __future__ import annotations

import json
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPClientError, MCPClosedError, MCPConnectionError, MCPHandshakeError, MCPTimeoutError
from tests.support.beds import HTTP, LEGACY, OWN, STREAMS, Bed, over
from tests.support.clock import AT_ONCE, LONG, within
from tests.support.fault_server import ALWAYS, Asked, hold

SAMPLE = {"role": "assistant", "content": {"type": "text", "text": "4"}, "model": "abacus"}
SAMPLE_PARAMS = {"messages": [{"role": "user", "content": {"type": "text", "text": "2 + 2?"}}], "maxTokens": 10}


# Many at once


def test_64_threads_each_get_their_own_answer_at_the_same_time(bed: Bed) -> None:
    together = threading.Barrier(64)  # passes only if all 64 calls are at the server at once

    def meet(asked: Asked) -> None:
        together.wait(15)
        asked.text(asked.arguments["n"])

    bed.tool("meet", meet)
    client = bed.connect()
    names = [str(number) for number in range(64)]
    with ThreadPoolExecutor(64) as pool, within(20):
        for _ in range(2):  # the second time over connections that are kept
            assert list(pool.map(lambda n: client.call_tool("meet", {"n": n}, timeout=LONG).text, names)) == names
    assert bed.server.tool_calls["meet"] == 128
    assert bed.waiting(client) == 0


def test_threads_that_call_at_once_open_one_session(bed: Bed) -> None:
    client = bed.make(timeout=LONG)
    start = threading.Barrier(16)

    def call(number: int) -> str:
        start.wait(10)
        return client.call_tool("echo", {"message": str(number)}).text

    with ThreadPoolExecutor(16) as pool, within(10):
        assert list(pool.map(call, range(16))) == [str(number) for number in range(16)]
    assert len(bed.server.sent("initialize")) == (0 if bed.name == "stateless" else 1)
    assert len(bed.server.sent("server/discover")) <= 1
    assert bed.server.tool_calls["echo"] == 16


# close()


@pytest.mark.parametrize("shows", ["result", "progress", "stream", "future"])
def test_close_wakes_everyone_who_waits(shows: str, bed: Bed) -> None:
    client = bed.connect()

    def call() -> Any:
        if shows == "stream":
            return list(client.stream_tool("never", timeout=LONG))
        if shows == "future":
            return client.submit("never", timeout=LONG).result(LONG)
        return client.call_tool("never", timeout=LONG, on_progress=print if shows == "progress" else None)

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(call) for _ in range(8)]
        bed.server.wait_for_call("never", 8)
        with within():
            client.close()
            errors = [call.exception(timeout=AT_ONCE) for call in calls]
    assert {type(error) for error in errors} == {MCPClosedError}
    assert len({id(error) for error in errors}) == 8
    assert {error.outcome for error in errors if isinstance(error, MCPClosedError)} == {"unknown"}
    assert bed.server.tool_calls["never"] == 8


def test_close_may_be_called_twice_and_by_many(bed: Bed) -> None:
    client = bed.connect()
    start = threading.Barrier(8)

    def close() -> None:
        start.wait(10)
        client.close()

    with ThreadPoolExecutor(8) as pool, within(8):
        list(pool.map(lambda _: close(), range(8)))
        client.close()
    assert not client.connected
    with pytest.raises(MCPClosedError) as caught:
        client.call_tool("echo")
    assert caught.value.outcome == "not_sent"
    assert client.connect().call_tool("echo", {"message": "again"}).text == "again"


FIRST = {"sse": "GET", "http-json": "server/discover", "http-sse": "server/discover", "stateless": "server/discover"}


@pytest.mark.parametrize("stage", ["first", "initialize"])
def test_close_while_connecting_ends_the_attempt(stage: str, bed: Bed) -> None:
    if stage == "initialize" and bed.name != "stateless":
        bed.server.methods["initialize"] = lambda asked: None
        what = "initialize"
    else:
        what = FIRST.get(bed.name, "server/discover")
        bed.server.instead(what, hold, ALWAYS)
    client = bed.make(timeout=LONG)
    server = bed.server
    with ThreadPoolExecutor(3) as pool:
        attempts = [pool.submit(client.connect) for _ in range(3)]
        server.wait_until(lambda: any(what in (r.method, *r.rpc_methods) for r in server.requests), what, 40)
        with within():
            client.close()
            errors = [attempt.exception(timeout=AT_ONCE) for attempt in attempts]
    assert {type(error) for error in errors} == {MCPClosedError}


@over(*STREAMS)
def test_an_on_progress_may_close_the_client(bed: Bed) -> None:
    bed.tool("long", lambda asked: asked.progress(1))
    client = bed.connect()
    with within(), pytest.raises(MCPClosedError):
        client.call_tool("long", timeout=LONG, on_progress=lambda progress: client.close())


@over(*STREAMS)
def test_close_inside_the_iteration_of_a_stream_ends_it(bed: Bed) -> None:
    bed.tool("long", lambda asked: asked.progress(1))
    client = bed.connect()
    seen: list[Any] = []
    with within(), pytest.raises(MCPClosedError):
        for event in client.stream_tool("long", timeout=LONG):
            seen.append(event)
            client.close()
    assert len(seen) == 1


@over(*STREAMS)
@pytest.mark.parametrize("which", ["notification", "log", "progress"])
def test_a_handler_may_close_the_client(which: str, bed: Bed) -> None:
    closed = threading.Event()
    clients: list[MCPClient] = []

    def close(event: Any) -> None:
        clients[0].close()
        closed.set()

    def talk(asked: Asked) -> None:
        asked.progress(1)
        asked.log("x")

    bed.tool("talk", talk)
    clients.append(bed.connect(**{f"{which}_handler": close}))
    with within(), pytest.raises(MCPClosedError):
        clients[0].call_tool("talk", timeout=LONG)
    assert closed.wait(10)
    assert not clients[0].connected


@over(*LEGACY)
def test_the_handler_of_a_servers_request_may_close_the_client(bed: Bed) -> None:
    clients: list[MCPClient] = []
    closed = threading.Event()

    def sample(params: Any) -> Any:
        clients[0].close()
        closed.set()
        return SAMPLE

    def ask(asked: Asked) -> None:
        asked.session.ask("sampling/createMessage", SAMPLE_PARAMS, via=asked.send, wait=False)

    bed.tool("ask", ask)
    clients.append(bed.connect(sampling_handler=sample))
    with within(), pytest.raises(MCPClosedError):
        clients[0].call_tool("ask", timeout=LONG)
    assert closed.wait(10)


def test_close_does_not_wait_for_a_handler(bed: Bed) -> None:
    entered, go = threading.Event(), threading.Event()

    def slow(notification: Any) -> None:
        entered.set()
        go.wait(20)

    def talk(asked: Asked) -> None:
        asked.log("x")
        asked.text("done")

    bed.tool("talk", talk)
    client = bed.connect(log_handler=slow)
    client.call_tool("talk", timeout=LONG)
    assert entered.wait(10)
    try:
        with within():
            client.close()
    finally:
        go.set()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals of threads are POSIX")
@pytest.mark.parametrize("shows", ["result", "progress", "stream"])
def test_a_signal_handler_may_close_the_client_whose_call_it_interrupts(shows: str, bed: Bed) -> None:
    client = bed.connect()
    handled = threading.Event()

    def close(number: int, frame: Any) -> None:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        handled.set()
        client.close()

    before = signal.signal(signal.SIGUSR1, close)

    def send() -> None:
        bed.server.wait_for_call("never")
        # Again: one that comes just before a system call is not handled until that returns.
        for _ in range(20):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            if handled.wait(0.5):
                return

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with within(), pytest.raises(MCPClosedError):
            if shows == "stream":
                list(client.stream_tool("never", timeout=LONG))
            else:
                client.call_tool("never", timeout=LONG, on_progress=print if shows == "progress" else None)
    finally:
        thread.join(10)
        signal.signal(signal.SIGUSR1, before)


def _waits(thread: threading.Thread) -> bool:
    """Whether a thread has sent its call and waits for the answer."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        if frame.f_code.co_name == "wait" and frame.f_code.co_filename.endswith("waiter.py"):
            return True
        frame = frame.f_back
    return False


def test_ctrl_c_in_a_call_is_a_plain_keyboard_interrupt(bed: Bed) -> None:
    client = bed.connect()

    def send() -> None:
        bed.server.wait_for_call("never")
        # An interrupt before the message is out, as far as the sender knows, ends the stream over stdio.
        for _ in range(2000 if bed.is_shared else 0):
            if _waits(threading.main_thread()):
                break
            bed.server.closing.wait(0.005)
        bed.server.closing.wait(0.1)  # one that comes just before a system call is not handled until that returns
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    with within(), pytest.raises(KeyboardInterrupt) as caught:
        client.call_tool("never", timeout=LONG)
    thread.join(10)
    assert type(caught.value) is KeyboardInterrupt
    if bed.name != "stateless":
        (note,) = bed.server.wait_for_method("notifications/cancelled")
        assert note["params"]["requestId"] == bed.server.sent("tools/call")[0]["id"]
    assert bed.waiting(client) == 0
    assert client.call_tool("echo", {"message": "next"}).text == "next"


def test_clients_that_come_and_go_leave_nothing(bed: Bed) -> None:
    for _ in range(10):
        with bed.make() as client:
            client.call_tool("echo")
    bed.server.wait_until(lambda: not bed.server._wires, "all connections are closed")
    assert bed.server.tool_calls["echo"] == 10


@over(*OWN)
def test_close_while_a_post_waits_for_its_head_interrupts_it(bed: Bed) -> None:
    client = bed.connect()
    bed.server.instead("tools/call", hold)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.call_tool, "echo", timeout=LONG)
        bed.server.wait_for_call("echo")
        with within():
            client.close()
            assert isinstance(call.exception(timeout=AT_ONCE), MCPClosedError)


@pytest.mark.parametrize(
    "which", ["mcp-sync-reader", "mcp-sync-dispatcher", "mcp-sync-watch", "mcp-sync-stderr", "mcp-sync-errand"]
)
def test_without_a_thread_to_give_it_is_a_connection_error_or_no_matter(
    which: str, bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name == which:
            raise RuntimeError("can't start new thread")
        start(self)

    client = bed.make(timeout=LONG)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with within(8):
            try:
                client.call_tool("echo", {"message": "hi"})
            except MCPConnectionError as exc:
                assert exc.outcome == "not_sent"
                assert not client.connected
        with pytest.raises(MCPClientError):
            client.call_tool("never", timeout=0.3)
    with within(8):
        assert client.call_tool("echo", {"message": "next"}, timeout=LONG).text == "next"


# The handshake


@pytest.mark.parametrize("how", ["silent", "error", "empty", "unknown version", "null", "neither", "reset"])
def test_a_handshake_that_fails_is_told_and_leaves_nothing_open(how: str, bed: Bed) -> None:
    server = bed.server
    unknown = {
        "protocolVersion": "1999-01-01",
        "supportedVersions": ["1999-01-01"],
        "capabilities": {},
        "serverInfo": {"name": "s", "version": "1"},
    }
    behaviours: dict[str, Callable[[Asked], Any]] = {
        "silent": lambda asked: None,
        "error": lambda asked: asked.error(-32603, "no, \x1b[31mno\x1b[0m"),
        "empty": lambda asked: asked.answer({}),
        "unknown version": lambda asked: asked.answer(unknown),
        "null": lambda asked: asked.reply({"jsonrpc": "2.0", "id": asked.id, "result": None}),
        "neither": lambda asked: asked.reply({"jsonrpc": "2.0", "id": asked.id}),
        "reset": lambda asked: bed.break_off(asked, "reset"),
    }
    method = "server/discover" if bed.name == "stateless" else "initialize"
    server.methods[method] = behaviours[how]
    client = bed.make(timeout=1.0 if how == "silent" else LONG)
    with within(8), pytest.raises((MCPConnectionError, MCPTimeoutError)) as caught:
        client.connect()
    error = caught.value
    assert isinstance(error, MCPHandshakeError) or (how in ("silent", "reset") and bed.name in ("stateless", "stdio"))
    assert error.outcome == "not_sent"
    assert "\x1b" not in str(error) + repr(error)
    assert not client.connected
    client.close()
    server.wait_until(lambda: not server._wires, "all connections are closed")
    if bed.name in ("http-json", "http-sse") and how not in ("silent", "reset"):
        # A session id came with the answer.
        assert server.count("DELETE") == 1
    assert server.sent("notifications/initialized") == []
    assert server.sent("notifications/cancelled") == []
    # A server that does not answer the question is taken for one of the older kind.
    getattr(server, "violations", []).clear()


# A server that asks


def ask(client: MCPClient, method: str, params: Any = None) -> dict[str, Any]:
    """Have the server ask during a call; returns what it was answered."""
    arguments = {"method": method, "params": params or {}}
    answer: dict[str, Any] = json.loads(client.call_tool("ask", arguments, timeout=LONG).text)
    return answer


@over(*LEGACY)
def test_what_a_server_asks_during_a_call_is_answered_on_a_worker(bed: Bed) -> None:
    threads = []

    def sample(params: Any) -> Any:
        threads.append(threading.current_thread().name)
        return SAMPLE

    client = bed.connect(
        sampling_handler=sample,
        roots=["file:///work"],
        elicitation_handler=lambda params: {"action": "accept", "content": {"name": "me"}},
    )
    with within(8):
        assert ask(client, "sampling/createMessage", SAMPLE_PARAMS)["result"] == SAMPLE
        assert ask(client, "roots/list")["result"] == {"roots": [{"uri": "file:///work"}]}
        form = {"message": "Who?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}
        assert ask(client, "elicitation/create", form)["result"]["content"] == {"name": "me"}
        assert ask(client, "ping")["result"] == {}
    assert threads == ["mcp-sync-handler"]


@over(*LEGACY)
def test_a_handler_may_call_the_client_again(bed: Bed) -> None:
    clients: list[MCPClient] = []

    def sample(params: Any) -> Any:
        text = clients[0].call_tool("echo", {"message": "from the handler"}, timeout=LONG).text
        return {**SAMPLE, "content": {"type": "text", "text": text}}

    clients.append(bed.connect(sampling_handler=sample))
    with within():
        answer = ask(clients[0], "sampling/createMessage", SAMPLE_PARAMS)
    assert answer["result"]["content"]["text"] == "from the handler"


@over(*LEGACY)
def test_a_handler_that_takes_its_time_holds_nobody_up(bed: Bed) -> None:
    entered, go = threading.Event(), threading.Event()

    def sample(params: Any) -> Any:
        entered.set()
        go.wait(20)
        return SAMPLE

    client = bed.connect(sampling_handler=sample)
    try:
        slow = client.submit("ask", {"method": "sampling/createMessage", "params": SAMPLE_PARAMS}, timeout=LONG)
        assert entered.wait(10)
        with within():
            assert client.call_tool("echo", {"message": "meanwhile"}, timeout=LONG).text == "meanwhile"
    finally:
        go.set()
    assert json.loads(slow.result(timeout=LONG).text)["result"] == SAMPLE


class Secret(Exception):
    pass


@over(*LEGACY)
@pytest.mark.parametrize("failure", [Secret("password"), SystemExit(3), KeyboardInterrupt(), None, 7], ids=repr)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_handler_that_raises_or_returns_rubbish_is_an_internal_error_without_its_text(
    failure: Any, bed: Bed, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any) -> Any:
        if isinstance(failure, BaseException):
            raise failure
        return failure

    client = bed.connect(sampling_handler=fail)
    with caplog.at_level("CRITICAL", "mcp_sync"), within():
        answer = ask(client, "sampling/createMessage", SAMPLE_PARAMS)
    assert answer["error"]["code"] == -32603
    assert "password" not in json.dumps(answer)
    assert "Traceback" not in json.dumps(answer)
    assert client.call_tool("echo", {"message": "next"}).text == "next"


@over(*LEGACY)
@pytest.mark.parametrize("method", ["sampling/createMessage", "elicitation/create", "roots/list", "tools/list", ""])
def test_what_was_not_declared_is_refused_at_once(method: str, bed: Bed) -> None:
    client = bed.connect()
    with within():
        assert ask(client, method)["error"]["code"] == -32601


@over("http-json", "stdio")  # over HTTP+SSE: test_server_requests.py
def test_2_000_requests_at_once_meet_bounds_and_pings_pass_them(bed: Bed) -> None:
    """8 run, 64 wait, the rest is told that we are busy; a ping is answered all the same."""
    go = threading.Event()
    lock = threading.Lock()
    inside = most = 0

    def sample(params: Any) -> Any:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        go.wait(30)
        with lock:
            inside -= 1
        return SAMPLE

    client = bed.connect(sampling_handler=sample)
    session = bed.server.session
    bed.server.wait_until(lambda: session.stream is not None, "the stream for what the server asks")
    try:
        for number in range(2000):
            session.ask("sampling/createMessage", SAMPLE_PARAMS, id=number, wait=False)
        with within(20):
            session.ask("ping")
            assert client.call_tool("echo", {"message": "meanwhile"}, timeout=LONG).text == "meanwhile"
        assert sum(thread.name.startswith("mcp-sync") for thread in threading.enumerate()) < 20
    finally:
        go.set()
    answers = [session.answer_to(number) for number in range(2000) if number < 8 or number > 1990]
    assert [answer.get("result") for answer in answers[:8]] == [SAMPLE] * 8
    assert {answer.get("error", {}).get("code") for answer in answers[8:]} == {-32000}
    assert most <= 8


assert set(HTTP) - set(OWN) == {"sse"}
