"""What a hostile server may try with a client's time: work that grows faster than what was sent, and deadlines that are
not looked at while we work through it.
"""

from __future__ import annotations

import time
from typing import Any, Callable

import pytest

from mcp_sync import MCPClientError, MCPProtocolError, MCPServerError, Tool, ToolError
from mcp_sync.calls.tools import ToolFunction
from mcp_sync.cli.commands import _signature
from mcp_sync.concurrency.deadline import Deadline
from mcp_sync.errors import MCPTimeoutError
from mcp_sync.protocol.headers import header_paths
from mcp_sync.protocol.messages import decode
from mcp_sync.protocol.types import apply_defaults
from tests.support.beds import ALL, Bed, over
from tests.support.clock import LONG, within

# How much more work for four times as much: 4 where it is linear, 16 where it is quadratic.
_GROWTH = 9


def cpu_seconds(work: Callable[[], object]) -> float:
    """The least of three runs: what else the machine does only adds to it."""
    times = []
    for _ in range(3):
        began = time.thread_time()
        work()
        times.append(time.thread_time() - began)
    return min(times)


def mirrored(count: int) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {f"p{n}": {"type": "string", "x-mcp-header": f"P{n}"} for n in range(count)},
    }


def required(count: int) -> dict[str, Any]:
    names = [f"p{n}" for n in range(count)]
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": names}


def form(count: int) -> dict[str, Any]:
    values = [f"v{n}" for n in range(count)]
    return {"properties": {"f": {"type": "array", "items": {"enum": values}, "default": values}}}


def as_function(schema: dict[str, Any]) -> None:
    ToolFunction(Tool(name="t", input_schema=schema), lambda name, arguments: None)


LINEAR: dict[str, tuple[Callable[[int], dict[str, Any]], Callable[[dict[str, Any]], object]]] = {
    "x-mcp-header": (mirrored, header_paths),
    "client.tools": (required, as_function),
    "mcp-sync tools": (required, _signature),
    "an elicitation's default": (form, lambda schema: apply_defaults(schema, {})),
}


@pytest.mark.parametrize("name", LINEAR)
def test_the_work_grows_as_what_was_sent_does(name: str) -> None:
    make, work = LINEAR[name]
    small, large = make(2_000), make(8_000)
    assert cpu_seconds(lambda: work(large)) < _GROWTH * cpu_seconds(lambda: work(small)) + 0.01


def test_a_default_that_is_not_among_the_choices_is_not_applied_whatever_these_are() -> None:
    choices = {"enum": [{"a": 1}, ["x"], "y", 2]}
    schema = {"properties": {"bad": {**choices, "default": "z"}, "good": {**choices, "default": 2}}}
    assert apply_defaults(schema, {}) == {"good": 2}


@over("stateless")
def test_a_list_that_is_being_read_stops_at_the_deadline(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a list of 60 MB does that takes seconds to read; here the clock moves instead."""
    bed.server.tool_list = [{"name": f"t{n}", "inputSchema": {}} for n in range(500)]
    client = bed.connect(timeout=LONG)
    read: list[int] = []

    def check(deadline: Deadline) -> None:
        read.append(1)
        if len(read) > 100:
            raise MCPTimeoutError("over")

    monkeypatch.setattr(Deadline, "check", check)
    with pytest.raises(MCPTimeoutError):
        client.list_tools()
    assert len(read) == 101


def test_a_schema_that_is_being_looked_through_stops_at_the_deadline() -> None:
    with pytest.raises(MCPTimeoutError):
        header_paths(mirrored(5_000), Deadline(0).check)
    with pytest.raises(MCPTimeoutError):
        header_paths({"anyOf": [{"x": 1}] * 5_000}, Deadline(0).check)


# What is told before it is read


def test_a_message_of_very_many_objects_is_refused_before_they_are_made() -> None:
    for text in (
        b"[" + b"{}," * 2_000_000 + b"{}]",
        b'{"a":[' + b"[]," * 2_000_000 + b"[]]}",
        b'{"a":' + b'0,"b":' * 2_000_000 + b"0}",
    ):
        for form_ in (text, text.decode()):
            with pytest.raises(MCPProtocolError, match="2000000 objects, lists and members"):
                decode(form_)


def test_braces_in_a_text_are_no_objects() -> None:
    text = '{[:\\"\\\\' * 800_000
    assert decode(f'{{"a": "{text}"}}'.encode()) == [{"a": text.replace('\\"', '"').replace("\\\\", "\\")}]


def test_a_batch_has_a_bound() -> None:
    assert len(decode("[" + ",".join(["{}"] * 10_000) + "]")) == 10_000
    with pytest.raises(MCPProtocolError, match="10000 messages in one batch"):
        decode("[" + ",".join(["{}"] * 10_001) + "]")


@over(*ALL)
def test_a_batch_of_30_mb_and_a_result_of_many_tiny_blocks_do_not_outlast_the_call(bed: Bed) -> None:
    def many(asked: Any) -> None:
        asked.answer({"content": [{"type": "text", "text": ""}] * 100_000})

    bed.tool("many", many)
    client = bed.connect(timeout=LONG)
    with within(), pytest.raises(MCPClientError, match="10000 items in 'content'"):
        client.call_tool("many")
    raw = client.request("tools/call", {"name": "many", "arguments": {}})
    assert len(raw["content"]) == 100_000
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"


# What is said of it


@over(*ALL)
def test_an_error_of_megabytes_is_an_excerpt_on_one_line_and_the_whole_is_its_data(bed: Bed) -> None:
    text = "no\nERROR forged\r\n\x85\u2028" + "x" * 2_000_000
    bed.tool("bad", lambda asked: asked.error(-32000, text, {"more": 1}))
    bed.tool("failed", lambda asked: asked.text(text, isError=True))
    client = bed.connect(timeout=LONG)
    with pytest.raises(MCPServerError) as caught:
        client.call_tool("bad")
    assert len(str(caught.value)) < 2_000
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.data == {"code": -32000, "message": text, "data": {"more": 1}}
    with pytest.raises(ToolError) as failed:
        client.call_tool("failed")
    assert len(str(failed.value)) < 2_000
    assert len(str(failed.value).splitlines()) == 1
    assert failed.value.result is not None
    assert failed.value.result.text == text


@over(*ALL)
def test_an_error_with_a_code_beyond_any_number_can_be_shown(bed: Bed) -> None:
    bed.tool("bad", lambda asked: asked.error(10**30, "no"))
    with pytest.raises(MCPProtocolError) as caught:
        bed.connect(timeout=LONG).call_tool("bad")
    assert "no code" in str(caught.value)
