"""``outcome`` against the server's own log.

Whatever goes wrong at whichever step of a call, ``not_sent`` is said only of a tool call that never arrived, and
``refused`` only of one whose tool did not begin.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPClientError
from tests.support import inside
from tests.support.beds import Bed, make_server
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked, FaultServer, Request, Wire, finish, hold, reset, status
from tests.support.stdio_server import LineServer
from tests.transports.streamable_http.modern import ModernServer

Step = Callable[[Wire, Request], None]
SHORT = 0.6
FORM = {"method": "roots/list"}


class Log:
    """What the server has seen of the tool ``work``."""

    def __init__(self, server: FaultServer) -> None:
        self.server = server
        self.began = Counter[str]()

    def judge(self, outcome: Any) -> None:
        assert outcome in ("not_sent", "refused", "unknown"), outcome
        if outcome == "not_sent":
            assert self.server.tool_calls["work"] == 0
        if outcome == "refused":
            assert self.began["work"] == 0


# What the tool does


def plain(asked: Asked) -> None:
    asked.text("done")


def progressing(asked: Asked) -> None:
    asked.progress(1)
    asked.progress(2)
    asked.text("done")


def rounds(asked: Asked) -> None:
    if asked.server.tool_calls["work"] < 3:
        asked.answer({"resultType": "input_required", "inputRequests": {"where": FORM}, "requestState": "s"})
    else:
        asked.text("done")


def a_task(asked: Asked) -> None:
    asked.answer({"resultType": "task", "taskId": "t", "status": "working", "pollIntervalMs": 50})


def resumed(asked: Asked) -> None:
    stream = asked.own_stream()
    stream.event("", event=None, id="e1", retry=0)
    stream.cut()


def an_older_task(asked: Asked) -> None:
    assert "task" in asked.params
    asked.answer({"task": {"taskId": "t", "status": "working", "pollInterval": 50}})


KINDS: dict[str, tuple[str, Callable[[Asked], None]]] = {
    "plain": ("stateless", plain),
    "plain-session": ("http-sse", plain),
    "plain-sse": ("sse", plain),
    "plain-stdio": ("stdio", plain),
    "streamed": ("stateless", progressing),
    "streamed-sse": ("sse", progressing),
    "streamed-stdio": ("stdio", progressing),
    "rounds": ("stateless", rounds),
    "task": ("stateless", a_task),
    "task-session": ("http-sse", an_older_task),
    "task-sse": ("sse", an_older_task),
    "task-stdio": ("stdio", an_older_task),
    "resumed": ("http-sse", resumed),
}
FAULTS: dict[str, Step] = {
    "reset": reset,
    "finish": finish,
    "silent": hold,
    "404": status(404, "no"),
    "429": status(429, "no", {"retry-after": "0"}),
    "500": status(500, "no"),
    "503": status(503, "no", {"retry-after": "0"}),
    "html": status(200, "<html>", {"content-type": "text/html"}),
}


def gone_after(server: FaultServer) -> Step:
    """This is the last request that is answered: the next step meets a dead server."""

    def do(wire: Wire, request: Request) -> None:
        server.stop_listening()
        if isinstance(server, LineServer):
            server.handle(server.session, wire, request)
        else:
            server.serve(wire, request)
        if not server.has_shared_stream:
            wire.finish()

    return do


def make_bed(kind: str, make_client: Callable[..., MCPClient]) -> tuple[Bed, Log]:
    name, tool = KINDS[kind]
    server = make_server(name)
    seen = Log(server)

    def work(asked: Asked) -> None:
        seen.began["work"] += 1
        tool(asked)

    looks = itertools.count()

    def get(asked: Asked) -> None:
        done = next(looks) >= 2
        state = {"status": "completed", "result": {"content": []}} if done else {"status": "working"}
        asked.answer({"resultType": "complete", "taskId": "t", "pollIntervalMs": 50, **state})

    server.tools["work"] = work
    if kind.startswith("task"):
        server.methods["tasks/get"] = get
        server.methods["tasks/result"] = lambda asked: asked.answer({"content": []})
        server.methods["tasks/cancel"] = lambda asked: asked.answer({"resultType": "complete"})
        server.capabilities["tasks"] = {"cancel": {}, "requests": {"tools": {"call": {}}}}
        server.tool_list.append(
            {"name": "work", "inputSchema": {"type": "object"}, "execution": {"taskSupport": "required"}}
        )
    if name == "http-sse":
        server.serve_get = go_on  # type: ignore[method-assign]  # it has no stream of its own
    return Bed(name, server, make_client), seen


def go_on(wire: Wire, request: Request) -> None:
    if "last-event-id" not in request.headers:
        wire.respond(405)
        return
    answer = {"content": [{"type": "text", "text": "resumed"}]}
    stream = wire.stream()
    stream.event({"jsonrpc": "2.0", "id": wire.server.sent("tools/call")[-1]["id"], "result": answer}, id="e2")
    stream.end()


class Steps:
    """The requests that a call makes, counted; one of them meets a fault."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = 0
        self.armed = False

    def is_due(self, request: Request) -> bool:
        counts = request.method in ("POST", "line") or "last-event-id" in request.headers
        if not self.armed or not counts or request.rpc_methods == ["tasks/cancel"]:
            return False
        self.count += 1
        return self.count == self.at


