"""Instruction counts by valgrind: what a call costs where no clock and no neighbour has a say.

Runs in the process that compares, on one thread. The interpreter runs under callgrind, which counts only between the
two moments that the worker announces, so that neither start-up nor import is counted.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Optional

from .clients import BINDINGS
from .comparing import ROOT, environ

__all__ = ["instructions_each", "why_not"]

_SECONDS = 300.0
# vgdb's own way into a process that waits is ptrace, which containers forbid: the worker polls instead (`stepped`),
# and valgrind looks for commands as long as it runs code.
_NO_PTRACE = "--max-invoke-ms=0"


def why_not() -> Optional[str]:
    """Why nothing can be counted here; None if it can."""
    return next((f"{program} is not on PATH" for program in ("valgrind", "vgdb") if not shutil.which(program)), None)


def instructions_each(
    url: str, client: str, scenario: str, binding: str, amount: int, interpreter: str = sys.executable
) -> float:
    """How many instructions one call (event, ...) takes, in all threads of the client.

    Raises:
        RuntimeError: the run failed, or took too long.
    """
    worker = [interpreter, "-m", "tests.benchmarks.worker", client, scenario, binding, url + BINDINGS.get(binding, "")]
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts"
        valgrind = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", f"--vgdb-prefix={folder}/vgdb"]
        process = subprocess.Popen(
            [*valgrind, f"--callgrind-out-file={counts}", *worker, str(amount), "stepped"],
            cwd=ROOT,
            env=environ(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        late = threading.Timer(_SECONDS, process.kill)
        late.start()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            for step, instrumented in (("begin\n", "on"), ("end\n", "off")):
                if process.stdout.readline() != step:
                    break
                vgdb = ["vgdb", f"--vgdb-prefix={folder}/vgdb", f"--pid={process.pid}", _NO_PTRACE]
                subprocess.run([*vgdb, "instrumentation", instrumented], capture_output=True, check=True, timeout=60)
                process.stdin.write("\n")
                process.stdin.flush()
            _, errors = process.communicate()
        finally:
            late.cancel()
            process.kill()
            process.wait()
        if process.returncode:
            raise RuntimeError(
                f"{client}, {scenario}, {binding} under valgrind: {errors.strip()[-300:] or 'no answer'}"
            )
        totals = re.search(r"^totals: (\d+)$", counts.read_text(encoding="utf-8"), re.MULTILINE)
        if totals is None:
            raise RuntimeError(f"valgrind counted nothing: {errors.strip()[-300:]}")
        return int(totals.group(1)) / amount
