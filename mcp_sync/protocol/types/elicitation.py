"""Elicitation: a server asks the client's user.

Runs on: any thread; models are plain data.
"""

import copy
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Set, Union

from pydantic import model_validator

from .base import RequestParams, Result

__all__ = ["ElicitParams", "ElicitResult", "apply_defaults"]


class ElicitParams(RequestParams):
    """The params of ``elicitation/create``, for both modes.

    ``mode`` is ``"form"`` (also when absent: ask for the fields of ``requested_schema``) or ``"url"`` (since
    2025-11-25: have the user open ``url``). ``elicitation_id`` and ``task`` are of 2025-11-25 only.

    Source: 2026-07-28, schema ``ElicitRequestFormParams`` and ``ElicitRequestURLParams``, Client > Elicitation.
    """

    mode: Optional[str] = None
    message: str
    requested_schema: Optional[Dict[str, Any]] = None
    url: Optional[str] = None
    elicitation_id: Optional[str] = None
    task: Optional[Dict[str, Any]] = None

    @property
    def is_url(self) -> bool:
        """True where the user is to open a URL, False where there is a form to fill in."""
        return self.mode == "url"

    @model_validator(mode="after")
    def _complete(self) -> "ElicitParams":
        if self.mode in (None, "form") and self.requested_schema is None:
            raise ValueError("an elicitation by form needs a requestedSchema")
        if self.mode == "url" and self.url is None:
            raise ValueError("an elicitation by URL needs a url")
        return self


class ElicitResult(Result):
    """What the user did: ``action`` is ``"accept"``, ``"decline"`` or ``"cancel"``.

    ``content`` holds the form's fields where it was accepted; a field that is None was not filled in, and is not sent.

    Source: 2026-07-28, schema ``ElicitResult``, Client > Elicitation > "Response Actions".
    """

    action: str
    content: Optional[Dict[str, Union[str, int, float, bool, List[str], None]]] = None

    def to_wire(self) -> Dict[str, Any]:
        """Return the JSON object to send; see :meth:`WireModel.to_wire`."""
        wire = super().to_wire()
        if self.content is not None and "content" in wire:
            wire["content"] = {name: value for name, value in wire["content"].items() if value is not None}
        return wire


def apply_defaults(schema: Optional[Mapping[str, Any]], content: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
    """Return ``content`` with the form's defaults for the fields that it leaves out.

    A field that is None counts as left out, and stays out where the form has no default. A default that does not fit
    its own field (a string for a number, a value not among the choices) is the server's mistake and is not applied.

    Parameters:
        schema: the ``requested_schema``; None stands for an empty form.
        content: the fields that are filled in; it is not changed.

    Source: 2026-07-28, Client > Elicitation > "Requested Schema".
    """
    filled = {name: value for name, value in (content or {}).items() if value is not None}
    properties = (schema or {}).get("properties")
    for name, field in properties.items() if isinstance(properties, dict) else ():
        if name not in filled and isinstance(field, dict) and "default" in field:
            default = field["default"]
            if _fits(default, field):
                filled[name] = copy.copy(default)
    return filled


_FITS: Dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: (
        not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
    "array": lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
}


def _fits(default: Any, field: Mapping[str, Any]) -> bool:
    kind = field.get("type")
    # Generated schemas say anyOf or $ref instead of a type; then any value that may be sent will do.
    fits = _FITS[kind](default) if kind in _FITS else any(fit(default) for fit in _FITS.values())
    items = field.get("items")
    choices = _choices(items if kind == "array" and isinstance(items, dict) else field)
    picked = default if isinstance(default, list) else [default]
    return fits and (choices is None or all(value in choices for value in picked))


def _choices(field: Mapping[str, Any]) -> Optional[Set[Any]]:
    if isinstance(field.get("enum"), list):
        return _scalars(field["enum"])
    for keyword in ("oneOf", "anyOf"):
        options = field.get(keyword)
        if isinstance(options, list) and all(isinstance(option, dict) and "const" in option for option in options):
            return _scalars(option["const"] for option in options)
    return None


def _scalars(values: Iterable[Any]) -> Set[Any]:
    # A set, since there may be many of them; nothing else can be picked in a form.
    return {value for value in values if isinstance(value, (str, int, float))}
