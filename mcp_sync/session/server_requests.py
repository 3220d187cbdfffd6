"""The server's side of a session: its requests are answered, its notifications passed on, and nothing it sends can hold
up an answer to us.

Runs on: ``asked`` and ``notified`` on the thread that brings the message in (they never block); everything else on
workers.

* requests that run a handler: at most 8 at once, 64 more wait, beyond that the server is told that we are busy;
* pings on one thread of their own, refusals on another: neither handlers that block nor a flood of requests that are
  refused can silence the pings, or what we want to tell the server; 10,000 refusals may wait;
* notifications: one after the other, in order; 1,000 may wait, then the oldest is dropped.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, Callable, Dict, List, Mapping, Protocol, Set

from ..concurrency.deadline import Deadline
from ..concurrency.workers import Workers
from ..errors import MCPClientError
from ..escape import excerpt
from ..protocol.messages import METHOD_NOT_FOUND, SERVER_BUSY, Message, error_answer, result_answer
from .handlers import Handlers, Refusal

__all__ = ["Audience", "Crew", "Serving"]

_log = logging.getLogger(__name__)

_RELATED_TASK = "io.modelcontextprotocol/related-task"
# How long close() waits for what the server is still to be told.
_ERRAND_SECONDS = 0.5
_SHORT_SECONDS = 0.05


class Audience(Protocol):
    """Whoever listens for change notifications. ``hear`` must not block."""

    def hear(self, message: Message) -> None: ...


class Crew:
    """The worker threads of one client, shared by its sessions one after the other.

    Each pool is made when it is first needed: a client that only calls needs none, and five were a fifth of its memory.
    """

    def __init__(self) -> None:
        # Guards what follows; the list is replaced and never changed.
        self._lock = threading.RLock()
        self._audiences: List[Audience] = []
        self._pools: Dict[str, Workers] = {}
        self._closed = False

    @property
    def handlers(self) -> Workers:
        return self._pool("handler", threads=8, backlog=64)

    @property
    def notices(self) -> Workers:
        return self._pool("notice", threads=1, backlog=1000, drop_oldest=True)

    @property
    def errands(self) -> Workers:
        return self._pool("errand", threads=1, backlog=1000)

    @property
    def pings(self) -> Workers:
        return self._pool("ping", threads=1, backlog=1000)

    @property
    def refusals(self) -> Workers:
        return self._pool("refusal", threads=1, backlog=10_000)

    def _pool(self, name: str, threads: int, backlog: int, drop_oldest: bool = False) -> Workers:
        pool = self._pools.get(name)
        if pool is None:
            with self._lock:
                pool = self._pools.get(name)
                if pool is None:
                    pool = Workers(f"mcp-sync-{name}", threads, backlog, drop_oldest=drop_oldest)
                    if self._closed:
                        pool.close()
                    self._pools[name] = pool
        return pool

    def add(self, audience: Audience) -> None:
        with self._lock:
            self._audiences = [*self._audiences, audience]

    def remove(self, audience: Audience) -> None:
        with self._lock:
            self._audiences = list(filter(lambda other: other is not audience, self._audiences))

    @property
    def audiences(self) -> List[Audience]:
        return self._audiences

    def settle(self, deadline: Deadline, *, is_awaited: bool) -> None:
        """Let cancellations go out: who has just left a call expects that the server is told.

        Parameters:
            is_awaited: whether somebody waits for the end.
        """
        self.errands.settle(deadline.sooner(_SHORT_SECONDS if is_awaited else _ERRAND_SECONDS).remaining)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            pools = list(self._pools.values())
        for workers in pools:
            workers.close()

    def disown(self) -> None:
        """This process was forked from the one that the workers are in."""
        self._closed = True


def _related(params: Mapping[str, object], result: Dict[str, Any]) -> Dict[str, Any]:
    """``result`` as part of the task that the request belongs to (2025-11-25, Tasks, Associating Task-Related
    Messages).
    """
    meta = params.get("_meta")
    task = meta.get(_RELATED_TASK) if isinstance(meta, dict) else None
    return result if task is None else {**result, "_meta": {_RELATED_TASK: task, **(result.get("_meta") or {})}}


class Serving:
    """Answers one server during one session.

    Parameters:
        handlers: the user's functions.
        crew: the threads to run them on.
        reply: sends an answer; blocks until it was accepted.
    """

    def __init__(self, handlers: Handlers, crew: Crew, reply: Callable[[Message], None]) -> None:
        self._handlers = handlers
        self._crew = crew
        self._reply = reply
        # Guards the set of ids that the server has asked and not cancelled.
        self._lock = threading.RLock()
        self._open: Set[object] = set()

    @property
    def wants_progress(self) -> bool:
        """Whether anybody wants to hear of progress beside the call that it belongs to."""
        return self._handlers.wants_progress

    def asked(self, message: Message) -> None:
        """The server has sent a request."""
        id, method, params = message["id"], message["method"], message.get("params")
        if isinstance(id, bool) or not isinstance(id, (int, str, float)):
            _log.warning("a request of the server without a usable id is skipped")
        elif method == "ping":
            self._send_soon(self._crew.pings, result_answer(id, {}))
        elif not isinstance(method, str) or not self._handlers.can_answer(method):
            _log.debug("the server asked for %s, which this client does not answer", excerpt(str(method)))
            self._refuse(id, METHOD_NOT_FOUND, f"this client does not answer {excerpt(str(method))}")
        else:
            with self._lock:
                self._open.add(id)
            given = params if isinstance(params, dict) else {}
            if not self._crew.handlers.submit(lambda: self._handle(id, method, given)):
                with self._lock:
                    self._open.discard(id)
                self._refuse(id, SERVER_BUSY, "this client is busy with other requests")

    def _handle(self, id: object, method: str, params: Mapping[str, object]) -> None:
        try:
            answer = result_answer(id, _related(params, self._handlers.answer(method, params)))
        except Refusal as refusal:
            answer = error_answer(id, refusal.code, str(refusal))
        with self._lock:
            wanted = id in self._open
            self._open.discard(id)
        if wanted:
            self._send(answer)

    def _refuse(self, id: object, code: int, text: str) -> None:
        self._send_soon(self._crew.refusals, error_answer(id, code, text))

    def _send_soon(self, workers: Workers, answer: Message) -> None:
        if not workers.submit(lambda: self._send(answer)):
            _log.warning("an answer to the server was dropped: too many wait already")

    def _send(self, answer: Message) -> None:
        try:
            self._reply(answer)
        except MCPClientError as exc:
            _log.warning("an answer to the server could not be sent: %s", exc)

    def disown(self) -> None:
        """This process was forked from the one that answers. A handler that forked, and returns in the child too, is
        not to answer twice.
        """
        self._open.clear()

    def notified(self, message: Message) -> None:
        """The server has sent a notification."""
        if message["method"] == "notifications/cancelled":
            params = message.get("params")
            with self._lock:
                if isinstance(params, dict) and isinstance(params.get("requestId"), (int, str)):
                    self._open.discard(params["requestId"])
        for audience in self._crew.audiences:
            audience.hear(message)
        job = self._handlers.notified(message)
        if job is not None:
            self._crew.notices.submit(job)
