"""What the models do beyond holding fields: decoding, text and data, defaults, unknown things, safe reprs."""

import base64
import json
import math
import pickle
import re
import unicodedata
from pathlib import Path
from typing import Any, Dict, List, Optional, Type

import pytest
from pydantic import ValidationError

from mcp_sync.errors import MCPProtocolError
from mcp_sync.protocol.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    CompleteResult,
    CreateMessageParams,
    CreateMessageResult,
    DiscoverResult,
    ElicitParams,
    ElicitResult,
    EmbeddedResource,
    ErrorObject,
    GetPromptResult,
    GetTaskResult,
    ImageContent,
    Implementation,
    InitializeResult,
    LogMessage,
    Notification,
    Progress,
    Prompt,
    ReadResourceResult,
    ResourceLink,
    Root,
    SamplingMessage,
    ServerCapabilities,
    TextContent,
    TextResourceContents,
    Tool,
    ToolResultContent,
    ToolsCapability,
    ToolUseContent,
    UnknownContent,
    WireModel,
    apply_defaults,
)

PNG = b"\x89PNG\r\n\x1a\n\xfb\xff\xfe"
ENCODED = base64.b64encode(PNG).decode()
HOSTILE = "\x1b]0;owned\x07 \x9b31m \u202egnp.exe\u2066 \r\x7f\u200f"


def image(data: str = ENCODED) -> ImageContent:
    return ImageContent(data=data, mime_type="image/png")


# -- binary payloads ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [image(), AudioContent(data=ENCODED, mime_type="audio/wav"), BlobResourceContents(uri="x:y", blob=ENCODED)],
)
def test_decode_gives_the_bytes(model: Any) -> None:
    assert model.decode() == PNG


def test_decode_reads_the_url_safe_alphabet_as_well() -> None:
    encoded = base64.urlsafe_b64encode(PNG).decode()
    assert "_" in encoded or "-" in encoded
    assert image(encoded).decode() == PNG


def test_no_data_is_no_bytes() -> None:
    assert image("").decode() == b""


@pytest.mark.parametrize(
    "data",
    [
        "A",
        "AA",
        "AAA",
        "AAA==",
        "AAAA====",
        "AA=A",
        "=AAA",
        "AAAA\n",
        "AA AA===",
        "iVBO\nRw0K",
        "+/-_",
        "ÄÄÄÄ",
        "<img>",
    ],
)
def test_data_that_is_not_base64_is_a_protocol_error(data: str) -> None:
    with pytest.raises(MCPProtocolError, match="ImageContent is not valid base64") as caught:
        image(data).decode()
    assert isinstance(caught.value.__cause__, ValueError)


def test_the_error_about_bad_data_does_not_repeat_the_data() -> None:
    with pytest.raises(MCPProtocolError) as caught:
        image("?" * 100_000).decode()
    assert len(str(caught.value)) < 200


def test_save_writes_the_bytes_and_says_where(tmp_path: Path) -> None:
    target = tmp_path / "cat.png"
    assert image().save(str(target)) == target
    assert target.read_bytes() == PNG


def test_save_replaces_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "cat.png"
    target.write_bytes(b"something much longer than the picture")
    image().save(target)
    assert target.read_bytes() == PNG


def test_save_into_a_directory_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="give the name of the file"):
        image().save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_save_leaves_the_file_alone_when_the_data_is_bad(tmp_path: Path) -> None:
    target = tmp_path / "cat.png"
    target.write_bytes(b"before")
    with pytest.raises(MCPProtocolError):
        image("not base64").save(target)
    assert target.read_bytes() == b"before"


def test_save_never_picks_a_name() -> None:
    with pytest.raises(TypeError):
        image().save()  # type: ignore[call-arg]  # that is the point


# -- tool results ------------------------------------------------------------------------------------------------------


def result(*content: Dict[str, Any], **fields: Any) -> CallToolResult:
    return CallToolResult.model_validate({"content": list(content), **fields})


def text(value: str) -> Dict[str, Any]:
    return {"type": "text", "text": value}


PICTURE = {"type": "image", "data": ENCODED, "mimeType": "image/png"}


