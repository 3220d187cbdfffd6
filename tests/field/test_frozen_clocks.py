"""Programs that test with a clock that stands still or travels: deadlines hold all the same."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

import freezegun
import pytest
import time_machine

from mcp_sync import MCPTimeoutError
from tests.support.beds import ALL, Bed, over
from tests.support.scripts import run_script

MOMENT = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)


@contextmanager
def frozen() -> Iterator[None]:
    with freezegun.freeze_time(MOMENT):
        yield


@contextmanager
def travelling() -> Iterator[None]:
    with time_machine.travel(MOMENT, tick=False):
        yield


def _bounded(do: Callable[[], None]) -> None:
    """Run it on a thread that a join of the interpreter's own clock waits for."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            do()
        except BaseException as error:  # noqa: BLE001  # raised again below
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it never ended"
    if failures:
        raise failures[0]


@pytest.mark.parametrize("still", [frozen, travelling])
@over(*ALL)
def test_a_silent_call_ends_at_its_deadline(bed: Bed, still: Callable[[], Any]) -> None:
    def call() -> None:
        with still():
            with bed.make() as client:
                assert client.call_tool("echo", {"message": "hi"}, timeout=20).text == "hi"
                with pytest.raises(MCPTimeoutError) as caught:
                    client.call_tool("never", timeout=0.3)
            assert caught.value.elapsed is not None
            assert caught.value.elapsed >= 0.3

    _bounded(call)


@pytest.mark.parametrize(
    "still", ["freezegun.freeze_time('2020-01-01')", "time_machine.travel(0, tick=False)"], ids=["frozen", "travelling"]
)
def test_it_is_the_interpreters_clock_even_where_the_package_is_imported_while_time_stands_still(still: str) -> None:
    done = run_script(
        f"""
        import freezegun, time_machine, threading
        with {still}:
            from mcp_sync.concurrency.deadline import Deadline
            deadline = Deadline(0.05)
            threading.Event().wait(0.1)
            print('["over"]' if deadline.expired and deadline.elapsed > 0.05 else '["stands still"]')
        """,
        timeout=60,
    )
    assert done.report == ["over"], done
