"""The models against the official schemas: what a schema allows is read, kept, and sent again as a valid document."""

import json
from pathlib import Path
from typing import Any, List, Set, Tuple

import pytest
from pydantic import ValidationError

from mcp_sync.protocol.types import (
    CreateMessageResult,
    ElicitResult,
    ListRootsResult,
    Root,
    TextContent,
    ToolResultContent,
    ToolUseContent,
    WireModel,
)

from . import schemas
from .readers import (
    BY_KEY,
    ERRORS,
    JSON,
    META,
    MODELS,
    PARAMS,
    RAW,
    READERS,
    RESPONSES,
    SCALAR,
    UNION,
    WITHOUT_MODEL,
)
from .schemas import REVISIONS, assert_valid, definitions, documents, examples, needs_spec, revisions_with

pytest.importorskip("jsonschema", reason="jsonschema checks documents against the official schemas")
pytestmark = needs_spec

# What the schemas require and we do not insist on: each is worth less to a client than the rest of the message.
LENIENT = {
    ("CallToolResult", "content"),
    ("CacheableResult", "cacheScope"),
    ("CacheableResult", "ttlMs"),
    ("DiscoverResult", "cacheScope"),
    ("DiscoverResult", "ttlMs"),
    ("ElicitRequestURLParams", "elicitationId"),
    ("Error", "message"),
    ("GetTaskResult", "createdAt"),
    ("GetTaskResult", "lastUpdatedAt"),
    ("GetTaskResult", "ttl"),
    ("InternalError", "message"),
    ("InvalidParamsError", "message"),
    ("InvalidRequestError", "message"),
    ("LoggingMessageNotificationParams", "data"),
    ("MethodNotFoundError", "message"),
    ("ParseError", "message"),
    ("ProgressNotificationParams", "progressToken"),
    ("ReadResourceResult", "cacheScope"),
    ("ReadResourceResult", "ttlMs"),
}


def canonical(value: Any) -> str:
    """JSON text, which unlike ``==`` tells 1 from 1.0 and from true."""
    return json.dumps(value, sort_keys=True)


def every_definition(names: Any) -> List[Tuple[str, str]]:
    """Each name with each revision that has it; nothing where there are no schemas, and then the module is skipped."""
    if schemas.SPEC is None:
        return []
    return [(revision, name) for name in sorted(names) for revision in revisions_with(name)]


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_definition_has_a_model_or_a_reason_to_have_none(revision: str) -> None:
    names = set(definitions(revision))
    assert len(names) > 50
    assert sorted(names - set(READERS) - set(WITHOUT_MODEL)) == []


def test_whatever_a_server_may_send_has_a_model_or_is_read_by_its_keys() -> None:
    """All that can be reached from the messages of a server, but for scalars, unions, and what stays raw JSON."""
    without: Set[str] = set()
    for revision in REVISIONS:
        named = definitions(revision)
        waiting = ["ServerResult", "ServerNotification"]
        waiting += ["ServerRequest"] if "ServerRequest" in named else ["InputRequests"]
        waiting += [name for name in named if name.endswith("Error") and not name.startswith("JSONRPC")]
        seen: Set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting.extend(schemas.references(named[name]))
        assert len(seen) > 40
        without |= seen - set(READERS)
    # The data of an error and the filter of a subscription stay raw; requests about tasks of the client's are refused.
    without -= {"CancelTaskRequest", "ClientCapabilities", "GetTaskPayloadRequest", "GetTaskRequest"}
    without -= {"ListTasksRequest", "PaginatedRequestParams", "SubscriptionFilter", "TaskMetadata"}
    # Whatever a program gets to see, and is an object with fields of its own, is read by a model.
    assert {WITHOUT_MODEL[name] for name in without} <= {SCALAR, JSON, META, RAW, UNION, BY_KEY}
    assert "ServerResult" in without


def test_no_reader_and_no_excuse_is_for_a_definition_that_does_not_exist() -> None:
    existing = {name for revision in REVISIONS for name in definitions(revision)}
    assert sorted({*READERS, *WITHOUT_MODEL} - existing) == []
    assert sorted(set(READERS) & set(WITHOUT_MODEL)) == []
    assert len(READERS) == len({*MODELS, *PARAMS, *RESPONSES, *ERRORS}) + 3


@pytest.mark.parametrize(("revision", "name"), every_definition(READERS))
def test_what_the_schema_allows_comes_back_equal(revision: str, name: str) -> None:
    made = documents(revision, name)
    assert made
    for document in made:
        assert_valid(revision, name, document)
        assert canonical(READERS[name](document)) == canonical(document)


@pytest.mark.parametrize(("revision", "name"), every_definition(MODELS))
def test_model_dump_gives_back_what_was_read(revision: str, name: str) -> None:
    for document in documents(revision, name):
        model = MODELS[name].model_validate(document)
        assert canonical(model.model_dump(by_alias=True, exclude_unset=True)) == canonical(document)
        assert json.loads(model.model_dump_json(by_alias=True, exclude_unset=True)) == document
        assert MODELS[name].model_validate(model.to_wire()) == model


