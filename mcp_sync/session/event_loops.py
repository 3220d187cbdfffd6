"""Programs with an event loop: it stands still while we block.

Runs on: the thread that opens a session.
"""

from __future__ import annotations

import builtins
import sys
import warnings

__all__ = ["warn_in_event_loop"]


def warn_in_event_loop() -> None:
    """Warn a caller whose thread runs an event loop, which stands still while we block.

    In a notebook that is so for every cell, and nobody minds.
    """
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None and not hasattr(builtins, "__IPYTHON__"):
        warnings.warn(
            "an MCPClient was called on a thread that runs an event loop, which stands still meanwhile; call it "
            "through asyncio.to_thread",
            RuntimeWarning,
            stacklevel=2,
        )