def test_text_joins_the_text_blocks_with_newlines() -> None:
    embedded = {"type": "resource", "resource": {"uri": "a:b", "text": "not a text block"}}
    assert result(text("one"), PICTURE, embedded, text("two")).text == "one\ntwo"
    assert result(PICTURE).text == ""
    assert result().text == ""


@pytest.mark.parametrize(
    ("said", "data"),
    [
        ('{"a": [1, null]}', {"a": [1, None]}),
        ("[1, 2]", [1, 2]),
        ("42", 42),
        (" true ", True),
        ("null", None),
        ('"quoted"', "quoted"),
        ("plain words", "plain words"),
        ("", ""),
        ("{broken", "{broken"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ('{"a": NaN}', '{"a": NaN}'),
        ("[" * 200_000, "[" * 200_000),
    ],
)
def test_data_without_structured_content_is_the_text_as_json_or_the_text(said: str, data: Any) -> None:
    found = result(text(said)).data
    assert found == data
    assert type(found) is type(data)


@pytest.mark.parametrize("structured", [{"result": [1]}, {}, [], [1], 0, False, "", "text"])
def test_data_is_the_structured_content_as_it_is(structured: Any) -> None:
    assert result(text('{"from": "text"}'), structuredContent=structured).data == structured


def test_a_null_for_structured_content_does_not_hide_the_text() -> None:
    assert result(text("5"), structuredContent=None).data == 5


def test_is_error_is_false_unless_said() -> None:
    assert result().is_error is False
    assert result(isError=None).is_error is False
    assert result(isError=True).is_error is True


@pytest.mark.parametrize(
    "wrong",
    [
        {"content": "text"},
        {"content": {"type": "text", "text": "x"}},
        {"content": [], "isError": {"really": "no"}},
        {"content": [], "_meta": [1]},
        [1],
        None,
        "text",
    ],
)
def test_a_tool_result_of_the_wrong_shape_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        CallToolResult.model_validate(wrong)


# -- things we do not know ---------------------------------------------------------------------------------------------


def test_a_block_of_an_unknown_type_is_kept() -> None:
    block = {"type": "hologram", "voxels": [1, None], "_meta": {"a": 1}}
    read = result(text("hi"), block)
    assert isinstance(read.content[1], UnknownContent)
    assert read.content[1].type == "hologram"
    assert read.content[1].model_extra == {"voxels": [1, None], "_meta": {"a": 1}}
    assert read.text == "hi"
    assert read.to_wire() == {"content": [text("hi"), block]}


@pytest.mark.parametrize("block", [{"type": "image", "voxels": 1}, {"type": "text", "text": None}, {"type": "text"}])
def test_a_malformed_block_keeps_its_data_and_says_so(block: Dict[str, Any]) -> None:
    (kept,) = result(block).content
    assert isinstance(kept, UnknownContent)
    assert kept.problem
    assert kept.to_wire() == block


@pytest.mark.parametrize("block", ["text", 7, None, [1], {"text": "no type"}, {"type": None, "text": "x"}])
def test_what_is_no_block_at_all_keeps_its_data(block: Any) -> None:
    (kept,) = result(block).content
    assert isinstance(kept, UnknownContent)
    assert kept.type == ""
    assert kept.problem
    assert kept.to_wire() == ({**block, "type": ""} if isinstance(block, dict) else {"type": "", "data": block})


def test_a_malformed_block_of_a_sampling_message_is_refused() -> None:
    with pytest.raises(ValidationError, match="not a valid tool_use block"):
        SamplingMessage.model_validate({"role": "user", "content": {"type": "tool_use"}})


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (LogMessage, {"level": "chatty", "data": None}),
        (GetPromptResult, {"messages": [{"role": "narrator", "content": text("x")}]}),
        (CreateMessageResult, {"role": "narrator", "content": text("x"), "model": "m", "stopReason": "bored"}),
        (GetTaskResult, {"taskId": "1", "status": "daydreaming"}),
        (Tool, {"name": "t", "inputSchema": {}, "execution": {"taskSupport": "sometimes"}}),
        (ElicitParams, {"mode": "telepathy", "message": "think"}),
        (ElicitResult, {"action": "hesitate"}),
        (
            InitializeResult,
            {"protocolVersion": "2099-01-01", "capabilities": {"x": 1}, "serverInfo": {"name": "n", "version": "1"}},
        ),
        (
            ResourceLink,
            {"type": "resource_link", "name": "n", "uri": "not a uri", "annotations": {"audience": ["cat"]}},
        ),
    ],
)
def test_an_unknown_word_or_field_is_kept(kind: Type[WireModel], document: Dict[str, Any]) -> None:
    document = {**document, "laterField": {"deep": [None]}}
    read = kind.model_validate(document)
    assert read.model_extra == {"laterField": {"deep": [None]}}
    assert read.to_wire() == document


