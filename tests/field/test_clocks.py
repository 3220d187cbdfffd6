"""The clock of a call stands still while a handler answers; ``input_timeout`` bounds that, and ``idle_timeout`` the
silence.
"""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import pytest

from mcp_sync import MCPClient, MCPTimeoutError, MCPUsageError
from mcp_sync.concurrency.call_clock import CallDeadline
from tests.support.beds import ALL, STREAMS, Bed, over
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked
from tests.threads.test_calls_of_handlers import FORM, asks, needs_input

SHORT = 1.0


def on(bed: Bed) -> None:
    bed.tool("ask_name", needs_input if bed.name == "stateless" else asks)


def asks_for_ever(bed: Bed) -> None:
    """The tool ``ask_name`` asks, and nobody answers."""

    def ask(asked: Asked) -> None:
        asked.send({"jsonrpc": "2.0", "id": "who", **FORM})
        asked.wait(asked.server.gate)

    bed.tool("ask_name", needs_input if bed.name == "stateless" else ask)


class Person:
    """Somebody who takes their time over a form."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked = threading.Event()

    def __call__(self, params: Any) -> dict[str, Any]:
        self.asked.set()
        time.sleep(self.seconds)  # this is what takes time, not a wait for something
        return {"action": "accept", "content": {"name": "Ada"}}


def call(client: MCPClient, way: str, **options: Any) -> str:
    if way == "stream":
        with client.stream_tool("ask_name", **options) as stream:
            return stream.result.text
    if way == "submit":
        return client.submit("ask_name", **options).result(LONG).text
    if way == "map":
        return client.map("ask_name", [{}], **options)[0].text
    return client.call_tool("ask_name", **options).text


@pytest.mark.parametrize("way", ["call", "stream", "submit", "map"])
@over(*ALL)
def test_a_person_may_take_longer_than_the_call(bed: Bed, way: str) -> None:
    on(bed)
    client = bed.connect(elicitation_handler=Person(2.5 * SHORT))
    assert call(client, way, timeout=SHORT) == "Ada"


@over(*ALL)
def test_the_server_gets_no_more_time_than_before(bed: Bed) -> None:
    """What is left of the timeout when the person has answered is what is left for the server."""

    def ask_and_be_silent(asked: Asked) -> None:
        if bed.name != "stateless":
            asked.ask("elicitation/create", {"message": "Who?", "requestedSchema": {"type": "object"}})
        elif "inputResponses" not in asked.params:
            needs_input(asked)
            return
        asked.wait(asked.server.gate)

    bed.tool("it", ask_and_be_silent)
    client = bed.connect(elicitation_handler=Person(SHORT))
    start = time.monotonic()
    with pytest.raises(MCPTimeoutError) as caught:
        client.call_tool("it", timeout=SHORT)
    took = time.monotonic() - start
    assert 2 * SHORT - 0.1 <= took < 2 * SHORT + 4
    assert caught.value.outcome == "unknown"


@over(*ALL)
def test_input_timeout_bounds_how_long_the_clock_stands_still(bed: Bed) -> None:
    asks_for_ever(bed)
    gate = threading.Event()

    def never(params: Any) -> dict[str, Any]:
        gate.wait(20)
        return {"action": "cancel"}

    client = bed.connect(elicitation_handler=never, input_timeout=0.5)
    start = time.monotonic()
    with pytest.raises(MCPTimeoutError):
        client.call_tool("ask_name", timeout=0.5)
    took = time.monotonic() - start
    gate.set()
    assert 0.9 <= took < 5


@over("http-json", "stdio", "stateless")
@pytest.mark.parametrize("seconds", [0.0, math.inf])
def test_input_timeout_may_be_nothing_or_for_ever(bed: Bed, seconds: float) -> None:
    (on if seconds else asks_for_ever)(bed)
    client = bed.connect(elicitation_handler=Person(1.5), input_timeout=seconds)
    if seconds:
        assert client.call_tool("ask_name", timeout=0.7).text == "Ada"
    else:
        with pytest.raises(MCPTimeoutError):
            client.call_tool("ask_name", timeout=0.7)


@over(*ALL)
def test_a_client_without_handlers_has_a_clock_that_never_stands_still(bed: Bed) -> None:
    with within(), pytest.raises(MCPTimeoutError):
        bed.connect(input_timeout=math.inf).call_tool("never", timeout=0.3)


# idle_timeout


@over(*STREAMS)
@pytest.mark.parametrize("with_function", [True, False])
def test_signs_of_life_keep_a_call_alive(bed: Bed, with_function: bool) -> None:
    def work(asked: Asked) -> None:
        for step in range(6):
            asked.server.closing.wait(0.4)  # work that takes its time
            asked.progress(step)
        asked.text("done")

    bed.tool("work", work)
    on_progress = (lambda progress: None) if with_function else None
    result = bed.connect().call_tool("work", timeout=LONG, idle_timeout=1.5, on_progress=on_progress)
    assert result.text == "done"


@over(*ALL)
@pytest.mark.parametrize("way", ["call", "stream", "submit", "setting"])
def test_silence_ends_a_call_long_before_its_timeout(bed: Bed, way: str) -> None:
    client = bed.connect(**({"idle_timeout": 0.5} if way == "setting" else {}))
    with within(), pytest.raises(MCPTimeoutError, match="idle_timeout") as caught:
        if way == "stream":
            with client.stream_tool("never", timeout=LONG, idle_timeout=0.5) as stream:
                list(stream)
        elif way == "submit":
            client.submit("never", timeout=LONG, idle_timeout=0.5).result(LONG)
        elif way == "setting":
            client.call_tool("never", timeout=LONG)
        else:
            client.call_tool("never", timeout=LONG, idle_timeout=0.5)
    assert caught.value.outcome == "unknown"
    assert client.call_tool("echo", {"message": "next"}, idle_timeout=LONG).text == "next"


@over(*STREAMS)
def test_silence_after_signs_of_life_ends_a_call(bed: Bed) -> None:
    def work(asked: Asked) -> None:
        asked.progress(1)
        asked.wait(asked.server.gate)

    bed.tool("work", work)
    with within(), pytest.raises(MCPTimeoutError, match="idle_timeout"):
        bed.connect().call_tool("work", timeout=LONG, idle_timeout=0.7)


@over(*STREAMS)
def test_the_timeout_stays_the_hard_bound(bed: Bed) -> None:
    def work(asked: Asked) -> None:
        while not asked.server.closing.wait(0.1):
            asked.progress(1)

    bed.tool("work", work)
    with within(), pytest.raises(MCPTimeoutError) as caught:
        bed.connect().call_tool("work", timeout=1.0, idle_timeout=0.9)
    assert "idle_timeout" not in str(caught.value)


@over(*ALL)
def test_a_person_who_thinks_is_no_silence(bed: Bed) -> None:
    on(bed)
    client = bed.connect(elicitation_handler=Person(1.5))
    assert client.call_tool("ask_name", timeout=LONG, idle_timeout=0.8).text == "Ada"


@pytest.mark.parametrize("wrong", [-1, True, "5", math.nan])
def test_an_idle_timeout_without_sense_is_a_usage_error(wrong: Any) -> None:
    with pytest.raises(MCPUsageError, match="idle_timeout"):
        MCPClient("http://127.0.0.1:1/mcp").call_tool("echo", idle_timeout=wrong)
    for name in ("idle_timeout", "input_timeout"):
        with pytest.raises(MCPUsageError, match=name):
            MCPClient("http://127.0.0.1:1/mcp", **dict[str, Any]({name: math.nan}))


# The clock by itself


def test_two_handlers_at_once_hold_a_clock_once() -> None:
    clock = CallDeadline(10.0, 5.0, None)
    clock.hold()
    clock.hold()
    assert 14 < clock.remaining <= 15
    clock.release()
    assert 14 < clock.remaining <= 15
    clock.release()
    assert 9 < clock.remaining <= 10.1


def test_a_clock_that_has_run_out_is_not_started_again() -> None:
    clock = CallDeadline(0.0, 5.0, None)
    clock.hold()
    assert clock.expired
    clock.release()
    assert clock.expired
