"""Forked children: what a child inherits is its parent's, and must neither be used nor waited for.

Runs on: the only thread of a child that was just forked, before any other code of the program. Where the interpreter
was not told of the fork, as in uWSGI's workers, on the first thread of the child that comes to code of ours.

A lock that another thread held at that moment stays locked in the child for ever, whoever held it is not there. So
everything of this package that the child can still reach gets new locks, found by walking from object to object: a
class that is added later cannot be forgotten. Then each object that knows ``disown`` is told to be over. Nothing is
closed in order here, since a goodbye would reach the parent's session.
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

# What is to be done in a child.
_tasks: List[Callable[[], object]] = []
_last_tasks: List[Callable[[], object]] = []
# The process in which that was done.
_pid = os.getpid()
# Held while it is done, where several threads may come to it at once.
_lock = threading.RLock()


def in_child(task: Callable[[], object], *, last: bool = False) -> None:
    """Have ``task`` done in every forked child.

    Parameters:
        last: after all that are not. What lets objects go, whose finalizers wait for locks, comes after what renews
            those locks, in whichever order the modules are loaded.
    """
    (_last_tasks if last else _tasks).append(task)


def notice() -> None:
    """Do what is to be done in a forked child, if this is one in which it has not been done."""
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
    """Why what was begun before a fork cannot go on in the child."""
    return MCPClosedError(
        "this belongs to the process that this one was forked from; begin anew with the client, which has a session of "
        "its own here",
        outcome=outcome,
    )


def disown(roots: Iterable[object]) -> None:
    """Leave ``roots``, and all that they hold, to the parent."""
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
    # Of a subclass that a user wrote, too.
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
    """A new one of what could be held by a thread that is not there; None for anything else."""
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
