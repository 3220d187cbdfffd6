"""Runs the client scenarios of the official conformance suite, one at a time, and takes no excuse.

    python tests/conformance/run.py                                  # everything that is in scope
    python tests/conformance/run.py --scenario tools_call            # one scenario, at each of its wires
    python tests/conformance/run.py --scenario sse-retry --verbose   # ... with what the suite says

A scenario passes when no check failed or warned, at least one succeeded, nothing timed out, and the client ended with
exit code 0 unless the scenario allows otherwise. The suite's own suite mode is laxer: it ignores exit codes and
time-outs, and counts zero checks as passed.

Uses only the standard library and what the tests of `tests/interop` use.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to be callable as a script

from tests.conformance import suites
from tests.conformance.client import REFUSED
from tests.conformance.suites import ALPHA, STABLE
from tests.interop.environments import InstallFailed, Unavailable, clean_environ

HERE = Path(__file__).resolve().parent

# What is not run yet: delete a line when its feature is there.
NOT_YET: tuple[str, ...] = (
    "auth/*",  # OAuth
)

# The requirement sets, frozen by the suite; each scenario at the wire of its set.
_AUTH = (
    "auth/metadata-default",
    "auth/metadata-var1",
    "auth/metadata-var2",
    "auth/metadata-var3",
    "auth/basic-cimd",
    "auth/scope-from-www-authenticate",
    "auth/scope-from-scopes-supported",
    "auth/scope-omitted-when-undefined",
    "auth/scope-step-up",
    "auth/scope-retry-limit",
    "auth/token-endpoint-auth-basic",
    "auth/token-endpoint-auth-post",
    "auth/token-endpoint-auth-none",
    "auth/pre-registration",
)
_AUTH_SINCE_2026 = (
    "auth/resource-mismatch",
    "auth/offline-access-scope",
    "auth/offline-access-not-supported",
    "auth/authorization-server-migration",
    "auth/iss-supported",
    "auth/iss-not-advertised",
    "auth/iss-supported-missing",
    "auth/iss-wrong-issuer",
    "auth/iss-unexpected",
    "auth/iss-normalized",
    "auth/metadata-issuer-mismatch",
)
SCORED = {
    "2025-11-25": ("initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry", *_AUTH),
    "2026-07-28": (
        "tools_call",
        "request-metadata",
        "http-standard-headers",
        "http-custom-headers",
        "http-invalid-tool-headers",
        "json-schema-ref-no-deref",
        "sep-2322-client-request-state",
        *_AUTH,
        *_AUTH_SINCE_2026,
    ),
}
_UNSCORED_EVERYWHERE = (
    "json-schema-2020-12-preservation",
    "auth/client-credentials-jwt",
    "auth/client-credentials-basic",
    "auth/enterprise-managed-authorization",
    "auth/dpop",
    "auth/dpop-nonce",
    "auth/wif-jwt-bearer",
)
NOT_SCORED = {"2025-11-25": _UNSCORED_EVERYWHERE, "2026-07-28": _UNSCORED_EVERYWHERE}
# In no set: older revisions, and the skills extension.
EXTRA = {
    "2025-03-26": ("auth/2025-03-26-oauth-metadata-backcompat", "auth/2025-03-26-oauth-endpoint-fallback"),
    "2025-06-18": ("initialize", "tools_call"),
    "2026-07-28": (
        "sep-2640-client-no-prefetch",
        "sep-2640-client-verify-digest",
        "sep-2640-client-verify-size",
        "sep-2640-client-verify-frontmatter",
    ),
}
IN_STABLE = (
    "initialize",
    "tools_call",
    "elicitation-sep1034-client-defaults",
    "sse-retry",
    *_AUTH,
    "auth/2025-03-26-oauth-metadata-backcompat",
    "auth/2025-03-26-oauth-endpoint-fallback",
    "auth/resource-mismatch",
    "auth/offline-access-scope",
    "auth/offline-access-not-supported",
    "auth/client-credentials-jwt",
    "auth/client-credentials-basic",
    "auth/cross-app-access-complete-flow",
)
# The client ends with an error of mcp_sync there. The suite allows it in a few more, where ours has no reason to.
MAY_FAIL = frozenset(
    {
        "auth/scope-retry-limit",
        "auth/resource-mismatch",
        "auth/iss-supported-missing",
        "auth/iss-wrong-issuer",
        "auth/iss-unexpected",
        "auth/iss-normalized",
        "auth/metadata-issuer-mismatch",
    }
)

# The client's own watchdog ends it after 25 s, the suite gives it 30; this is for a suite that hangs.
HARD_LIMIT_SECONDS = 60.0
_EXITED = re.compile(r"Client exited with code (-?\d+)")


@dataclass(frozen=True)
class Run:
    """One scenario as one version of the suite runs it.

    Attributes:
        wire: the revision that the mock server speaks; None leaves it to the suite, and the client finds out.
        told: the client is told the revision; else it finds out.
    """

    suite: str
    scenario: str
    wire: Optional[str]
    told: bool = True
    scored: bool = False

    @property
    def id(self) -> str:
        where = self.wire or "default"
        return f"{self.scenario}-{where}{'' if self.told else '-found'}-{self.suite}"

    @property
    def is_in_scope(self) -> bool:
        return not any(fnmatch.fnmatch(self.scenario, pattern) for pattern in NOT_YET)


@dataclass(frozen=True)
class Verdict:
    """What came of a run; `problems` is empty where it passed."""

    successes: int
    problems: tuple[str, ...]
    said: str
    seconds: float

    def __str__(self) -> str:
        return f"FAILED: {'; '.join(self.problems)}" if self.problems else f"passed, {self.successes} checks"


def all_runs() -> Iterator[Run]:
    """Every run that there is, in scope or not."""
    for wire, scenarios in SCORED.items():
        for scenario in scenarios:
            yield Run(ALPHA, scenario, wire, scored=True)
    for table in (NOT_SCORED, EXTRA):
        for wire, scenarios in table.items():
            for scenario in scenarios:
                yield Run(ALPHA, scenario, wire)
    # As most people will use the client: nobody says what the server speaks.
    for wire, scenarios in SCORED.items():
        for scenario in scenarios:
            if not scenario.startswith("auth/"):
                yield Run(ALPHA, scenario, wire, told=False)
    for scenario in IN_STABLE:
        yield Run(STABLE, scenario, None, told=False)


RUNS = [run for run in all_runs() if run.is_in_scope]
LEFT_OUT = [run for run in all_runs() if not run.is_in_scope]


CLIENT = shlex.join([sys.executable, str(HERE / "client.py")])


def carry_out(run: Run, client: str = CLIENT, limit: float = HARD_LIMIT_SECONDS) -> Verdict:
    """Have the suite run one scenario, and judge it.

    Parameters:
        client: the command that the suite starts, as a shell takes it; it adds the URL.
        limit: seconds for the suite.

    Raises:
        Unavailable, InstallFailed: this machine has no suite.
    """
    argv = [suites.node(), "--import", str(HERE / "loopback.mjs"), str(suites.entry_of(run.suite)), "client"]
    argv += ["--command", client, "--scenario", run.scenario]
    if run.wire is not None:
        argv += ["--spec-version", run.wire, "--force"]
    here = "localhost,127.0.0.1"
    environ = clean_environ(NO_PROXY=here, no_proxy=here, MCP_SYNC_FIND_OUT="" if run.told else "1")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mcp-sync-conformance-") as folder:
        code, said = _bounded([*argv, "-o", folder], environ, limit)
        checks = [check for found in Path(folder).rglob("checks.json") for check in json.loads(found.read_text())]
        errors = "".join(found.read_text() for found in Path(folder).rglob("stderr.txt"))
    if errors and errors not in said:
        said += f"\nThe client said:\n{errors}"
    successes = sum(check["status"] == "SUCCESS" for check in checks)
    seconds = time.monotonic() - begun
    problems = [f"not done after {limit:g} s"] if code is None else []
    return Verdict(successes, (*problems, *_problems(run, code, said, checks, successes)), said, seconds)


def _bounded(argv: Sequence[str], environ: dict[str, str], limit: float) -> tuple[Optional[int], str]:
    """The exit code, None after a time-out, and the output."""
    # Not a pipe: a client that outlives the suite would keep it open.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            argv,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        code: Optional[int] = None
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)  # its shell, and the client in that, are in its group
                process.wait()
        output.seek(0)
        return code, output.read().decode("utf-8", "replace")


def _problems(
    run: Run, code: Optional[int], said: str, checks: Sequence[dict[str, object]], successes: int
) -> Iterator[str]:
    for check in checks:
        if check["status"] in ("FAILURE", "WARNING"):
            yield f"{check['status']} {check['id']}: {check.get('errorMessage') or check['description']}"
    if not successes:
        yield "no check succeeded"
    exited = _EXITED.search(said)
    if exited is not None and (run.scenario not in MAY_FAIL or int(exited[1]) != REFUSED):
        yield f"the client ended with exit code {exited[1]}"
    if code:
        yield f"the suite ended with exit code {code}"


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description="Run the official conformance suite against mcp_sync.")
    parser.add_argument("--scenario", action="append", help="only this one (a pattern such as 'http-*' is fine)")
    parser.add_argument("--verbose", action="store_true", help="print what the suite says of passed scenarios too")
    options = parser.parse_args(argv)
    runs = [run for run in RUNS if any(fnmatch.fnmatch(run.scenario, name) for name in options.scenario or "*")]
    if not runs:
        say(f"no scenario that is run is called {' or '.join(options.scenario)}")
        return 2
    begun = time.monotonic()
    failed = 0
    say(f"{'scenario':<38}{'suite':<16}{'wire':<20}verdict")
    for run in runs:
        try:
            verdict = carry_out(run)
        except (Unavailable, InstallFailed) as reason:
            say(f"the suite cannot be run here: {reason}")
            return 3
        failed += bool(verdict.problems)
        wire = f"{run.wire or 'its own'}{'' if run.told else ', found'}"
        say(f"{run.scenario:<38}{run.suite:<16}{wire:<20}{verdict} ({verdict.seconds:.1f} s)")
        if verdict.problems or options.verbose:
            say(verdict.said)
    scored = len({(run.scenario, run.wire) for run in runs if run.scored})
    total = sum(len(scenarios) for scenarios in SCORED.values())
    say(
        f"{len(runs) - failed} of {len(runs)} runs passed in {time.monotonic() - begun:.0f} s; they cover {scored} of "
        f"the {total} scored scenarios; {len(LEFT_OUT)} runs are left to do: {', '.join(NOT_YET) or 'none'}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
