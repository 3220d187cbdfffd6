"""Waiting for the end of a thread.

Runs on: any thread.
"""

from __future__ import annotations

import threading

__all__ = ["join"]


def join(thread: threading.Thread, seconds: float) -> None:
    """Wait until ``thread`` has ended, ``seconds`` at most. One that was never started has."""
    try:
        thread.join(max(seconds, 0.0))
    except RuntimeError:
        pass  # it was never started
