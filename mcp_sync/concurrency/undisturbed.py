"""Work that must not be left half done by an interrupt: imports, and the building of models.

Runs on: a daemon thread, where the caller is the main thread, the only one that signal handlers run on; it ends with
the work, whether or not somebody still waits for it. Elsewhere the caller's own thread.

A KeyboardInterrupt in the middle of an import can leave a module half there, for good, and one that strikes pydantic
while it builds a model comes out as something else. Here it ends the wait alone.
"""

from __future__ import annotations

import threading
from importlib import import_module
from typing import Any, Callable, List, Set, TypeVar, cast

from .events import Event
from .threads import start

__all__ = ["load", "undisturbed"]

_T = TypeVar("_T")
_PACKAGE = __name__.partition(".")[0]

# Where threads do not run, as in uWSGI without enable-threads, the work is done here after so long.
_BEGIN_SECONDS = 1.0
# An import that needs what this thread is just importing would never end.
_LONGEST_SECONDS = 60.0

_loaded: Set[str] = set()


def undisturbed(work: Callable[[], _T]) -> _T:
    """Do ``work`` to its end, and return what it returns or raise what it raises."""
    if threading.get_ident() != threading.main_thread().ident:
        return work()
    begun, done = Event(), Event()
    outcome: List[Any] = []

    def run() -> None:
        begun.set()
        try:
            outcome.extend((work(), None))
        except BaseException as exc:  # noqa: BLE001  # it is the caller's
            outcome.extend((None, exc))
        done.set()

    try:
        start(threading.Thread(target=run, name="mcp-sync-loader", daemon=True))
    except RuntimeError:
        return work()  # there is no thread to give
    if not begun.wait(_BEGIN_SECONDS) or not done.wait(_LONGEST_SECONDS):
        return work()
    result, error = outcome
    if error is not None:
        try:
            raise error
        finally:
            del error, outcome
    return cast(_T, result)


def load(*names: str) -> None:
    """Import modules of this package."""
    if not _loaded.issuperset(names):
        undisturbed(lambda: [import_module(f"{_PACKAGE}.{name}") for name in names])
        _loaded.update(names)
