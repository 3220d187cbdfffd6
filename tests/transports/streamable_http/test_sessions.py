"""Forgotten sessions, and redirects: faults.md, rule 2 and HTTP (2025-11-25, Transports, Session Management)."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPConnectionError, SessionExpiredError
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, FaultServer, status
from tests.support.inside import reconnect_after
from tests.transports.streamable_http.waiting import wait_for_get_stream, wait_for_requests

Connect = Callable[..., MCPClient]


@pytest.fixture(autouse=True)
def without_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that is lost at once is followed by a pause, which has its own test."""
    reconnect_after(monkeypatch, 0.05)


# How servers say that they do not know a session: quirks.md, C.
FORGOTTEN: dict[str, Any] = {
    "404": status(404),
    "404 HTML": status(404, "Session not found", {"content-type": "text/html"}),
    "404 JSON-RPC": status(404, {"jsonrpc": "2.0", "id": "server-error", "error": {"code": -32600, "message": "?"}}),
    "400 JSON-RPC": status(
        400, {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "Bad Request: No valid session ID"}}
    ),
    "400 text": status(400, "Bad Request: no valid session"),
}


@pytest.fixture(params=list(FORGOTTEN.values()), ids=list(FORGOTTEN))
def forgotten(request: pytest.FixtureRequest) -> Any:
    """A way to say that a session is not known."""
    return request.param


def forget(server: FaultServer, client: MCPClient, behaviour: Any) -> None:
    """From now on the client's session is unknown to the server."""
    id = client.session_id
    server.instead(lambda request: request.headers.get("mcp-session-id") == id, behaviour, ALWAYS)


def test_what_only_reads_costs_a_new_session_and_nothing_else(
    forgotten: Any, server: FaultServer, client: MCPClient
) -> None:
    old = client.session_id
    forget(server, client, forgotten)
    with within(8):
        assert client.list_tools(timeout=LONG)
        assert client.read_resource("test://one").contents
    assert len(server.sent("initialize")) == 2
    assert client.session_id not in (None, old)
    assert len(server.sent("tools/list")) == 2
    assert (
        server.requests[[r.rpc_methods for r in server.requests].index(["tools/list"])].headers["mcp-session-id"] == old
    )


def test_a_tool_that_may_not_run_twice_is_refused_once(forgotten: Any, server: FaultServer, client: MCPClient) -> None:
    forget(server, client, forgotten)
    with within(), pytest.raises(SessionExpiredError) as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.outcome == "refused"
    assert server.tool_calls["echo"] == 1
    with within(8):
        assert client.call_tool("echo", {"message": "next"}, timeout=LONG).text == "next"
    assert len(server.sent("initialize")) == 2
    client.close()
    deletes = [request for request in server.requests if request.method == "DELETE"]
    assert len(deletes) == 1


@pytest.mark.parametrize("hint", ["readOnlyHint", "idempotentHint"])
def test_a_tool_that_was_listed_as_harmless_is_called_again(hint: str, server: FaultServer, client: MCPClient) -> None:
    server.tool_list[0]["annotations"] = {hint: True}
    client.list_tools()
    server.forget_sessions()
    with within(8):
        assert client.call_tool("echo", {"message": "hi"}, timeout=LONG).text == "hi"
    assert server.tool_calls["echo"] == 2
    assert len(server.sent("initialize")) == 2
    server.forget_sessions()
    with within(8), pytest.raises(SessionExpiredError):
        client.call_tool("fail", timeout=LONG)


def test_a_tool_is_called_again_when_the_caller_allows_it(server: FaultServer, client: MCPClient) -> None:
    server.forget_sessions()
    with within(8):
        assert client.call_tool("echo", {"message": "hi"}, timeout=LONG, retry=True).text == "hi"
    assert server.tool_calls["echo"] == 2


def test_callers_who_meet_it_together_open_one_new_session(server: FaultServer, client: MCPClient) -> None:
    wait_for_get_stream(server, client)
    server.forget_sessions()
    start = threading.Barrier(8)

    def call(number: int) -> int:
        start.wait(10)
        return len(client.list_tools(timeout=LONG))

    with ThreadPoolExecutor(8) as pool, within(10):
        assert set(pool.map(call, range(8))) == {len(server.tool_list)}
    assert len(server.sent("initialize")) == 2
    assert len(server.sent("notifications/initialized")) == 2


def test_a_client_that_is_dropped_after_its_session_was_forgotten_leaves_nothing(server: FaultServer) -> None:
    def use() -> weakref.ref[MCPClient]:
        client = MCPClient(server.mcp_url).connect()
        wait_for_get_stream(server, client)
        forget(server, client, status(404))
        with pytest.raises(SessionExpiredError):
            client.call_tool("echo", {"message": "hi"}, timeout=LONG)
        return weakref.ref(client)

    def use_and_collect() -> weakref.ref[MCPClient]:
        gone = use()
        gc.collect()
        return gone

    with within(), pytest.warns(ResourceWarning, match="was not closed"):
        gone = use_and_collect()
    assert gone() is None
    server.wait_until(lambda: not server._wires, "all connections are closed")


