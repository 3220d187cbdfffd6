"""Interrupts where a test wants them.

Used on the main thread, as interrupts are.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, Callable, Optional

import pytest

__all__ = ["InterruptAt", "anywhere"]

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
