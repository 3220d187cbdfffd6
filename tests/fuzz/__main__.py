"""``python -m tests.fuzz [TARGET ...] [--seconds N]``: the coverage-guided fuzzer (atheris), one process per target.

Runs on: the main thread; without a target it starts one process after the other.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
# Longer inputs find nothing that these do not, and are slow.
_LONGEST = 512


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "targets", nargs="*", help="names of functions in tests/fuzz/targets.py; all of them if left out"
    )
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        run(given.targets[0], given.seconds)
        return 0
    import tests.fuzz.targets

    failed = []
    for name in given.targets or tests.fuzz.targets.TARGETS:
        sys.stdout.write(f"=== {name}\n")
        sys.stdout.flush()
        command = [sys.executable, "-m", "tests.fuzz", name, "--here", "--seconds", str(given.seconds)]
        if subprocess.run(command, check=False, timeout=given.seconds + 300).returncode:
            failed.append(name)
    if failed:
        sys.stdout.write(f"failed: {' '.join(failed)}\n")
    return 1 if failed else 0


def run(name: str, seconds: int) -> None:
    """Fuzz one target in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(
        include=["mcp_sync", "sseclient", "tests.fuzz.targets", "tests.fuzz.hostile_targets"]
    ):
        from tests.fuzz.targets import TARGETS
    seeds = CORPUS / name
    with tempfile.TemporaryDirectory() as found:
        arguments = [
            sys.argv[0],
            f"-max_total_time={seconds}",
            f"-max_len={_LONGEST}",
            "-timeout=25",
            "-len_control=20",
            "-print_final_stats=1",
        ]
        arguments += [f"-artifact_prefix={Path.cwd()}/", f"-dict={CORPUS / 'words.dict'}", found]
        arguments += [str(seeds)] if seeds.is_dir() else []
        atheris.Setup(arguments, TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
