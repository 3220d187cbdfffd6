"""Tools as Python functions."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from mcp_sync import MCPClient, Tool, ToolError
from mcp_sync.calls.tools import Tools
from tests.support.fault_server import FaultServer


def tool(name: str, properties: Any = None, required: Any = None, **more: Any) -> Tool:
    schema: dict[str, Any] = {"type": "object"}
    if properties is not None:
        schema["properties"] = properties
    if required is not None:
        schema["required"] = required
    return Tool.model_validate({"name": name, "inputSchema": schema, **more})


def tools(*listed: Tool) -> tuple[Tools, list[tuple[str, dict[str, Any]]]]:
    """Tools over a list, and the calls that were made of them."""
    calls: list[tuple[str, dict[str, Any]]] = []
    return Tools(lambda: list(listed), lambda name, arguments: calls.append((name, arguments))), calls


def test_a_tool_is_called_with_its_arguments_by_name_or_in_order() -> None:
    made, calls = tools(tool("add", {"a": {"type": "integer"}, "b": {"type": "integer"}}, ["a", "b"]))
    made.add(1, b=2)
    made["add"](b=2, a=1)
    assert calls == [("add", {"a": 1, "b": 2})] * 2


def test_what_is_not_given_is_not_sent() -> None:
    made, calls = tools(tool("f", {"a": {}, "b": {"default": 5}}, ["a"]))
    made.f(1)
    assert calls == [("f", {"a": 1})]


@pytest.mark.parametrize("wrong", [{"c": 1}, {}, {"a": 1, "c": 1}])
def test_arguments_that_the_schema_does_not_know_are_a_type_error_before_anything_is_sent(wrong: Any) -> None:
    made, calls = tools(tool("f", {"a": {}}, ["a"]))
    with pytest.raises(TypeError):
        made.f(**wrong)
    assert calls == []


def test_the_signature_and_docstring_come_from_the_schema() -> None:
    made, _ = tools(
        tool(
            "search",
            {
                "limit": {"type": "integer", "default": 10, "description": "how many"},
                "query": {"type": "string"},
                "exact": {"type": "boolean"},
                "kind": {"type": ["string", "null"]},
            },
            ["query"],
            description="Search\x1b[2J things.",
        )
    )
    signature = inspect.signature(made.search)
    assert list(signature.parameters) == ["query", "limit", "exact", "kind"]
    assert signature.parameters["query"].default is inspect.Parameter.empty
    assert signature.parameters["limit"].default == 10
    assert signature.parameters["limit"].annotation is int
    assert signature.parameters["kind"].annotation is inspect.Parameter.empty
    assert "limit: how many" in (made.search.__doc__ or "")
    assert "\x1b" not in (made.search.__doc__ or "") + repr(made.search)
    assert made.search.__name__ == "search"


@pytest.mark.parametrize(
    ("properties", "required"),
    [
        ({"self": {}}, ["self"]),
        ({"args": {}, "kwargs": {}}, []),
        ({"class": {}, "a-b": {}, "1": {}, "": {}, "a": {}}, ["class", "a"]),
        ({"arguments": {}, "a-b": {}}, []),
        ({"name": {}}, ["name", "missing", 7]),
        ({"name": {}}, ["name", "name", [], {}]),
        ({"a": True, "b": None, "c": []}, "a"),
        ([], None),
        (None, None),
    ],
)
def test_no_schema_however_odd_keeps_a_tool_from_being_called(properties: Any, required: Any) -> None:
    made, calls = tools(tool("odd", properties, required), tool("other"))
    names = list(properties) if isinstance(properties, dict) else []
    arguments = {name: 1 for name in names if isinstance(name, str)}
    made.odd(**arguments)
    assert calls == [("odd", arguments)]
    inspect.signature(made.odd)
    repr(made.odd)


@pytest.mark.parametrize(
    ("name", "attribute"),
    [("get-weather", "get_weather"), ("a.b/c", "a_b_c"), ("class", "class_"), ("1st", "_1st"), ("ünder", "ünder")],
)
def test_a_name_that_is_no_identifier_is_an_attribute_all_the_same(name: str, attribute: str) -> None:
    made, calls = tools(tool(name))
    if not attribute.startswith("_"):
        getattr(made, attribute)()
    made[name]()
    assert {call[0] for call in calls} == {name}
    assert name in made
    assert attribute in dir(made)


def test_a_tool_that_is_not_there_is_an_attribute_error_that_lists_those_that_are() -> None:
    made, _ = tools(tool("one"), tool("two"))
    with pytest.raises(AttributeError, match="one, two"):
        made.three  # noqa: B018  # the look-up is the test
    with pytest.raises(KeyError):
        made["three"]
    assert "three" not in made
    assert 7 not in made
    assert [function.tool.name for function in made] == ["one", "two"]
    assert len(made) == 2


def test_probing_for_private_names_costs_no_request() -> None:
    asked = 0

    def listing() -> list[Tool]:
        nonlocal asked
        asked += 1
        return []

    state = 0
    made = Tools(listing, lambda name, arguments: None, lambda: state)
    for name in ("_repr_html_", "__wrapped__", "_ipython_display_"):
        assert not hasattr(made, name)
    assert repr(made) == "<tools, not listed yet>"
    assert asked == 0
    len(made)
    len(made)
    assert asked == 1
    state += 1
    len(made)
    assert asked == 2


def test_names_cannot_drive_a_terminal() -> None:
    made, _ = tools(tool("\x1b[2J"))
    len(made)
    assert "\x1b" not in repr(made)
    assert "\x1b" not in repr(made["\x1b[2J"])


def test_a_clients_tools_return_plain_data_and_raise_a_tools_failure(server: FaultServer, client: MCPClient) -> None:
    assert client.tools.echo(message="hi") == "hi"
    assert client.tools.echo(message='{"a": [1]}') == {"a": [1]}
    with pytest.raises(ToolError, match="it failed"):
        client.tools.fail()
    with pytest.raises(TypeError):
        client.tools.echo()
    assert server.tool_calls["echo"] == 2


def test_a_clients_tools_are_listed_again_when_the_server_says_they_changed(
    server: FaultServer, client: MCPClient
) -> None:
    assert "new" not in client.tools
    server.tool_list.append({"name": "new", "inputSchema": {"type": "object"}})
    server.tools["new"] = lambda asked: asked.text("new")
    with client.listen(tools=True) as changes:
        server.session.notify("notifications/tools/list_changed")
        assert changes.get(timeout=10) is not None
        assert client.tools.new() == "new"
