"""One malformed item costs a list nothing else: it is left out, named in the log, and kept in ``client.rejected``."""

from __future__ import annotations

import logging
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPProtocolError
from tests.support.beds import Bed, over
from tests.support.fault_server import Asked

GOOD: dict[str, dict[str, Any]] = {
    "tools": {"name": "good", "inputSchema": {"type": "object"}},
    "resources": {"name": "good", "uri": "file:///good"},
    "resourceTemplates": {"name": "good", "uriTemplate": "file:///{good}"},
    "prompts": {"name": "good"},
}
LISTS: dict[str, tuple[str, Callable[[MCPClient], list[Any]]]] = {
    "tools": ("tools/list", MCPClient.list_tools),
    "resources": ("resources/list", MCPClient.list_resources),
    "resourceTemplates": ("resources/templates/list", MCPClient.list_resource_templates),
    "prompts": ("prompts/list", MCPClient.list_prompts),
}
CULPRITS: dict[str, list[Any]] = {
    "tools": [
        {"name": "culprit", "inputSchema": None},
        {"name": "culprit"},
        {"name": "culprit", "inputSchema": {}, "description": 7},
        {"inputSchema": {}},
        {"name": 5, "inputSchema": {}},
        None,
        "culprit",
        [1],
    ],
    "resources": [{"name": "culprit"}, {"uri": "file:///x"}, {"name": "culprit", "uri": None}],
    "resourceTemplates": [{"name": "culprit"}, {"name": "culprit", "uriTemplate": 7}],
    "prompts": [{"name": "culprit", "arguments": "all"}, {}],
}


def serve(bed: Bed, kind: str, items: list[Any]) -> None:
    bed.server.methods[LISTS[kind][0]] = lambda asked: asked.answer({kind: items})


@pytest.mark.parametrize(
    ("kind", "culprit"), [(kind, item) for kind, items in CULPRITS.items() for item in items], ids=str
)
@over("http-json")
def test_the_others_are_there(bed: Bed, kind: str, culprit: Any, caplog: pytest.LogCaptureFixture) -> None:
    serve(bed, kind, [GOOD[kind], culprit, GOOD[kind]])
    client = bed.connect()
    with caplog.at_level(logging.WARNING, "mcp_sync"):
        assert [item.name for item in LISTS[kind][1](client)] == ["good", "good"]
        assert [item.name for item in LISTS[kind][1](client)] == ["good", "good"]
    (rejected,) = client.rejected
    name = culprit.get("name") if isinstance(culprit, dict) and isinstance(culprit.get("name"), str) else None
    assert (rejected.kind, rejected.index, rejected.name, rejected.data) == (kind, 1, name, culprit)
    assert rejected.problem
    (told,) = [record.getMessage() for record in caplog.records]
    assert "number 1 of" in told
    assert (name or "without a name") in told


@over("http-json", "stateless", "sse", "stdio")
def test_a_tool_beside_a_malformed_one_can_be_called(bed: Bed) -> None:
    echo = next(tool for tool in bed.server.tool_list if tool["name"] == "echo")
    serve(bed, "tools", [{"name": "culprit", "inputSchema": None}, echo])
    client = bed.connect()
    assert [function.tool.name for function in client.tools] == ["echo"]
    assert client.tools.echo(message="hi") == "hi"
    assert [item.name for item in client.rejected] == ["culprit"]


@over("http-json")
def test_what_is_mended_is_rejected_no_more(bed: Bed) -> None:
    serve(bed, "tools", [None])
    serve(bed, "prompts", [None])
    client = bed.connect()
    assert client.rejected == []
    assert client.list_tools() == []
    assert client.list_prompts() == []
    assert [item.kind for item in client.rejected] == ["tools", "prompts"]
    serve(bed, "tools", [GOOD["tools"]])
    assert len(client.list_tools()) == 1
    assert [item.kind for item in client.rejected] == ["prompts"]


@over("http-json")
def test_thousands_of_them_are_few_lines(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    serve(bed, "tools", [None] * 5000)
    client = bed.connect()
    with caplog.at_level(logging.WARNING, "mcp_sync"):
        client.list_tools()
    assert len(client.rejected) == 5000
    assert len(caplog.records) < 20


# Cursors


def paged(cursors: list[Any]) -> tuple[Callable[[Asked], None], list[Any]]:
    """A list of a page for each of ``cursors`` and a last one, and what was asked for."""
    asked_for: list[Any] = []

    def page(asked: Asked) -> None:
        asked_for.append(asked.params.get("cursor", "none"))
        number = len(asked_for) - 1
        more = {"nextCursor": cursors[number]} if number < len(cursors) else {}
        asked.answer({"prompts": [{"name": f"p{number}"}], **more})

    return page, asked_for


@pytest.mark.parametrize("none", ["", None, False])
@over("http-json", "sse", "stdio")
def test_an_empty_cursor_is_the_end(bed: Bed, none: Any) -> None:
    bed.server.methods["prompts/list"], asked_for = paged([none])
    assert [prompt.name for prompt in bed.connect().list_prompts()] == ["p0"]
    assert asked_for == ["none"]


@over("stateless")
def test_since_2026_an_empty_cursor_is_a_cursor(bed: Bed) -> None:
    bed.server.methods["prompts/list"], asked_for = paged([""])
    assert [prompt.name for prompt in bed.connect().list_prompts()] == ["p0", "p1"]
    assert asked_for == ["none", ""]


@pytest.mark.parametrize("cursor", [0, 1, 2.5, -3])
@over("http-json", "stateless")
def test_a_number_as_cursor_is_sent_back_as_it_came(bed: Bed, cursor: Any, caplog: pytest.LogCaptureFixture) -> None:
    bed.server.methods["prompts/list"], asked_for = paged([cursor])
    with caplog.at_level(logging.WARNING, "mcp_sync"):
        assert [prompt.name for prompt in bed.connect().list_prompts()] == ["p0", "p1"]
    assert asked_for == ["none", cursor]
    assert "nextCursor" in caplog.text


@pytest.mark.parametrize("cursor", [True, {"page": 2}, [2], {}, [], float("nan"), 10**400])
@over("http-json")
def test_what_is_no_cursor_fails_the_list_and_never_cuts_it(bed: Bed, cursor: Any) -> None:
    bed.server.methods["prompts/list"], _ = paged([cursor])
    client = bed.connect()
    with pytest.raises(MCPProtocolError, match="nextCursor") as caught:
        client.list_prompts()
    assert caught.value.result["prompts"] == [{"name": "p0"}]
