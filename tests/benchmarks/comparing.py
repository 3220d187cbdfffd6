"""Comparing clients: each run in a process of its own, the runs interleaved, against one server.

Runs in the process that compares, on one thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

from tests.interop.environments import cache_folder, clean_environ, python_environment

from .clients import BINDINGS, describe
from .workloads import Workload

__all__ = ["Interpreters", "Lab", "own_interpreter", "pinned_interpreter", "serving"]

ROOT = Path(__file__).resolve().parents[2]
RUN_SECONDS = 90.0
Record = dict[str, Any]
# The interpreter to run an environment's clients with.
Interpreters = Callable[[str], str]


def pinned_interpreter(environment: str) -> str:
    """The one of the pinned environment, which is built at its first use."""
    return str(python_environment(environment))


def own_interpreter(_: str) -> str:
    """This one, whatever is installed in it."""
    return sys.executable


def environ() -> dict[str, str]:
    """Packages come from the environment, and this checkout comes before them; what is imported is compiled once."""
    compiled = str(cache_folder() / "compiled")
    variables = clean_environ(PYTHONPATH=str(ROOT), PYTHONHASHSEED="0", PYTHONPYCACHEPREFIX=compiled)
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    return variables


@contextlib.contextmanager
def serving(interpreter: str) -> Iterator[str]:
    """The URL of a server that lives as long as the context."""
    process = subprocess.Popen(
        [interpreter, "-m", "tests.benchmarks.server"],
        cwd=ROOT,
        env=environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.stdin.close()  # it ends with its input
        process.stdout.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Lab:
    """Runs workloads.

    Parameters:
        url: the server.
        interpreters: finds the interpreter for an environment.
        note: called with each record as it comes.
    """

    def __init__(self, url: str, interpreters: Interpreters, note: Callable[[Record], None] = lambda record: None):
        self.url = url
        self.interpreters = interpreters
        self.note = note
        self._compiled: set[tuple[str, str]] = set()

    def compare(self, workload: Workload, rounds: int) -> list[Record]:
        """Every client in every round: A B C, C B A, A B C, so that what slows the machine slows all.

        A client that failed is not asked again.
        """
        records: list[Record] = []
        failed: set[str] = set()
        for number in range(min(rounds, workload.rounds or rounds)):
            for client in workload.clients if number % 2 == 0 else reversed(workload.clients):
                if client not in failed:
                    record = {**self.run(client, workload), "round": number}
                    if "error" in record:
                        failed.add(client)
                    records.append(record)
                    self.note(record)
        return records

    def run(self, client: str, workload: Workload) -> Record:
        """What one run cost; `error` says why there is nothing to tell."""
        record: Record = {"workload": workload.name, "client": client, "amount": workload.amount}
        interpreter = self.interpreters(describe(client).environment)
        url = self.url + BINDINGS.get(workload.binding, "")
        try:
            if (interpreter, client) not in self._compiled:  # the first import compiles, elsewhere installing does
                self._compiled.add((interpreter, client))
                cpu_of([interpreter, "-c", describe(client).imports])
            if workload.scenario == "import":
                record["bare_cpu_s"] = cpu_of([interpreter, "-c", "pass"])
                record["cpu_s"] = cpu_of([interpreter, "-c", describe(client).imports])
            elif workload.scenario == "program":
                record["cpu_s"] = cpu_of([interpreter, "-c", describe(client).program, url])
            else:
                scenario = "sessions" if workload.scenario == "resident" else workload.scenario
                query = f"?tools={workload.amount}" if scenario == "tools" else ""
                arguments = [client, scenario, workload.binding, url + query, str(workload.amount)]
                record.update(worker(interpreter, arguments))
        except (subprocess.SubprocessError, ValueError) as failure:
            record["error"] = str(failure)
        delivered = record.get("delivered", workload.amount)
        if delivered != workload.amount:
            record["error"] = f"{workload.amount - delivered} events were lost"
        return record


def worker(interpreter: str, arguments: Sequence[str]) -> Mapping[str, Any]:
    argv = [interpreter, "-m", "tests.benchmarks.worker", *arguments]
    done = subprocess.run(
        argv, cwd=ROOT, env=environ(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_SECONDS
    )
    if done.returncode:
        raise ValueError((done.stderr.strip().splitlines() or ["?"])[-1][:300])
    record: Mapping[str, Any] = json.loads(done.stdout)
    return record


def cpu_of(argv: Sequence[str]) -> float:
    """CPU seconds of a process, from its start to its end."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            argv, cwd=ROOT, env=environ(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
        used = waited(process)
        if used is None:
            raise ValueError(f"it took longer than {RUN_SECONDS:.0f} s")
        if process.returncode:
            errors.seek(0)
            raise ValueError((errors.read().decode(errors="replace").strip().splitlines() or ["?"])[-1][:300])
    return used


def waited(process: subprocess.Popen[bytes]) -> Optional[float]:
    """The CPU seconds of a process that has ended; None if it had to be ended."""
    import threading

    late = threading.Timer(RUN_SECONDS, process.kill)
    late.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        late.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return None if process.returncode == -9 else usage.ru_utime + usage.ru_stime
