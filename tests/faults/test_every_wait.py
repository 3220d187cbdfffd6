"""Ctrl-C at each wait of an operation, over every transport: faults.md, rule 10."""

from __future__ import annotations

import time
from typing import Callable

import pytest

from mcp_sync import MCPClient
from tests.support.beds import Bed
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked
from tests.support.interrupts import InterruptAtWait


def talk(asked: Asked) -> None:
    asked.progress(1)
    asked.text("hi")


def connect(client: MCPClient) -> None:
    client.close()
    client.connect(timeout=LONG)


OPERATIONS: dict[str, Callable[[MCPClient], object]] = {
    "call": lambda client: client.call_tool("echo", {"message": "hi"}, timeout=LONG),
    "call with progress": lambda client: client.call_tool("talk", timeout=LONG, on_progress=lambda progress: None),
    "stream": lambda client: list(client.stream_tool("talk", timeout=LONG)),
    "future": lambda client: client.submit("echo", {"message": "hi"}).result(LONG),
    "map": lambda client: list(client.map("echo", [{"message": "hi"}] * 3, timeout=LONG)),
    "list": lambda client: client.list_tools(timeout=LONG),
    "connect": connect,
}


@pytest.mark.parametrize("what", OPERATIONS)
def test_ctrl_c_may_come_wherever_the_caller_waits(what: str, bed: Bed) -> None:
    bed.tool("talk", talk)
    client = bed.make(timeout=LONG, cache=False)
    client.call_tool("echo", {"message": "warm"})
    operation = OPERATIONS[what]
    operation(client)
    number = 0
    while True:
        at = InterruptAtWait(number)
        interrupted = False
        with within():
            try:
                with at:
                    operation(client)
            except KeyboardInterrupt as exc:
                interrupted = type(exc) is KeyboardInterrupt
        # Only where none comes any more is the operation done.
        assert interrupted is at.fired, at.where
        if not at.fired:
            break
        if what == "connect":
            connect(client)  # it may have been interrupted in closing, and then it is closed
        with within():
            assert client.call_tool("echo", {"message": str(number)}, timeout=LONG).text == str(number), at.where
        number += 1
    assert number > 0
    # Of a future that its maker never got, the call goes on until it is answered.
    until = time.monotonic() + 10
    while bed.waiting(client) and time.monotonic() < until:
        bed.server.closing.wait(0.01)
    assert bed.waiting(client) == 0
    client.close()