def test_sampling_takes_one_block_or_a_list() -> None:
    one = SamplingMessage.model_validate({"role": "user", "content": text("x")})
    several = SamplingMessage.model_validate(
        {
            "role": "user",
            "content": [text("x"), {"type": "tool_use", "id": "1", "name": "t", "input": {}}, {"type": "new"}],
        }
    )
    assert [type(block) for block in one.blocks] == [TextContent]
    assert [type(block) for block in several.blocks] == [TextContent, ToolUseContent, UnknownContent]


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (Tool, {"inputSchema": {}}),
        (Tool, {"name": "t", "inputSchema": [1]}),
        (Progress, {"progress": float("nan")}),
        (Progress, {"progress": float("inf")}),
        (Progress, {"progress": 10**400}),
        (CompleteResult, {"completion": {"values": "abc"}}),
        (ReadResourceResult, {"contents": [{"uri": "a:b", "mimeType": "text/plain"}]}),
        (Progress, {"progress": "soon"}),
        (Progress, {"total": 5}),
        (Notification, {"method": 5}),
        (Notification, {"method": "x", "params": [1]}),
        (ElicitParams, {"message": "a form without its schema"}),
        (ElicitParams, {"mode": "url", "message": "a link without its address"}),
        (ElicitResult, {"action": "accept", "content": {"a": {"deep": 1}}}),
    ],
)
def test_a_wrong_shape_is_refused(kind: Type[WireModel], document: Dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind.model_validate(document)


# -- resources ---------------------------------------------------------------------------------------------------------


def test_contents_are_told_apart_by_what_is_there_and_nulls_do_not_count() -> None:
    read = ReadResourceResult.model_validate(
        {
            "contents": [
                {"uri": "a:1", "text": "one", "blob": None, "mimeType": None},
                {"uri": "a:2", "blob": ENCODED, "text": None},
                {"uri": "a:3", "text": "two"},
            ]
        }
    )
    assert [hasattr(part, "decode") for part in read.contents] == [False, True, False]
    assert [isinstance(part, TextResourceContents) for part in read.contents] == [True, False, True]
    assert read.text == "one\ntwo"


def test_an_embedded_resource_has_a_text_unless_it_is_binary() -> None:
    assert EmbeddedResource(resource=TextResourceContents(uri="a:b", text="words")).text == "words"
    assert EmbeddedResource(resource=BlobResourceContents(uri="a:b", blob=ENCODED)).text is None


# -- progress ----------------------------------------------------------------------------------------------------------

NAN = math.nan
INF = math.inf


@pytest.mark.parametrize(
    ("progress", "total", "fraction"),
    [
        (1, 4, 0.25),
        (0.5, 1.0, 0.5),
        (0, 5, 0.0),
        (5, 5, 1.0),
        (7, 5, 1.0),
        (-1, 5, 0.0),
        (1, None, None),
        (1, 0, None),
        (0, 0, None),
        (1, 0.0, None),
        (1, -5, None),
        (1, NAN, None),
        (5, INF, None),
        (5, 10**400, None),
        (10**300, 5, 1.0),
        (10**300, 1.5, 1.0),
        (0, 10**300, 0.0),
    ],
)
def test_fraction_is_between_zero_and_one_or_none(progress: float, total: Optional[float], fraction: Any) -> None:
    assert Progress(progress=progress, total=total).fraction == fraction


def test_progress_stays_the_number_it_was() -> None:
    read = Progress.model_validate({"progressToken": "7", "progress": 3, "total": 10.5})
    assert json.dumps(read.to_wire()) == '{"progressToken": "7", "progress": 3, "total": 10.5}'


# -- elicitation -------------------------------------------------------------------------------------------------------

FORM: Dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "Ada"},
        "height": {"type": "number", "default": 1.75},
        "age": {"type": "integer", "default": 36},
        "subscribed": {"type": "boolean", "default": False},
        "color": {"type": "string", "enum": ["Red", "Green"], "default": "Red"},
        "shade": {"type": "string", "oneOf": [{"const": "#f00", "title": "Red"}], "default": "#f00"},
        "colors": {"type": "array", "items": {"type": "string", "enum": ["Red", "Green"]}, "default": ["Red", "Green"]},
        "shades": {"type": "array", "items": {"anyOf": [{"const": "#f00", "title": "Red"}]}, "default": ["#f00"]},
        "legacy": {"type": "string", "enum": ["r"], "enumNames": ["Red"], "default": "r"},
        "generated": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": "x"},
        "bare": {"type": "string"},
    },
    "required": ["bare"],
}
DEFAULTS = {
    "name": "Ada",
    "height": 1.75,
    "age": 36,
    "subscribed": False,
    "color": "Red",
    "shade": "#f00",
    "colors": ["Red", "Green"],
    "shades": ["#f00"],
    "legacy": "r",
    "generated": "x",
}


