"""Calls that a handler makes do not queue behind the calls that wait for that handler."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from mcp_sync import MCPClient, Progress
from tests.support.beds import LEGACY, Bed, over
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked

CALLS = 64  # as many as run at once
FORM = {
    "method": "elicitation/create",
    "params": {"message": "Who?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}},
}


def asks(asked: Asked) -> None:
    answer = asked.ask("elicitation/create", FORM["params"])  # type: ignore[arg-type]  # it is a dict
    asked.text(answer["result"]["content"]["name"])


def needs_input(asked: Asked) -> None:
    answers = asked.params.get("inputResponses")
    if answers is None:
        asked.answer({"resultType": "input_required", "inputRequests": {"who": FORM}})
    else:
        asked.text(answers["who"]["content"]["name"])


@pytest.mark.parametrize("way", ["submit", "map", "call"])
@over("stateless", *LEGACY)
def test_64_submitted_calls_whose_handlers_call(bed: Bed, way: str) -> None:
    together = threading.Barrier(CALLS)

    def meet(asked: Asked) -> None:
        if "inputResponses" not in asked.params:
            together.wait(40)  # all of them are under way before one is answered
        (needs_input if bed.name == "stateless" else asks)(asked)

    def elicit(params: Any) -> dict[str, Any]:
        arguments = {"message": "Ada"}
        if way == "submit":
            name = client.submit("echo", arguments, timeout=LONG).result(LONG).text
        elif way == "map":
            name = client.map("echo", [arguments], timeout=LONG)[0].text
        else:
            name = client.call_tool("echo", arguments, timeout=LONG).text
        return {"action": "accept", "content": {"name": name}}

    bed.tool("meet", meet)
    client: MCPClient = bed.connect(elicitation_handler=elicit)
    with within(60):
        futures = [client.submit("meet", timeout=LONG) for _ in range(CALLS)]
        assert [future.result(LONG).text for future in futures] == ["Ada"] * CALLS


@over("sse", "http-sse", "stateless", "stdio")
def test_64_submitted_calls_whose_progress_functions_call(bed: Bed) -> None:
    client = bed.connect()
    together = threading.Barrier(CALLS)
    heard: list[str] = []

    def meet(asked: Asked) -> None:
        together.wait(40)
        asked.progress(1)
        asked.text("done")

    def on_progress(progress: Progress) -> None:
        heard.append(client.submit("echo", {"message": "hi"}, timeout=LONG).result(LONG).text)

    bed.tool("meet", meet)
    with within(60):
        futures = [client.submit("meet", timeout=LONG, on_progress=on_progress) for _ in range(CALLS)]
        assert {future.result(LONG).text for future in futures} == {"done"}
    assert heard == ["hi"] * CALLS