def use(client: MCPClient, way: str) -> None:
    if way == "stream":
        with client.stream_tool("work", timeout=SHORT) as stream:
            list(stream)
    elif way == "handle":
        client.submit_task("work", timeout=SHORT).result(SHORT)
    elif way == "submit":
        client.submit("work", timeout=SHORT).result(LONG)
    else:
        client.call_tool("work", timeout=SHORT, retry=way == "retry")


# Over stdio there are no statuses.
STATUSES = ("404", "429", "500", "503", "html")


@pytest.mark.parametrize("way", ["call", "stream", "retry", "handle", "submit"])
@pytest.mark.parametrize("fault", [*FAULTS, "gone"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_outcome_is_true_whatever_goes_wrong_at_whichever_step(
    kind: str, fault: str, way: str, make_client: Callable[..., MCPClient]
) -> None:
    if kind.endswith("stdio") and fault in STATUSES:
        pytest.skip("there are no statuses over stdio")
    met = 0
    for at in range(1, 7):
        bed, log = make_bed(kind, make_client)
        server, steps = bed.server, Steps(at)
        server.instead(steps.is_due, FAULTS[fault] if fault in FAULTS else gone_after(server))
        with server, within(20):
            client = bed.connect(roots=["file:///a"], retry_delay=0.05, max_retries=1)
            steps.armed = True
            try:
                use(client, way)
            except MCPClientError as exc:
                met += 1
                log.judge(exc.outcome)
            steps.armed = False
            client.close()
        inside.forget_servers()
        if steps.count < at:
            break  # the call has no more steps
    assert met or way == "retry" or fault == "gone" or (kind == "resumed" and way != "handle")


@pytest.mark.parametrize("dead", [True, False])
def test_the_second_round_of_a_call_has_begun_however_it_fails(
    dead: bool, make_client: Callable[..., MCPClient]
) -> None:
    with ModernServer() as server:
        client = make_client(server.mcp_url, roots=["file:///a"]).connect()

        def work(asked: Asked) -> None:
            if dead:
                server.stop_listening()
            else:
                server.instead("tools/call", hold)
            rounds(asked)
            if dead:
                asked.wire.finish()

        server.tools["work"] = work
        with pytest.raises(MCPClientError) as caught:
            client.call_tool("work", timeout=SHORT)
        assert caught.value.outcome == "unknown"
        assert not caught.value.retryable


def test_a_task_that_is_waited_for_has_begun_although_the_server_cannot_be_asked(
    make_client: Callable[..., MCPClient],
) -> None:
    with ModernServer() as server:
        client = make_client(server.mcp_url).connect()
        server.tools["work"] = a_task
        handle = client.submit_task("work")
        server.stop_listening()
        server.drop_connections()
        with pytest.raises(MCPClientError) as caught:
            handle.result(SHORT)
        assert caught.value.outcome == "unknown"
    with pytest.raises(MCPClientError) as caught:
        make_client(server.mcp_url).task("t").result(SHORT)  # another process, which cannot even connect
    assert caught.value.outcome == "unknown"


def test_a_call_that_waits_for_the_list_of_tools_is_not_sent_where_that_fails(
    make_client: Callable[..., MCPClient],
) -> None:
    with FaultServer("http") as server:
        server.capabilities["tasks"] = {"requests": {"tools": {"call": {}}}}
        client = make_client(server.mcp_url).connect()
        server.instead("tools/list", reset)
        with pytest.raises(MCPClientError) as caught:
            client.call_tool("echo")
        assert caught.value.outcome == "not_sent"
        assert server.tool_calls["echo"] == 0
