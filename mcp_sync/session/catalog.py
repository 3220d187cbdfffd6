"""What is known of a server's tools from the last time they were listed: which may run twice, and which arguments go
into headers.

Runs on: any thread; each of the tables is replaced, never changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, FrozenSet, List, Optional

from ..concurrency.log import Log
from ..escape import excerpt
from ..protocol.headers import HeaderPaths, header_paths
from ..protocol.messages import Message

if TYPE_CHECKING:
    from ..protocol.types import Tool

__all__ = ["Catalog", "RejectedItem"]

_log = Log(__name__)


# So many of one list are logged one by one.
_MOST_LOGGED = 10


@dataclass(frozen=True)
class RejectedItem:
    """What a server listed and no model could read; it is left out of the list.

    Attributes:
        kind: ``"tools"``, ``"resources"``, ``"resourceTemplates"`` or ``"prompts"``.
        index: its place in the server's list, counted from 0.
        name: as the server says; None where it gives none.
        problem: why it was left out.
        data: it, as it came.
    """

    kind: str
    index: int
    name: Optional[str]
    problem: str
    data: Any


class Catalog:
    """The tools of one server."""

    def __init__(self) -> None:
        # The tools that say of themselves that a second run does no harm.
        self.repeatable: FrozenSet[str] = frozenset()
        self._paths: Dict[str, HeaderPaths] = {}
        # Tool -> "required" or "optional", where it can be run as a task (2025-11-25, Tasks, Tool-Level Negotiation).
        self._task_support: Dict[str, str] = {}
        # Whether the tools were ever listed.
        self.is_known = False
        # Kind -> what was left out when such a list was last read.
        self._rejected: Dict[str, List[RejectedItem]] = {}
        # How often the server's tools may have changed.
        self.changes = 0

    def notified(self, message: Message) -> None:
        """Take note that the list of tools has changed."""
        if message["method"] == "notifications/tools/list_changed":
            self.changes += 1

    def session_ended(self) -> None:
        """The next session may have other tools."""
        self.changes += 1

    def learn(self, tools: List[Tool], *, mirrors: bool, look: Callable[[], None] = lambda: None) -> List[Tool]:
        """Take note of ``tools``, and return those that can be used.

        Parameters:
            mirrors: arguments go into headers where a schema says so; a schema that says it wrongly makes its tool
                unusable (2026-07-28, Streamable HTTP, Custom Headers from Tool Parameters).
            look: is called now and then, to end the work when it takes too long.
        """
        usable: List[Tool] = []
        paths: Dict[str, HeaderPaths] = {}
        for tool in tools:
            if mirrors:
                look()
                try:
                    found = header_paths(tool.input_schema, look)
                except ValueError as exc:
                    _log.warning("the tool %s is left out: %s", excerpt(tool.name), excerpt(str(exc)))
                    continue
                if found:
                    paths[tool.name] = found
            usable.append(tool)
        self._paths = paths
        self.repeatable = frozenset(tool.name for tool in usable if _says_repeatable(tool))
        self._task_support = {
            tool.name: tool.execution.task_support
            for tool in usable
            if tool.execution is not None and tool.execution.task_support in ("required", "optional")
        }
        self.is_known = True
        return usable

    def reject(self, kind: str, items: List[RejectedItem]) -> None:
        """Take note of what was left out of a list, and log what was not left out the last time."""
        before = [(item.index, item.name, item.problem) for item in self._rejected.get(kind, ())]
        self._rejected = {**self._rejected, kind: items}
        if [(item.index, item.name, item.problem) for item in items] == before:
            return
        for item in items[:_MOST_LOGGED]:
            name = "without a name" if item.name is None else repr(excerpt(item.name))
            _log.warning("number %d of the server's %s, %s, is left out: %s", item.index, kind, name, item.problem)
        if len(items) > _MOST_LOGGED:
            _log.warning("%d more of the server's %s are left out", len(items) - _MOST_LOGGED, kind)

    @property
    def rejected(self) -> List[RejectedItem]:
        """What was left out of the lists, as they were last read."""
        return [item for items in self._rejected.values() for item in items]

    def task_support(self, name: str) -> Optional[str]:
        """``"required"``, ``"optional"``, or None where a tool cannot be run as a task, or is not known."""
        return self._task_support.get(name)

    def paths_of(self, name: str) -> Optional[HeaderPaths]:
        return self._paths.get(name)


def _says_repeatable(tool: Tool) -> bool:
    hints = tool.annotations
    return hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)
