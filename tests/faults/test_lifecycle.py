"""Many threads, closing, interrupting, dropping: faults.md, Concurrency and lifecycle. Over every transport first; then
what is of HTTP+SSE alone, and TLS."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPClientError, MCPClosedError, MCPConnectionError, MCPTimeoutError, MCPUsageError
from tests.conftest import open_sockets, our_threads
from tests.support.beds import HTTP, LEGACY, STREAMS, Bed, over
from tests.support.certificates import Certificates
from tests.support.clock import AT_ONCE, LONG, eventually, within
from tests.support.fault_server import ALWAYS, Asked, FaultServer, hold
from tests.support.inside import former_sessions, reconnect_after, session_of, waiting

Connect = Callable[..., MCPClient]

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


@over(*HTTP)
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


# Over HTTP+SSE alone


def test_threads_that_call_at_once_share_one_failure_each_as_its_own_error(
    server: FaultServer, make_client: Connect
) -> None:
    entered = threading.Event()
    let_go = threading.Event()

    def refuse(wire: Any, request: Any) -> None:
        entered.set()
        server.wait(let_go)
        wire.respond(403, "no")

    server.instead("GET", refuse, ALWAYS)
    client = make_client(server.sse_url, transport="sse", timeout=LONG)
    with ThreadPoolExecutor(8) as pool, within(10):
        calls = [pool.submit(client.call_tool, "echo") for _ in range(8)]
        assert entered.wait(10)
        let_go.set()
        errors = [call.exception(timeout=10) for call in calls]
    assert all(isinstance(error, MCPClientError) for error in errors)
    assert len({id(error) for error in errors}) == 8


def test_a_failed_call_leaves_no_entry_behind(server: FaultServer, client: MCPClient) -> None:
    for fault in ("never", "fail", "unknown"):
        with pytest.raises(MCPClientError):
            client.call_tool(fault, timeout=0.2)
        assert waiting(client) == 0
    with pytest.raises(MCPUsageError):
        client.call_tool("echo", {"message": object()})
    assert waiting(client) == 0


# close()


def test_close_wakes_streams_listeners_and_futures(server: FaultServer, client: MCPClient) -> None:
    events = client.listen(tools=True)
    future = client.submit("never", timeout=LONG)
    server.wait_for_call("never")
    with ThreadPoolExecutor(2) as pool:
        stream = pool.submit(lambda: list(client.stream_tool("never", timeout=LONG)))
        listener = pool.submit(list, events)
        server.wait_for_call("never", 2)
        with within():
            client.close()
            assert isinstance(stream.exception(timeout=AT_ONCE), MCPClosedError)
            assert listener.result(timeout=AT_ONCE) == []
            assert isinstance(future.exception(timeout=AT_ONCE), MCPClosedError)


def test_close_before_a_connection_is_harmless(make_client: Connect) -> None:
    client = make_client("http://127.0.0.1:9/sse")
    client.close()
    client.close()


def test_close_before_the_endpoint_event_ends_the_attempt(server: FaultServer, make_client: Connect) -> None:
    server.greet = lambda session: None
    client = make_client(server.sse_url, transport="sse", timeout=LONG)
    with ThreadPoolExecutor(1) as pool:
        attempt = pool.submit(client.connect)
        server.wait_until(lambda: bool(server.sessions), "the stream")
        with within():
            client.close()
            assert isinstance(attempt.exception(timeout=AT_ONCE), MCPClosedError)


def test_close_while_waiting_to_reconnect_ends_the_wait(server: FaultServer, connect: Connect) -> None:
    client = connect(retry_delay=LONG, max_retries=5, timeout=10 * LONG)
    server.instead("GET", lambda wire, request: wire.respond(503, "no"), ALWAYS)
    server.session.stream.reset()  # type: ignore[union-attr]
    assert session_of(client).lost.wait(10)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.ping)
        server.wait_until(lambda: sum(request.method == "GET" for request in server.requests) >= 2)
        with within():
            client.close()
            assert isinstance(call.exception(timeout=AT_ONCE), MCPClosedError)


def test_close_ends_the_stream_at_the_server_and_every_thread(server: FaultServer, client: MCPClient) -> None:
    session = server.session
    client.call_tool("echo")
    with within():
        client.close()
        assert session.gone.wait(10)
        server.wait_until(lambda: not server._wires, "all connections are closed")
    assert eventually(lambda: not our_threads(), 2.0), our_threads()


def test_the_watch_of_deadlines_ends_by_itself(server: FaultServer, client: MCPClient) -> None:
    client.call_tool("echo")
    client.close()
    assert eventually(lambda: all(thread.name != "mcp-sync-watch" for thread in threading.enumerate()))


def test_sessions_that_are_lost_again_and_again_leave_nothing(
    server: FaultServer, client: MCPClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconnect_after(monkeypatch, 0.0)
    client.ping()
    threads, sockets = len(our_threads()), open_sockets()
    for _ in range(30):
        session = session_of(client)
        server.session.stream.reset()  # type: ignore[union-attr]
        assert session.lost.wait(10)
        client.ping(timeout=LONG)
    server.wait_until(lambda: len(server._wires) <= 2, "one stream and one connection for commands are open")
    assert eventually(lambda: len(our_threads()) <= threads and open_sockets() <= sockets), our_threads()
    assert former_sessions(client) == 0


# Ctrl-C


def signal_when(condition: Callable[[], object]) -> threading.Thread:
    """Send SIGINT to the main thread once ``condition`` has come about."""

    def run() -> None:
        condition()
        time.sleep(0.1)  # one that comes just before a system call is not handled until that returns
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_ctrl_c_while_a_post_hangs_is_a_plain_keyboard_interrupt(server: FaultServer, client: MCPClient) -> None:
    server.instead("tools/call", hold)
    thread = signal_when(lambda: server.wait_for_call("echo"))
    with within(), pytest.raises(KeyboardInterrupt):
        client.call_tool("echo", timeout=LONG)
    thread.join(10)
    assert waiting(client) == 0
    assert client.call_tool("echo", {"message": "next"}).text == "next"


def test_ctrl_c_in_a_stream_cancels_the_tool(server: FaultServer, client: MCPClient) -> None:
    thread = signal_when(lambda: server.wait_for_call("never"))
    with within(), pytest.raises(KeyboardInterrupt):
        list(client.stream_tool("never", timeout=LONG))
    thread.join(10)
    server.wait_for_method("notifications/cancelled")
    assert client.call_tool("echo", {"message": "next"}).text == "next"


def test_ctrl_c_while_connecting_leaves_a_client_that_can_connect(server: FaultServer, make_client: Connect) -> None:
    server.instead("GET", hold)
    client = make_client(server.sse_url, transport="sse", timeout=LONG)
    thread = signal_when(lambda: server.wait_until(lambda: bool(server.requests), "the GET"))
    with within(), pytest.raises(KeyboardInterrupt):
        client.connect()
    thread.join(10)
    with within():
        assert client.call_tool("echo", {"message": "next"}).text == "next"


def test_ctrl_c_while_another_threads_call_waits_leaves_that_alone(server: FaultServer, client: MCPClient) -> None:
    slow = client.submit("slow", timeout=LONG)
    server.wait_for_call("slow")
    thread = signal_when(lambda: server.wait_for_call("never"))
    with within(), pytest.raises(KeyboardInterrupt):
        client.call_tool("never", timeout=LONG)
    thread.join(10)
    server.gate.set()
    assert slow.result(timeout=LONG).text == "slow"


# No thread to give


@pytest.mark.parametrize("which", ["mcp-sync-reader", "mcp-sync-watch"])
def test_a_thread_that_cannot_start_is_a_connection_error_that_leaves_nothing(
    which: str, server: FaultServer, make_client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert eventually(lambda: all(thread.name != "mcp-sync-watch" for thread in threading.enumerate()))
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name == which:
            raise RuntimeError("can't start new thread")
        start(self)

    client = make_client(server.sse_url, transport="sse", timeout=LONG)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with within(), pytest.raises(MCPConnectionError) as caught:
            client.connect()
        assert caught.value.outcome == "not_sent"
    assert not client.connected
    with within():
        assert client.call_tool("echo", {"message": "next"}).text == "next"


# Unusual callers


def test_it_works_from_asyncio_to_thread(server: FaultServer, client: MCPClient) -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        results = await asyncio.gather(
            *(loop.run_in_executor(None, client.call_tool, "echo", {"message": str(n)}) for n in range(5))
        )
        return [result.text for result in results]

    assert asyncio.run(main()) == [str(n) for n in range(5)]


def _drop(made: list[MCPClient]) -> None:
    """Drop the last reference to a client."""
    made.clear()
    gc.collect()


def test_a_dropped_client_is_collected_with_a_warning_and_leaves_nothing(server: FaultServer) -> None:
    client = MCPClient(server.sse_url, transport="sse").connect()
    session = server.session
    gone = weakref.ref(client)
    made = [client]
    del client
    with within(), pytest.warns(ResourceWarning, match="was not closed"):
        _drop(made)
    assert gone() is None
    assert session.gone.wait(5)


def test_a_dropped_client_with_handlers_and_calls_behind_it_is_collected(server: FaultServer) -> None:
    def use() -> weakref.ref[MCPClient]:
        client = MCPClient(server.sse_url, transport="sse", notification_handler=lambda notification: None)
        client.list_tools()
        assert client.tools.echo(message="hi") == "hi"
        assert client.submit("echo", {"message": "hi"}).result(10).text == "hi"
        list(client.stream_tool("progress"))
        return weakref.ref(client)

    def use_and_collect() -> weakref.ref[MCPClient]:
        gone = use()
        gc.collect()
        return gone

    with within(), pytest.warns(ResourceWarning):
        gone = use_and_collect()
    assert gone() is None
    server.wait_until(lambda: not server._wires, "all connections are closed")


def test_a_client_that_never_connected_is_dropped_in_silence() -> None:
    client = MCPClient("http://127.0.0.1:9/sse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del client
        gc.collect()


# Over TLS


@pytest.fixture
def secure(certificates: Certificates, make_client: Connect) -> Iterator[tuple[FaultServer, MCPClient]]:
    """A server with a certificate, and a client connected to it."""
    with FaultServer(tls=certificates.good()) as server:
        yield server, make_client(server.sse_url, transport="sse", verify=certificates.ca_path).connect()


def test_close_wakes_who_waits_over_tls(secure: tuple[FaultServer, MCPClient]) -> None:
    server, client = secure
    server.instead("tools/call", hold)
    with ThreadPoolExecutor(2) as pool:
        held = pool.submit(client.call_tool, "echo", timeout=LONG)
        waits = pool.submit(client.call_tool, "never", timeout=LONG)
        server.wait_until(lambda: sum(server.tool_calls.values()) == 2)
        with within():
            client.close()
            assert isinstance(held.exception(AT_ONCE), MCPClosedError)
            assert isinstance(waits.exception(AT_ONCE), MCPClosedError)


@pytest.mark.parametrize("how", ["reset", "cut", "end"])
def test_a_stream_lost_over_tls_wakes_who_waits_and_is_opened_again(
    how: str, secure: tuple[FaultServer, MCPClient]
) -> None:
    server, client = secure
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(client.call_tool, "never", timeout=LONG)
        server.wait_for_call("never")
        with within():
            getattr(server.session.stream, how)()
            assert isinstance(waits.exception(AT_ONCE), MCPConnectionError)
    assert client.call_tool("echo", {"message": "again"}, timeout=LONG).text == "again"


def test_deadlines_hold_over_tls(secure: tuple[FaultServer, MCPClient]) -> None:
    server, client = secure
    server.instead("tools/call", hold)
    with within(), pytest.raises(MCPTimeoutError):
        client.call_tool("echo", timeout=0.3)
    with within(), pytest.raises(MCPTimeoutError):
        client.call_tool("never", timeout=0.3)
    assert client.call_tool("echo", {"message": "x" * 300_000}, timeout=LONG).text == "x" * 300_000
