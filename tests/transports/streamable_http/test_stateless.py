"""Revision 2026-07-28 over HTTP: each request stands alone (2026-07-28, Streamable HTTP)."""

from __future__ import annotations

import base64
import json
import logging
import threading
from typing import Any, Callable

import pytest

from mcp_sync import (
    HTTPStatusError,
    LogMessage,
    MCPClient,
    MCPConnectionError,
    MCPHandshakeError,
    MCPServerError,
    MCPTimeoutError,
    Progress,
)
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, Asked, Request, Wire, status
from tests.transports.streamable_http.modern import META, VERSION, ModernServer

Connect = Callable[..., MCPClient]


def test_the_server_is_discovered_and_nothing_of_sessions_is_sent(modern: ModernServer, make_client: Connect) -> None:
    modern.answers = "sse"
    with make_client(modern.mcp_url) as client:
        assert client.protocol_version == VERSION
        assert client.transport == "http"
        assert client.session_id is None
        assert client.server_info.name == "fault-server"
        assert client.server_capabilities.tools is not None
        assert client.call_tool("echo", {"message": "hi"}).text == "hi"
        assert client.list_tools()
        assert client.read_resource("test://one").contents
        assert client.get_prompt("greet").messages
        assert client.complete("greet", "name", "o").completion.values
    assert modern.requests[0].rpc_methods == ["server/discover"]
    assert modern.sent("initialize") == []
    assert modern.count("GET") == modern.count("DELETE") == 0


def test_each_request_carries_who_asks_and_what_it_can(modern: ModernServer, join: Connect) -> None:
    client = join(
        client_info={"name": "me", "version": "1", "title": "Me"},
        elicitation_handler=lambda params: {"action": "decline"},
        extensions={"com.example/x": {"mode": 1}},
    )
    client.call_tool("echo", {"message": "hi"}, meta={"com.example/trace": "t"})
    meta = modern.sent("tools/call")[0]["params"]["_meta"]
    assert meta[META + "protocolVersion"] == VERSION
    assert meta[META + "clientInfo"] == {"name": "me", "version": "1", "title": "Me"}
    capabilities = meta[META + "clientCapabilities"]
    assert set(capabilities) == {"elicitation", "extensions"}
    assert capabilities["extensions"]["com.example/x"] == {"mode": 1}
    assert "io.modelcontextprotocol/tasks" in capabilities["extensions"]
    assert meta["com.example/trace"] == "t"
    assert META + "logLevel" not in meta


@pytest.mark.parametrize(
    ("call", "method", "name"),
    [
        (lambda client: client.call_tool("echo", {}), "tools/call", "echo"),
        (lambda client: client.read_resource("test://ö"), "resources/read", "test://ö"),
        (lambda client: client.get_prompt("=?base64?x?="), "prompts/get", "=?base64?x?="),
        (lambda client: client.list_tools(), "tools/list", None),
    ],
)
def test_what_a_request_is_about_is_in_its_headers(
    call: Any, method: str, name: Any, modern: ModernServer, join: Connect
) -> None:
    call(join())
    headers = modern.requests[-1].headers
    assert headers["mcp-method"] == method
    assert headers["mcp-protocol-version"] == VERSION
    given = headers.get("mcp-name")
    if given is not None and given.startswith("=?base64?"):
        given = base64.b64decode(given[len("=?base64?") : -2]).decode()
        assert given != "echo"
    assert given == name


