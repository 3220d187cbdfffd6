"""The benchmark measures what it says, on every Python that the package supports, and judges by its limits.

Runs on the test's thread; each measurement is a process of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from . import checking
from .clients import BINDINGS
from .comparing import Lab, own_interpreter, serving
from .limits import COSTS, GROWTHS, INSTRUCTIONS
from .report import Machine, page
from .worker import AsyncScenarios, Scenarios
from .workloads import WORKLOADS, Workload, measures

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
MACHINE = Machine("2 x a processor", "Linux 6.1", "3.13.0", "0.5", {"mcp_sync": "1.0"}, "2026-01-02")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(own_interpreter("")) as running:
        yield running


@linux
@pytest.mark.parametrize("binding", [*BINDINGS, "stdio"])
def test_calls_are_measured_over_each_binding(url: str, binding: str) -> None:
    record = Lab(url, own_interpreter).run("mcp_sync", Workload("a call", "calls", binding, 20, ("mcp_sync",)))
    assert "error" not in record
    assert 0 < record["best_cpu_s"] <= record["cpu_s"]


@linux
def test_every_progress_event_is_counted(url: str) -> None:
    record = Lab(url, own_interpreter).run("mcp_sync", Workload("events", "progress", "HTTP+SSE", 700, ("mcp_sync",)))
    assert record["delivered"] == 700
    assert "error" not in record


@linux
def test_a_client_that_cannot_do_it_is_an_error_and_is_asked_once(url: str) -> None:
    workload = Workload("events", "progress", "HTTP, stream", 10, ("urllib3",))
    (record,) = Lab(url, own_interpreter).compare(workload, 3)
    assert "NotImplementedError" in record["error"]


def test_every_limit_and_workload_names_what_can_be_run() -> None:
    named = [
        *[(limit.scenario, limit.binding) for limit in (*COSTS, *GROWTHS, *INSTRUCTIONS)],
        *[(workload.scenario, workload.binding) for workload in WORKLOADS],
    ]
    for scenario, binding in named:
        assert measures(scenario)
        assert binding in {*BINDINGS, "stdio", ""}
        if scenario not in {"import", "program", "resident"}:
            assert hasattr(Scenarios, scenario)
            assert hasattr(AsyncScenarios, scenario)


def test_a_target_counts_as_reached_only_below_its_limit() -> None:
    def record(client: str, cpu_s: float) -> dict[str, Any]:
        return {"workload": "a call, HTTP, JSON", "client": client, "amount": 500, "round": 0, "cpu_s": cpu_s}

    good = page([record("mcp", 1.0), record("urllib3", 0.2), record("mcp_sync", 0.22)], MACHINE, 1)
    bad = page([record("mcp", 1.0), record("urllib3", 0.1), record("mcp_sync", 0.22)], MACHINE, 1)
    assert "| a call, HTTP, JSON | x urllib3 | 1.20 | 1.10 | 1.10 | yes |" in good
    assert "| a call, HTTP, JSON | x urllib3 | 1.20 | 2.20 | 2.20 | no |" in bad


def test_a_broken_limit_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    for found, code in ((1.2, 0), (1.4, 1)):
        verdicts = [checking.Verdict("a", 1.0, 1.0), checking.Verdict("b", found, 1.3)]
        monkeypatch.setattr(checking, "every_verdict", lambda *_, v=verdicts: iter(v))
        assert checking.check("", said.append) == code
    assert any("OVER" in line and "1.40" in line for line in said)
