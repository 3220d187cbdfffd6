"""From the first answer to a request to its complete result: rounds of input, and tasks.

Runs on: any thread; a conversation belongs to the one that drives it.
"""

from __future__ import annotations

import itertools
from typing import Any, Dict, Generator, Mapping, Optional, Set

from ..errors import MCPCancelledError, MCPProtocolError
from .conversations import Ask, Following, Inputs, Pause
from .messages import error_of, task_in
from .numbers import read_number

__all__ = ["Conversation", "finish", "follow"]

_MAX_ROUNDS = 10
# Each runs a handler of the user's, which may cost money.
_MAX_INPUTS = 32
_MAX_INPUTS_OF_A_TASK = 100
# Each look at a task carries it.
_LONGEST_ID = 1024
# Seconds between two polls of a task: where the server gives none, and the limits of what it gives.
_POLL_SECONDS = 1.0
_SHORTEST_POLL = 0.05
_LONGEST_POLL = 60.0

Conversation = Generator[Any, Any, Dict[str, Any]]


def finish(method: str, params: Mapping[str, Any], result: Dict[str, Any]) -> Conversation:
    """Go on until the result is complete (2026-07-28, Multi Round-Trip Requests, and SEP-2663; 2025-11-25, Tasks)."""
    for _ in range(_MAX_ROUNDS):
        task = task_in(result)
        if task is not None:
            result = yield from follow(task, result.get("resultType") != "task")
        elif result.get("resultType") == "input_required":
            again = {key: value for key, value in params.items() if key not in ("inputResponses", "requestState")}
            wanted = result.get("inputRequests")
            if isinstance(wanted, Mapping) and wanted:
                _check_number(len(wanted), _MAX_INPUTS, "in one round")
                again["inputResponses"] = yield Inputs(wanted)
            elif "requestState" not in result:
                raise MCPProtocolError(
                    "the server wants input, but does not say which", method=method, outcome="unknown"
                )
            if "requestState" in result:
                # Opaque: it is sent back unchanged, and only with this repetition.
                again["requestState"] = result["requestState"]
            result = yield Ask(method, again)
        else:
            return result
    raise MCPProtocolError(
        f"the server wanted input {_MAX_ROUNDS} times, which is where this client stops",
        method=method,
        outcome="unknown",
    )


def follow(task: Mapping[str, Any], is_session_bound: bool) -> Conversation:
    """Poll a task to its end, and return the result of the request that it stands for.

    Parameters:
        is_session_bound: whether it is a task of 2025-11-25, whose result is requested by ``tasks/result``, and whose
            server sends requests for input.
    """
    task_id = task.get("taskId")
    if not isinstance(task_id, str) or len(task_id) > _LONGEST_ID:
        raise MCPProtocolError("the server answered with a task that has no id, or a very long one", outcome="unknown")
    reported: Optional[str] = None
    # The requests that were answered: they stay listed until the server has seen the answers (SEP-2663, Task Update
    # Requests).
    answered: Set[str] = set()
    for looks in itertools.count():
        status, message = task.get("status"), task.get("statusMessage")
        yield Following(task_id, message if isinstance(message, str) and message != reported else None, looks)
        reported = message
        if status == "cancelled":
            raise MCPCancelledError("the server cancelled the task", outcome="unknown")
        if is_session_bound and status in ("completed", "failed", "input_required"):
            # The server answers when the task has ended, and sends its requests meanwhile (2025-11-25, Tasks, Input
            # Required).
            result: Dict[str, Any] = yield Ask("tasks/result", {"taskId": task_id})
            return result
        if status in ("completed", "failed"):
            return _outcome(task)
        wanted = task.get("inputRequests")
        if status == "input_required" and isinstance(wanted, Mapping):
            new = {key: request for key, request in wanted.items() if key not in answered}
            if new:
                _check_number(len(new), _MAX_INPUTS, "in one round")
                answered.update(new)
                _check_number(len(answered), _MAX_INPUTS_OF_A_TASK, "for one task")
                answers = yield Inputs(new)
                yield Ask("tasks/update", {"taskId": task_id, "inputResponses": answers})
        if looks or status is not None:  # a task that is known by its id alone is polled at once
            yield Pause(_interval(task))
        task = yield Ask("tasks/get", {"taskId": task_id})
    raise AssertionError("unreachable")


def _check_number(count: int, most: int, where: str) -> None:
    if count > most:
        raise MCPProtocolError(
            f"the server wants more than {most} inputs {where}, which is where this client stops", outcome="unknown"
        )


def _interval(task: Mapping[str, Any]) -> float:
    given = task.get("pollIntervalMs", task.get("pollInterval"))
    asked = read_number(given, "poll interval", 1000 * _SHORTEST_POLL, 1000 * _LONGEST_POLL)
    return _POLL_SECONDS if asked is None else asked / 1000


def _outcome(task: Mapping[str, Any]) -> Dict[str, Any]:
    if task.get("status") == "completed":
        result = task.get("result")
        if isinstance(result, dict):
            return result
        raise MCPProtocolError("the server says that a task is complete, but gives no result", outcome="unknown")
    error = task.get("error")
    error = error if isinstance(error, dict) else {}
    code = error.get("code")
    failure = error_of(
        "the task failed",
        code if isinstance(code, int) and code.bit_length() < 64 else 0,
        error.get("message", task.get("statusMessage")),
        error or task,
    )
    failure.outcome = "unknown"
    raise failure
