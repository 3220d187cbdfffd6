"""The coverage-guided fuzzer starts, runs each target, and finds nothing: ``pytest --fuzz SECONDS``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", TARGETS)
def test_it_finds_nothing(name: str, pytestconfig: pytest.Config, tmp_path: Path) -> None:
    seconds = pytestconfig.getoption("--fuzz")
    if not seconds:
        pytest.skip("asked for with --fuzz SECONDS")
    pytest.importorskip("atheris", exc_type=ImportError)
    command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(seconds)]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=seconds + 150
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "stat::number_of_executed_units" in done.stderr
