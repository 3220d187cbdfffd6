"""Signals that come in the middle of a call, over every transport: what their handlers raise, and what they may do."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient
from mcp_sync.concurrency.signals import from_signal_handler
from tests.support.beds import OWN, Bed, over
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, hold

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals of threads are POSIX")


class SoftTimeLimit(Exception):
    """As Celery has one: of no kind that a library would know."""


@contextmanager
def signalled(when: Callable[[], object], handle: Callable[[], object]) -> Iterator[None]:
    """Have a signal handler on the main thread do ``handle`` once, after ``when`` has returned on another thread."""
    handled = threading.Event()

    def handler(number: int, frame: Any) -> None:
        if not handled.is_set():
            handled.set()
            handle()

    def send() -> None:
        when()
        # Again: one that comes just before a system call is not handled until that returns.
        for _ in range(20):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            if handled.wait(0.5):
                return

    before = signal.signal(signal.SIGUSR1, handler)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join(20)
        signal.signal(signal.SIGUSR1, before)


def waits_for_its_answer(bed: Bed) -> Callable[[], None]:
    """Whether the main thread has sent its call, and waits: an interrupt before ends the stream over stdio."""

    def wait() -> None:
        bed.server.wait_for_call("never")
        for _ in range(2000 if bed.is_shared else 0):
            frame = sys._current_frames().get(threading.main_thread().ident or 0)
            while frame is not None:
                if frame.f_code.co_name == "wait" and frame.f_code.co_filename.endswith("waiter.py"):
                    return
                frame = frame.f_back
            bed.server.closing.wait(0.005)

    return wait


def raising(error: BaseException) -> Callable[[], None]:
    def handle() -> None:
        raise error

    return handle


@pytest.mark.parametrize("kind", [SoftTimeLimit, TimeoutError, ConnectionResetError, ValueError])
@pytest.mark.parametrize("shows", ["result", "stream"])
def test_what_a_signal_handler_raises_comes_out_of_the_call_as_it_is(
    shows: str, kind: type[Exception], bed: Bed
) -> None:
    client = bed.connect()
    error = kind("of the user's")
    with signalled(waits_for_its_answer(bed), raising(error)), within(8), pytest.raises(kind) as caught:
        if shows == "stream":
            list(client.stream_tool("never", timeout=LONG))
        else:
            client.call_tool("never", timeout=LONG)
    assert caught.value is error
    assert bed.waiting(client) == 0
    assert client.call_tool("echo", {"message": "next"}, timeout=LONG).text == "next"
    assert bed.server.tool_calls["never"] == 1
    if bed.name != "stateless":
        bed.server.wait_for_method("notifications/cancelled")


@pytest.mark.parametrize("kind", [SoftTimeLimit, TimeoutError, ConnectionRefusedError])
def test_what_a_signal_handler_raises_comes_out_of_the_opening_as_it_is(kind: type[Exception], bed: Bed) -> None:
    first = {"sse": "GET"}.get(bed.name, "server/discover")
    bed.server.instead(first, hold, ALWAYS)
    client: MCPClient = bed.make(timeout=LONG)
    error = kind("of the user's")

    def asked() -> None:
        bed.server.wait_until(lambda: any(first in (r.method, *r.rpc_methods) for r in bed.server.requests), first)

    with signalled(asked, raising(error)), within(8), pytest.raises(kind) as caught:
        client.connect()
    assert caught.value is error
    bed.server._faults.clear()
    assert client.call_tool("echo", {"message": "next"}, timeout=LONG).text == "next"


@over(*OWN)
@pytest.mark.parametrize("kind", [SoftTimeLimit, TimeoutError])
def test_what_a_signal_handler_raises_while_a_post_waits_for_its_head_comes_out_as_it_is(
    kind: type[Exception], bed: Bed
) -> None:
    client = bed.connect()
    bed.server.instead("tools/call", hold)
    error = kind("of the user's")
    with (
        signalled(lambda: bed.server.wait_for_call("echo"), raising(error)),
        within(8),
        pytest.raises(kind) as caught,
    ):
        client.call_tool("echo", timeout=LONG)
    assert caught.value is error
    assert client.call_tool("echo", {"message": "next"}, timeout=LONG).text == "next"


def test_an_enumeration_is_not_taken_for_a_signal_handler() -> None:
    with pytest.raises(ValueError, match="not a valid") as caught:
        signal.Handlers(77)
    assert from_signal_handler(caught.value) is None
