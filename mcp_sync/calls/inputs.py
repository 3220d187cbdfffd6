"""What a server wants to know in the middle of a call: the user's handlers are asked, on a thread of their own.

Runs on: ``give`` on the calling thread, which waits; the handlers on one daemon thread for each round of input. When
nobody waits any more, that thread ends after the handler that it is in.
"""

from __future__ import annotations

import contextvars
import threading
from typing import Any, Dict, Mapping, Optional

from ..concurrency.call_clock import CallDeadline
from ..concurrency.deadline import Deadline
from ..concurrency.events import Event
from ..errors import MCPConnectionError, MCPProtocolError, MCPTimeoutError, replacing
from ..session.connection import Connection
from ..session.handlers import Handlers, Refusal

__all__ = ["give"]


def give(connection: Connection, requests: Mapping[str, Any], deadline: Deadline) -> Dict[str, Any]:
    """The answers to input requests, from the handlers that answer a server's requests in the older revisions.

    Raises:
        MCPProtocolError: the server wants what no handler gives, or a handler failed.
        MCPTimeoutError, MCPClosedError: the deadline passed, or the client was closed, while a handler ran.
        BaseException: what a handler raised, where that is not an Exception.
    """
    for request in requests.values():
        if not isinstance(request, Mapping) or not isinstance(request.get("method"), str):
            raise MCPProtocolError("the server wants input of an unknown kind", outcome="unknown")
    asking = _Round(connection.handlers, requests, deadline)
    thread = threading.Thread(
        target=contextvars.copy_context().run, args=(asking.run,), name="mcp-sync-handler", daemon=True
    )
    clock = deadline if isinstance(deadline, CallDeadline) else None
    if clock is not None:
        clock.hold()
    try:
        with replacing(RuntimeError, _no_thread):
            thread.start()
        connection.wait(asking.done, deadline)
    finally:
        asking.is_over = True
        if clock is not None:
            clock.release()
    error = asking.error
    if error is not None:
        with replacing(Refusal, _cannot_give):
            raise error
    if len(asking.answers) < len(requests):
        raise MCPTimeoutError(
            f"the input that the server wants was not given within the {deadline.timeout:g} s of this call",
            outcome="unknown",
        )
    return asking.answers


class _Round:
    """One round of input.

    Attributes:
        answers: under the keys of the requests.
        error: what a handler raised.
        is_over: nobody waits any more.
        done: set when there is nothing to wait for.
    """

    def __init__(self, handlers: Handlers, requests: Mapping[str, Any], deadline: Deadline) -> None:
        self._handlers = handlers
        self._requests = requests
        self._deadline = deadline
        self.answers: Dict[str, Any] = {}
        self.error: Optional[BaseException] = None
        self.is_over = False
        self.done = Event()

    def run(self) -> None:
        try:
            for key, request in self._requests.items():
                if self.is_over or self._deadline.expired:
                    return
                params = request.get("params")
                self.answers[key] = self._handlers.answer(request["method"], params if isinstance(params, dict) else {})
        except BaseException as exc:  # noqa: BLE001  # it is raised again where the round is waited for
            self.error = exc
        finally:
            self.done.set()


def _no_thread(exc: RuntimeError) -> MCPConnectionError:
    return MCPConnectionError(f"no thread could be started for the handlers: {exc}", outcome="unknown")


def _cannot_give(refusal: Refusal) -> MCPProtocolError:
    return MCPProtocolError(f"the server wants input that this client cannot give: {refusal}", outcome="unknown")
