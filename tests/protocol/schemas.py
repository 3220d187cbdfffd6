"""The official schemas of every revision: loading them, checking against them, and making documents from them.

The documents come from the schema alone, the same in every run: the smallest one, and full ones that between them take
every alternative wherever the schema offers some.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterator, List, Optional, Tuple

import pytest

REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")

UNKNOWN_FIELD = "x-unknown"
UNKNOWN_VALUE = {"kept": [None, 1.5, "as it was"]}

_ALTERNATIVES = 8  # more than any union in a schema has
_DEEPEST = 12  # JSONValue refers to itself
_STRINGS = {"byte": "aGVsbG8=", "uri": "https://example.com/a", "uri-template": "file:///{path}"}


def _find_spec() -> Optional[Path]:
    for folder in Path(__file__).resolve().parents:
        spec = folder / "shared" / "spec"
        if all((spec / revision / "schema.json").is_file() for revision in REVISIONS):
            return spec
    return None


SPEC = _find_spec()
needs_spec = pytest.mark.skipif(
    SPEC is None, reason="the official schemas are not here: ../shared/spec/<revision>/schema.json"
)


@cache
def document(revision: str) -> Dict[str, Any]:
    """The whole schema of a revision."""
    if SPEC is None:
        pytest.skip("the official schemas are not here: ../shared/spec/<revision>/schema.json")
    loaded: Dict[str, Any] = json.loads((SPEC / revision / "schema.json").read_text(encoding="utf-8"))
    return loaded


def definitions(revision: str) -> Dict[str, Any]:
    """Each definition's schema, by its name."""
    whole = document(revision)
    found: Dict[str, Any] = whole.get("definitions") or whole["$defs"]
    return found


def revisions_with(definition: str) -> List[str]:
    """The revisions that have ``definition``; never empty, so that a misspelt name cannot make a test pass."""
    found = [revision for revision in REVISIONS if definition in definitions(revision)]
    assert found, f"no revision has a definition {definition}"
    return found


@cache
def _validator(revision: str, definition: str) -> Any:
    jsonschema: Any = pytest.importorskip("jsonschema")
    referencing: Any = pytest.importorskip("referencing")
    whole = document(revision)
    section = "definitions" if "definitions" in whole else "$defs"
    assert definition in whole[section]
    schema = {"$schema": whole["$schema"], section: whole[section], "$ref": f"#/{section}/{definition}"}
    # An empty registry: the schemas refer to nothing outside themselves, and no test goes to the network.
    return jsonschema.validators.validator_for(schema)(schema, registry=referencing.Registry())


def assert_valid(revision: str, definition: str, value: Any) -> None:
    """Fail where ``value`` is not what the schema of ``revision`` says."""
    faults = [f"{error.json_path}: {error.message}" for error in _validator(revision, definition).iter_errors(value)]
    assert not faults, f"{definition} of {revision}: {faults[:3]} in {json.dumps(value)[:500]}"


def examples() -> List[Tuple[str, Path]]:
    """The examples that come with 2026-07-28, each with the name of its definition."""
    if SPEC is None:
        return []
    return [(path.parent.name, path) for path in sorted((SPEC / "2026-07-28" / "examples").glob("*/*.json"))]


def documents(revision: str, definition: str) -> List[Any]:
    """One document with the required fields only, and some with all fields and an unknown one; no two alike."""
    schema = {"$ref": f"#/-/{definition}"}
    made = [_make(revision, schema, full=False, pick=0, depth=0)]
    made += [_make(revision, schema, full=True, pick=pick, depth=0) for pick in range(_ALTERNATIVES)]
    return [json.loads(text) for text in dict.fromkeys(json.dumps(value) for value in made)]


def properties(revision: str, definition: str) -> Tuple[FrozenSet[str], FrozenSet[str]]:
    """The names of the required and of the optional properties."""
    schema = _resolve(revision, {"$ref": f"#/-/{definition}"})
    required = frozenset(schema.get("required", ()))
    return required, frozenset(schema.get("properties", ())) - required


def references(schema: Any) -> Iterator[str]:
    """The names of the definitions that a schema refers to directly."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield value.rsplit("/", 1)[-1]
            else:
                yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def _resolve(revision: str, schema: Dict[str, Any]) -> Dict[str, Any]:
    """The schema itself, with references and ``allOf`` written out."""
    if "$ref" in schema:
        return _resolve(revision, definitions(revision)[schema["$ref"].rsplit("/", 1)[-1]])
    if "allOf" not in schema:
        return schema
    whole: Dict[str, Any] = {"type": "object", "properties": {}, "required": []}
    for part in [_resolve(revision, part) for part in schema["allOf"]]:
        whole["properties"].update(part.get("properties", {}))
        whole["required"] += part.get("required", [])
    return whole


def _make(revision: str, schema: Dict[str, Any], *, full: bool, pick: int, depth: int) -> Any:
    schema = _resolve(revision, schema)
    full = full and depth < _DEEPEST

    def inner(part: Dict[str, Any]) -> Any:
        return _make(revision, part, full=full, pick=pick, depth=depth + 1)

    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][pick % len(schema["enum"])]
    if "anyOf" in schema:
        # At the bottom take the last one: of the unions that refer to themselves it is the scalar.
        alternatives = schema["anyOf"]
        return inner(alternatives[pick % len(alternatives)] if depth < _DEEPEST else alternatives[-1])
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        kind = kind[pick % len(kind)]
    if kind == "object" or "properties" in schema:
        return _make_object(schema, full, inner)
    if kind == "array":
        return [inner(schema["items"])] if full else []
    if kind == "any":
        return [{"any": "value"}, "text", 3, None, [1, None], 0.5, True, {}][pick]
    return {
        "boolean": pick % 2 == 0,
        "integer": schema.get("minimum", 7),
        "null": None,
        "number": schema.get("maximum", 0.5) if pick % 2 else 0.25,
        "string": _STRINGS.get(schema.get("format", ""), f"text {pick}"),
    }[kind]


def _make_object(schema: Dict[str, Any], full: bool, inner: Any) -> Dict[str, Any]:
    required = schema.get("required", ())
    made = {name: inner(part) for name, part in schema.get("properties", {}).items() if full or name in required}
    if "resultType" in made:
        # The schemas say "string"; the prose says which (2026-07-28, Basic > "ResultType").
        made["resultType"] = "input_required" if "inputRequests" in schema["properties"] else "complete"
    others = schema.get("additionalProperties")
    if full and isinstance(others, dict) and others:
        made["one"] = inner(others)
    elif full:
        made[UNKNOWN_FIELD] = UNKNOWN_VALUE
    return made
