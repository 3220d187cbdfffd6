"""The official conformance suite, scenario by scenario; `run.py` says what passing means."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.conformance import suites
from tests.conformance.run import EXTRA, IN_STABLE, NOT_SCORED, RUNS, SCORED, Run, carry_out
from tests.conformance.suites import ALPHA, STABLE
from tests.interop.environments import Unavailable, clean_environ

pytestmark = [pytest.mark.interop, pytest.mark.conformance, pytest.mark.timeout(900)]  # npm may have to fetch first


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """Both versions of the suite, and a Node to run them."""
    try:
        suites.node()
        for version in (ALPHA, STABLE):
            suites.entry_of(version)
    except Unavailable as reason:
        if suites.is_ci():
            pytest.fail(f"the conformance suite cannot be run here: {reason}")
        pytest.skip(f"the conformance suite cannot be run here: {reason}")


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.id)
def test_scenario(run: Run) -> None:
    verdict = carry_out(run)
    assert not verdict.problems, f"{verdict}\n{verdict.said}"


SILENT = Run(ALPHA, "http-standard-headers", "2026-07-28")  # the suite has nothing against a client that says nothing
LENIENT = Run(ALPHA, "http-invalid-tool-headers", "2026-07-28")  # ... and nothing against one that fails here


def test_a_client_that_does_nothing_does_not_pass() -> None:
    assert carry_out(SILENT, client="true").problems == ("no check succeeded",)


def test_a_client_that_fails_does_not_pass_where_ours_has_no_reason_to() -> None:
    assert "the client ended with exit code 3" in carry_out(LENIENT, client="exit 3 #").problems


def test_a_client_that_hangs_does_not_pass() -> None:
    assert carry_out(SILENT, client="sleep 600 #", limit=3).problems[0] == "not done after 3 s"


@pytest.mark.parametrize("revision", SCORED)
def test_the_table_is_the_requirement_set(revision: str) -> None:
    required = suites.requirements_of(revision)
    assert sorted(SCORED[revision]) == sorted(required["scored"])
    assert sorted(NOT_SCORED[revision]) == sorted(required["not_scored"])


def test_no_scenario_is_forgotten() -> None:
    tables = [*SCORED.values(), *NOT_SCORED.values(), *EXTRA.values()]
    assert {name for table in tables for name in table} == listed(ALPHA)
    assert set(IN_STABLE) == listed(STABLE)


def listed(version: str) -> set[str]:
    """The client scenarios that a version of the suite has."""
    argv = [suites.node(), str(suites.entry_of(version)), "list", "--client"]
    done = subprocess.run(argv, env=clean_environ(), capture_output=True, check=True, text=True, timeout=60)
    return set(re.findall(r"^  - (\S+)", done.stdout, re.MULTILINE))
