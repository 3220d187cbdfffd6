"""What is known of a server's tools from the last time they were listed: which may run twice, and which arguments go
into headers.

Runs on: any thread; each of the tables is replaced, never changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Dict, FrozenSet, List, Optional

from ..concurrency.log import Log
from ..escape import excerpt
from ..protocol.headers import HeaderPaths, header_paths
from ..protocol.messages import Message

if TYPE_CHECKING:
    from ..protocol.types import Tool

__all__ = ["Catalog"]

_log = Log(__name__)


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

    def task_support(self, name: str) -> Optional[str]:
        """``"required"``, ``"optional"``, or None where a tool cannot be run as a task, or is not known."""
        return self._task_support.get(name)

    def paths_of(self, name: str) -> Optional[HeaderPaths]:
        return self._paths.get(name)


def _says_repeatable(tool: Tool) -> bool:
    hints = tool.annotations
    return hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)