def test_defaults_fill_in_every_kind_of_field() -> None:
    assert apply_defaults(FORM, None) == DEFAULTS
    assert apply_defaults(FORM, {}) == DEFAULTS


def test_defaults_do_not_touch_what_is_filled_in() -> None:
    given = {"name": "", "age": 0, "subscribed": True, "colors": [], "bare": "b", "extra": 1}
    assert apply_defaults(FORM, given) == {**DEFAULTS, **given}
    assert given == {"name": "", "age": 0, "subscribed": True, "colors": [], "bare": "b", "extra": 1}


def test_a_field_that_is_none_gets_its_default_or_is_left_out() -> None:
    assert apply_defaults(FORM, {"name": None, "bare": None}) == DEFAULTS


def test_a_filled_in_list_is_not_the_list_of_the_schema() -> None:
    apply_defaults(FORM, {})["colors"].append("Blue")
    assert FORM["properties"]["colors"]["default"] == ["Red", "Green"]


@pytest.mark.parametrize(
    "field",
    [
        {"type": "string", "default": 5},
        {"type": "string", "default": None},
        {"type": "number", "default": "5"},
        {"type": "number", "default": True},
        {"type": "integer", "default": 1.5},
        {"type": "integer", "default": False},
        {"type": "boolean", "default": 0},
        {"type": "boolean", "default": "true"},
        {"type": "string", "enum": ["a"], "default": "b"},
        {"type": "string", "oneOf": [{"const": "a", "title": "A"}], "default": "A"},
        {"type": "array", "items": {"type": "string", "enum": ["a"]}, "default": "a"},
        {"type": "array", "items": {"type": "string", "enum": ["a"]}, "default": ["b"]},
        {"type": "array", "items": {"type": "string"}, "default": [1]},
        {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        {"type": "object", "default": {"deep": 1}},
        {"$ref": "#/$defs/X", "default": {"deep": 1}},
    ],
)
def test_a_default_that_does_not_fit_its_field_is_not_applied(field: Dict[str, Any]) -> None:
    assert apply_defaults({"type": "object", "properties": {"a": field}}, {}) == {}


@pytest.mark.parametrize("schema", [None, {}, {"properties": None}, {"properties": []}, {"properties": {"a": "b"}}])
def test_a_strange_schema_has_no_defaults(schema: Any) -> None:
    assert apply_defaults(schema, {"a": 1}) == {"a": 1}


def test_an_answer_keeps_the_types_of_its_values() -> None:
    answer = ElicitResult(action="accept", content={"a": True, "b": 1, "c": 1.0, "d": "1", "e": ["x"], "f": None})
    assert json.dumps(answer.to_wire()["content"]) == '{"a": true, "b": 1, "c": 1.0, "d": "1", "e": ["x"]}'


def test_an_elicitation_knows_its_mode() -> None:
    assert ElicitParams(message="m", requested_schema={}).is_url is False
    assert ElicitParams(message="m", mode="url", url="https://example.com").is_url is True


# -- lifecycle and tasks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("meta", "name"),
    [
        (None, None),
        ({}, None),
        ({"io.modelcontextprotocol/serverInfo": None}, None),
        ({"io.modelcontextprotocol/serverInfo": {"name": "only"}}, None),
        ({"io.modelcontextprotocol/serverInfo": {"name": "demo", "version": "1"}}, "demo"),
    ],
)
def test_discovery_tells_who_the_server_is_if_it_says_so(meta: Any, name: Optional[str]) -> None:
    answer = DiscoverResult(supported_versions=["2026-07-28"], capabilities=ServerCapabilities(), meta=meta)
    found = answer.server_info
    assert (found.name if found else None) == name


