"""What threads wait for, and others wake them by, so that no interrupt can break it.

Runs on: any thread; ``Wake.wait`` on one at a time.

Entering a ``threading.Condition``, as each use of an Event does, is two steps: a KeyboardInterrupt between them leaves
its lock held for ever, and whoever sets the event then, such as the thread that routes everybody's answers, waits for
that. A lock of the interpreter's is taken and given back in one step each.
"""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["SteadyCondition", "Wake"]

_Enter: Any = property(lambda condition: condition._lock.__enter__)
_Exit: Any = property(lambda condition: condition._lock.__exit__)


class Wake:
    """An event that is over once it was seen."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        # Held while there is nothing to be seen. In a forked child it is a new one: a reason to look.
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Wake who waits, or spare the next wait."""
        try:
            self._lock.release()
        except RuntimeError:
            pass  # it is set already

    def is_set(self) -> bool:
        return not self._lock.locked()

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, ``seconds`` at most; returns whether it was, and is not any more."""
        return self._lock.acquire(timeout=seconds)


class SteadyCondition(threading.Condition):
    """A condition that is entered in one step: ``with`` is handed its lock's own methods."""

    __enter__ = _Enter
    __exit__ = _Exit
