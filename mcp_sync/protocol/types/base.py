"""What every payload model shares: names on the wire, unknown fields, a repr that is short and safe.

Runs on: any thread; models are plain data. The one lock in here guards pydantic's making of validators.
"""

import contextlib
import copy
import os
import threading
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Dict,
    FrozenSet,
    Iterator,
    List,
    Literal,
    Optional,
    Tuple,
    Type,
    TypeVar,
    Union,
    get_origin,
)

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PydanticUndefinedAnnotation, ValidationError

from ...concurrency.undisturbed import undisturbed
from ...escape import escape
from ..numbers import LARGEST, read_number

__all__ = [
    "Annotations",
    "CacheableResult",
    "Icon",
    "NotificationParams",
    "RequestParams",
    "Result",
    "WireModel",
]

_LONGEST_TEXT = 200  # characters of one string in a repr
_LONGEST_LIST = 50  # items of one list or object in a repr


# Held while a validator is made, and for nothing else. It is re-entrant as one model's making can set off another's.
_building = threading.RLock()
_process = os.getpid()


def _lock() -> Any:
    global _building, _process
    if _process != os.getpid():  # the thread that held it does not exist in a forked child
        _building, _process = threading.RLock(), os.getpid()
    return _building


def _wire_name(name: str) -> str:
    if name == "meta":
        return "_meta"
    first, *others = name.split("_")
    return first + "".join([word.capitalize() for word in others])


def _false(_: None) -> bool:
    return False


def _complete(_: None) -> str:
    return "complete"


def _no_params(_: None) -> Dict[str, Any]:
    return {}


def _number(value: Any) -> Optional[float]:
    return read_number(value, "number")


def _whole(value: Any) -> Optional[int]:
    number = read_number(value, "number")
    return None if number is None else int(number)


# A number that stays what it was, 3 does not become 3.0; finite, and not too large to calculate with.
_Integer = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
Number = Annotated[
    Union[_Integer, Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]],
    Field(union_mode="left_to_right"),
]
# 2025-11-25, Basic > "Requests" and Utilities > "Progress": a string or an integer. The order keeps "7" a string.
ProgressToken = Annotated[Union[str, int], Field(union_mode="left_to_right")]

if TYPE_CHECKING:
    Flag = bool
    Params = Dict[str, Any]
    ResultType = str
    Measure = Optional[Union[int, float]]
    Count = Optional[int]
else:
    # Numbers that may be absent: what is no number is as good as absent. Python runs for those only.
    Measure = Annotated[Union[Number, Annotated[Any, AfterValidator(_number)]], Field(union_mode="left_to_right")]
    Count = Annotated[Union[_Integer, Annotated[Any, AfterValidator(_whole)]], Field(union_mode="left_to_right")]
    # An optional boolean that is False when absent, and when a server writes null for that. Python runs for null only.
    Flag = Annotated[Union[bool, Annotated[None, AfterValidator(_false)]], Field(union_mode="left_to_right")]
    ResultType = Annotated[Union[str, Annotated[None, AfterValidator(_complete)]], Field(union_mode="left_to_right")]
    # Params as plain data, in the same way: empty when absent or null.
    Params = Annotated[
        Union[Dict[str, Any], Annotated[None, AfterValidator(_no_params)]], Field(union_mode="left_to_right")
    ]


_W = TypeVar("_W", bound="WireModel")


