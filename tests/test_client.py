"""MCPClient: what each method sends, and what it makes of the answer."""

from __future__ import annotations

import asyncio
from typing import Any, Callable

import pytest

from mcp_sync import (
    CallToolResult,
    MCPClient,
    MCPClosedError,
    MCPProtocolError,
    MCPServerError,
    MCPUsageError,
    TextContent,
    Tool,
    ToolError,
)
from tests.support.clock import LONG
from tests.support.fault_server import Asked, FaultServer

Connect = Callable[..., MCPClient]


# State


def test_before_the_first_session_there_is_nothing_to_tell(make_client: Connect, server: FaultServer) -> None:
    client = make_client(server.sse_url, transport="sse")
    assert not client.connected
    assert client.protocol_version is None
    assert client.transport is None
    assert client.session_id is None
    for name in ("server_info", "server_capabilities", "instructions"):
        with pytest.raises(MCPClosedError, match="not connected yet"):
            getattr(client, name)
    assert server.connections == 0
    assert "not connected" in repr(client)


def test_a_session_tells_what_was_agreed_on(server: FaultServer, make_client: Connect) -> None:
    server.instructions = "be kind"
    with make_client(server.sse_url, transport="sse") as client:
        assert client.connected
        assert (client.server_info.name, client.server_info.version) == ("fault-server", "1.0")
        assert client.server_capabilities.tools is not None
        assert client.instructions == "be kind"
        assert client.protocol_version == "2025-11-25"
        assert client.transport == "sse"
        assert client.session_id == server.session.id
        assert repr(client) == f"<MCPClient {server.sse_url}, connected>"
    assert repr(client) == f"<MCPClient {server.sse_url}, closed>"


def test_the_first_call_opens_the_session(server: FaultServer, make_client: Connect) -> None:
    client = make_client(server.sse_url, transport="sse")
    client.ping()
    assert client.connected
    client.connect()
    assert len(server.sent("initialize")) == 1
    assert len(server.sent("notifications/initialized")) == 1


def test_the_client_tells_who_it_is(server: FaultServer, connect: Connect) -> None:
    connect(client_info={"name": "me", "version": "7", "title": "Me"})
    assert server.sent("initialize")[0]["params"]["clientInfo"] == {"name": "me", "version": "7", "title": "Me"}


# Tools


def test_a_tool_is_called_and_its_result_read(server: FaultServer, client: MCPClient) -> None:
    server.tools["rich"] = lambda asked: asked.answer(
        {
            "content": [{"type": "text", "text": "a"}, {"type": "new", "x": 1}, {"type": "text", "text": "b"}],
            "structuredContent": {"n": 1},
            "_meta": {"m": 2},
            "later": "field",
        }
    )
    result = client.call_tool("rich", {"a": [1, None, {"b": "ü"}]}, meta={"trace": "t"})
    assert isinstance(result, CallToolResult)
    assert isinstance(result.content[0], TextContent)
    assert result.structured_content == {"n": 1}
    assert result.data == {"n": 1}
    assert result.meta == {"m": 2}
    assert not result.is_error
    (message,) = server.sent("tools/call")
    assert message["params"] == {"name": "rich", "arguments": {"a": [1, None, {"b": "ü"}]}, "_meta": {"trace": "t"}}


def test_a_tool_that_fails_raises_with_the_result_unless_told_otherwise(server: FaultServer, client: MCPClient) -> None:
    with pytest.raises(ToolError, match="it failed") as caught:
        client.call_tool("fail")
    assert caught.value.result is not None
    assert caught.value.result.is_error
    assert client.call_tool("fail", raise_on_error=False).text == "it failed"


def test_an_unknown_tool_is_the_servers_error(server: FaultServer, client: MCPClient) -> None:
    with pytest.raises(MCPServerError, match="Unknown tool") as caught:
        client.call_tool("nope")
    assert caught.value.code == -32602


@pytest.mark.parametrize("arguments", ["text", [1], 7, {1: 2}, {"a": object()}, {"a": float("nan")}])
def test_arguments_that_are_no_json_are_a_usage_error_and_nothing_is_sent(
    arguments: Any, server: FaultServer, client: MCPClient
) -> None:
    with pytest.raises(MCPUsageError) as caught:
        client.call_tool("echo", arguments)
    assert caught.value.outcome == "not_sent"
    assert server.tool_calls["echo"] == 0


@pytest.mark.parametrize("name", ["", None, 7, b"echo"])
def test_a_name_that_is_none_is_a_usage_error(name: Any, client: MCPClient) -> None:
    with pytest.raises(MCPUsageError, match="name of a tool"):
        client.call_tool(name)


