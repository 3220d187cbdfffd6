"""The bundled server through the client, on each transport: every tool, resource, prompt, and what goes wrong."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from typing import Any

import pytest

from mcp_sync import CallToolResult, LogMessage, MCPClient, Notification, Progress, ToolError
from mcp_sync.errors import MCPServerError
from tests.support.demo_server import STDIO_ARGV

WAIT = 30.0  # seconds, for what takes moments on an idle machine
TOOLS = [
    "echo",
    "generate_numbers",
    "search_documents",
    "generate_text",
    "calculate",
    "process_rows",
    "ask_name",
    "fail",
]
WAYS: dict[str, dict[str, Any]] = {
    "sse": {"transport": "sse"},
    "http": {"transport": "http", "protocol_version": "2025-11-25"},
    "stateless": {"transport": "http", "protocol_version": "2026-07-28"},
    "stdio": {},
}


def connect(way: str, url: str, **options: Any) -> MCPClient:
    return MCPClient(STDIO_ARGV if way == "stdio" else url, timeout=WAIT, **WAYS[way], **options)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(way: str, demo_url: str) -> Iterator[MCPClient]:
    with connect(way, demo_url) as connected:
        yield connected


def events_of(client: MCPClient, tool: str, arguments: dict[str, Any]) -> tuple[list[Progress], CallToolResult]:
    with client.stream_tool(tool, arguments) as stream:
        progress = [event for event in stream if isinstance(event, Progress)]
    assert stream.result is not None
    return progress, stream.result


def test_it_says_who_it_is(client: MCPClient) -> None:
    assert client.server_info.name == "mcp-sync-demo"
    assert client.instructions


def test_its_tools_are_listed_with_schemas(client: MCPClient) -> None:
    tools = {tool.name: tool for tool in client.list_tools()}
    assert list(tools) == TOOLS
    for tool in tools.values():
        assert tool.description
        assert tool.input_schema["type"] == "object"


def test_echo_returns_its_message(client: MCPClient) -> None:
    assert client.call_tool("echo", {"message": "höi\n\u2028"}).text == "höi\n\u2028"


def test_generate_numbers_reports_each_number_and_returns_the_list(client: MCPClient) -> None:
    progress, result = events_of(client, "generate_numbers", {"count": 5, "delay": 0})
    assert [(event.progress, event.total, event.message) for event in progress] == [
        (number, 5, str(number)) for number in range(1, 6)
    ]
    assert result.data == [1, 2, 3, 4, 5]


def test_generate_text_reports_each_token_of_the_text(client: MCPClient) -> None:
    progress, result = events_of(client, "generate_text", {"prompt": "the ocean", "delay": 0})
    assert len(progress) == 60
    assert "".join(str(event.message) for event in progress) == result.text
    assert result.text.startswith("About the ocean: ")


def test_search_documents_reports_each_hit_and_returns_the_best_first(client: MCPClient) -> None:
    progress, result = events_of(client, "search_documents", {"query": "light sun", "delay": 0})
    reported = [json.loads(str(event.message)) for event in progress]
    found = result.data["documents"]
    assert sorted(hit["id"] for hit in reported) == sorted(hit["id"] for hit in found)
    assert [hit["score"] for hit in found] == sorted((hit["score"] for hit in reported), reverse=True)
    assert found[0]["id"] == "auroras"


def test_process_rows_reports_each_chunk_and_returns_the_totals(client: MCPClient) -> None:
    rows = [{"price": number, "name": "x", "sold": True} for number in range(25)]
    progress, result = events_of(client, "process_rows", {"rows": rows, "delay": 0})
    assert [event.progress for event in progress] == [10, 20, 25]
    assert json.loads(str(progress[2].message)) == {"chunk": 3, "rows": 5, "sums": {"price": 110}}
    assert result.data == {"rows": 25, "chunks": 3, "sums": {"price": 300}}
    assert json.loads(result.text) == result.data


def test_calculate_computes(client: MCPClient) -> None:
    assert client.call_tool("calculate", {"expression": "(1 + 2) * 3"}).data == 9


def test_fail_fails(client: MCPClient) -> None:
    with pytest.raises(ToolError, match="on purpose"):
        client.call_tool("fail", {"message": "on purpose"})


@pytest.mark.parametrize(
    ("tool", "arguments", "complaint"),
    [
        ("generate_numbers", {}, "count: Field required"),
        ("generate_numbers", {"count": -1}, "count: Input should be greater than or equal to 0"),
        ("generate_numbers", {"count": 100_001}, "count: Input should be less than or equal to 100000"),
        ("generate_numbers", {"count": "many"}, "count: Input should be a valid integer"),
        ("echo", {"message": "hi", "loud": True}, "loud: Extra inputs are not permitted"),
        ("calculate", {"expression": "__import__('os')"}, "not function calls"),
        ("calculate", {"expression": "9 ** 9 ** 9"}, "the result is too large"),
        ("process_rows", {"rows": "all"}, "rows: Input should be a valid list"),
    ],
)
def test_bad_input_is_a_clear_tool_error(
    client: MCPClient, tool: str, arguments: dict[str, Any], complaint: str
) -> None:
    result = client.call_tool(tool, arguments, raise_on_error=False)
    assert result.is_error
    assert result.text.startswith(f"{tool}: ")
    assert complaint in result.text


def test_an_unknown_tool_is_a_protocol_error(client: MCPClient) -> None:
    with pytest.raises(MCPServerError, match="Unknown tool: nope"):
        client.call_tool("nope")


def test_resources_come_in_pages_and_can_be_read(client: MCPClient) -> None:
    resources = {resource.uri: resource for resource in client.list_resources()}
    assert len(resources) == 22
    assert [template.uri_template for template in client.list_resource_templates()] == ["docs://{id}"]
    assert "waggle" not in resources
    (document,) = client.read_resource("docs://bees").contents
    assert getattr(document, "text", "").startswith("# The dance of the honey bee\n")
    (picture,) = client.read_resource("demo://pixel.png").contents
    assert picture.mime_type == "image/png"
    with pytest.raises(MCPServerError, match="Resource not found: docs://none"):
        client.read_resource("docs://none")


def test_prompts_are_filled_in_and_their_arguments_completed(client: MCPClient) -> None:
    assert [prompt.name for prompt in client.list_prompts()] == ["summarize", "compare"]
    prompt = client.get_prompt("summarize", {"topic": "ocean", "style": "in verse"})
    assert getattr(prompt.messages[0].content, "text", None) == "Write a summary about ocean, in verse."
    assert len(prompt.messages) == 3
    with pytest.raises(MCPServerError, match="needs: topic"):
        client.get_prompt("summarize", {})
    ref = {"type": "ref/prompt", "name": "summarize"}
    assert client.complete(ref, "topic", "m").completion.values == ["mathematics", "microbes", "moon", "mountains"]
    compare = {"type": "ref/prompt", "name": "compare"}
    assert client.complete(compare, "second", "be", context={"first": "bees"}).completion.values == []
    assert client.complete({"type": "ref/resource", "uri": "docs://{id}"}, "id", "be").completion.values == ["bees"]


def test_ask_name_asks(way: str, demo_url: str) -> None:
    asked: list[str] = []

    def answer(params: Any) -> dict[str, Any]:
        asked.append(params.message)
        return {"action": "accept", "content": {"name": "Ada"}}

    with connect(way, demo_url, elicitation_handler=answer) as client:
        assert client.call_tool("ask_name").text == "Hello, Ada!"
    assert asked == ["What is your name?"]


def test_ask_name_takes_no_for_an_answer(way: str, demo_url: str) -> None:
    with connect(way, demo_url, elicitation_handler=lambda params: {"action": "decline"}) as client:
        assert client.call_tool("ask_name").text == "Hello, whoever you are!"


def test_ask_name_fails_where_nobody_can_be_asked(client: MCPClient) -> None:
    with pytest.raises((ToolError, MCPServerError), match="declared no elicitation capability"):
        client.call_tool("ask_name")


def test_log_messages_come_at_the_level_that_was_asked_for(way: str, demo_url: str) -> None:
    messages: queue.Queue[LogMessage] = queue.Queue()
    with connect(way, demo_url, log_handler=messages.put) as client:
        client.set_logging_level("debug")
        client.call_tool("search_documents", {"query": "bees", "delay": 0})
        assert messages.get(timeout=WAIT).data == "searching 20 documents"
        client.set_logging_level("warning")
        client.call_tool("process_rows", {"rows": [1, 2], "delay": 0})
        client.call_tool("echo", {"message": "a barrier: what was logged before it has arrived"})
    assert messages.empty()


def test_subscribers_are_told_of_calls(way: str, demo_url: str) -> None:
    told: queue.Queue[Notification] = queue.Queue()
    with connect(way, demo_url, notification_handler=told.put) as client:
        with client.listen(resources=["demo://calls"]) as events:
            client.call_tool("echo", {"message": "hi"})
            assert next(iter(events)).params["uri"] == "demo://calls"
        (calls,) = client.read_resource("demo://calls").contents
        assert json.loads(getattr(calls, "text", "{}"))["echo"] >= 1


def test_a_cancelled_call_ends_on_the_server(way: str, demo_url: str) -> None:
    with connect(way, demo_url) as client:
        with client.stream_tool("generate_numbers", {"count": 1000, "delay": 0.01}) as stream:
            assert isinstance(next(stream), Progress)
            stream.cancel()
        assert client.call_tool("echo", {"message": "still here"}).text == "still here"
