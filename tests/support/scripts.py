"""Small programs for tests of what happens to a whole process: fork, exit, signals.

Used by the test process, on the thread that runs the test.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

__all__ = ["Finished", "run_script", "start_script"]

_ROOT = Path(__file__).resolve().parents[2]


class Finished:
    """How a script ended: its exit code, what it printed, how long it took, and what it reported."""

    def __init__(self, process: subprocess.Popen[str], timeout: float) -> None:
        start = time.monotonic()
        try:
            self.out, self.err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(
                process.pid, signal.SIGKILL
            )  # the script is the leader of a group of its own, forked ones included
            self.out, self.err = process.communicate()
            raise AssertionError(f"the script hung:\n{self.out}\n{self.err}") from None
        self.seconds = time.monotonic() - start
        self.code = process.returncode

    def __repr__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"

    @property
    def report(self) -> Any:
        """The last line it printed, as JSON."""
        lines = self.out.strip().splitlines()
        assert lines, self
        return json.loads(lines[-1])


def start_script(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a Python program; what it is given is in ``sys.argv``."""
    return subprocess.Popen(
        [sys.executable, "-W", "default", "-c", textwrap.dedent(code), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        start_new_session=True,
    )


def run_script(code: str, *arguments: str, timeout: float = 30.0) -> Finished:
    """Run a Python program to its end."""
    return Finished(start_script(code, *arguments), timeout)
