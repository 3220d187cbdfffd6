"""What a server asks of us: faults.md, Server-initiated requests."""

from __future__ import annotations

import json
import logging
import threading
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient
from tests.support.beds import LEGACY, Bed, over
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked, FaultServer

Connect = Callable[..., MCPClient]
SAMPLE = {"role": "assistant", "content": {"type": "text", "text": "4"}, "model": "abacus"}
SAMPLE_PARAMS = {"messages": [{"role": "user", "content": {"type": "text", "text": "2 + 2?"}}], "maxTokens": 10}


def ask(client: MCPClient, method: str, params: Any = None, timeout: float = LONG) -> dict[str, Any]:
    """Have the server ask during a call; returns what it was answered."""
    arguments = {"method": method, "params": params or {}}
    answer: dict[str, Any] = json.loads(client.call_tool("ask", arguments, timeout=timeout).text)
    return answer


def test_roots_may_be_a_function(server: FaultServer, connect: Connect) -> None:
    client = connect(roots=lambda: [{"uri": "file:///a", "name": "a"}])
    assert ask(client, "roots/list")["result"] == {"roots": [{"uri": "file:///a", "name": "a"}]}


@pytest.mark.parametrize("id", [0, "a", "", 7.0, 2**70])
def test_a_ping_is_answered_with_its_own_id(id: Any, server: FaultServer, client: MCPClient) -> None:
    with within():
        assert server.session.ask("ping", id=id) == {"jsonrpc": "2.0", "id": id, "result": {}}


def test_a_servers_ping_is_not_taken_for_an_answer_to_our_own_id(server: FaultServer, client: MCPClient) -> None:
    def ping_first(asked: Asked) -> None:
        asked.session.ask("ping", id=asked.id)
        asked.text("mine")

    server.tools["ping_first"] = ping_first
    with within():
        assert client.call_tool("ping_first", timeout=LONG).text == "mine"


def test_a_capability_is_declared_only_where_its_handler_is_given(server: FaultServer, connect: Connect) -> None:
    connect()
    assert (
        server.sent("initialize")[-1]["params"]["capabilities"].keys() & {"sampling", "elicitation", "roots"} == set()
    )
    connect(sampling_handler=lambda params: SAMPLE, elicitation_handler=lambda params: {"action": "cancel"}, roots=[])
    assert server.sent("initialize")[-1]["params"]["capabilities"].keys() >= {"sampling", "elicitation", "roots"}


def test_a_notification_handler_may_call_the_client_again(server: FaultServer, connect: Connect) -> None:
    texts = []
    told = threading.Event()

    def handler(notification: Any) -> None:
        texts.append(clients[0].call_tool("echo", {"message": "again"}, timeout=LONG).text)
        told.set()

    clients = [connect(notification_handler=handler)]
    server.session.notify("notifications/tools/list_changed")
    assert told.wait(10)
    assert texts == ["again"]


class Secret(Exception):
    pass