class WireModel(BaseModel):
    """A JSON object of the protocol, of any revision.

    Attributes have the protocol's names in snake_case; the wire's camelCase is the alias, and a model can be built from
    either. Fields we do not know are kept (``model_extra``) and come back in :meth:`to_wire`. What the protocol
    enumerates (roles, log levels, states) is a plain string here, because a later revision may add to the list.

    Source: 2026-07-28, Basic > "General fields".
    """

    # Building a validator takes 1 to 5 ms and no program needs all of them: each is built when it is first used.
    model_config = ConfigDict(
        alias_generator=_wire_name,
        defer_build=True,
        extra="allow",
        populate_by_name=True,
        protected_namespaces=(),
    )

    # Fields where null is a value of its own. Everywhere else the schemas have no null, and None means "absent".
    _nullable: ClassVar[FrozenSet[str]] = frozenset()

    @classmethod
    def model_rebuild(cls, **options: Any) -> Optional[bool]:
        """Make the validator, as pydantic does when the model is first used, one thread at a time.

        Pydantic's own method is not thread-safe: two threads that use a model for the first time at once can get an
        instance of the parent class (seen with 2.13).
        """
        depth = options.pop("_parent_namespace_depth", 2)

        def build(depth: int) -> Optional[bool]:
            with _lock():
                return super(WireModel, cls).model_rebuild(_parent_namespace_depth=depth, **options)

        with contextlib.suppress(PydanticUndefinedAnnotation):
            built = undisturbed(lambda: build(0))
            if built is not False:
                return built
        # Names of a function are looked up where this was called: two frames further than pydantic thinks.
        return build(depth + 2)

    def to_wire(self) -> Dict[str, Any]:
        """Return the JSON object to send: what was set, under the wire's names.

        A tag such as ``type`` is always there, set or not. A known field that was set to None is left out, because the
        schemas know no null for "absent", except where null is a value (structured content, the data of a log message,
        the ``ttl`` of a task that never expires). Fields we do not know come back as they were.
        """
        wire: Dict[str, Any] = {}
        given = self.model_fields_set
        for name, alias, is_tag in _plan(type(self)):
            if is_tag or name in given:
                value = getattr(self, name)
                if value is not None or name in self._nullable:
                    wire[alias] = _plain(value)
        for name, value in (self.model_extra or {}).items():
            wire[name] = _plain(value)
        return wire

    def __repr_args__(self) -> Iterator[Tuple[Optional[str], Any]]:
        # The repr of a string escapes what could drive a terminal; names of unknown fields come raw from the server.
        given = self.model_fields_set
        for name, _, is_tag in _plan(type(self)):
            if is_tag or name in given:
                yield name, _Shown(getattr(self, name))
        for name, value in (self.model_extra or {}).items():
            yield escape(_shorten(name)), _Shown(value)


class Result(WireModel):
    """What every result carries.

    ``result_type`` is ``"complete"``, ``"input_required"``, or an extension's word; servers of older revisions do not
    send it, which means ``"complete"``.

    Source: 2026-07-28, schema ``Result``, Basic > "Responses".
    """

    result_type: ResultType = "complete"
    meta: Optional[Dict[str, Any]] = None


class CacheableResult(Result):
    """A result that says how long it stays fresh.

    ``ttl_ms`` is in milliseconds; ``cache_scope`` is ``"public"`` or ``"private"`` (shared caches must not keep it).

    Source: 2026-07-28, schema ``CacheableResult``, Server > Utilities > "Caching".
    """

    ttl_ms: Count = None
    cache_scope: Optional[str] = None


class RequestParams(WireModel):
    """What the params of every request carry.

    Source: 2026-07-28, schema ``RequestParams``.
    """

    meta: Optional[Dict[str, Any]] = None


class NotificationParams(WireModel):
    """What the params of every notification carry.

    Source: 2026-07-28, schema ``NotificationParams``.
    """

    meta: Optional[Dict[str, Any]] = None


class Annotations(WireModel):
    """Whom content is for and how much it matters.

    ``audience`` holds ``"user"`` and ``"assistant"``; ``priority`` goes from 0 (optional) to 1 (required);
    ``last_modified`` is an ISO 8601 time.

    Source: 2026-07-28, schema ``Annotations``, Server > Resources > "Annotations".
    """

    audience: Optional[List[str]] = None
    priority: Measure = None
    last_modified: Optional[str] = None


