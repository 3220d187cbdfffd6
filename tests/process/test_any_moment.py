"""Closing and calling before any line of a call, as a signal handler may: nothing hangs or is left."""

from __future__ import annotations

import itertools
import random
import sys
import threading
import traceback
from types import FrameType
from typing import Any, Callable, Optional

import pytest

from mcp_sync import MCPClient, MCPClientError, MCPClosedError, MCPConnectionError, MCPTimeoutError
from tests.support import inside
from tests.support.beds import Bed, over
from tests.support.clock import LONG
from tests.support.fault_server import Asked

BEDS = ("sse", "http-json", "http-sse", "stateless", "stdio")
HANG = 20.0


class At:
    """Runs ``do`` once, before the nth line that a thread executes in the package, as a signal handler would run."""

    def __init__(
        self,
        number: int,
        do: Callable[[], object],
        modules: tuple[str, ...] = ("mcp_sync", "urllib3", "queue", "threading"),
    ) -> None:
        self._left = number
        self._do = do
        self._modules = modules
        self.fired = False
        self.where = ""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not str(frame.f_globals.get("__name__")).startswith(self._modules):
            return None
        if event == "line" and not self.fired:
            self._left -= 1
            if self._left < 0:
                self.fired = True
                self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                sys.settrace(None)
                self._do()
        return None if self.fired else self


def run_with(at: At, call: Callable[[], object]) -> Optional[BaseException]:
    """Run ``call`` on a thread of its own with ``at`` in it; what it raised. Fails where it hangs."""
    errors: list[BaseException] = []

    def run() -> None:
        sys.settrace(at)
        try:
            call()
        except BaseException as exc:  # noqa: BLE001  # the test looks at it
            errors.append(exc)
        finally:
            sys.settrace(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(HANG)
    if thread.is_alive():
        stack = "".join(traceback.format_stack(sys._current_frames()[thread.ident or 0]))
        pytest.fail(f"it hangs where it is interrupted at {at.where}:\n{stack}")
    return errors[0] if errors else None


def call_of(client: MCPClient, what: str) -> Callable[[], object]:
    if what == "stream":
        return lambda: list(client.stream_tool("talk", timeout=LONG))
    return lambda: client.call_tool("echo", {"message": "hi"}, timeout=LONG)


def talk(asked: Asked) -> None:
    asked.progress(1)
    asked.text("hi")


@over(*BEDS)
@pytest.mark.parametrize("what", ["call", "connect", "stream"])
def test_close_may_come_before_any_line_of_a_call(what: str, bed: Bed, request: pytest.FixtureRequest) -> None:
    """As from a signal handler: a lock that the interrupted code holds must not keep it waiting for ever."""
    if what == "stream" and bed.name == "http-json":
        pytest.skip("no stream there")
    bed.tool("talk", talk)
    step = (7 if request.config.getoption("--soak") else 60) * (4 if what == "connect" else 1)
    outcomes: set[str] = set()
    for number in range(random.randrange(step), 100_000, step):
        client = bed.make(timeout=LONG)
        if what != "connect":
            client.connect()
        at = At(number, client.close)
        error = run_with(at, call_of(client, what))
        client.close()
        outcomes.add(type(error).__name__)
        assert error is None or isinstance(error, (MCPClosedError, MCPConnectionError)), (at.where, error)
        assert not client.connected
        if not at.fired:
            break
    assert "MCPClosedError" in outcomes


@over(*BEDS)
@pytest.mark.parametrize("what", ["call", "stream", "connect"])
def test_another_call_may_come_before_any_line_of_a_call(what: str, bed: Bed, request: pytest.FixtureRequest) -> None:
    """As from a signal handler, or from a finalizer that the collector runs: both calls get their own answers."""
    if what == "stream" and bed.name == "http-json":
        pytest.skip("no stream there")
    bed.tool("talk", talk)
    step = (3 if request.config.getoption("--soak") else 20) * (8 if what == "connect" else 1)
    inner: list[object] = []
    client = bed.make(timeout=LONG)
    answered = 0
    patience = 0.5 if what == "connect" else LONG

    def again() -> None:
        try:
            inner.append(client.call_tool("echo", {"message": "inner"}, timeout=patience).text)
        except MCPClientError as exc:
            inner.append(exc)

    # Before the first line all of it can be opened. That none of the others is before or after that can be chance.
    for number in itertools.chain((0,), range(random.randrange(step), 100_000, step)):
        if what == "connect":
            client.close()
            client = bed.make(timeout=LONG)
        else:
            client.connect()
        del inner[:]
        at = At(number, again)
        got: list[Any] = []
        error = run_with(at, lambda: got.append(call_of(client, what)()))  # noqa: B023  # it has run before the next
        assert error is None, (at.where, error)
        last = got[0][-1] if what == "stream" else got[0]
        assert last.text == "hi", at.where
        if not at.fired:
            break
        # The thread that opens the session cannot wait for it at the same time, nor write in the middle of a line: that
        # ends at the deadline, or at once.
        assert inner == ["inner"] or (
            isinstance(inner[0], MCPTimeoutError)
            and (what == "connect" or (bed.name == "stdio" and inner[0].outcome == "not_sent"))
        ), (at.where, inner)
        answered += inner == ["inner"]
    assert answered > 0
    assert client.call_tool("echo", {"message": "after"}, timeout=LONG).text == "after"


@over("sse", "http-json")
def test_two_sessions_that_are_opened_at_once_on_one_thread_are_both_ended(bed: Bed) -> None:
    """Before each line in which a session is chosen another may be opened; that nothing is left is looked at last."""
    both = 0
    for number in range(1000):
        client = bed.make(timeout=LONG)
        opened: list[object] = []

        def again(client: MCPClient = client, opened: list[object] = opened) -> None:
            # By the code that this interrupts.
            is_being_opened = inside.is_being_opened(client)
            try:
                opened.append(client.connect(timeout=0.05 if is_being_opened else LONG))
            except MCPTimeoutError:
                assert is_being_opened

        at = At(number, again, ("mcp_sync.session.connection",))
        assert run_with(at, client.connect) is None, at.where
        assert client.connected
        both += len(opened)
        client.close()
        if not at.fired:
            break
    assert both > 5


@over(*BEDS)
def test_another_thread_may_close_before_any_line_of_a_call(bed: Bed, request: pytest.FixtureRequest) -> None:
    step = 7 if request.config.getoption("--soak") else 60
    for number in range(random.randrange(step), 100_000, step):
        client = bed.make(timeout=LONG).connect()
        closers: list[threading.Thread] = []

        def close(client: MCPClient = client, closers: list[threading.Thread] = closers) -> None:
            closers.append(threading.Thread(target=client.close))
            closers[0].start()

        at = At(number, close)
        error = run_with(at, call_of(client, "call"))
        for thread in closers:
            thread.join(HANG)
            assert not thread.is_alive(), at.where
        assert error is None or isinstance(error, (MCPClosedError, MCPConnectionError)), (at.where, error)
        assert not at.fired or not client.connected
        client.close()
        if not at.fired:
            return