@pytest.mark.parametrize("failure", [Secret("password"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
@pytest.mark.parametrize("method", ["sampling/createMessage", "elicitation/create", "roots/list"])
def test_a_handler_that_raises_anything_is_told_as_an_internal_error_without_its_text(
    method: str, failure: BaseException, server: FaultServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any) -> Any:
        raise failure

    client = connect(sampling_handler=fail, elicitation_handler=fail, roots=fail)
    params = SAMPLE_PARAMS if method.startswith("sampling") else {"message": "?", "requestedSchema": {"type": "object"}}
    with caplog.at_level(logging.CRITICAL, "mcp_sync"), within():
        answer = ask(client, method, params)
    assert answer["error"]["code"] == -32603
    assert "password" not in json.dumps(answer)
    assert "Traceback" not in json.dumps(answer)
    assert client.call_tool("echo", {"message": "next"}).text == "next"


@pytest.mark.parametrize(
    "rubbish", [None, 7, "text", [], {}, object(), {"role": "x"}], ids=lambda rubbish: type(rubbish).__name__
)
def test_a_handler_that_returns_rubbish_is_told_as_an_internal_error(
    rubbish: Any, server: FaultServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(
        sampling_handler=lambda params: rubbish, elicitation_handler=lambda params: rubbish, roots=lambda: rubbish
    )
    with caplog.at_level(logging.CRITICAL, "mcp_sync"), within():
        assert ask(client, "sampling/createMessage", SAMPLE_PARAMS)["error"]["code"] == -32603
        elicited = ask(client, "elicitation/create", {"message": "?", "requestedSchema": {"type": "object"}})
        assert elicited["error"]["code"] == -32603


@pytest.mark.parametrize("params", [{}, {"messages": 7}, {"messages": [{"role": 1}], "maxTokens": "x"}], ids=str)
def test_parameters_of_a_wrong_shape_never_reach_the_handler(
    params: Any, server: FaultServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []

    def sample(given: Any) -> Any:
        seen.append(given)
        return SAMPLE

    client = connect(sampling_handler=sample)
    with within():
        assert ask(client, "sampling/createMessage", params)["error"]["code"] == -32602
    assert seen == []


def test_a_flood_of_requests_meets_bounds_and_pings_pass_it(server: FaultServer, connect: Connect) -> None:
    """2,000 at once: 8 run, 64 wait, the rest is told that we are busy; a ping is answered all the same."""
    go = threading.Event()
    lock = threading.Lock()
    inside = most = 0

    def sample(params: Any) -> Any:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        go.wait(20)
        with lock:
            inside -= 1
        return SAMPLE

    client = connect(sampling_handler=sample)
    session = server.session
    try:
        for number in range(2000):
            session.ask("sampling/createMessage", SAMPLE_PARAMS, id=number, wait=False)
        with within(20):
            session.ask("ping")
        assert sum(thread.name.startswith("mcp-sync") for thread in threading.enumerate()) < 20
        with within():
            assert client.call_tool("echo", {"message": "meanwhile"}, timeout=LONG).text == "meanwhile"
    finally:
        go.set()
    answers = [session.answer_to(number) for number in range(2000) if number < 8 or number > 1990]
    assert [answer.get("result") for answer in answers[:8]] == [SAMPLE] * 8
    assert {answer.get("error", {}).get("code") for answer in answers[8:]} == {-32000}
    assert most <= 8


def test_a_request_that_the_server_cancels_is_not_answered(server: FaultServer, connect: Connect) -> None:
    entered, go = threading.Event(), threading.Event()

    def sample(params: Any) -> Any:
        entered.set()
        go.wait(20)
        return SAMPLE

    client = connect(sampling_handler=sample)
    session = server.session
    session.ask("sampling/createMessage", SAMPLE_PARAMS, id="cancelled", wait=False)
    assert entered.wait(10)
    session.notify("notifications/cancelled", {"requestId": "cancelled"})
    client.ping()  # by now the notification has arrived
    go.set()
    session.ask("ping")
    client.ping()
    assert session._waiting["cancelled"][1] == []


def test_an_answer_of_ours_that_cannot_be_sent_harms_nobody(
    server: FaultServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(roots=[])
    server.instead(
        lambda request: b'"roots"' in request.body and b'"result"' in request.body, lambda wire, request: wire.reset()
    )
    server.session.ask("roots/list", wait=False)
    with within():
        server.wait_until(lambda: any(b'"result"' in request.body for request in server.requests))
        assert client.call_tool("echo", {"message": "next"}, timeout=LONG).text == "next"


def test_log_and_progress_handlers_run_in_order_on_one_worker(server: FaultServer, connect: Connect) -> None:
    seen: list[Any] = []
    threads = set()
    done = threading.Event()

    def note(value: Any) -> None:
        seen.append(value)
        threads.add(threading.current_thread().name)
        if value == "end":
            done.set()

    client = connect(
        log_handler=lambda message: note(message.data), progress_handler=lambda progress: note(progress.progress)
    )

    def talk(asked: Asked) -> None:
        for number in range(1, 50):
            asked.progress(number)
            asked.log(f"log {number}")
        asked.log("end")
        asked.text("done")

    server.tools["talk"] = talk
    client.call_tool("talk", timeout=LONG)
    assert done.wait(10)
    assert seen == [item for number in range(1, 50) for item in (number, f"log {number}")] + ["end"]
    assert threads == {"mcp-sync-notice"}


@pytest.mark.parametrize("failure", [RuntimeError("x"), SystemExit(1), KeyboardInterrupt()], ids=repr)
def test_a_notification_handler_that_raises_anything_hears_the_next_one(
    failure: BaseException, server: FaultServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    heard = threading.Semaphore(0)

    def handler(notification: Any) -> None:
        heard.release()
        raise failure

    with caplog.at_level(logging.CRITICAL, "mcp_sync"):
        client = connect(notification_handler=handler)
        for _ in range(3):
            server.session.notify("notifications/tools/list_changed")
        for _ in range(3):
            assert heard.acquire(timeout=10)
    assert client.connected


def test_an_on_progress_that_raises_ends_its_own_call_and_cancels_the_tool(
    server: FaultServer, client: MCPClient
) -> None:
    class Enough(Exception):
        pass

    def stop(progress: Any) -> None:
        raise Enough

    def long(asked: Asked) -> None:
        asked.progress(1)

    server.tools["long"] = long
    with within(), pytest.raises(Enough):
        client.call_tool("long", timeout=LONG, on_progress=stop)
    (note,) = server.wait_for_method("notifications/cancelled")
    assert note["params"]["requestId"] == server.sent("tools/call")[0]["id"]
    assert client.call_tool("echo", {"message": "next"}).text == "next"


# Over every transport


@over(*LEGACY)
def test_what_a_server_asks_during_a_call_is_answered_on_a_worker(bed: Bed) -> None:
    threads = []

    def sample(params: Any) -> Any:
        threads.append(threading.current_thread().name)
        assert params.max_tokens == 10
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
@pytest.mark.parametrize(
    "method", ["sampling/createMessage", "elicitation/create", "roots/list", "tools/list", "x" * 9999, ""]
)
def test_what_was_not_declared_is_refused_at_once(method: str, bed: Bed) -> None:
    client = bed.connect()
    with within():
        answer = ask(client, method)
    assert answer["error"]["code"] == -32601
    assert len(json.dumps(answer)) < 1000


@over("http-json", "stdio")  # over HTTP+SSE: the flood above
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
