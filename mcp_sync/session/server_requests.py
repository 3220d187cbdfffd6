"""What the server asks and tells on its own: requests are answered, notifications passed on, and nothing that it sends
can hold up an answer to us.

Runs on: ``asked`` and ``notified`` on the thread that brings the message in (they never block); everything else on
worker threads.

* requests that run a handler: at most 8 at once, 64 more wait, beyond that the server is told that we are busy;
* pings on one thread of their own, refusals on another: neither handlers that block nor a flood of requests that are
  refused can silence the pings, or what we want to tell the server; 10,000 refusals may wait;
* notifications: one after the other, in order; 1,000 may wait, then the oldest is dropped.

What waits for a handler, or is in one, also counts against the budget of memory.
"""

from __future__ import annotations

import functools
import threading
from sys import getsizeof
from typing import Any, Callable, Dict, List, Mapping, Optional, Protocol, Sequence, Set

from ..concurrency.budget import Budget
from ..concurrency.deadline import Deadline
from ..concurrency.log import Log, Sparing
from ..concurrency.workers import Workers
from ..errors import MCPClientError
from ..escape import excerpt
from ..protocol.messages import (
    INTERNAL_ERROR,
    METHOD_NOT_FOUND,
    SERVER_BUSY,
    Message,
    error_answer,
    result_answer,
    weight_of,
)
from .handlers import Handlers, Refusal
from .waiter import Waiter

__all__ = ["Listener", "Listeners", "Pools", "ServerRequests"]

_log = Log(__name__)

# In bytes of memory: it is sent back, and kept until then.
_LARGEST_ID = 1100
_RELATED_TASK = "io.modelcontextprotocol/related-task"
# How long close() waits for what the server is still to be told; and how long where callers wait for the end.
_SETTLE_SECONDS = 0.5
_SHORT_SETTLE_SECONDS = 0.05


class Listener(Protocol):
    """Gets the server's notifications, and is told when a session ends. Neither may block."""

    def notified(self, message: Message) -> None:
        """The server has sent a notification."""

    def session_ended(self) -> None:
        """The session is lost or closed: anything may have changed by the next one."""


class Listeners:
    """The listeners of one client, for all its sessions."""

    def __init__(self) -> None:
        # Guards the list, which is replaced and never changed.
        self._lock = threading.RLock()
        self._listeners: List[Listener] = []

    def add(self, listener: Listener) -> None:
        with self._lock:
            self._listeners = [*self._listeners, listener]

    def remove(self, listener: Listener) -> None:
        with self._lock:
            self._listeners = [other for other in self._listeners if other is not listener]

    def notified(self, message: Message) -> None:
        for listener in self._listeners:
            listener.notified(message)

    def session_ended(self) -> None:
        for listener in self._listeners:
            listener.session_ended()


class Pools:
    """The worker threads of one client, shared by its sessions one after the other.

    Each pool is made when it is first needed: a client that only calls needs none, and five were a fifth of its memory.

    Parameters:
        budget: of the memory for what the server sent and nobody has read yet.
    """

    def __init__(self, budget: Optional[Budget] = None) -> None:
        self.budget = budget or Budget()
        # Guards what follows.
        self._lock = threading.RLock()
        self._pools: Dict[str, Workers] = {}
        self._closed = False

    @property
    def handlers(self) -> Workers:
        """For the user's handlers."""
        return self._pool("handler", threads=8, backlog=64)

    @property
    def notices(self) -> Workers:
        """For what the user's handlers are told, in order."""
        return self._pool("notice", threads=1, backlog=1000, drop_oldest=True)

    @property
    def background(self) -> Workers:
        """For what the server is told without anybody waiting: cancellations, pings."""
        return self._pool("background", threads=1, backlog=1000)

    @property
    def reopening(self) -> Workers:
        """For opening a lost session anew while those who listen wait for no more than an event."""
        return self._pool("reopener", threads=8, backlog=1000)

    @property
    def pings(self) -> Workers:
        """For the answers to pings."""
        return self._pool("ping", threads=1, backlog=1000)

    @property
    def refusals(self) -> Workers:
        """For answers that say no."""
        return self._pool("refusal", threads=1, backlog=10_000)

    def _pool(self, name: str, threads: int, backlog: int, drop_oldest: bool = False) -> Workers:
        pool = self._pools.get(name)
        if pool is None:
            with self._lock:
                pool = self._pools.get(name)
                if pool is None:
                    pool = Workers(f"mcp-sync-{name}", threads, backlog, drop_oldest=drop_oldest, budget=self.budget)
                    if self._closed:
                        pool.close()
                    self._pools[name] = pool
        return pool

    def settle(self, deadline: Deadline, *, is_awaited: bool) -> None:
        """Let cancellations go out: a caller who has just left a call expects that the server is told.

        Parameters:
            is_awaited: whether somebody waits for the end.
        """
        seconds = _SHORT_SETTLE_SECONDS if is_awaited else _SETTLE_SECONDS
        self.background.settle(deadline.sooner(seconds).remaining)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            pools = list(self._pools.values())
        for workers in pools:
            workers.close()

    def disown(self) -> None:
        """This process was forked from the one that the workers are in."""
        self._closed = True


