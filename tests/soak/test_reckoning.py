"""The soak's own verdict: what does not add up is told, and what does is not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_sync import MCPConnectionError, MCPServerError, MCPUsageError
from tests.soak.gauges import Gauges, Sample
from tests.soak.ledger import Ledger, check
from tests.soak.processes import ROOT

HANG_GUARD = 100.0


def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("outcome", "runs", "retry", "problem"),
    [
        (None, 1, False, None),
        (None, 0, False, "was answered, but never ran"),
        (None, 2, False, "was answered and ran 2 times"),
        (None, 2, True, None),
        ("not_sent", 0, False, None),
        ("not_sent", 1, False, "was not_sent, but ran"),
        ("not_sent", 1, True, "was not_sent, but ran"),
        ("refused", 1, False, "was refused, but ran"),
        ("unknown", 0, False, None),
        ("unknown", 1, False, None),
        ("unknown", 2, False, "was unknown and ran 2 times"),
        ("unknown", 2, True, None),
    ],
)
def test_a_fate_must_agree_with_how_often_the_call_ran(
    outcome: str | None, runs: int, retry: bool, problem: str | None, tmp_path: Path
) -> None:
    ledger, log = Ledger(tmp_path / "a.ledger", "p-"), tmp_path / "server.log"
    with ledger.call("sse", "call_tool", 5.0, retry) as entry:
        entry.fate = "answered"
        if outcome is not None:
            fail(MCPConnectionError("it\nbroke\toff", outcome=outcome))
    ledger.close()
    log.write_text("p-1\n" * runs)
    reckoning = check([tmp_path / "a.ledger"], [log])
    assert reckoning.runs == {(outcome or "answered", runs): 1}
    assert ledger.begun == sum(ledger.counts.values()) == 1
    if problem is None:
        assert reckoning.problems == []
    else:
        (told,) = reckoning.problems
        assert told.startswith(f"call_tool on sse {problem} (p-1)")


def test_progress_of_a_call_that_never_ran_is_told(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.ledger", "p-")
    with ledger.call("sse", "watch", 5.0) as entry:
        entry.seen = True
        fail(MCPConnectionError("it broke", outcome="unknown"))
    ledger.close()
    (told,) = check([tmp_path / "a.ledger"], []).problems
    assert "had progress, but never ran" in told


def test_a_call_that_nobody_made_and_what_a_server_complains_of_are_told(tmp_path: Path) -> None:
    log = tmp_path / "modern.log"
    log.write_text("p-77\n!the client broke the protocol\n")
    assert check([], [log]).problems == [
        "modern: the client broke the protocol",
        "a call ran that nobody made: p-77",
    ]


def test_whatever_else_comes_out_of_a_call_is_told(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.ledger", "p-")
    with ledger.call("sse", "nothing", 5.0):
        pass
    for error in (RuntimeError("x"), MCPUsageError("x"), TimeoutError()):
        with ledger.call("sse", "strange", 5.0):
            fail(error)
    with ledger.call("sse", "late", -100.0) as entry:
        entry.fate = "answered"
        assert [each.kind for each in ledger.overdue()] == ["late"]
    assert ledger.overdue() == []
    with ledger.call("sse", "fine", 5.0):
        fail(MCPServerError("no", code=1))
    ledger.close()
    assert len(ledger.violations) == 5, ledger.violations
    assert check([tmp_path / "a.ledger"], []).problems[0].startswith("nothing on sse ended without an answer")


@pytest.mark.parametrize(
    ("name", "step", "told"),
    [
        ("threads", 0, False),
        ("threads", 1.0, True),
        ("fds", 1.0, True),
        ("blocks", 3000, True),
        ("rss", 2.0, True),
        ("rss", 0.01, False),
    ],
)
def test_what_grows_is_told(name: str, step: float, told: bool) -> None:
    """A hundred seconds; what goes up once at the beginning is not growth, nor are peaks."""
    made = Gauges()
    for second in range(100):
        values = {"rss": 50.0, "blocks": 100_000.0, "threads": 40.0, "fds": 30.0}
        values = {key: value * (0.2 if second < 5 else 3 if second % 10 == 0 else 1) for key, value in values.items()}
        values[name] += step * second
        made.samples.append(
            Sample(float(second), values["rss"], int(values["blocks"]), int(values["threads"]), int(values["fds"]))
        )
    assert len(made.grown()) == told, made.grown()


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the soak looks at /proc")
@pytest.mark.parametrize(
    ("sabotage", "status", "said"),
    [
        ("pass", 0, "all is well: python -m tests.soak --minutes 0.04 --seed 7"),
        ("workload.expected = lambda name, arguments: 'x'", 1, "got another answer"),
        ("kept = []; workload.MCPClient.close = lambda self: kept.append(self)", 1, "is left"),
        ("tests.soak.run.Soak.run = lambda self: __import__('time').sleep(60)", -signal.SIGALRM, "most recent call"),
    ],
    ids=["nothing", "wrong answers", "what is left", "a hang"],
)
def test_a_run_ends_with_a_verdict(sabotage: str, status: int, said: str, tmp_path: Path) -> None:
    """Something is wrong with the client in this process; the server is another, and right."""
    program = f"""
import sys
import tests.soak.__main__, tests.soak.run
from tests.soak import workload
tests.soak.__main__._GRACE_SECONDS = 1 if {status} < 0 else 60
tests.soak.run._PATIENCE = 3.0
{sabotage}
sys.exit(tests.soak.__main__.main())
"""
    argv = [sys.executable, "-c", program, "--minutes", "0.04", "--seed", "7", "--only", "stdio"]
    done = subprocess.run(
        [*argv, "--folder", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=HANG_GUARD, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert said in done.stdout + done.stderr
    assert "seed 7" in done.stdout
