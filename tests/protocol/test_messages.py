"""JSON-RPC: what is sent, what is taken, and what an answer comes to."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_sync.errors import MCPProtocolError, MCPServerError, MCPUsageError
from mcp_sync.protocol.messages import (
    decode,
    encode,
    error_answer,
    matching_id,
    notification,
    request,
    result_answer,
    result_of,
    shown,
)

_value = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)


@given(st.dictionaries(st.text(max_size=4), _value | st.lists(_value, max_size=3), max_size=4))
def test_what_is_encoded_is_decoded_to_the_same(params: dict[str, Any]) -> None:
    message = request(1, "m", params)
    wire = encode(message)
    assert b"\n" not in wire
    assert decode(wire) == [message]


def test_text_is_sent_as_utf8_and_not_as_escapes() -> None:
    assert "grün 漢字".encode() in encode(request(1, "m", {"text": "grün 漢字"}))


def test_params_are_left_out_where_there_are_none() -> None:
    assert request(1, "ping") == {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert notification("n") == {"jsonrpc": "2.0", "method": "n"}
    assert notification("n", {"a": 1})["params"] == {"a": 1}


def test_answers_carry_the_id_as_it_came() -> None:
    assert result_answer("a-1", {}) == {"jsonrpc": "2.0", "id": "a-1", "result": {}}
    assert error_answer(0, -32601, "no") == {"jsonrpc": "2.0", "id": 0, "error": {"code": -32601, "message": "no"}}


def _circle() -> dict[str, Any]:
    circle: dict[str, Any] = {}
    circle["self"] = circle
    return circle


def _deep() -> list[Any]:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    return deep


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, b"bytes", math.nan, math.inf, "\ud800", _circle(), _deep(), {"a": {("b",): 1}}],
    ids=["object", "set", "bytes", "nan", "inf", "half a surrogate pair", "circle", "deep", "tuple as a key"],
)
def test_what_is_not_json_is_refused_before_it_is_sent(value: object) -> None:
    with pytest.raises(MCPUsageError, match="cannot be sent as JSON") as caught:
        encode(request(1, "tools/call", {"arguments": value}))
    assert caught.value.outcome == "not_sent"
    assert caught.value.method == "tools/call"


def test_one_message_is_a_list_of_one_and_a_batch_is_a_list_of_all() -> None:
    assert decode('{"a": 1}') == [{"a": 1}]
    assert decode(b' [{"a": 1}, {"b": 2}] ') == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    "text",
    ["", "x", "{", '{"a": 1', "1", '"text"', "null", "true", "[]", "[1]", '[{"a": 1}, 2]', "[" * 100_000, "{} {}"],
)
@pytest.mark.parametrize("as_bytes", [False, True])
def test_what_is_not_an_object_or_a_batch_of_them_is_refused(text: str, as_bytes: bool) -> None:
    with pytest.raises(MCPProtocolError):
        decode(text.encode() if as_bytes else text)


def test_the_error_quotes_a_little_of_the_frame_escaped() -> None:
    with pytest.raises(MCPProtocolError) as caught:
        decode("\x1b[31mred" + "x" * 10_000)
    assert "\x1b" not in str(caught.value)
    assert "\\x1b[31mred" in str(caught.value).replace("\\\\", "\\")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("surrogate", ["", '"\\ud800", '])
def test_nesting_has_a_limit_whichever_parser_reads_it(surrogate: str) -> None:
    def nested(depth: int) -> str:
        return f'{{"a": [{surrogate}' + "[" * (depth - 2) + "]" * (depth - 2) + "]}"

    assert len(decode(nested(200))) == 1
    for depth in (210, 1000, 5000, 100_000):
        with pytest.raises(MCPProtocolError, match=r"levels deep|recursion"):
            decode(nested(depth))


def test_what_only_pythons_json_takes_is_taken() -> None:
    assert decode('{"half": "\\ud800", "nan": NaN}')[0]["half"] == "\ud800"


def test_integers_of_any_size_survive() -> None:
    assert decode(f'{{"n": {10**40}}}') == [{"n": 10**40}]


@pytest.mark.parametrize(
    ("id", "ours"),
    [
        (3, 3),
        ("3", 3),
        (3.0, 3),
        ("0", 0),
        ("-3", "-3"),
        ("03", "03"),
        ("3.0", "3.0"),
        ("٣", "٣"),
        ("", ""),
        ("a", "a"),
        ("9" * 30, "9" * 30),
        (3.5, None),
        (True, None),
        (False, None),
        (None, None),
        ([], None),
        ({}, None),
        (math.inf, None),
        (math.nan, None),
    ],
)
def test_an_exact_decimal_string_and_an_integral_float_stand_for_an_id(id: object, ours: object) -> None:
    found = matching_id(id)
    assert found == ours
    assert type(found) is type(ours)


def test_a_result_is_taken_from_a_result() -> None:
    assert result_of({"jsonrpc": "2.0", "id": 1, "result": {"a": 1}}) == {"a": 1}


@pytest.mark.parametrize("code", [-32601, -32601.0])
def test_an_error_answer_is_a_server_error(code: object) -> None:
    with pytest.raises(MCPServerError, match="no such method") as caught:
        result_of({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": "no such method", "data": [1]}})
    assert (caught.value.code, caught.value.data) == (-32601, [1])


def test_an_answer_with_both_is_an_error() -> None:
    with pytest.raises(MCPServerError):
        result_of({"jsonrpc": "2.0", "id": 1, "result": {}, "error": {"code": 1, "message": "x"}})


@pytest.mark.parametrize(
    "answer",
    [
        {"jsonrpc": "2.0", "id": 1},
        {"id": 1, "result": {}},
        {"jsonrpc": "1.0", "id": 1, "result": {}},
        {"jsonrpc": 2.0, "id": 1, "result": {}},
        {"jsonrpc": "2.0", "id": 1, "result": None},
        {"jsonrpc": "2.0", "id": 1, "result": [1]},
        {"jsonrpc": "2.0", "id": 1, "result": "text"},
        {"jsonrpc": "2.0", "id": 1, "error": "text"},
        {"jsonrpc": "2.0", "id": 1, "error": {}},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": "x", "message": "y"}},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": True, "message": "y"}},
        {"jsonrpc": "2.0", "id": 1, "error": 7, "result": {}},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": 1.5}},
    ],
)
def test_an_answer_of_a_wrong_shape_breaks_the_protocol(answer: dict[str, Any]) -> None:
    with pytest.raises(MCPProtocolError) as caught:
        result_of(answer)
    assert caught.value.outcome == "unknown"


def test_what_a_servers_error_says_cannot_drive_a_terminal() -> None:
    with pytest.raises(MCPServerError) as caught:
        result_of({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "\x1b]0;owned\x07\u202e"}})
    assert not set("\x1b\x07\u202e") & set(str(caught.value) + repr(caught.value))


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"id": 7, "method": "tools/call", "params": {"x": "secret"}}, "request 7 tools/call"),
        ({"method": "a\x1b"}, "notification a\\x1b"),
        ({"id": "a", "result": {"x": "secret"}}, "result a"),
        ({"id": None, "error": {"message": "secret"}}, "error"),
        ({"id": {"x": "secret"}, "method": ["secret"]}, "request (dict) (list)"),
        ({"id": 10**5000, "result": {}}, "result (a huge number)"),
    ],
)
def test_a_message_is_logged_by_its_kind_id_and_method_alone(message: dict[str, Any], text: str) -> None:
    assert shown(message) == text
