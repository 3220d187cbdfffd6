"""Tools that answer with a task: the extension of 2026-07-28 (FastMCP 4), and 2025-11-25's (server-everything)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mcp_sync import MCPCancelledError, MCPClient, MCPTimeoutError, Progress, ToolError

from .conftest import started
from .real_servers import LEGACY, MODERN, SERVERS, TASK_SERVERS, Running

pytestmark = [pytest.mark.interop, pytest.mark.cross_section]

RESEARCH = "simulate-research-query"  # four stages of a second each, and a question after the second if it is ambiguous


def grouped(*servers: str) -> list[Any]:
    """The tests of one server on one worker, so that it is started once."""
    return [pytest.param(name, marks=pytest.mark.xdist_group(f"tasks of {name}")) for name in servers]


@pytest.fixture(scope="module", params=grouped(*TASK_SERVERS))
def extension(request: pytest.FixtureRequest) -> Iterator[Running]:
    with started(TASK_SERVERS[request.param]) as running:
        yield running


@pytest.fixture(scope="module", params=grouped("everything-sse", "everything-http", "everything-stdio"))
def everything(request: pytest.FixtureRequest) -> Iterator[Running]:
    with started(SERVERS[request.param]) as running:
        yield running


def test_a_call_follows_its_task_to_the_end(extension: Running) -> None:
    seen: list[Progress] = []
    with MCPClient(extension.target, timeout=30) as client:
        assert client.protocol_version == MODERN
        assert client.call_tool("slow", {"seconds": 1.5}, on_progress=seen.append).text == "done"
        assert [event.message for event in seen] == [f"step {step}" for step in range(1, 5)][-len(seen) :]
        assert len(seen) >= 2, "the server says at each poll how far it is"
        with pytest.raises(ToolError, match="on purpose"):
            client.call_tool("fail", {})
        assert client.call_tool("at_once", {}).text == "answered"


def test_what_a_task_asks_is_answered(extension: Running) -> None:
    asked: list[str] = []

    def answer(params: Any) -> dict[str, Any]:
        asked.append(params.message)
        return {"action": "accept", "content": {"name": "Ada"}}

    with MCPClient(extension.target, timeout=30, elicitation_handler=answer) as client:
        assert client.call_tool("ask", {"question": "Who are you?"}).text == "asked: accept Ada"
    assert asked == ["Who are you?"]


def test_a_task_can_be_kept_found_again_and_cancelled(extension: Running) -> None:
    with MCPClient(extension.target, timeout=30) as client:
        answered = client.submit_task("at_once", {})
        assert answered.task_id is None
        assert answered.result().text == "answered"

        handle = client.submit_task("slow", {"seconds": 1})
        assert handle.task_id is not None
        with pytest.raises(MCPTimeoutError):
            handle.result(timeout=0.1)
        assert client.task(handle.task_id).result().text == "done"
        state = handle.status()
        assert state is not None
        assert state.status == "completed"

        cancelled = client.submit_task("slow", {"seconds": 25})
        cancelled.cancel()
        with pytest.raises(MCPCancelledError):
            cancelled.result()


def test_a_call_that_is_left_cancels_its_task(extension: Running) -> None:
    before = extension.diary()
    with MCPClient(extension.target, timeout=30) as client, client.stream_tool("slow", {"seconds": 25}) as stream:
        next(iter(stream))  # it is under way
        extension.wait_for("slow started", before.count("slow started") + 1)
    extension.wait_for("slow cancelled", before.count("slow cancelled") + 1)


def test_tasks_of_2025_11_25_are_followed_asked_and_cancelled(everything: Running) -> None:
    asked: list[str] = []
    seen: list[Progress] = []

    def answer(params: Any) -> dict[str, Any]:
        asked.append(params.message)
        return {"action": "accept", "content": {"interpretation": "snake"}}

    with MCPClient(everything.target, timeout=30, elicitation_handler=answer) as client:
        assert client.protocol_version == LEGACY
        result = client.call_tool(RESEARCH, {"topic": "python", "ambiguous": True}, on_progress=seen.append)
        assert result.text.startswith("# Research Report: python (snake)")
        assert len(asked) == 1
        assert [event.message for event in seen][:1] == ["Gathering sources..."]

        handle = client.submit_task(RESEARCH, {"topic": "rain"})
        assert handle.task_id is not None
        state = client.task(handle.task_id).status()
        assert state is not None
        assert state.status == "working"
        handle.cancel()
        with pytest.raises(MCPCancelledError):
            handle.result()