def test_a_task_of_either_form_says_when_to_poll_and_whether_it_is_over() -> None:
    older = GetTaskResult.model_validate({"taskId": "1", "status": "working", "ttl": None, "pollInterval": 1500})
    newer = GetTaskResult.model_validate({"taskId": "1", "status": "failed", "ttlMs": 5, "pollIntervalMs": 250})
    assert (older.poll_after, older.is_terminal) == (1.5, False)
    assert (newer.poll_after, newer.is_terminal) == (0.25, True)
    assert GetTaskResult(task_id="1", status="cancelled").poll_after is None
    # A null ttl says "for ever", which is not the same as saying nothing.
    assert older.to_wire() == {"taskId": "1", "status": "working", "ttl": None, "pollInterval": 1500}


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (GetTaskResult, {"taskId": "1", "status": "working", "ttlMs": None, "pollIntervalMs": 9}),
        (
            GetTaskResult,
            {"resultType": "complete", "taskId": "1", "status": "completed", "result": {"content": [None]}},
        ),
        (GetTaskResult, {"taskId": "1", "status": "failed", "error": {"code": -1, "message": "m", "data": None}}),
        (
            GetTaskResult,
            {"taskId": "1", "status": "input_required", "inputRequests": {"q": {"method": "roots/list", "params": {}}}},
        ),
    ],
)
def test_the_tasks_extension_is_read_as_well(kind: Type[WireModel], document: Dict[str, Any]) -> None:
    assert kind.model_validate(document).to_wire() == document


# -- names, wire, equality ---------------------------------------------------------------------------------------------


def test_fields_can_be_given_by_either_name() -> None:
    ours = Tool(name="t", input_schema={"type": "object"}, meta={"a": 1})
    theirs = Tool.model_validate({"name": "t", "inputSchema": {"type": "object"}, "_meta": {"a": 1}})
    assert ours == theirs
    assert ours.to_wire() == {"name": "t", "inputSchema": {"type": "object"}, "_meta": {"a": 1}}


def test_a_tag_is_sent_without_being_set() -> None:
    assert TextContent(text="x").to_wire() == {"type": "text", "text": "x"}


def test_none_is_sent_only_where_null_is_a_value() -> None:
    assert Tool(name="t", input_schema={"default": None}, meta=None).to_wire() == {
        "name": "t",
        "inputSchema": {"default": None},
    }
    assert CallToolResult(content=[], structured_content=None).to_wire() == {"content": [], "structuredContent": None}
    assert LogMessage(level="info", logger=None, data=None).to_wire() == {"level": "info", "data": None}
    assert ErrorObject(code=1, message="m", data=None).to_wire() == {"code": 1, "message": "m", "data": None}
    assert ServerCapabilities(tools=ToolsCapability(), logging={}, prompts=None).to_wire() == {
        "tools": {},
        "logging": {},
    }


def test_models_inside_plain_data_are_written_out() -> None:
    given = Notification(method="m", params={"q": ElicitResult(action="decline"), "a": (1, 2)})
    assert given.to_wire() == {"method": "m", "params": {"q": {"action": "decline"}, "a": [1, 2]}}


def test_what_is_sent_shares_nothing_with_the_model() -> None:
    given = Notification(method="m", params={"a": [1]})
    given.to_wire()["params"]["a"].append(2)
    assert given.params == {"a": [1]}


def test_a_field_that_is_assigned_later_is_sent() -> None:
    root = Root(uri="file:///a")
    root.name = "a"
    assert root.to_wire() == {"uri": "file:///a", "name": "a"}


