"""``multiprocessing`` and ``ProcessPoolExecutor``, with each way to start a process, and forks in the thick of it."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
from typing import Any

import pytest

from tests.examples.running import ROOT, WAIT, python
from tests.faults.test_every_rules import arguments
from tests.process.pools import CALLS, WORKERS
from tests.support.beds import ALL, Bed, over

METHODS = multiprocessing.get_all_start_methods()


def run(bed: Bed, task: str, method: str, *more: int) -> Any:
    command = python("-m", "tests.process.pools", task, method, *arguments(bed), *more)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=2 * WAIT, check=False, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


@over("sse", "http-sse", "stdio")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("task", ["pool", "executor", "processes"])
def test_each_process_calls_in_a_session_of_its_own(task: str, method: str, bed: Bed) -> None:
    found = run(bed, task, method)
    calls = CALLS if task != "processes" else WORKERS
    assert [text for text, _ in found] == [str(number) for number in range(calls)]
    assert 1 <= len({pid for _, pid in found}) <= WORKERS
    assert bed.server.tool_calls["echo"] == calls + 2
    assert len(bed.server.sent("initialize")) == 1 + len({pid for _, pid in found})
    bed.server.wait_until(lambda: not bed.server._wires, "all connections are closed")


@over(*ALL)
@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
def test_forks_while_20_threads_call_lose_no_answer_and_mix_none_up(bed: Bed, request: pytest.FixtureRequest) -> None:
    """200 of them, taken together; with ``--soak`` 200 over each transport."""
    forks = 200 if request.config.getoption("--soak") else 200 // len(ALL)
    assert run(bed, "storm", "fork", forks) == [[], []]
    bed.server.wait_until(lambda: not bed.server._wires, "all connections are closed")
