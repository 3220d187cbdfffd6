"""Tools as Python functions: ``client.tools.echo(message="hi")``, with signature, docstring and completion from the
schema.

Runs on: the calling thread.
"""

from __future__ import annotations

import inspect
import keyword
import re
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Tuple

from ..escape import escape, one_line

if TYPE_CHECKING:
    from ..protocol.types import Tool

__all__ = ["ToolFunction", "Tools"]

_PYTHON_TYPES: Dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": None,
}


class ToolFunction:
    """One tool as a function: call it with the tool's arguments, get plain Python data (``CallToolResult.data``); a
    tool that fails raises ``ToolError``.

    Attributes:
        tool: the ``Tool`` as the server describes it.
    """

    def __init__(self, tool: Tool, call: Callable[[str, Dict[str, Any]], Any]) -> None:
        self.tool = tool
        self._call = call
        self.__name__ = self.__qualname__ = tool.name
        self.__doc__ = _docstring(tool)
        self.__signature__ = _signature(tool)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        bound = self.__signature__.bind(*args, **kwargs)
        arguments: Dict[str, Any] = {}
        for name, value in bound.arguments.items():
            if self.__signature__.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                arguments.update(value)
            else:
                arguments[name] = value
        return self._call(self.tool.name, arguments)

    def __repr__(self) -> str:
        return one_line(f"<tool {self.tool.name}{self.__signature__}>")


class Tools:
    """The server's tools as attributes (``client.tools.echo``) and items (``client.tools["get-weather"]``).

    The list is read when first needed, and again after it changed.

    A name that is no Python identifier is an attribute with underscores instead.

    Parameters:
        state: tells what the list depends on; it is read again when this is no longer the same.
    """

    def __init__(
        self,
        list_tools: Callable[[], List[Tool]],
        call: Callable[[str, Dict[str, Any]], Any],
        state: Callable[[], object] = lambda: None,
    ) -> None:
        self._list_tools = list_tools
        self._call = call
        self._state = state
        # The last list, and the state it was read in: replaced, never changed.
        self._table: Optional[Tuple[object, Dict[str, ToolFunction]]] = None

    def _functions(self) -> Dict[str, ToolFunction]:
        table, state = self._table, self._state()
        if table is None or table[0] != state:
            table = self._table = state, {tool.name: ToolFunction(tool, self._call) for tool in self._list_tools()}
        return table[1]

    def _find(self, name: str) -> Optional[ToolFunction]:
        table = self._functions()
        if name in table:
            return table[name]
        return next((function for key, function in table.items() if _attribute(key) == name), None)

    def __getattr__(self, name: str) -> ToolFunction:
        # Notebooks and debuggers probe for many private names: those must not cost a request.
        if name.startswith("_"):
            raise AttributeError(name)
        function = self._find(name)
        if function is None:
            raise AttributeError(
                one_line(f"the server has no tool {name!r}; it has {', '.join(sorted(self._functions())) or 'none'}")
            )
        return function

    def __getitem__(self, name: str) -> ToolFunction:
        function = self._find(name)
        if function is None:
            raise KeyError(name)
        return function

    def __iter__(self) -> Iterator[ToolFunction]:
        return iter(list(self._functions().values()))

    def __len__(self) -> int:
        return len(self._functions())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def __dir__(self) -> List[str]:
        return sorted({*super().__dir__(), *map(_attribute, self._functions())})

    def __repr__(self) -> str:
        table = self._table
        # The list that another identity was given is not for this caller.
        if table is None or table[0] != self._state():
            return "<tools, not listed yet>"
        return one_line(f"<tools {', '.join(sorted(table[1]))}>")


def _attribute(name: str) -> str:
    cleaned = re.sub(r"\W", "_", name)
    if not cleaned or cleaned[0].isdigit():
        cleaned = "_" + cleaned
    return cleaned + "_" if keyword.iskeyword(cleaned) else cleaned


def _properties(tool: Tool) -> Dict[str, Any]:
    properties = tool.input_schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _signature(tool: Tool) -> inspect.Signature:
    properties = _properties(tool)
    required = tool.input_schema.get("required")
    named = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    # A dict, to keep the order and to look names up.
    needed = dict.fromkeys(name for name in named if name in properties)
    parameters, rest = [], False
    for name in [*needed, *(name for name in properties if name not in needed)]:
        if not name.isidentifier() or keyword.iskeyword(name):
            rest = True
            continue
        schema = properties[name] if isinstance(properties[name], dict) else {}
        default = inspect.Parameter.empty if name in needed else schema.get("default")
        parameters.append(
            inspect.Parameter(
                name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=_annotation(schema)
            )
        )
    if rest or tool.input_schema.get("additionalProperties") or not properties:
        rest_name = "arguments"
        while rest_name in properties:
            rest_name += "_"
        parameters.append(inspect.Parameter(rest_name, inspect.Parameter.VAR_KEYWORD))
    return inspect.Signature(parameters)


def _annotation(schema: Dict[str, Any]) -> Any:
    kind = schema.get("type")
    return _PYTHON_TYPES.get(kind, inspect.Parameter.empty) if isinstance(kind, str) else inspect.Parameter.empty


def _docstring(tool: Tool) -> str:
    lines = [tool.description or tool.title or tool.name]
    properties = _properties(tool)
    if properties:
        lines += ["", "Parameters:"]
        for name, schema in properties.items():
            text = schema.get("description") if isinstance(schema, dict) else None
            described = str(text).replace("\n", "\n        ")
            lines.append(f"    {one_line(name)}: {described}" if text else f"    {one_line(name)}")
    return escape("\n".join(lines))
