"""Ctrl-C at each place where the interpreter looks for it: the next call works, and nothing is left."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from typing import Callable

import pytest

from mcp_sync import MCPClient
from tests.conftest import our_threads
from tests.support.beds import Bed, over
from tests.support.clock import LONG
from tests.support.fault_server import Asked
from tests.support.interrupts import InterruptAtCheck

PATIENCE = 20.0


def talk(asked: Asked) -> None:
    asked.progress(1)
    asked.text("hi")


def once_of(client: MCPClient, what: str) -> Callable[[], object]:
    def connect() -> None:
        client.close()
        client.connect(timeout=LONG)

    return {
        "call": lambda: client.call_tool("echo", {"message": "hi"}, timeout=LONG),
        "stream": lambda: list(client.stream_tool("talk", timeout=LONG)),
        "future": lambda: client.submit("echo", {"message": "hi"}).result(LONG),
        "connect": connect,
    }[what]


def stuck() -> str:
    """Where the threads of ours are that do not end."""
    until = time.monotonic() + PATIENCE
    while our_threads() and time.monotonic() < until:
        time.sleep(0.01)
    stacks = sys._current_frames()
    return "\n".join(
        "".join(traceback.format_stack(stacks[thread.ident or 0]))
        for thread in threading.enumerate()
        if thread.ident in stacks and thread.name in our_threads()
    )


@over("sse", "http-json", "http-sse", "stateless", "stdio")
# What a KeyboardInterrupt leaves half made in the standard library complains when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.skipif(not InterruptAtCheck.is_exact, reason="this Python does not tell where it looks for signals")
@pytest.mark.parametrize("what", ["call", "stream", "connect", "future"])
def test_ctrl_c_may_come_wherever_the_interpreter_looks_for_it(
    what: str, bed: Bed, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "stream" and bed.name == "http-json":
        pytest.skip("no stream there")
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    bed.tool("talk", talk)
    step = 1 if request.config.getoption("--soak") else 12 if what == "connect" else 3
    client = bed.make(timeout=LONG)
    client.call_tool("echo", {"message": "warm"})
    once = once_of(client, what)
    once()
    number = 0
    while True:
        start = time.monotonic()
        at = InterruptAtCheck(number)
        try:
            with at:
                once()
        except KeyboardInterrupt:
            pass
        if what == "connect":
            client.close()  # one that was interrupted may be under way
            client.connect(timeout=LONG)
        assert client.call_tool("echo", {"message": str(number)}, timeout=LONG).text == str(number), at.where
        assert time.monotonic() - start < PATIENCE, at.where
        if not at.fired:
            break
        number += step
    assert number > 20
    until = time.monotonic() + PATIENCE
    while bed.waiting(client) and time.monotonic() < until:
        time.sleep(0.01)  # a future that its maker never got
    assert bed.waiting(client) == 0
    client.close()
    assert stuck() == ""
