"""Interrupts where a test wants them.

Used on the main thread, as interrupts are.
"""

from __future__ import annotations

import sys
import threading
from types import CodeType, FrameType
from typing import Any, Callable, Optional

import pytest

__all__ = ["InterruptAt", "InterruptAtCheck", "anywhere"]

# Later ones look for signals at calls, and at jumps backward.
anywhere = pytest.mark.skipif(
    sys.version_info >= (3, 10), reason="Python 3.9 is interrupted between any two instructions"
)


class InterruptAt:
    """Raises KeyboardInterrupt once, before an instruction of a function.

    Parameters:
        function: any that runs inside.
        number: before which of the instructions that are executed in it.
    """

    def __init__(self, function: Callable[..., object], number: int) -> None:
        self._code: Any = function.__code__
        self._left = number
        self.fired = False

    def __enter__(self) -> InterruptAt:
        sys.settrace(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.settrace(None)

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Optional[InterruptAt]:
        if self.fired or frame.f_code is not self._code:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            self._left -= 1
            if self._left < 0:
                self.fired = True
                sys.settrace(None)
                raise KeyboardInterrupt
        return self


class InterruptAtCheck:
    """Raises KeyboardInterrupt once, where the interpreter looks for signals on the main thread: when a function is
    entered, and when one of C's has returned.

    It looks at jumps backward as well, but what is raised from there by a tool is handled in other places than an
    interrupt is: see test_jumps.py.

    Parameters:
        number: at which of those that are passed.
    """

    is_exact = sys.version_info >= (3, 12)
    _TOOL = 4

    def __init__(self, number: int) -> None:
        self._left = number
        self._main = threading.main_thread().ident
        self.fired = False
        self.where = ""

    def __enter__(self) -> InterruptAtCheck:
        tools: Any = sys.monitoring  # type: ignore[attr-defined]  # of Python 3.12
        tools.use_tool_id(self._TOOL, "interrupts")
        for event in (tools.events.PY_START, tools.events.C_RETURN):
            tools.register_callback(self._TOOL, event, self._check)
        tools.set_events(self._TOOL, tools.events.PY_START | tools.events.CALL)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._left = 1_000_000_000
        tools: Any = sys.monitoring  # type: ignore[attr-defined]  # of Python 3.12
        tools.set_events(self._TOOL, 0)
        for event in (tools.events.PY_START, tools.events.C_RETURN):
            tools.register_callback(self._TOOL, event, None)
        tools.free_tool_id(self._TOOL)

    def _check(self, code: CodeType, offset: int, *rest: object) -> None:
        if not self.fired and threading.get_ident() == self._main and code is not _LEAVES:
            self._left -= 1
            if self._left < 0:
                self.fired = True
                self.where = f"{code.co_filename}:{code.co_qualname}+{offset}"  # type: ignore[attr-defined]
                raise KeyboardInterrupt


_LEAVES = InterruptAtCheck.__exit__.__code__
