"""The official conformance suite's two versions, from npm, and the Node that they need.

Used by the test process only. Installed once, into the cache folder of ``tests/interop/environments.py``.
"""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.interop import environments
from tests.interop.environments import Unavailable

__all__ = ["ALPHA", "STABLE", "entry_of", "is_ci", "node", "requirements_of"]

STABLE = "0.1.16"
ALPHA = "0.2.0-alpha.12"

_PACKAGE = "@modelcontextprotocol/conformance"
# With Node 20 both versions die at start: fs has no globSync there.
_OLDEST_NODE = 22
_NODE = "22.23.3"
_SYSTEMS = {"linux": "linux", "darwin": "darwin"}
_MACHINES = {"x86_64": "x64", "AMD64": "x64", "aarch64": "arm64", "arm64": "arm64"}


@functools.cache
def node() -> str:
    """The Node to run the suite with: the one on PATH if it is new enough, else one from npm.

    Raises:
        Unavailable: there is neither, and none can be fetched here (with ``CI`` set: `InstallFailed`).
        InstallFailed: npm could not install it.
    """
    found = environments.node_program()
    said = subprocess.run([found, "--version"], capture_output=True, check=True, text=True, timeout=60).stdout
    if int(said.lstrip("v").split(".")[0]) >= _OLDEST_NODE:
        return found
    system, machine = _SYSTEMS.get(sys.platform), _MACHINES.get(platform.machine())
    if system is None or machine is None:
        raise Unavailable(f"the suite needs Node {_OLDEST_NODE}, and npm has none for {platform.platform()}")
    # What npm's package `node` fetches by an install script, without the script.
    package = f"node-{system}-{machine}"
    return str(_installed("node22", [f"{package}@{_NODE}"]) / package / "bin" / "node")


def entry_of(version: str) -> Path:
    """The program of one version of the suite. Raises as `node`."""
    return _installed(f"conformance-{version}", [f"{_PACKAGE}@{version}"]) / _PACKAGE / "dist" / "index.js"


def requirements_of(revision: str) -> dict[str, list[str]]:
    """The client scenarios of a requirement set: ``scored`` and ``not_scored``."""
    folder = entry_of(ALPHA).parents[1] / "requirements"
    found: dict[str, list[str]] = {"scored": [], "not_scored": []}
    section = ""
    for line in (folder / f"{revision}.yaml").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if line and not line[0].isspace():
            section = line
        elif section == "client:" and words[:1] == ["-"]:
            found["scored"].append(words[1])
        elif section == "not_scored:" and words[:2] == ["-", "scenario:"]:
            scenario = words[2]
        elif section == "not_scored:" and words == ["leg:", "client"]:
            found["not_scored"].append(scenario)
    return found


def _installed(name: str, pins: Sequence[str]) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("npm is not on PATH")
    folder = environments._once(
        f"node-{name}",
        lambda: environments._cached(
            f"node-{name}", ["npm", *pins], lambda folder: environments._build_node(npm, pins, folder)
        ),
    )
    return folder / "node_modules"


def is_ci() -> bool:
    """Whether a machine that cannot have the suite is a failure."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}
