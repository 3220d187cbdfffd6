"""Tasks: the extension of 2026-07-28 (SEP-2663), and the form of 2025-11-25 (Utilities, Tasks)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from mcp_sync import MCPCancelledError, MCPClient, MCPServerError, MCPTimeoutError, Progress, ToolError
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked, FaultServer
from tests.support.inside import waiting
from tests.transports.streamable_http.modern import META, ModernServer
from tests.transports.streamable_http.waiting import wait_for_get_stream

Connect = Callable[..., MCPClient]
DONE = {"content": [{"type": "text", "text": "done"}]}
FORM = {
    "method": "elicitation/create",
    "params": {"message": "Who?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}},
}


def task(status: str, **more: Any) -> dict[str, Any]:
    return {"taskId": "t-1", "status": status, "createdAt": "2026-01-01T00:00:00Z", "ttlMs": None, **more}


def working(**more: Any) -> dict[str, Any]:
    return task("working", pollIntervalMs=50, **more)


@pytest.fixture
def modern() -> Iterator[ModernServer]:
    """A server of the stateless kind whose tool ``work`` is a task; ``script`` is what ``tasks/get`` says in turn."""
    running = ModernServer()
    with running:
        running.tools["work"] = lambda asked: asked.answer({"resultType": "task", **working()})
        yield running
    assert not running.violations


def script(server: FaultServer, *states: dict[str, Any]) -> None:
    """What ``tasks/get`` says, one after the other, the last for ever; ``tasks/cancel`` and the like are accepted."""
    left = list(states)

    def get(asked: Asked) -> None:
        assert asked.params["taskId"] == "t-1"
        asked.answer({"resultType": "complete", **(left.pop(0) if len(left) > 1 else left[0])})

    server.methods["tasks/get"] = get
    for method in ("tasks/cancel", "tasks/update"):
        server.methods.setdefault(method, lambda asked: asked.answer({"resultType": "complete"}))


@pytest.fixture
def client(modern: ModernServer, make_client: Connect) -> MCPClient:
    return make_client(modern.mcp_url, elicitation_handler=lambda params: {"action": "decline"}).connect()


# The extension


def test_a_call_that_becomes_a_task_is_followed_to_its_result(modern: ModernServer, client: MCPClient) -> None:
    script(modern, working(), working(), task("completed", result=DONE))
    with within():
        assert client.call_tool("work", timeout=LONG).text == "done"
    assert len(modern.sent("tasks/get")) == 3
    assert modern.tool_calls["work"] == 1
    capabilities = modern.sent("tools/call")[0]["params"]["_meta"][META + "clientCapabilities"]
    assert capabilities["extensions"]["io.modelcontextprotocol/tasks"] == {}
    assert "task" not in modern.sent("tools/call")[0]["params"]
    assert modern.requests[-1].headers["mcp-name"] == "t-1"


def test_it_is_polled_as_often_as_the_server_wants(modern: ModernServer, client: MCPClient) -> None:
    script(modern, task("working", pollIntervalMs=300), task("completed", result=DONE))
    client.call_tool("work", timeout=LONG)
    gets = [request.at for request in modern.requests if request.rpc_methods == ["tasks/get"]]
    assert gets[1] - gets[0] >= 0.29


def test_a_result_that_reports_failure_is_a_tool_error(modern: ModernServer, client: MCPClient) -> None:
    script(modern, task("completed", result={"isError": True, "content": [{"type": "text", "text": "broken"}]}))
    with within(), pytest.raises(ToolError, match="broken"):
        client.call_tool("work", timeout=LONG)


def test_a_failed_task_is_the_servers_error(modern: ModernServer, client: MCPClient) -> None:
    script(modern, task("failed", error={"code": -32603, "message": "broken"}))
    with within(), pytest.raises(MCPServerError, match="broken") as caught:
        client.call_tool("work", timeout=LONG)
    assert caught.value.code == -32603
    assert modern.sent("tasks/cancel") == []


def test_a_task_that_the_server_cancelled_is_an_error(modern: ModernServer, client: MCPClient) -> None:
    script(modern, task("cancelled"))
    with within(), pytest.raises(MCPCancelledError):
        client.call_tool("work", timeout=LONG)


def test_what_a_task_wants_to_know_is_answered_once(modern: ModernServer, make_client: Connect) -> None:
    asked_user = []

    def elicit(params: Any) -> Any:
        asked_user.append(params.message)
        return {"action": "accept", "content": {"name": "me"}}

    client = make_client(modern.mcp_url, elicitation_handler=elicit).connect()
    waits = task("input_required", pollIntervalMs=50, inputRequests={"who": FORM})
    script(modern, working(), waits, waits, working(), task("completed", result=DONE))
    with within():
        assert client.call_tool("work", timeout=LONG).text == "done"
    (update,) = modern.sent("tasks/update")
    assert update["params"]["taskId"] == "t-1"
    assert update["params"]["inputResponses"] == {"who": {"action": "accept", "content": {"name": "me"}}}
    assert asked_user == ["Who?"]


def test_a_task_that_outlives_its_call_is_cancelled(modern: ModernServer, client: MCPClient) -> None:
    script(modern, working())
    with within(), pytest.raises(MCPTimeoutError) as caught:
        client.call_tool("work", timeout=0.4)
    assert caught.value.outcome == "unknown"
    (cancel,) = modern.wait_for_method("tasks/cancel")
    assert cancel["params"]["taskId"] == "t-1"
    assert modern.sent("notifications/cancelled") == []


def test_a_stream_shows_what_the_server_says_of_a_task(modern: ModernServer, client: MCPClient) -> None:
    half = working(statusMessage="half")
    script(modern, half, half, working(statusMessage="nearly"), task("completed", result=DONE))
    with within(), client.stream_tool("work", timeout=LONG) as stream:
        events = list(stream)
    assert [event.message for event in events if isinstance(event, Progress)] == ["half", "nearly"]
    assert stream.result.text == "done"


def test_a_stream_that_is_left_cancels_its_task(modern: ModernServer, client: MCPClient) -> None:
    script(modern, working(statusMessage="half"))
    with within(), client.stream_tool("work", timeout=LONG) as stream:
        next(stream)
    assert modern.wait_for_method("tasks/cancel")


def test_close_lets_cancellations_go_out_first(modern: ModernServer, client: MCPClient) -> None:
    cancelled = threading.Semaphore(0)

    def cancel(asked: Asked) -> None:
        modern.closing.wait(0.1)  # close() has to wait for it
        asked.answer({"resultType": "complete"})
        cancelled.release()

    modern.methods["tasks/cancel"] = cancel
    script(modern, working(statusMessage="half"))
    with within():
        for _ in range(3):
            with client.stream_tool("work", timeout=LONG) as stream:
                next(stream)
        client.close()
    assert all(cancelled.acquire(timeout=LONG) for _ in range(3))


def test_close_does_not_wait_for_a_server_that_is_silent_about_a_cancellation(
    modern: ModernServer, client: MCPClient
) -> None:
    modern.methods["tasks/cancel"] = lambda asked: None
    script(modern, working(statusMessage="half"))
    with client.stream_tool("work", timeout=LONG) as stream:
        next(stream)
    assert modern.wait_for_method("tasks/cancel")
    with within(2):
        client.close()


@pytest.mark.clock
def test_close_wakes_others_at_once_where_a_cancellation_is_not_answered(
    modern: ModernServer, client: MCPClient
) -> None:
    modern.methods["tasks/cancel"] = lambda asked: None
    modern.tools["never"] = lambda asked: None
    script(modern, working(statusMessage="half"))
    with client.stream_tool("work", timeout=LONG) as stream:
        next(stream)
    assert modern.wait_for_method("tasks/cancel")
    call = client.submit("never", timeout=LONG)
    woken: list[float] = []
    call.add_done_callback(lambda future: woken.append(time.monotonic()))
    modern.wait_until(lambda: waiting(client) == 2, "both wait")
    start = time.monotonic()
    client.close()
    assert call.exception(LONG) is not None
    assert woken[0] - start < 0.4, "it waited for the errand"


def test_close_wakes_who_follows_a_task(modern: ModernServer, client: MCPClient) -> None:
    script(modern, task("working", pollIntervalMs=30_000))
    call = client.submit("work", timeout=LONG)
    modern.wait_for_method("tasks/get")
    with within(2):
        client.close()
        assert call.exception(LONG) is not None


def test_submit_task_hands_a_task_over(modern: ModernServer, client: MCPClient) -> None:
    script(modern, working(statusMessage="half"), working(), task("completed", result=DONE))
    with within():
        handle = client.submit_task("work", timeout=LONG)
        assert handle.task_id == "t-1"
        status = handle.status()
        assert status is not None
        assert (status.status, status.status_message, status.is_terminal) == ("working", "half", False)
        assert handle.result(LONG).text == "done"
        assert handle.result(0).text == "done"  # it is kept
    assert modern.tool_calls["work"] == 1


def test_a_handle_that_waits_too_short_can_wait_again(modern: ModernServer, client: MCPClient) -> None:
    over = threading.Event()

    def get(asked: Asked) -> None:
        state = task("completed", result=DONE) if over.is_set() else working()
        asked.answer({"resultType": "complete", **state})

    script(modern, working())
    modern.methods["tasks/get"] = get
    handle = client.submit_task("work")
    with within(), pytest.raises(MCPTimeoutError):
        handle.result(0.3)
    over.set()
    assert handle.result(LONG).text == "done"
    assert modern.sent("tasks/cancel") == []


def test_a_handle_cancels_its_task(modern: ModernServer, client: MCPClient) -> None:
    script(modern, task("cancelled"))
    handle = client.submit_task("work")
    handle.cancel()
    assert modern.sent("tasks/cancel")[0]["params"]["taskId"] == "t-1"
    with within(), pytest.raises(MCPCancelledError):
        handle.result(LONG)


def test_a_task_is_found_again_by_its_id(modern: ModernServer, make_client: Connect, client: MCPClient) -> None:
    script(modern, working(), task("completed", result=DONE))
    id = client.submit_task("work").task_id
    assert id is not None
    client.close()
    with within():
        assert make_client(modern.mcp_url).task(id).result(LONG).text == "done"
    assert modern.tool_calls["work"] == 1


def test_a_server_without_tasks_has_answered_at_once(modern: ModernServer, client: MCPClient) -> None:
    handle = client.submit_task("echo", {"message": "hi"})
    assert handle.task_id is None
    assert handle.status() is None
    assert handle.result(0).text == "hi"
    handle.cancel()
    assert modern.sent("tasks/cancel") == []


# 2025-11-25


@pytest.fixture
def bound(http_server: FaultServer) -> FaultServer:
    """A server with sessions whose tool ``work`` can be called only as a task."""
    http_server.capabilities["tasks"] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
    http_server.tool_list.append(
        {"name": "work", "inputSchema": {"type": "object"}, "execution": {"taskSupport": "required"}}
    )

    def work(asked: Asked) -> None:
        if "task" not in asked.params:
            asked.error(-32601, "only as a task")
        else:
            asked.answer({"task": task("working", pollInterval=50)})

    http_server.tools["work"] = work
    http_server.methods["tasks/result"] = lambda asked: asked.answer(DONE)
    return http_server


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("shows", ["result", "progress", "stream", "future", "map"])
def test_a_tool_that_runs_only_as_a_task_is_called_as_one(
    shows: str, listed: bool, bound: FaultServer, make_client: Connect
) -> None:
    script(bound, task("working", pollInterval=50), task("completed"))
    client = make_client(bound.mcp_url).connect()
    if listed:
        client.list_tools()
    with within():
        if shows == "stream":
            with client.stream_tool("work", timeout=LONG) as stream:
                list(stream)
            assert stream.result.text == "done"
        elif shows == "future":
            assert client.submit("work", timeout=LONG).result(LONG).text == "done"
        elif shows == "map":
            assert [result.text for result in client.map("work", [{}], timeout=LONG)] == ["done"]
        else:
            on_progress = print if shows == "progress" else None
            assert client.call_tool("work", timeout=LONG, on_progress=on_progress).text == "done"
    assert len(bound.sent("tools/list")) == 1
    assert len(bound.sent("tasks/get")) == 2
    assert bound.sent("tasks/result")[0]["params"]["taskId"] == "t-1"
    assert bound.tool_calls["work"] == 1
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    assert "task" not in bound.sent("tools/call")[-1]["params"]


def test_a_server_without_the_capability_is_never_asked_for_a_task(bound: FaultServer, make_client: Connect) -> None:
    del bound.capabilities["tasks"]
    client = make_client(bound.mcp_url).connect()
    client.list_tools()
    with pytest.raises(MCPServerError, match="only as a task"):
        client.call_tool("work")
    assert client.submit_task("echo", {"message": "hi"}).result(LONG).text == "hi"
    assert all("task" not in message["params"] for message in bound.sent("tools/call"))


def test_progress_of_a_task_comes_under_the_token_of_its_request(bound: FaultServer, make_client: Connect) -> None:
    tokens: list[Any] = []
    seen = threading.Event()

    def work(asked: Asked) -> None:
        tokens.append(asked.token)
        asked.answer({"task": task("working", pollInterval=50)})

    def get(asked: Asked) -> None:
        params = {"progressToken": tokens[0], "progress": 0.5, "message": "half"}
        asked.session.notify("notifications/progress", params)
        asked.answer(task("completed" if seen.is_set() else "working", pollInterval=50))

    bound.tools["work"], bound.methods["tasks/get"] = work, get
    client = make_client(bound.mcp_url).connect()
    wait_for_get_stream(bound, client)
    events: list[Any] = []

    def see(progress: Progress) -> None:
        events.append(progress)
        seen.set()

    with within():
        assert client.call_tool("work", timeout=LONG, on_progress=see).text == "done"
    assert events[0].message == "half"
    assert waiting(client) == 0


def test_a_task_that_needs_input_is_waited_for_while_the_server_asks(bound: FaultServer, make_client: Connect) -> None:
    def result(asked: Asked) -> None:
        related = {"io.modelcontextprotocol/related-task": {"taskId": "t-1"}}
        answer = asked.ask("elicitation/create", {**FORM["params"], "_meta": related})  # type: ignore[dict-item]  # a dict
        assert answer["result"]["content"] == {"name": "me"}
        assert answer["result"]["_meta"] == related
        asked.answer(DONE)

    script(bound, task("input_required"))
    bound.methods["tasks/result"] = result
    handler = lambda params: {"action": "accept", "content": {"name": "me"}}  # noqa: E731  # it is what a user writes
    client = make_client(bound.mcp_url, elicitation_handler=handler).connect()
    with within():
        assert client.call_tool("work", timeout=LONG).text == "done"


def test_a_timeout_cancels_the_task(bound: FaultServer, make_client: Connect) -> None:
    script(bound, task("working", pollInterval=50))
    client = make_client(bound.mcp_url).connect()
    with within(), pytest.raises(MCPTimeoutError):
        client.call_tool("work", timeout=0.4)
    assert bound.wait_for_method("tasks/cancel")[0]["params"] == {"taskId": "t-1"}


def test_a_failed_task_has_its_error_as_its_result(bound: FaultServer, make_client: Connect) -> None:
    script(bound, task("failed"))
    bound.methods["tasks/result"] = lambda asked: asked.error(-32603, "broken")
    with within(), pytest.raises(MCPServerError, match="broken"):
        make_client(bound.mcp_url).connect().call_tool("work", timeout=LONG)


def test_a_task_is_submitted_with_its_ttl_and_found_again(bound: FaultServer, make_client: Connect) -> None:
    script(bound, task("working", pollInterval=50), task("completed"))
    client = make_client(bound.mcp_url).connect()
    handle = client.submit_task("work", ttl=60)
    assert bound.sent("tools/call")[0]["params"]["task"] == {"ttl": 60_000}
    status = handle.status()
    assert status is not None
    assert status.status == "working"
    assert handle.task_id is not None
    with within():
        assert client.task(handle.task_id).result(LONG).text == "done"
        assert handle.result(LONG).text == "done"
