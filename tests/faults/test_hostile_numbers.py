"""Numbers that a server chooses: NaN, infinity, hundreds of digits, and durations that never end or are none."""

from __future__ import annotations

import json
import math
import threading
from typing import Any

import pytest

from mcp_sync import MCPTimeoutError, Progress
from mcp_sync.protocol.numbers import read_number
from tests.support.beds import STREAMS, Bed, over
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked

WILD = [math.nan, math.inf, -math.inf, 10**400, -(10**400), True, "1000", [], {}]
HUGE = [math.nan, math.inf, -math.inf, 10**400, -(10**400), 10**4000]


@pytest.mark.parametrize("value", WILD, ids=lambda value: str(value)[:8])
def test_what_is_no_number_is_none(value: Any) -> None:
    assert read_number(value, "test") is None


@pytest.mark.parametrize(
    ("value", "least", "most", "read"),
    [(5, 0, 10, 5), (-5, 0, 10, 0), (50, 0, 10, 10), (2.5, 0, 10, 2.5), (10**300, 0, 10, 10)],
)
def test_a_number_is_held_within_its_bounds(value: Any, least: float, most: float, read: float) -> None:
    assert read_number(value, "test", least, most) == read


@pytest.mark.parametrize("name", ["pollInterval", "pollIntervalMs"])
@pytest.mark.parametrize("interval", WILD, ids=lambda value: str(value)[:8])
@over("stateless")
def test_a_task_is_polled_with_pauses_whatever_interval_it_names(bed: Bed, name: str, interval: Any) -> None:
    task = {"resultType": "task", "taskId": "t", "status": "working", name: interval}
    bed.tool("work", lambda asked: asked.answer(task))
    bed.server.methods["tasks/get"] = lambda asked: asked.answer({**task, "resultType": "complete"})
    client = bed.connect()
    with within(), pytest.raises(MCPTimeoutError):
        client.call_tool("work", timeout=0.8)
    assert len(bed.server.sent("tasks/get")) <= 20


@pytest.mark.parametrize("ttl", WILD, ids=lambda value: str(value)[:8])
@over("stateless")
def test_a_list_is_read_whatever_time_it_is_fresh_for(bed: Bed, ttl: Any) -> None:
    usual = bed.server.methods["tools/list"]

    def fresh(asked: Asked) -> None:
        answer = asked.answer
        asked.answer = lambda result: answer({**result, "ttlMs": ttl})  # type: ignore[method-assign]  # says it too
        usual(asked)

    bed.server.methods["tools/list"] = fresh
    bed.server.methods["resources/read"] = lambda asked: asked.answer(
        {"contents": [{"uri": "a:b", "text": "x"}], "ttlMs": ttl}
    )
    client = bed.connect()
    for _ in range(2):
        assert client.list_tools()
        assert client.read_resource("a:b").text == "x"
    assert len(bed.server.sent("tools/list")) == 2


@pytest.mark.parametrize("number", HUGE, ids=lambda value: str(value)[:8])
@over(*STREAMS)
def test_only_progress_that_can_be_used_reaches_on_progress(bed: Bed, number: Any) -> None:
    def odd(asked: Asked) -> None:
        for params in (
            {"progress": number},
            {"progress": 2, "total": number},
            {"progress": "soon"},
            {},
            {"progress": 3, "message": 7},
            {"progress": None},
        ):
            asked.send(
                {
                    "jsonrpc": "2.0",
                    "method": "notifications/progress",
                    "params": {"progressToken": asked.token, **params},
                }
            )
        asked.text("hi")

    bed.tool("odd", odd)
    seen: list[Any] = []
    heard = threading.Event()
    everything: list[Any] = []

    def hear(progress: Any) -> None:
        everything.append(progress)
        heard.set()

    client = bed.connect(progress_handler=hear)
    with within(10):
        assert client.call_tool("odd", timeout=LONG, on_progress=seen.append).text == "hi"
    assert [(type(item), item.progress, item.total) for item in seen] == [(Progress, 2, None)]
    assert heard.wait(5)
    assert [item.progress for item in everything] == [2]
    json.dumps([item.to_wire() for item in seen], allow_nan=False)


@pytest.mark.parametrize("code", [10**400, -(10**4000), math.nan, math.inf, 1.5])
@over("http-json", "stdio")
def test_an_error_code_of_any_size_is_an_error_that_can_be_shown(bed: Bed, code: Any) -> None:
    from mcp_sync import MCPClientError

    bed.tool("odd", lambda asked: asked.reply({"jsonrpc": "2.0", "id": asked.id, "error": {"code": code}}))
    client = bed.connect()
    with pytest.raises(MCPClientError) as caught:
        client.call_tool("odd")
    assert len(str(caught.value)) < 1000
    assert repr(caught.value)


@pytest.mark.parametrize("number", HUGE, ids=lambda value: str(value)[:8])
@over("http-json")
def test_a_number_beside_what_matters_costs_nothing(bed: Bed, number: Any) -> None:
    bed.server.methods["resources/list"] = lambda asked: asked.answer(
        {"resources": [{"name": "r", "uri": "a:b", "size": number, "annotations": {"priority": number}}]}
    )
    bed.server.methods["completion/complete"] = lambda asked: asked.answer(
        {"completion": {"values": ["a"], "total": number}}
    )
    bed.tool(
        "odd",
        lambda asked: asked.answer({"content": [{"type": "text", "text": "hi", "annotations": {"priority": number}}]}),
    )
    client = bed.connect()
    (resource,) = client.list_resources()
    assert resource.size is None
    assert client.complete("p", "a", "").completion.values == ["a"]
    assert client.call_tool("odd").text == "hi"