def test_on_progress_is_told_on_the_callers_thread_before_the_result(server: FaultServer, client: MCPClient) -> None:
    import threading

    seen: list[Any] = []
    client.call_tool(
        "progress", {"count": 3}, on_progress=lambda p: seen.append((p.progress, threading.current_thread()))
    )
    assert seen == [(n, threading.current_thread()) for n in (1, 2, 3)]


def test_lists_are_complete(server: FaultServer, client: MCPClient) -> None:
    def pages(asked: Asked) -> None:
        number = int(asked.params.get("cursor", 0))
        more = {"nextCursor": str(number + 1)} if number < 3 else {}
        asked.answer({"tools": [{"name": f"t{number}", "inputSchema": {}}], **more})

    server.methods["tools/list"] = pages
    tools = client.list_tools()
    assert [tool.name for tool in tools] == ["t0", "t1", "t2", "t3"]
    assert {type(tool) for tool in tools} == {Tool}


# The rest of the protocol


def test_resources_prompts_and_completions(server: FaultServer, client: MCPClient) -> None:
    assert client.list_resources()[0].uri == "test://one"
    assert client.list_resource_templates() == []
    assert client.read_resource("test://one").contents[0].uri == "test://one"
    assert client.list_prompts()[0].name == "greet"
    assert client.get_prompt("greet", {"name": "me", "n": 3, "deep": {"a": 1}}).messages
    assert server.sent("prompts/get")[0]["params"]["arguments"] == {"name": "me", "n": "3", "deep": '{"a": 1}'}
    assert client.complete("greet", "name", "o").completion.values == ["one", "two"]
    client.complete("file:///{path}", "path", "a", context={"x": "y"})
    first, second = server.sent("completion/complete")
    assert first["params"]["ref"] == {"type": "ref/prompt", "name": "greet"}
    assert second["params"]["ref"] == {"type": "ref/resource", "uri": "file:///{path}"}
    assert second["params"]["context"] == {"arguments": {"x": "y"}}


def test_subscriptions_are_counted(server: FaultServer, client: MCPClient) -> None:
    client.subscribe_resource("test://one")
    client.subscribe_resource("test://one")
    client.unsubscribe_resource("test://one")
    assert server.sent("resources/unsubscribe") == []
    client.unsubscribe_resource("test://one")
    assert len(server.sent("resources/unsubscribe")) == 1


def test_a_log_level_that_there_is_not_is_a_usage_error(server: FaultServer, client: MCPClient) -> None:
    client.set_logging_level("debug")
    with pytest.raises(MCPUsageError, match="there are debug"):
        client.set_logging_level("loud")
    assert len(server.sent("logging/setLevel")) == 1


def test_anything_else_can_be_asked_or_told(server: FaultServer, client: MCPClient) -> None:
    server.methods["x/y"] = lambda asked: asked.answer({"got": asked.params, "z": None})
    assert client.request("x/y", {"a": 1}) == {"got": {"a": 1}, "z": None}
    client.notify("notifications/x", {"b": 2})
    assert server.wait_for_method("notifications/x")[0]["params"] == {"b": 2}
    with pytest.raises(MCPServerError) as caught:
        client.request("no/such")
    assert caught.value.code == -32601
    for wrong in ("", None, 7):
        with pytest.raises(MCPUsageError):
            client.request(wrong)  # type: ignore[arg-type]
        with pytest.raises(MCPUsageError):
            client.notify(wrong)  # type: ignore[arg-type]
    with pytest.raises(MCPUsageError):
        client.request("x/y", [1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "answer", "call"),
    [
        ("tools/list", {"tools": {}}, lambda client: client.list_tools()),
        ("resources/list", {}, lambda client: client.list_resources()),
        ("resources/read", {"contents": 7}, lambda client: client.read_resource("test://one")),
        ("prompts/get", {"messages": [{"role": "x"}]}, lambda client: client.get_prompt("greet")),
        ("completion/complete", {"completion": [7]}, lambda client: client.complete("greet", "a", "b")),
    ],
)
def test_an_answer_of_a_wrong_shape_is_a_protocol_error_that_names_it(
    method: str, answer: dict[str, Any], call: Callable[[MCPClient], Any], server: FaultServer, client: MCPClient
) -> None:
    server.methods[method] = lambda asked: asked.answer(answer)
    with pytest.raises(MCPProtocolError) as caught:
        call(client)
    assert caught.value.method == method


def test_connecting_in_a_running_event_loop_warns_and_works(server: FaultServer, make_client: Connect) -> None:
    client = make_client(server.sse_url, transport="sse")

    async def main() -> str:
        with pytest.warns(Warning, match="event loop"):
            return client.call_tool("echo", {"message": "hi"}, timeout=LONG).text

    assert asyncio.run(main()) == "hi"
