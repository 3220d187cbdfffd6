"""What is mirrored from a message into HTTP headers (2026-07-28, Streamable HTTP, Request Metadata), and how values are
encoded there.

Runs on: any thread; no state.
"""

from __future__ import annotations

import base64
import re
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Set, Tuple

from ..errors import MCPUsageError
from .messages import Message

__all__ = ["HeaderPaths", "check_header", "encode_value", "header_paths", "mirrored"]

# Header name -> the chain of property names that leads to its value in a tool's arguments.
HeaderPaths = Mapping[str, Tuple[str, ...]]

_ANNOTATION = "x-mcp-header"
# RFC 9110, section 5.1: a field name is a token.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
# What http.client can send.
_VALUE = re.compile("[^\r\n\0\u0100-\U0010ffff]*\\Z")
_PLAIN = re.compile(r"[\x20-\x7e]*\Z")
_SENTINEL = re.compile(r"=\?base64\?.*\?=\Z", re.DOTALL)
_PRIMITIVES = ("string", "integer", "boolean")
# Numbers beyond are not exact in JavaScript.
_LARGEST = 2**53 - 1
_DEEPEST = 64
# How many places of a schema are looked at between two looks at the clock.
_PLACES = 1000

# The param whose value goes into Mcp-Name; for tasks see SEP-2663, Streamable HTTP: Routing Headers.
_NAMED_BY = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}


def encode_value(value: str) -> str:
    """A value as a header can carry it: as it is, or as base64 between markers (Value Encoding).

    Raises:
        MCPUsageError: it is no text that UTF-8 can write.
    """
    if _PLAIN.match(value) and value == value.strip(" ") and not _SENTINEL.match(value):
        return value
    try:
        data = value.encode("utf-8")
    except UnicodeEncodeError:
        raise MCPUsageError(
            "the parameters cannot be sent: a string with half of a surrogate pair", outcome="not_sent"
        ) from None
    return f"=?base64?{base64.b64encode(data).decode('ascii')}?="


def mirrored(message: Message, paths: Optional[HeaderPaths] = None) -> Dict[str, str]:
    """The headers of one request: its method, what it is about, and the arguments that the tool's schema wants
    mirrored.
    """
    method = message["method"]
    headers = {"Mcp-Method": method}
    params = message.get("params") or {}
    key = _NAMED_BY.get(method)
    if key is not None and isinstance(params.get(key), str):
        headers["Mcp-Name"] = encode_value(params[key])
    for name, path in (paths or {}).items():
        text = _text(_value_at(params.get("arguments"), path))
        if text is not None:
            headers[f"Mcp-Param-{name}"] = encode_value(text)
    return headers


def _value_at(value: Any, path: Tuple[str, ...]) -> Any:
    for step in path:
        if not isinstance(value, Mapping) or step not in value:
            return None
        value = value[step]
    return value


def _text(value: Any) -> Optional[str]:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # in a JSON Schema 42.0 is an integer too
    if isinstance(value, int):
        return str(value) if -_LARGEST <= value <= _LARGEST else None
    return value if isinstance(value, str) else None


def _nothing() -> None:
    pass


def header_paths(schema: Mapping[str, Any], look: Callable[[], None] = _nothing) -> Dict[str, Tuple[str, ...]]:
    """Where a tool's input schema wants arguments mirrored into headers (Custom Headers from Tool Parameters).

    Parameters:
        look: is called now and then, to end the work when it takes too long.

    Raises:
        ValueError: an annotation breaks the rules; the text says which. The tool must not be used.
    """
    found: Dict[str, Tuple[str, ...]] = {}
    names: Set[str] = set()
    allowed: Set[int] = set()
    for path, property_schema in _reachable(schema, ()):
        allowed.add(id(property_schema))
        if not len(allowed) % _PLACES:
            look()
        if _ANNOTATION in property_schema:
            name = _checked(property_schema, path)
            if name.lower() in names:
                raise ValueError(f"two parameters want the header name {name!r}")
            names.add(name.lower())
            found[name] = path
    if any(id(place) not in allowed for place in _annotated(schema, look)):
        raise ValueError(f"{_ANNOTATION} stands where it does not lead to one argument")
    return found


def _checked(schema: Mapping[str, Any], path: Tuple[str, ...]) -> str:
    name, kind = schema[_ANNOTATION], schema.get("type")
    where = ".".join(path)
    if not isinstance(name, str) or not _TOKEN.match(name):
        raise ValueError(f"{where} wants a header whose name is no HTTP token")
    if kind not in _PRIMITIVES:
        raise ValueError(f"{where} is mirrored into a header, but is no string, integer or boolean")
    return name


def _reachable(schema: Mapping[str, Any], path: Tuple[str, ...]) -> Iterator[Tuple[Tuple[str, ...], Mapping[str, Any]]]:
    """The property schemas that a chain of ``properties`` alone leads to."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or len(path) > _DEEPEST:
        return
    for name, inner in properties.items():
        if isinstance(inner, Mapping):
            yield (*path, name), inner
            yield from _reachable(inner, (*path, name))


def _annotated(schema: Any, look: Callable[[], None]) -> Iterator[Mapping[str, Any]]:
    """Every place in a schema that carries the annotation; an argument of that name is not one."""
    todo: List[Tuple[Any, bool]] = [(schema, False)]
    seen = 0
    while todo:
        value, names_are_free = todo.pop()
        seen += 1
        if not seen % _PLACES:
            look()
        if isinstance(value, Mapping):
            if not names_are_free and _ANNOTATION in value:
                yield value
            todo.extend(
                (inner, not names_are_free and key in ("properties", "$defs", "definitions"))
                for key, inner in value.items()
                if names_are_free or key not in ("default", "const", "enum", "examples")
            )
        elif isinstance(value, list):
            todo.extend((inner, False) for inner in value)


def check_header(name: object, value: object) -> None:
    """Raise ValueError unless this is a header that can be sent as it stands (RFC 9110, section 5)."""
    if not isinstance(name, str) or not _TOKEN.match(name):
        raise ValueError(f"{name!r} is not a header name")
    if not isinstance(value, str) or not _VALUE.match(value):
        raise ValueError(f"the value of the header {name} must be a string of Latin-1, without line breaks")