def test_a_server_that_forgets_each_session_is_not_asked_for_ever(server: FaultServer, client: MCPClient) -> None:
    server.instead("tools/list", status(404), ALWAYS)
    with within(10), pytest.raises(SessionExpiredError):
        client.list_tools(timeout=LONG)
    assert len(server.sent("initialize")) <= 3
    assert len(server.sent("tools/list")) == 2


def test_sessions_that_are_lost_at_once_are_opened_ever_further_apart(
    server: FaultServer, make_client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconnect_after(monkeypatch, 0.2)
    server.instead("tools/list", status(404), ALWAYS)
    client = make_client(server.mcp_url).connect()
    for _ in range(2):
        with within(8), pytest.raises(SessionExpiredError):
            client.list_tools(timeout=LONG)
    opened = [request.at for request in server.requests if request.rpc_methods == ["initialize"]]
    assert len(opened) == 4
    first, second, third = (later - earlier for earlier, later in zip(opened, opened[1:]))
    assert first >= 0.15
    assert third > second > first


def test_a_new_session_is_told_the_log_level_and_the_subscriptions(server: FaultServer, client: MCPClient) -> None:
    client.set_logging_level("warning")
    client.subscribe_resource("test://one")
    server.forget_sessions()
    with within(8):
        client.list_tools(timeout=LONG)
    assert [note["params"]["level"] for note in server.sent("logging/setLevel")] == ["warning"] * 2
    assert [note["params"]["uri"] for note in server.sent("resources/subscribe")] == ["test://one"] * 2


def test_calls_that_still_wait_in_a_forgotten_session_get_their_answers(server: FaultServer, client: MCPClient) -> None:
    slow = client.submit("slow", timeout=LONG)
    server.wait_for_call("slow")
    server.forget_sessions()
    with within(8):
        client.list_tools(timeout=LONG)
    server.gate.set()
    assert slow.result(LONG).text == "slow"
    assert server.tool_calls["slow"] == 1


def test_a_400_that_is_not_about_the_session_leaves_it_alone(server: FaultServer, client: MCPClient) -> None:
    server.instead("tools/call", status(400, "Bad arguments"))
    with pytest.raises(MCPConnectionError) as caught:
        client.call_tool("echo")
    assert not isinstance(caught.value, SessionExpiredError)
    assert client.call_tool("echo", {"message": "next"}).text == "next"
    assert len(server.sent("initialize")) == 1


# Redirects


@pytest.mark.parametrize("code", [307, 308])
def test_a_redirect_within_the_origin_keeps_method_body_and_headers(
    code: int, server: FaultServer, make_client: Connect
) -> None:
    def move(wire: Any, request: Any) -> None:
        wire.respond(code, "", {"location": server.url + "/mcp"})

    server.instead(lambda request: request.path == "/mcp/", move, ALWAYS)
    client = make_client(server.url + "/mcp/", auth="token").connect()
    wait_for_get_stream(server, client)
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    client.close()
    arrived = [request for request in server.requests if request.path == "/mcp"]
    assert {request.method for request in arrived} == {"POST", "GET", "DELETE"}
    assert {request.headers["authorization"] for request in arrived} == {"Bearer token"}
    assert all(request.body for request in arrived if request.method == "POST")
    assert next(r for r in arrived if r.method == "DELETE").headers["mcp-session-id"]


def test_get_and_delete_follow_redirects_of_their_own(server: FaultServer, connect: Connect) -> None:
    def move(wire: Any, request: Any) -> None:
        wire.respond(307, "", {"location": "/mcp?moved"})

    def has_not_moved(request: Any) -> bool:
        return request.method in ("GET", "DELETE") and "moved" not in request.target

    server.instead(has_not_moved, move, ALWAYS)
    client = connect()
    wait_for_get_stream(server, client)
    client.close()
    targets = [(request.method, request.target) for request in server.requests if request.method != "POST"]
    assert targets[:2] == [("GET", "/mcp"), ("GET", "/mcp?moved")]
    assert ("DELETE", "/mcp?moved") in targets


@pytest.mark.parametrize("method", ["tools/call", "GET", "DELETE"])
@pytest.mark.parametrize("code", [302, 307, 308])
def test_nothing_is_sent_to_another_origin(code: int, method: str, server: FaultServer, make_client: Connect) -> None:
    with FaultServer("http") as stranger:
        server.instead(method, status(code, "", {"location": stranger.mcp_url}), ALWAYS)
        client = make_client(server.mcp_url, auth="secret", default_headers={"X-API-Key": "secret"}).connect()
        wait_for_requests(server, "GET")
        if method == "tools/call":
            with within(), pytest.raises(MCPConnectionError) as caught:
                client.call_tool("echo", timeout=LONG)
            assert caught.value.outcome in ("not_sent", "refused")
            assert server.tool_calls["echo"] == 1
        else:
            assert client.call_tool("echo", {"message": "hi"}).text == "hi"
        with within():
            client.close()
        assert stranger.connections == 0
    assert server.count("DELETE") == 1
