"""``python -m tests.benchmarks``: compares the clients and writes docs/performance.md; ``--check`` guards the ratios.

Runs on one thread.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, TextIO

from . import checking
from .comparing import ROOT, Lab, pinned_interpreter, serving
from .report import Machine, page
from .workloads import WORKLOADS, measures

PAGE = ROOT / "docs" / "performance.md"
ROUNDS = 3
_VERSIONS = """
import importlib.metadata as m, json, sys
print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))
"""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each measurement is repeated")
    parser.add_argument("--only", default="", metavar="TEXT", help="only what has this in its name")
    parser.add_argument("--clients", metavar="A,B", help="only these clients")
    parser.add_argument("--raw", type=Path, metavar="FILE", help="append every number to a file of JSON lines")
    parser.add_argument("--render", type=Path, metavar="FILE", help="measure nothing: the page of what --raw has kept")
    parser.add_argument("--page", type=Path, metavar="FILE", help=f"the page to write (default: {PAGE.name} in docs/)")
    parser.add_argument("--check", action="store_true", help="fail if a ratio is worse than its limit; write no page")
    chosen = parser.parse_args(arguments)
    if not sys.platform.startswith("linux"):
        parser.error("memory and CPU time are read from /proc: this needs Linux")
    if chosen.check:
        return checking.check(chosen.only, say)
    if chosen.render:
        with chosen.render.open(encoding="utf-8") as kept:
            records = [json.loads(line) for line in kept]
        return publish(records, max(record["round"] for record in records) + 1, chosen.page or PAGE)
    workloads = [
        workload._replace(clients=[name for name in workload.clients if name in chosen.clients.split(",")])
        if chosen.clients
        else workload
        for workload in WORKLOADS
        if chosen.only in workload.name
    ]
    if not workloads:
        parser.error(f"no workload has {chosen.only!r} in its name: {', '.join(w.name for w in WORKLOADS)}")
    in_part = bool(chosen.only or chosen.clients)
    with chosen.raw.open("a", encoding="utf-8") if chosen.raw else open(os.devnull, "w", encoding="utf-8") as raw:
        records = compare(workloads, chosen.rounds, raw)
    if chosen.page is None and in_part:
        say(page(records, machine(), chosen.rounds))  # a part of the workloads is no page of the documentation
        return 0
    return publish(records, chosen.rounds, chosen.page or PAGE)


def publish(records: Sequence[dict[str, Any]], rounds: int, target: Path) -> int:
    target.write_text(page(records, machine(), rounds), encoding="utf-8")
    say(f"written to {target}")
    return 0


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def compare(workloads: Sequence[Any], rounds: int, raw: TextIO) -> list[dict[str, Any]]:
    started = time.monotonic()
    records: list[dict[str, Any]] = []

    def note(record: dict[str, Any]) -> None:
        raw.write(json.dumps(record) + "\n")
        raw.flush()
        measure = measures(scenarios[record["workload"]])[0]
        shown = record.get("error") or f"{measure.of(record):,.{measure.digits}f} {measure.unit}"
        say(f"{time.monotonic() - started:5.0f} s  {record['workload']}: {record['client']}: {shown}")

    scenarios = {workload.name: workload.scenario for workload in workloads}
    with serving(pinned_interpreter("core")) as url:
        lab = Lab(url, pinned_interpreter, note)
        for workload in workloads:
            records += lab.compare(workload, rounds)
    return records


def machine() -> Machine:
    """Where this runs, and the versions that were compared."""
    versions = {}
    for environment, names in {"core": ("requests", "urllib3", "pydantic", "sseclient-py"), "mcp2": ("mcp",)}.items():
        done = subprocess.run(
            [pinned_interpreter(environment), "-c", _VERSIONS, *names],
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
        )
        versions.update(json.loads(done.stdout))
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, timeout=60
    ).stdout.strip()
    from mcp_sync import __version__

    return Machine(
        processor=f"{os.cpu_count()} x {processor() or platform.machine()}",
        system=f"{platform.system()} {platform.release().split('-')[0]}",
        python=platform.python_version(),
        load=f"{os.getloadavg()[1]:.1f}",
        versions={f"mcp_sync ({commit})" if commit else "mcp_sync": __version__, **versions},
        date=datetime.date.today().isoformat(),
    )


def processor() -> Optional[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
