"""Everything at once, for an hour, or as long as you like:

    python -m tests.soak --minutes 60

Calls of every kind, streams, progress, cancellations, listeners, calls in the background, large results, clients that
come and go or are dropped, and forks, over every transport and protocol revision, while a proxy resets, cuts, freezes
and swallows connections, and the servers are killed, frozen, restarted and made to forget their sessions.

At the end everything must add up. Each call got its own answer once, or failed with an ``outcome`` that the server's
own log of what it ran agrees with: "not_sent" and "refused" never ran, "answered" ran once, "unknown" at most once
unless the caller allowed more. No call took longer than its deadline, memory, threads and file descriptors are in the
second half what they were in the first, and nothing is left at the end: no thread, socket, process or object.

The exit status is 0 when all is well, and 1 when it is not, with what is wrong and the seed that repeats it. A run that
has not ended six minutes after its time is ended by SIGALRM, with the stacks of all threads.

Runs on: Linux. The main thread conducts.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.soak.processes import die_with_stacks_after
from tests.soak.run import Soak

__all__: list[str] = []

# To start the servers, and to come to an end where something hangs.
_GRACE_SECONDS = 360.0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=None, help="repeats a run, as far as threads can (by chance)")
    parser.add_argument("--workers", type=int, default=3, help="callers per target (default: %(default)s)")
    parser.add_argument(
        "--pace", type=float, default=0.1, help="seconds between a caller's calls (default: %(default)s)"
    )
    parser.add_argument("--pause", type=float, default=0.25, help="seconds between two strikes (default: %(default)s)")
    parser.add_argument("--only", default="", help="names of targets, separated by commas (default: all)")
    parser.add_argument("--folder", type=Path, default=None, help="keep logs and ledgers here")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    if sys.platform != "linux":
        parser.error("the soak looks at /proc, so it needs Linux")
    if not 0 < options.minutes < float("inf"):
        parser.error("--minutes must be a positive number")
    sys.stdout.write(f"seed {seed}\n")
    sys.stdout.flush()
    # Whatever hangs, this ends: without cleaning up, but the servers end when this process does.
    die_with_stacks_after(options.minutes * 60 + _GRACE_SECONDS, sys.stderr)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="mcp-sync-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    only = set(filter(None, options.only.split(",")))
    soak = Soak(folder, seed, options.minutes * 60, options.workers, options.pace, options.pause, only)
    problems = soak.run()
    signal.alarm(0)
    command = f"python -m tests.soak --minutes {options.minutes:g} --seed {seed}"
    if problems:
        sys.stdout.write(f"\n{len(problems)} problems; the logs are in {folder}; to repeat: {command}\n")
    else:
        sys.stdout.write(f"\nall is well: {command}\n")
        if options.folder is None:
            shutil.rmtree(folder)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
