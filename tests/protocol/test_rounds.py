"""From the first answer to the complete result, without threads, sockets and clocks."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from mcp_sync import MCPCancelledError, MCPProtocolError, MCPServerError
from mcp_sync.protocol.conversations import Ask, Following, Inputs, Pause
from mcp_sync.protocol.messages import is_complete, task_in
from mcp_sync.protocol.rounds import finish, follow

PARAMS = {"name": "work", "arguments": {"x": 1}}


def drive(conversation: Any, answers: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """The steps and the result; each step gets the next of ``answers``, pauses and reports get none."""
    steps: list[Any] = []
    left = list(answers)
    try:
        step = next(conversation)
        while True:
            steps.append(step)
            step = conversation.send(None if isinstance(step, (Pause, Following)) else left.pop(0))
    except StopIteration as done:
        assert not left
        return steps, done.value


def task(status: str, **more: Any) -> dict[str, Any]:
    return {"taskId": "t", "status": status, **more}


def test_a_complete_result_is_returned_as_it_is() -> None:
    result = {"content": [], "resultType": "complete"}
    assert drive(finish("tools/call", PARAMS, result), []) == ([], result)


@pytest.mark.parametrize(
    ("result", "complete"),
    [
        ({}, True),
        ({"resultType": "complete"}, True),
        ({"content": [], "isError": True}, True),
        ({"resultType": "input_required"}, False),
        ({"resultType": "task", "taskId": "t"}, False),
        ({"task": {"taskId": "t"}}, False),
    ],
)
def test_what_is_complete(result: dict[str, Any], complete: bool) -> None:
    assert is_complete(result) is complete


def test_a_tool_may_answer_with_something_that_it_calls_a_task() -> None:
    answer = {"content": [], "task": {"taskId": "mine"}}
    assert task_in(answer) is None
    assert drive(finish("tools/call", PARAMS, answer), [])[1] is answer


def test_input_is_gathered_and_the_request_made_again_with_the_state_as_it_came() -> None:
    requests = {"a": {"method": "roots/list"}}
    first = {"resultType": "input_required", "inputRequests": requests, "requestState": " {}\u2028 "}
    steps, result = drive(finish("tools/call", PARAMS, first), [{"a": {"roots": []}}, {"content": []}])
    assert steps[0] == Inputs(requests)
    assert steps[1] == Ask(
        "tools/call", {**PARAMS, "inputResponses": {"a": {"roots": []}}, "requestState": " {}\u2028 "}
    )
    assert result == {"content": []}
    assert "inputResponses" not in PARAMS


def test_a_task_of_the_extension_is_polled_until_its_result_is_in_it() -> None:
    done = task("completed", result={"content": [1]})
    created = task("working", resultType="task", pollIntervalMs=200)
    conversation = finish("tools/call", PARAMS, created)
    steps, result = drive(conversation, [task("working", pollIntervalMs=300, statusMessage="half"), done])
    assert result == {"content": [1]}
    assert [step for step in steps if isinstance(step, Ask)] == [Ask("tasks/get", {"taskId": "t"})] * 2
    assert [step.seconds for step in steps if isinstance(step, Pause)] == [0.2, 0.3]
    assert [step.status for step in steps if isinstance(step, Following)] == [None, "half", None]


def test_a_question_of_a_task_is_answered_once_though_it_stays_in_sight() -> None:
    asks = {"a": {"method": "roots/list"}}
    both = {**asks, "b": {"method": "roots/list"}}
    answers = [{"a": 1}, {}, task("input_required", inputRequests=asks), task("input_required", inputRequests=both)]
    answers += [{"b": 2}, {}, task("completed", result={})]
    steps, _ = drive(follow(task("input_required", inputRequests=asks), False), answers)
    assert [step.requests for step in steps if isinstance(step, Inputs)] == [asks, {"b": both["b"]}]
    updates = [step.params for step in steps if isinstance(step, Ask) and step.method == "tasks/update"]
    assert updates == [{"taskId": "t", "inputResponses": {"a": 1}}, {"taskId": "t", "inputResponses": {"b": 2}}]


def test_a_task_of_2025_11_25_has_its_result_apart() -> None:
    created = {"task": task("working", pollInterval=100)}
    steps, result = drive(finish("tools/call", PARAMS, created), [task("completed"), {"content": [2]}])
    assert result == {"content": [2]}
    assert [step for step in steps if isinstance(step, Ask)] == [
        Ask("tasks/get", {"taskId": "t"}),
        Ask("tasks/result", {"taskId": "t"}),
    ]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(None, 1.0), (0, 0.05), (-5, 0.05), (1500, 1.5), (10**9, 60.0), ("500", 1.0), (True, 1.0), (2.5e2, 0.25)],
)
def test_the_poll_interval_is_the_servers_within_bounds(given: Any, seconds: float) -> None:
    created = task("working") if given is None else task("working", pollIntervalMs=given)
    steps, _ = drive(follow(created, False), [task("completed", result={})])
    assert [step.seconds for step in steps if isinstance(step, Pause)] == [seconds]


def test_a_task_that_is_known_by_its_id_alone_is_looked_at_at_once() -> None:
    steps, _ = drive(follow({"taskId": "t"}, False), [{"taskId": "t"}, task("completed", result={})])
    assert [step for step in steps if not isinstance(step, Following)] == [
        Ask("tasks/get", {"taskId": "t"}),
        Pause(1.0),  # what does not say how it is must not be asked without end
        Ask("tasks/get", {"taskId": "t"}),
    ]


def test_a_failed_task_is_the_servers_error() -> None:
    failed = task("failed", error={"code": -32603, "message": "broken", "data": {"x": 1}})
    with pytest.raises(MCPServerError, match="broken") as caught:
        drive(follow(failed, False), [])
    assert (caught.value.code, caught.value.data) == (-32603, {"x": 1})


@pytest.mark.parametrize("is_session_bound", [True, False])
def test_a_cancelled_task_is_a_cancelled_call(is_session_bound: bool) -> None:
    with pytest.raises(MCPCancelledError):
        drive(follow(task("cancelled"), is_session_bound), [])


@pytest.mark.parametrize("wrong", [task("completed"), task("completed", result=7), {"status": "working"}])
def test_a_task_without_what_it_must_have_is_an_error(wrong: Optional[dict[str, Any]]) -> None:
    with pytest.raises(MCPProtocolError):
        drive(follow(wrong or {}, False), [])


def test_rounds_without_end_are_stopped() -> None:
    again = {"resultType": "input_required", "requestState": "s"}
    with pytest.raises(MCPProtocolError, match="stops"):
        drive(finish("tools/call", PARAMS, again), [again] * 20)