def _described(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object", "properties": properties}}


def test_arguments_are_mirrored_into_headers_where_the_schema_says_so(modern: ModernServer, join: Connect) -> None:
    schema = {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "limit": {"type": "integer", "x-mcp-header": "Limit"},
        "dry": {"type": "boolean", "x-mcp-header": "Dry"},
        "where": {"type": "object", "properties": {"city": {"type": "string", "x-mcp-header": "City"}}},
        "absent": {"type": "string", "x-mcp-header": "Absent"},
        "query": {"type": "string"},
    }
    modern.tool_list = [_described("echo", schema)]
    client = join()
    client.list_tools()
    arguments = {
        "region": "us-west1",
        "limit": -7,
        "dry": True,
        "where": {"city": "世界"},
        "absent": None,
        "query": "q",
    }
    client.call_tool("echo", arguments)
    sent = {name: value for name, value in modern.requests[-1].headers.items() if name.startswith("mcp-param-")}
    city = base64.b64encode("世界".encode()).decode()
    assert sent == {
        "mcp-param-region": "us-west1",
        "mcp-param-limit": "-7",
        "mcp-param-dry": "true",
        "mcp-param-city": f"=?base64?{city}?=",
    }
    assert modern.sent("tools/call")[0]["params"]["arguments"] == arguments


def test_a_tool_that_wants_impossible_headers_is_left_out_with_a_warning(
    modern: ModernServer, join: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    bad = _described("bad", {"x": {"type": "number", "x-mcp-header": "X"}})
    modern.tool_list.append(bad)
    with caplog.at_level(logging.WARNING, "mcp_sync"):
        tools = join().list_tools()
    assert "bad" not in [tool.name for tool in tools]
    assert "echo" in [tool.name for tool in tools]
    (record,) = [record for record in caplog.records if record.name.startswith("mcp_sync")]
    assert "bad" in record.getMessage()


def test_a_header_mismatch_costs_one_look_at_the_list_and_one_more_try(modern: ModernServer, join: Connect) -> None:
    def strict(asked: Asked) -> None:
        if asked.request.headers.get("mcp-param-region") != "us":
            error = {"code": -32020, "message": "Header mismatch"}
            asked.wire.respond(400, {"jsonrpc": "2.0", "id": asked.id, "error": error})
        else:
            asked.text("done")

    modern.tools["echo"] = strict
    client = join()
    client.list_tools()
    modern.tool_list = [_described("echo", {"region": {"type": "string", "x-mcp-header": "Region"}})]
    assert client.call_tool("echo", {"region": "us"}).text == "done"
    assert modern.tool_calls["echo"] == 2
    assert len(modern.sent("tools/list")) == 2
    modern.tool_list = []
    with pytest.raises(MCPServerError) as caught:
        client.call_tool("echo", {"region": "eu"})
    assert caught.value.code == -32020
    assert modern.tool_calls["echo"] == 4


def test_a_header_mismatch_of_anything_but_a_tool_call_is_an_error_at_once(modern: ModernServer, join: Connect) -> None:
    """Also of the look at the list that a tool's mismatch makes."""
    client = join()
    for method in ("tools/list", "tools/call", "resources/list"):
        modern.methods[method] = lambda asked: asked.error(-32020, "Header mismatch")
    for ask in (client.list_tools, client.list_resources, lambda: client.call_tool("echo")):
        with pytest.raises(MCPServerError) as caught:
            ask()
        assert caught.value.code == -32020
    assert [len(modern.sent(method)) for method in ("tools/list", "tools/call", "resources/list")] == [2, 1, 1]


def test_a_result_type_may_be_absent_and_an_unknown_one_is_invalid(modern: ModernServer, join: Connect) -> None:
    client = join()
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"  # this server leaves it out
    modern.tools["echo"] = lambda asked: asked.text("hi", resultType="complete")
    assert client.call_tool("echo").text == "hi"
    modern.tools["echo"] = lambda asked: asked.text("hi", resultType="riddle")
    with pytest.raises(Exception, match="riddle") as caught:
        client.call_tool("echo")
    assert getattr(caught.value, "outcome", None) == "unknown"


def test_a_call_shows_its_progress_and_its_log_messages(modern: ModernServer, join: Connect) -> None:
    gate = threading.Event()

    def work(asked: Asked) -> None:
        asked.progress(1, 2)
        modern.wait(gate)
        asked.log("note")
        asked.text("result")

    modern.tools["work"] = work
    events: list[Any] = []
    with within(), join(log_level="info").stream_tool("work", timeout=LONG) as stream:
        for event in stream:
            events.append(event)
            gate.set()
    assert isinstance(events[0], Progress)
    assert isinstance(events[1], LogMessage)
    assert events[2].text == "result"


def test_the_log_level_goes_with_each_request_and_nothing_is_sent_to_set_it(
    modern: ModernServer, join: Connect
) -> None:
    client = join(log_level="warning")
    client.call_tool("echo")
    before = len(modern.requests)
    client.set_logging_level("debug")
    assert len(modern.requests) == before
    client.call_tool("echo")
    levels = [message["params"]["_meta"].get(META + "logLevel") for message in modern.sent("tools/call")]
    assert levels == ["warning", "debug"]


# Cancelling


@pytest.mark.parametrize("way", ["timeout", "cancel", "leave", "future"])
def test_to_cancel_is_to_close_the_response(way: str, modern: ModernServer, join: Connect) -> None:
    closed = threading.Event()

    def work(asked: Asked) -> None:
        try:
            asked.progress(1)
            asked.wire.hold()
        finally:
            closed.set()

    modern.tools["work"] = work
    client = join()
    with within():
        if way == "timeout":
            with pytest.raises(MCPTimeoutError):
                client.call_tool("work", timeout=0.3)
        elif way == "future":
            future = client.submit("work", timeout=LONG)
            modern.wait_for_call("work")
            future.cancel()
        else:
            with client.stream_tool("work", timeout=LONG) as stream:
                next(stream)
                if way == "cancel":
                    stream.cancel()
                    assert list(stream) == []
        assert closed.wait(10)
    assert client.call_tool("echo", {"message": "next"}).text == "next"
    assert modern.sent("notifications/cancelled") == []
    assert modern.tool_calls["work"] == 1


def test_a_stream_that_breaks_is_not_resumed(modern: ModernServer, join: Connect) -> None:
    def work(asked: Asked) -> None:
        asked.own_stream().event("", event=None, id="1", retry=0)
        asked.own_stream().cut()

    modern.tools["work"] = work
    with within(), pytest.raises(MCPConnectionError) as caught:
        join().call_tool("work", timeout=LONG)
    assert caught.value.outcome == "unknown"
    assert modern.tool_calls["work"] == 1
    assert modern.count("GET") == 0


def test_a_session_id_that_is_sent_all_the_same_means_nothing(modern: ModernServer, join: Connect) -> None:
    def echo(asked: Asked) -> None:
        result = {"content": [{"type": "text", "text": "hi"}]}
        answer = {"jsonrpc": "2.0", "id": asked.id, "result": result}
        asked.wire.respond(200, answer, {"mcp-session-id": "abc"})

    modern.tools["echo"] = echo
    client = join()
    client.call_tool("echo")
    client.call_tool("echo")
    assert client.session_id is None


# Versions


def test_a_version_refused_and_offered_in_one_breath_is_asked_for_again(
    modern: ModernServer, make_client: Connect
) -> None:
    def refuse(wire: Wire, request: Request) -> None:
        error = {"code": -32022, "message": "?", "data": {"supported": [VERSION], "requested": VERSION}}
        wire.respond(400, {"jsonrpc": "2.0", "id": request.messages[0]["id"], "error": error})

    modern.instead("server/discover", refuse)
    client = make_client(modern.mcp_url).connect()
    assert client.protocol_version == VERSION
    assert len(modern.sent("server/discover")) == 2
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"


def test_a_version_refused_in_the_middle_is_agreed_on_anew(modern: ModernServer, join: Connect) -> None:
    def refuse(asked: Asked) -> None:
        error = {"code": -32022, "message": "not this one", "data": {"supported": [VERSION], "requested": VERSION}}
        asked.wire.respond(400, {"jsonrpc": "2.0", "id": asked.id, "error": error})

    answer = modern.tools["echo"]

    def refuse_once(asked: Asked) -> None:
        modern.tools["echo"] = answer
        refuse(asked)

    client = join()
    modern.tools["echo"] = refuse_once
    with within():
        assert client.call_tool("echo", {"message": "hi"}, timeout=LONG).text == "hi"
    assert len(modern.sent("server/discover")) == 2
    modern.tools["echo"] = refuse
    with within(), pytest.raises(MCPServerError) as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.code == -32022
    assert modern.tool_calls["echo"] == 4


@pytest.mark.parametrize("offered", [["1999-01-01"], ["2099-01-01"], []])
def test_a_server_with_none_of_our_versions_is_a_clear_error(
    offered: list[str], modern: ModernServer, make_client: Connect
) -> None:
    def refuse(wire: Wire, request: Request) -> None:
        if request.rpc_methods == ["initialize"]:
            modern.violations.clear()
        error = {"code": -32022, "message": "Unsupported protocol version", "data": {"supported": offered}}
        wire.respond(400, {"jsonrpc": "2.0", "id": request.messages[0]["id"], "error": error})

    modern.instead("POST", refuse, ALWAYS)
    with within(), pytest.raises(MCPHandshakeError, match="version") as caught:
        make_client(modern.mcp_url, timeout=LONG).connect()
    assert caught.value.outcome == "not_sent"
    modern.violations.clear()  # initialize has none of the metadata


def test_a_pinned_version_is_asked_for_and_nothing_else(modern: ModernServer, make_client: Connect) -> None:
    client = make_client(modern.mcp_url, protocol_version=VERSION).connect()
    assert client.protocol_version == VERSION
    modern.supported = ["2099-01-01"]
    with within(), pytest.raises(MCPHandshakeError, match=VERSION):
        make_client(modern.mcp_url, protocol_version=VERSION, headers={"x": "y"}, connection_path="/x").connect()
    assert modern.sent("initialize") == []


def test_an_unknown_method_is_the_servers_error(modern: ModernServer, join: Connect) -> None:
    client = join()
    with pytest.raises(MCPServerError) as caught:
        client.request("x/unknown", {})
    assert caught.value.code == -32601


def test_a_404_without_an_answer_in_it_is_a_status(modern: ModernServer, join: Connect) -> None:
    client = join()
    modern.instead("tools/call", status(404, "<h1>gone</h1>", {"content-type": "text/html"}))
    with pytest.raises(HTTPStatusError) as caught:
        client.call_tool("echo")
    assert caught.value.status == 404
    assert client.call_tool("echo", {"message": "next"}).text == "next"


def test_an_error_without_an_id_is_the_answer_to_what_it_came_for(modern: ModernServer, join: Connect) -> None:
    client = join()
    body = json.dumps({"jsonrpc": "2.0", "error": {"code": -32021, "message": "sampling is required"}})
    modern.instead("tools/call", status(400, body, {"content-type": "application/json"}))
    with pytest.raises(MCPServerError, match="sampling is required") as caught:
        client.call_tool("echo")
    assert caught.value.code == -32021


def test_results_and_notifications_of_extensions_pass_through_unharmed(modern: ModernServer, join: Connect) -> None:
    heard = threading.Event()
    notes: list[Any] = []

    def hear(note: Any) -> None:
        notes.append(note)
        heard.set()

    def work(asked: Asked) -> None:
        asked.send({"jsonrpc": "2.0", "method": "com.example/told", "params": {"deep": {"x": [1, None]}}})
        asked.text("result", **{"com.example/more": {"y": 2}}, _meta={"com.example/m": 3})

    modern.tools["work"] = work
    modern.methods["com.example/do"] = lambda asked: asked.answer({"z": [asked.params["a"]], "resultType": "complete"})
    client = join(extensions={"com.example/x": {}}, notification_handler=hear)
    result = client.call_tool("work")
    assert result.text == "result"
    assert result.to_wire()["com.example/more"] == {"y": 2}
    assert result.meta == {"com.example/m": 3}
    assert heard.wait(10)
    assert (notes[0].method, notes[0].params) == ("com.example/told", {"deep": {"x": [1, None]}})
    assert client.request("com.example/do", {"a": 5})["z"] == [5]