class Icon(WireModel):
    """A picture for a tool, resource, prompt or implementation.

    ``src`` is an HTTPS or ``data:`` URI that the server chose: fetch it without credentials, if at all. ``sizes`` are
    written as ``"48x48"`` or ``"any"``; ``theme`` is ``"light"`` or ``"dark"``.

    Source: 2026-07-28, schema ``Icon``, Basic > "icons".
    """

    src: str
    mime_type: Optional[str] = None
    sizes: Optional[List[str]] = None
    theme: Optional[str] = None


# Written once for each class and never changed, so it needs no lock: two threads that race store equal plans.
_plans: Dict[type, List[Tuple[str, str, bool]]] = {}


def _plan(model: Type[WireModel]) -> List[Tuple[str, str, bool]]:
    """Each field's name, its name on the wire, and whether it is a tag (a literal with a default)."""
    plan = _plans.get(model)
    if plan is None:
        plan = _plans[model] = [
            (name, _wire_name(name), get_origin(field.annotation) is Literal and not field.is_required())
            for name, field in model.model_fields.items()
        ]
    return plan


def as_model(model: Type[_W], payload: Any) -> _W:
    """``payload`` as a model, where an empty list is an empty object wherever an object is due: PHP has one word for
    both.

    Raises:
        ValidationError: its shape is wrong.
    """
    try:
        return model.model_validate(payload)
    except ValidationError as exc:
        mended = _with_empty_objects(payload, exc)
        if mended is None:
            raise
    return model.model_validate(mended)


_WANTS_OBJECT = frozenset({"dict_type", "model_type", "model_attributes_type"})


def _with_empty_objects(payload: Any, problems: ValidationError) -> Any:
    """A copy of ``payload`` with ``{}`` for each ``[]`` where an object is due, or None where there is none."""
    whole: Any = [payload]
    copied = {id(whole)}
    for problem in problems.errors(include_url=False, include_context=False):
        path = _path(payload, problem["loc"]) if problem["type"] in _WANTS_OBJECT else None
        if path is None:
            continue
        place: Any = whole
        key: Any = 0
        for following in path:
            if id(place[key]) not in copied:
                place[key] = copy.copy(place[key])
                copied.add(id(place[key]))
            place, key = place[key], following
        place[key] = {}
    return whole[0] if whole[0] is not payload else None


def _path(value: Any, location: Tuple[Union[int, str], ...]) -> Optional[List[Union[int, str]]]:
    """The keys that lead to an empty list at ``location``, in which pydantic also names the members of unions."""
    if not location:
        return [] if isinstance(value, list) and not value else None
    key, rest = location[0], location[1:]
    if isinstance(value, (dict, list)) and (key in value if isinstance(value, dict) else isinstance(key, int)):
        inner: Any = value
        path = _path(inner[key], rest)
        if path is not None:
            return [key, *path]
    return _path(value, rest)


def _plain(value: Any) -> Any:
    if isinstance(value, WireModel):
        return value.to_wire()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    return value


class _Shown:
    """A value as it appears in the repr of a model: long strings and long lists abbreviated."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return _show(self.value)


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "..."


def _show(value: Any) -> str:
    if isinstance(value, str):
        if len(value) <= _LONGEST_TEXT:
            return repr(value)
        return f"<{len(value)} characters: {value[:40]!r}...>"
    if isinstance(value, (list, tuple)):
        items = [_show(item) for item in value[:_LONGEST_LIST]]
        return f"[{', '.join(_and_more(items, len(value)))}]"
    if isinstance(value, dict):
        items = [f"{_show(key)}: {_show(item)}" for key, item in list(value.items())[:_LONGEST_LIST]]
        return "{" + ", ".join(_and_more(items, len(value))) + "}"
    return repr(value)


def _and_more(items: List[str], total: int) -> List[str]:
    return items if total <= len(items) else [*items, f"<{total - len(items)} more>"]
