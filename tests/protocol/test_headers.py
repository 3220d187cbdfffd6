"""Headers that mirror a message: 2026-07-28, Streamable HTTP, Request Metadata."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_sync.errors import MCPUsageError
from mcp_sync.protocol.headers import encode_value, header_paths, mirrored

# The table of the specification, then what its words say.
ENCODED = [
    ("us-west1", "us-west1"),
    ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
    (" padded ", "=?base64?IHBhZGRlZCA=?="),
    ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
    ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
    ("", ""),
    ("a b", "a b"),
    ('a,b;c="d"', 'a,b;c="d"'),
    ("=?base64?open", "=?base64?open"),
    ("=?BASE64?x?=", "=?BASE64?x?="),
    ("trailing ", "=?base64?dHJhaWxpbmcg?="),
    ("\ttab", "=?base64?CXRhYg==?="),
    ("a\r\nX-Evil: 1", "=?base64?YQ0KWC1FdmlsOiAx?="),
    ("nul\0", "=?base64?bnVsAA==?="),
    ("\x7f", "=?base64?fw==?="),
    ("é", "=?base64?w6k=?="),
]


@pytest.mark.parametrize(("value", "encoded"), ENCODED)
def test_a_value_is_encoded_as_the_specification_says(value: str, encoded: str) -> None:
    assert encode_value(value) == encoded


def decoded(value: str) -> str:
    """What a server makes of a header."""
    if value.startswith("=?base64?") and value.endswith("?=") and len(value) >= 11:
        return base64.b64decode(value[9:-2], validate=True).decode("utf-8")
    return value.strip(" \t")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_server_reads_what_was_meant_and_no_header_can_be_smuggled_in(value: str) -> None:
    encoded = encode_value(value)
    assert all(" " <= char <= "~" for char in encoded)
    assert decoded(encoded) == value


def test_half_of_a_surrogate_pair_is_a_usage_error_and_none_of_pythons() -> None:
    with pytest.raises(MCPUsageError, match="surrogate pair") as caught:
        mirrored({"method": "tools/call", "params": {"name": "\ud800"}})
    assert caught.value.outcome == "not_sent"


@pytest.mark.parametrize(
    ("method", "params", "name"),
    [
        ("tools/call", {"name": "get_weather"}, "get_weather"),
        ("prompts/get", {"name": "greet"}, "greet"),
        ("resources/read", {"uri": "file:///a b"}, "file:///a b"),
        ("tools/call", {"name": "ä"}, "=?base64?w6Q=?="),
        ("tasks/get", {"taskId": "t1"}, "t1"),
        ("tasks/update", {"taskId": "t1", "inputResponses": {}}, "t1"),
        ("tasks/cancel", {"taskId": "t1"}, "t1"),
        ("tools/list", {"name": "x"}, None),
        ("completion/complete", {"ref": {"name": "x"}}, None),
        ("tools/call", {"name": 7}, None),
        ("x/y", None, None),
    ],
)
def test_method_and_name_are_mirrored(method: str, params: Any, name: Any) -> None:
    expected = {"Mcp-Method": method}
    if name is not None:
        expected["Mcp-Name"] = name
    message = {"method": method} if params is None else {"method": method, "params": params}
    assert mirrored(message) == expected


@pytest.mark.parametrize(
    ("value", "header"),
    [
        ("us-west1", "us-west1"),
        ("", ""),
        (42, "42"),
        (-7, "-7"),
        (0, "0"),
        (42.0, "42"),
        (4.2, None),
        (float("inf"), None),
        (2**53, None),
        (True, "true"),
        (False, "false"),
        (2**53 - 1, "9007199254740991"),
        (None, None),
        ([1], None),
        ({"a": 1}, None),
    ],
)
def test_an_argument_is_mirrored_as_its_text(value: Any, header: Any) -> None:
    message = {"method": "tools/call", "params": {"name": "x", "arguments": {"region": value}}}
    assert mirrored(message, {"Region": ("region",)}).get("Mcp-Param-Region") == header


@pytest.mark.parametrize(
    "arguments", [None, {}, {"where": None}, {"where": {}}, {"where": "Oslo"}, {"where": ["city"]}]
)
def test_where_no_value_is_there_is_no_header(arguments: Any) -> None:
    params = {"name": "x"} if arguments is None else {"name": "x", "arguments": arguments}
    assert "Mcp-Param-City" not in mirrored({"method": "tools/call", "params": params}, {"City": ("where", "city")})


def test_a_deep_argument_is_found_by_its_path() -> None:
    params = {"name": "x", "arguments": {"where": {"city": "Oslo"}, "city": "Bergen"}}
    assert mirrored({"method": "tools/call", "params": params}, {"City": ("where", "city")})["Mcp-Param-City"] == "Oslo"


def marked(name: Any = "X", kind: Any = "string") -> dict[str, Any]:
    return {"type": kind, "x-mcp-header": name}


def test_annotations_are_found_at_every_depth() -> None:
    inner = {"type": "object", "properties": {"city": marked("City"), "deeper": {"properties": {"n": marked("N")}}}}
    schema = {"type": "object", "properties": {"region": marked("Region"), "where": inner, "plain": {"type": "string"}}}
    assert header_paths(schema) == {
        "Region": ("region",),
        "City": ("where", "city"),
        "N": ("where", "deeper", "n"),
    }


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"properties": {"a": True}},
        {"properties": "?"},
        # An argument may have this name, and so may data.
        {"properties": {"x-mcp-header": {"type": "string"}}},
        {"properties": {"a": {"type": "object", "default": {"x-mcp-header": "X"}}}},
        {"properties": {"a": {"enum": [{"x-mcp-header": "X"}]}}},
    ],
)
def test_a_schema_without_annotations_has_none(schema: Any) -> None:
    assert header_paths(schema) == {}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": marked("")}},
        {"properties": {"a": marked("a b")}},
        {"properties": {"a": marked("a:b")}},
        {"properties": {"a": marked("a\r\nb")}},
        {"properties": {"a": marked("ä")}},
        {"properties": {"a": marked(7)}},
        {"properties": {"a": marked(None)}},
        {"properties": {"a": marked("X", "number")}},
        {"properties": {"a": marked("X", "object")}},
        {"properties": {"a": marked("X", "array")}},
        {"properties": {"a": marked("X", "null")}},
        {"properties": {"a": marked("X", ["string", "null"])}},
        {"properties": {"a": {"x-mcp-header": "X"}}},
        {"properties": {"a": marked("X"), "b": marked("x")}},
        {"properties": {"a": {"type": "array", "items": marked()}}},
        {"properties": {"a": {"oneOf": [marked()]}}},
        {"anyOf": [{"properties": {"a": marked()}}]},
        {"$defs": {"d": marked()}, "properties": {"a": {"$ref": "#/$defs/d"}}},
        {"properties": {"a": {"type": "object", "additionalProperties": marked()}}},
        {"if": {"properties": {"a": marked()}}},
        {"x-mcp-header": "X", "properties": {}},
    ],
)
def test_an_annotation_against_the_rules_is_refused_with_the_reason(schema: Any) -> None:
    with pytest.raises(ValueError, match=r"\w+"):
        header_paths(schema)
