"""The clock of every deadline and wait.

Runs on: any thread; no state.

Programs that test with a frozen or travelling clock (freezegun, time-machine) replace the functions of ``time``,
wherever a module has kept one, and the second of them ``monotonic`` in the interpreter itself. A deadline by such a
clock never comes. So the function is taken from a ``time`` module of our own, which nobody else has, and it is the one
that neither replaces there; it counts from the same moment as ``monotonic``, where the system has one such clock.
"""

from __future__ import annotations

import importlib.util
import time
from importlib.machinery import BuiltinImporter
from typing import Callable

__all__ = ["monotonic"]


def _of_our_own() -> Callable[[], float]:
    spec = BuiltinImporter.find_spec("time")
    if spec is None or spec.loader is None:
        return time.perf_counter  # an interpreter whose time is no built-in module
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    clock: Callable[[], float] = module.perf_counter
    return clock


# Seconds, which never go back, and mean nothing but their differences.
monotonic = _of_our_own()
