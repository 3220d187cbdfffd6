"""Forked children: sessions, threads and locks that a child inherits are its parent's, and must not be used there.

Runs on: the only thread of a child that was just forked, before any other code of the program. Where the interpreter
does not know of the fork, as in uWSGI's workers, on the first thread of the child that calls this package.

A lock that another thread held during the fork stays locked in the child for ever, because that thread does not exist
there. So every object of this package that the child can reach gets new locks. The objects are found by walking from
one to the next, so that no class can be forgotten. Then ``disown`` is called on each object that has it. Nothing is
closed in the usual way: that would send messages which end the parent's session.
"""

from __future__ import annotations

import collections
import functools
import os
import queue
import threading
import types
from typing import Any, Callable, Dict, Iterable, Iterator, List, Tuple

from ..errors import MCPClientError, MCPClosedError

__all__ = ["disown", "in_child", "inherited", "notice"]

_Lock: Any = type(threading.Lock())
_RLock: Any = type(threading.RLock())
_CONTAINERS = (dict, list, tuple, set, frozenset, collections.deque)
_PACKAGE = __name__.partition(".")[0]
# Plain data, with no locks.
_DATA = f"{_PACKAGE}.protocol."

# Called in a child.
_tasks: List[Callable[[], object]] = []
_last_tasks: List[Callable[[], object]] = []
# The process in which they were called last, or need not be.
_pid = os.getpid()
# Held meanwhile, where several threads of the child may notice the fork at once.
_lock = threading.RLock()


def in_child(task: Callable[[], object], *, last: bool = False) -> None:
    """Call ``task`` in every forked child.

    Parameters:
        last: after all tasks that are not. A task that drops objects, whose finalizers take locks, must come after the
            tasks that renew those locks, in whichever order the modules are loaded.
    """
    (_last_tasks if last else _tasks).append(task)


def notice() -> None:
    """Call the tasks, if this is a forked child in which they were not called yet."""
    if _pid != os.getpid():
        with _lock:
            _begin()


def _forked() -> None:
    global _lock
    _lock = threading.RLock()
    _begin()


def _begin() -> None:
    global _pid
    if _pid != os.getpid():
        for task in (*_tasks, *_last_tasks):
            task()
        _pid = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def inherited(outcome: str = "unknown") -> MCPClientError:
    """The error for a call that was begun before a fork, in the child."""
    return MCPClosedError(
        "this belongs to the process that this one was forked from; begin anew with the client, which has a session of "
        "its own here",
        outcome=outcome,
    )


def disown(roots: Iterable[object]) -> None:
    """Give ``roots``, and all objects of this package that they lead to, new locks, and then call their ``disown``."""
    found = _reachable(roots)
    for item in found:
        for name, value in _attributes(item):
            fresh = _fresh(value)
            if fresh is not None:
                setattr(item, name, fresh)
    for item in found:
        end = getattr(item, "disown", None)
        if end is not None:
            end()


def _reachable(roots: Iterable[object]) -> List[Any]:
    found: Dict[int, Any] = {}
    todo = list(roots)
    while todo:
        item = todo.pop()
        if id(item) not in found and _is_ours(item):
            found[id(item)] = item
            for _, value in _attributes(item):
                todo.extend(_held_by(value))
    return list(found.values())


def _is_ours(item: object) -> bool:
    # Subclasses that a user wrote count, too.
    modules = [str(base.__module__) for base in type(item).__mro__]
    return any(name.partition(".")[0] == _PACKAGE and not name.startswith(_DATA) for name in modules)


def _attributes(item: object) -> Iterator[Tuple[str, Any]]:
    yield from list(getattr(item, "__dict__", {}).items())
    for base in type(item).__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(item, name):
                yield name, getattr(item, name)


def _held_by(value: Any) -> Iterator[Any]:
    """The objects that an attribute leads to: itself, what a container holds, whose method it is."""
    held: Tuple[Any, ...] = (value,)
    if isinstance(value, _CONTAINERS):
        held = tuple(value.values() if isinstance(value, dict) else value)
    elif isinstance(value, functools.partial):
        held = (value.func, *value.args)
    for item in held:
        yield item.__self__ if isinstance(item, types.MethodType) else item


def _fresh(value: Any) -> Any:
    """A new lock, condition, queue or event for one that a thread of the parent may hold; None for anything else."""
    if isinstance(value, _Lock):
        return threading.Lock()
    if isinstance(value, _RLock):
        return threading.RLock()
    if isinstance(value, threading.Condition):
        return type(value)()
    if isinstance(value, queue.Queue):
        return queue.Queue(value.maxsize)
    if isinstance(value, threading.Event):
        event = type(value)()
        if value.is_set():
            event.set()
        return event
    return None