class ServerRequests:
    """Answers one server during one session.

    Parameters:
        handlers: the user's functions.
        pools: the threads to run them on.
        listeners: get each notification.
        reply: sends an answer; blocks until it was accepted.
    """

    def __init__(
        self, handlers: Handlers, pools: Pools, listeners: Listeners, reply: Callable[[Message], None]
    ) -> None:
        self._handlers = handlers
        self._pools = pools
        self._listeners = listeners
        self._reply = reply
        # Guards the set of ids that the server has asked and not cancelled.
        self._lock = threading.RLock()
        self._open: Set[object] = set()
        self._sparing = Sparing(_log)

    @property
    def wants_progress(self) -> bool:
        """Whether there is a handler for the progress of all calls."""
        return self._handlers.wants_progress

    def asked(self, message: Message, calls: Sequence[Waiter] = ()) -> None:
        """The server has sent a request. The clocks of ``calls`` stand still while a handler answers it."""
        id, method, params = message["id"], message["method"], message.get("params")
        if isinstance(id, bool) or not isinstance(id, (int, str, float)) or getsizeof(id) > _LARGEST_ID:
            self._sparing.warning("id", "a request of the server without a usable id is skipped")
        elif method == "ping":
            self._send_soon(self._pools.pings, result_answer(id, {}))
        elif not isinstance(method, str) or not self._handlers.can_answer(method):
            _log.debug("the server asked for %s, which this client does not answer", excerpt(str(method)))
            self._refuse(id, METHOD_NOT_FOUND, f"this client does not answer {excerpt(str(method))}")
        else:
            with self._lock:
                self._open.add(id)
            given = params if isinstance(params, dict) else {}
            job = functools.partial(self._handle, id, method, given, calls)
            if not self._pools.handlers.submit(job, weight_of(given, self._pools.budget.limit)):
                with self._lock:
                    self._open.discard(id)
                self._refuse(id, SERVER_BUSY, "this client is busy with other requests")

    def _handle(self, id: object, method: str, params: Mapping[str, object], calls: Sequence[Waiter]) -> None:
        for call in calls:
            call.hold()
        try:
            answer = result_answer(id, _related(params, self._handlers.answer(method, params)))
        except Refusal as refusal:
            answer = error_answer(id, refusal.code, str(refusal))
        except BaseException:  # noqa: BLE001  # there is no caller to raise it to, and SystemExit must not end the worker
            _log.exception("the handler for %s failed", excerpt(method))
            answer = error_answer(id, INTERNAL_ERROR, f"the client's handler for {method} failed")
        finally:
            for call in calls:
                call.release()
        with self._lock:
            wanted = id in self._open
            self._open.discard(id)
        if wanted:
            self._send(answer)

    def _refuse(self, id: object, code: int, text: str) -> None:
        self._send_soon(self._pools.refusals, error_answer(id, code, text))

    def _send_soon(self, workers: Workers, answer: Message) -> None:
        if not workers.submit(lambda: self._send(answer)):
            self._sparing.warning("full", "an answer to the server was dropped: too many wait already")

    def _send(self, answer: Message) -> None:
        try:
            self._reply(answer)
        except MCPClientError as exc:
            self._sparing.warning("answer", "an answer to the server could not be sent: %s", exc)

    def notified(self, message: Message) -> None:
        """The server has sent a notification."""
        if message["method"] == "notifications/cancelled":
            params = message.get("params")
            with self._lock:
                if isinstance(params, dict) and isinstance(params.get("requestId"), (int, str)):
                    self._open.discard(params["requestId"])
        self._listeners.notified(message)
        job = self._handlers.notified(message)
        if job is not None:
            self._pools.notices.submit(job, weight_of(message, self._pools.budget.limit))

    def disown(self) -> None:
        """This process was forked from the one that answers. A handler that forked, and returns in the child too, must
        not answer twice.
        """
        self._open.clear()


def _related(params: Mapping[str, object], result: Dict[str, Any]) -> Dict[str, Any]:
    """``result`` as part of the task that the request belongs to (2025-11-25, Tasks, Associating Task-Related
    Messages).
    """
    meta = params.get("_meta")
    task = meta.get(_RELATED_TASK) if isinstance(meta, dict) else None
    return result if task is None else {**result, "_meta": {_RELATED_TASK: task, **(result.get("_meta") or {})}}
