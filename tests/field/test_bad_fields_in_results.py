"""A tool has run: one bad field of its result must not cost the rest."""

from __future__ import annotations

import logging
import pickle
from typing import Any

import pytest

from mcp_sync import MCPProtocolError, TextContent, UnknownContent
from tests.support.beds import ALL, Bed, over

TEXT = {"type": "text", "text": "hi"}


def answers(bed: Bed, result: Any) -> None:
    bed.tool("odd", lambda asked: asked.reply({"jsonrpc": "2.0", "id": asked.id, "result": result}))


@pytest.mark.parametrize("more", [{}, {"content": None}])
@over(*ALL)
def test_structured_content_needs_no_content(bed: Bed, more: dict[str, Any]) -> None:
    answers(bed, {"structuredContent": {"a": 1}, **more})
    result = bed.connect().call_tool("odd")
    assert result.content == []
    assert result.data == {"a": 1}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "data": "AAAA"},
        {"type": "text"},
        {"type": "text", "text": 7},
        {"type": "resource", "resource": {"uri": "a:b"}},
        {"type": "resource_link", "uri": "a:b"},
        {"type": "audio", "mimeType": "a/b", "data": None},
        {"type": "text", "text": "x", "annotations": "none"},
        {"text": "no type"},
        "a string",
        None,
        7,
    ],
    ids=str,
)
@over("http-json")
def test_a_malformed_block_keeps_its_data_beside_the_others(
    bed: Bed, block: Any, caplog: pytest.LogCaptureFixture
) -> None:
    answers(bed, {"content": [TEXT, block, TEXT]})
    with caplog.at_level(logging.WARNING, "mcp_sync"):
        result = bed.connect().call_tool("odd")
    first, kept, last = result.content
    assert isinstance(first, TextContent)
    assert isinstance(last, TextContent)
    assert isinstance(kept, UnknownContent)
    assert kept.problem
    told = kept.to_wire()
    assert told == (block if isinstance(block, dict) and "type" in block else {**told, "type": ""})
    if not isinstance(block, dict):
        assert told["data"] == block
    (record,) = caplog.records
    assert "block 1" in record.getMessage()
    assert "'odd'" in record.getMessage()


@over("http-json")
def test_a_malformed_block_of_a_prompt_keeps_its_data(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    messages = [{"role": "user", "content": content} for content in (TEXT, "plain", {"type": "image"})]
    bed.server.methods["prompts/get"] = lambda asked: asked.answer({"messages": messages})
    with caplog.at_level(logging.WARNING, "mcp_sync"):
        prompt = bed.connect().get_prompt("p")
    assert isinstance(prompt.messages[0].content, TextContent)
    assert [getattr(message.content, "problem", "") != "" for message in prompt.messages] == [False, True, True]
    assert "2 of the 3" in caplog.text


@over("http-json")
def test_a_type_that_nobody_knows_is_no_fault(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    answers(bed, {"content": [{"type": "hologram", "voxels": 1}]})
    with caplog.at_level(logging.WARNING, "mcp_sync"):
        (block,) = bed.connect().call_tool("odd").content
    assert isinstance(block, UnknownContent)
    assert block.problem == ""
    assert not caplog.records


@pytest.mark.parametrize(
    "result",
    [
        {"content": "text"},
        {"content": {"type": "text", "text": "x"}},
        {"content": [], "isError": {"really": "no"}},
        {"content": [], "_meta": "none"},
        "text",
        [1],
        None,
    ],
    ids=str,
)
@over("http-json", "stdio")
def test_an_error_that_remains_carries_the_result(bed: Bed, result: Any) -> None:
    answers(bed, result)
    client = bed.connect()
    with pytest.raises(MCPProtocolError) as caught:
        client.call_tool("odd")
    assert caught.value.result == result
    assert caught.value.outcome == "unknown"
    assert pickle.loads(pickle.dumps(caught.value)).result == result


@over("http-json")
def test_so_does_that_of_a_resource(bed: Bed) -> None:
    contents = [{"uri": "a:b", "text": "whole"}, {"uri": "a:c"}]
    bed.server.methods["resources/read"] = lambda asked: asked.answer({"contents": contents})
    client = bed.connect()
    with pytest.raises(MCPProtocolError) as caught:
        client.read_resource("a:b")
    assert caught.value.result["contents"] == contents


# PHP has one word for an empty list and an empty object.


@over(*ALL)
def test_an_empty_list_is_an_empty_object_wherever_one_is_due(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    server = bed.server
    server.capabilities = {"tools": [], "resources": [], "prompts": [], "logging": [], "experimental": []}
    empty: dict[str, Any] = {"annotations": [], "_meta": []}
    server.methods["tools/list"] = lambda asked: asked.answer(
        {
            "tools": [
                {"name": "odd", "inputSchema": [], "execution": [], **empty},
                {"name": "none", "inputSchema": {"type": "object", "properties": [], "required": []}},
            ],
            "_meta": [],
        }
    )
    server.methods["resources/list"] = lambda asked: asked.answer({"resources": [{"name": "r", "uri": "a:b", **empty}]})
    server.methods["resources/read"] = lambda asked: asked.answer(
        {"contents": [{"uri": "a:b", "text": "x", "_meta": []}], "_meta": []}
    )
    server.methods["prompts/get"] = lambda asked: asked.answer(
        {"messages": [{"role": "user", "content": {**TEXT, **empty}}], "_meta": []}
    )
    answers(bed, {"content": [{**TEXT, **empty}], "_meta": [], "structuredContent": []})
    with caplog.at_level(logging.WARNING, "mcp_sync"):
        client = bed.connect()
        assert client.server_capabilities.tools is not None
        assert client.server_capabilities.logging == {}
        tool, without = client.list_tools()
        assert without.input_schema == {"type": "object", "properties": {}, "required": []}
        assert (tool.input_schema, tool.meta) == ({}, {})
        assert client.list_resources()[0].meta == {}
        assert client.read_resource("a:b").text == "x"
        assert isinstance(client.get_prompt("p").messages[0].content, TextContent)
        result = client.call_tool("odd")
    assert result.text == "hi"
    # Since 2026-07-28 an array may be meant.
    assert result.structured_content == ([] if bed.name == "stateless" else {})
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@over("http-json", "sse", "stdio")
def test_an_empty_list_is_an_empty_result(bed: Bed) -> None:
    for method in ("ping", "logging/setLevel", "resources/subscribe"):
        bed.server.methods[method] = lambda asked: asked.reply({"jsonrpc": "2.0", "id": asked.id, "result": []})
    client = bed.connect()
    client.ping()
    client.set_logging_level("info")
    assert client.request("ping") == {}


@over("http-json")
def test_no_list_with_something_in_it_is_an_object(bed: Bed) -> None:
    bed.server.methods["tools/list"] = lambda asked: asked.answer({"tools": [{"name": "t", "inputSchema": [1]}]})
    client = bed.connect()
    assert client.list_tools() == []
    assert client.rejected[0].name == "t"