@pytest.mark.parametrize(("revision", "name"), every_definition(MODELS))
def test_an_optional_field_may_be_null(revision: str, name: str) -> None:
    _, optional = schemas.properties(revision, name)
    for document in documents(revision, name)[:1]:
        for field in optional:
            model = MODELS[name].model_validate({**document, field: None})
            if field != "structuredContent":  # null there is a value since 2026-07-28, and is kept
                assert_valid(revision, name, model.to_wire())


@pytest.mark.parametrize(("revision", "name"), every_definition(MODELS))
def test_a_missing_required_field_is_an_error_unless_listed_as_lenient(revision: str, name: str) -> None:
    required, _ = schemas.properties(revision, name)
    smallest = documents(revision, name)[0]
    # The union needs the tag, not the block; older servers send no resultType; _meta is for the session to look into.
    for field in required - {"type", "resultType", "_meta"}:
        document = {key: value for key, value in smallest.items() if key != field}
        if (name, field) in LENIENT:
            MODELS[name].model_validate(document)
        else:
            with pytest.raises(ValidationError):
                MODELS[name].model_validate(document)


def test_every_leniency_is_about_a_field_that_some_schema_requires() -> None:
    required = {
        (name, field) for revision, name in every_definition(MODELS) for field in schemas.properties(revision, name)[0]
    }
    assert sorted(LENIENT - required) == []


# -- the examples that come with 2026-07-28 ---------------------------------------------------------------------------

EXAMPLES = examples()


def with_unknown_fields(value: Any, key: str = "") -> Any:
    """The same document with a field that nobody knows in every object, but for maps whose keys are names."""
    if isinstance(value, list):
        return [with_unknown_fields(item) for item in value]
    if not isinstance(value, dict):
        return value
    more = {} if key in ("InputRequests", "inputRequests") else {schemas.UNKNOWN_FIELD: "kept"}
    return {**{name: with_unknown_fields(item, name) for name, item in value.items()}, **more}


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 100
    assert len({name for name, _ in EXAMPLES} & set(READERS)) > 45


@pytest.mark.parametrize(("name", "path"), EXAMPLES, ids=lambda value: value.stem if isinstance(value, Path) else value)
def test_an_official_example_comes_back_equal_and_valid(name: str, path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    if name not in READERS:
        assert name in WITHOUT_MODEL
        return
    again = READERS[name](document)
    assert canonical(again) == canonical(document)
    assert_valid("2026-07-28", name, again)


@pytest.mark.parametrize(("name", "path"), EXAMPLES, ids=lambda value: value.stem if isinstance(value, Path) else value)
def test_an_official_example_with_unknown_fields_keeps_them(name: str, path: Path) -> None:
    document = with_unknown_fields(json.loads(path.read_text(encoding="utf-8")), name)
    if name in READERS:
        assert canonical(READERS[name](document)) == canonical(document)


# -- what we answer, built by hand; what the client asks is in test_what_clients_send ---------------------------------

SAID = TextContent(text="Paris")
NEWER = REVISIONS[3:]

ANSWERED: List[Tuple[str, WireModel, Tuple[str, ...]]] = [
    ("ElicitResult", ElicitResult(action="decline"), REVISIONS[2:]),
    ("ElicitResult", ElicitResult(action="cancel", content=None, meta=None), REVISIONS[2:]),
    ("ElicitResult", ElicitResult(action="accept", content={"a": "x", "b": 3, "c": True, "d": None}), REVISIONS[2:]),
    ("ElicitResult", ElicitResult(action="accept", content={"colors": ["red", "blue"]}), NEWER),
    # The generated schemas of 2025-06-18 to 2026-07-28 forget "number"; the TypeScript they come from allows it.
    ("CreateMessageResult", CreateMessageResult(role="assistant", content=SAID, model="m"), REVISIONS),
    ("CreateMessageResult", CreateMessageResult(role="assistant", content=SAID, model="m", stop_reason="x"), REVISIONS),
    (
        "CreateMessageResult",
        CreateMessageResult(role="assistant", model="m", content=[ToolUseContent(id="1", name="t", input={"a": None})]),
        NEWER,
    ),
    (
        "CreateMessageResult",
        CreateMessageResult(role="user", model="m", content=ToolResultContent(tool_use_id="1", content=[SAID])),
        NEWER,
    ),
    ("ListRootsResult", ListRootsResult(roots=[]), REVISIONS),
    ("ListRootsResult", ListRootsResult(roots=[Root(uri="file:///a"), Root(uri="file:///b", name="b")]), REVISIONS),
]


@pytest.mark.parametrize(("name", "model", "revisions"), ANSWERED)
def test_what_a_client_answers_is_valid(name: str, model: WireModel, revisions: Tuple[str, ...]) -> None:
    for revision in revisions:
        assert_valid(revision, name, model.to_wire())