def test_models_are_equal_when_their_fields_are() -> None:
    assert result(text("x")) == result(text("x"))
    assert result(text("x")) != result(text("y"))
    assert result(text("x"), later=1) != result(text("x"), later=2)
    prompt: WireModel = Prompt(name="p")
    assert prompt != Implementation(name="p", version="1")


def test_a_result_survives_pickling() -> None:
    read = result(
        text("x"),
        PICTURE,
        {"type": "hologram", "v": 1},
        {"type": "resource", "resource": {"uri": "a:b", "text": "t"}},
        structuredContent={"a": [1]},
        later={"b": None},
    )
    again = pickle.loads(pickle.dumps(read))
    assert again == read
    assert again.to_wire() == read.to_wire()
    assert [type(block) for block in again.content] == [type(block) for block in read.content]


# -- repr --------------------------------------------------------------------------------------------------------------


def unsafe(shown: str) -> List[str]:
    """The characters that could drive a terminal or reorder what a reader sees."""
    return [char for char in shown if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def test_the_hostile_text_is_hostile() -> None:
    assert len(unsafe(HOSTILE)) == 8


@pytest.mark.parametrize(
    "model",
    [
        result(text(HOSTILE), {"type": HOSTILE}),
        result(structuredContent={HOSTILE: [HOSTILE]}),
        result(**{HOSTILE: {HOSTILE: 1}}),
        LogMessage(level=HOSTILE, data=HOSTILE),
        LogMessage(level="info", data=HOSTILE * 500),
        Tool.model_validate({"name": HOSTILE, "inputSchema": {HOSTILE: HOSTILE}, HOSTILE * 500: HOSTILE}),
        Notification(method=HOSTILE, params={HOSTILE: (HOSTILE,)}),
    ],
)
def test_no_repr_has_a_raw_control_character(model: WireModel) -> None:
    for shown in (repr(model), str(model), repr([model]), f"{model}"):
        assert unsafe(shown) == []
        assert "owned" in shown


def test_the_attribute_has_the_text_as_it_is() -> None:
    assert result(text(HOSTILE)).text == HOSTILE


def test_the_repr_of_something_large_is_short() -> None:
    large = "A" * 10_000_000
    shown = repr(result({**PICTURE, "data": large}, structuredContent={"rows": list(range(100_000)), "x": large}))
    assert len(shown) < 2_000
    assert "<10000000 characters: 'AAA" in shown
    assert "<99950 more>" in shown


def test_the_repr_shows_what_was_said_and_no_more() -> None:
    assert repr(Tool(name="t", input_schema={}, title=None)) == "Tool(name='t', title=None, input_schema={})"
    assert repr(TextContent(text="x")) == "TextContent(type='text', text='x')"
    assert str(Progress(progress=1, total=2)) == "progress=1 total=2"


# -- sampling ----------------------------------------------------------------------------------------------------------


def test_a_sampling_request_with_tools_is_read() -> None:
    params = CreateMessageParams.model_validate(
        {
            "messages": [
                {"role": "user", "content": text("2+2?")},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "add", "input": {"a": 2}}]},
                {"role": "user", "content": [{"type": "tool_result", "toolUseId": "1", "content": [text("4")]}]},
            ],
            "maxTokens": 100,
            "tools": [{"name": "add", "inputSchema": {"type": "object"}}],
            "toolChoice": {"mode": "auto"},
        }
    )
    answer = params.messages[2].blocks[0]
    assert isinstance(answer, ToolResultContent)
    assert answer.content == [TextContent(text="4")]
    assert params.tools == [Tool(name="add", input_schema={"type": "object"})]


def test_a_tool_that_changes_under_its_name_has_another_fingerprint() -> None:
    first = {"name": "send", "description": "Sends a mail.", "inputSchema": {"type": "object", "properties": {"a": {}}}}
    known = Tool.model_validate(first).fingerprint
    assert re.fullmatch("[0-9a-f]{64}", known)
    in_another_order = {**dict(reversed(first.items())), "_meta": {"at": 7}}
    assert Tool.model_validate(in_another_order).fingerprint == known
    for change in (
        {"description": "Sends a mail, and a copy to me."},
        {"inputSchema": {"type": "object", "properties": {"b": {}}}},
        {"annotations": {"readOnlyHint": True}},
        {"unknown": "\ud800"},
    ):
        assert Tool.model_validate({**first, **change}).fingerprint != known
