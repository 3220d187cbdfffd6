"""The environments that the real servers run in: one virtual environment or node_modules for each set of pins.

Used by the test process only, on whichever thread asks first. An environment is built once and kept in a cache
folder (``MCP_SYNC_TEST_CACHE``, by default ``~/.cache/mcp-sync-tests``), named after what is in it. It is built
beside its final place and renamed there, under a lock that other test runs respect, so that a half-built one is
never used. No index URL is set here: the machine's own pip and npm configuration decides where packages come from.

    python_environment("mcp1")          # -> the interpreter to start mcp1's servers with
    node_environment("everything")      # -> the folder that holds node_modules

Both raise `Unavailable` with a reason when the environment cannot be had on this machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Optional

__all__ = [
    "NODE_PINS",
    "PYTHON_PINS",
    "InstallFailed",
    "Unavailable",
    "cache_folder",
    "clean_environ",
    "newest_python",
    "node_environment",
    "node_program",
    "python_environment",
]

# What decides the bytes on the wire, pinned wherever it is used: sse-starlette 2 and 3 die differently, for one.
_SERVING = ("uvicorn==0.54.0", "starlette==1.10.0", "sse-starlette==3.7.0")

PYTHON_PINS: Mapping[str, Sequence[str]] = {
    # fastapi-mcp names no upper bound and dies at start on mcp 2: Server.__init__() takes 2 positional arguments.
    "fastapi-mcp": ("fastapi-mcp==0.4.0", "mcp==1.30.0", "fastapi==0.165.0", *_SERVING),
    "mcp1": ("mcp==1.30.0", *_SERVING),
    "mcp2": ("mcp==2.3.0", *_SERVING),
    # 4.1.3 and newer ask for a certifi that some indexes lack, and no TLS is used here.
    "fastmcp4": ("fastmcp==4.1.2", "fastmcp-tasks==4.1.2", "mcp==2.3.0", *_SERVING),
    # The last pydantic that this SDK imports with.
    "old": ("mcp==1.6.0", "pydantic==2.10.6", *_SERVING),
    # What the client itself is made of, and nothing else: for the benchmark.
    "core": ("requests==2.34.2", "sseclient-py==1.9.0", "pydantic==2.14.4", "urllib3==2.8.0"),
    "time": ("mcp-server-time==2026.10.19", "mcp==2.3.0"),
}

NODE_PINS: Mapping[str, Sequence[str]] = {
    "everything": (
        "@modelcontextprotocol/server-everything@2026.8.31",
        "@modelcontextprotocol/sdk@1.32.2",
        "zod@4.6.7",
    ),
    "ts2": (
        "@modelcontextprotocol/server@2.4.0",
        "@modelcontextprotocol/node@2.1.2",
        "zod@4.6.7",
    ),
}

INSTALL_SECONDS = 600.0
LOCK_SECONDS = 900.0  # another run may be building what we wait for, and its install is bounded by INSTALL_SECONDS

_NETWORK_AWAY = re.compile(
    r"NewConnectionError|NameResolutionError|Failed to establish a new connection|Temporary failure in name resolution"
    r"|Could not fetch URL|Connection to \S+ timed out|ConnectTimeoutError|ReadTimeoutError|ProxyError|SSLError"
    r"|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT|FETCH_ERROR"
)
_known: dict[str, Path] = {}  # what this run already found or built; guarded by _known_lock
_absent: dict[str, Exception] = {}  # what this run already failed to get, so that it fails once and not per test
_known_lock = threading.Lock()


class Unavailable(Exception):
    """This machine cannot have the environment, for a reason that is not the project's fault: skip, and say why."""


class InstallFailed(Exception):
    """The packages could not be installed although the network answered: the pins are wrong, so fail."""


def cache_folder() -> Path:
    """Where environments are kept between runs."""
    chosen = os.environ.get("MCP_SYNC_TEST_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "mcp-sync-tests"


def clean_environ(**extra: str) -> dict[str, str]:
    """Our environment variables without those that would leak this interpreter's packages into another one."""
    dropped = {"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONWARNINGS", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    return {**{k: v for k, v in os.environ.items() if k not in dropped}, "PYTHONNOUSERSITE": "1", **extra}


def newest_python() -> str:
    """The interpreter that environments are made of: our own if it is 3.10 or newer, else the newest one on PATH."""
    own = sys.version_info  # by another name, or mypy takes the rest for dead code on a newer Python
    if own >= (3, 10):
        return sys.executable
    for minor in range(14, 9, -1):
        found = shutil.which(f"python3.{minor}")
        # A pyenv shim is on PATH for versions that are not installed, and Debian splits venv off: ask it.
        if found and _answers([found, "-c", f"import ensurepip, sys, venv; assert sys.version_info[1] == {minor}"]):
            return found
    raise Unavailable(
        f"the servers need Python >= 3.10: this is {platform.python_version()}, and PATH has no newer one with venv"
    )


def node_program() -> str:
    """The ``node`` to start servers with."""
    found = shutil.which("node")
    if found is None:
        raise Unavailable("node is not on PATH")
    if not _answers([found, "--version"]):
        raise Unavailable(f"{found} --version does not answer")
    return found


def python_environment(name: str) -> Path:
    """The interpreter of the virtual environment with the pins of `name`, built if it is not there yet.

    Raises:
        Unavailable: no Python that is new enough, or the network is away (with ``CI`` set: `InstallFailed`).
        InstallFailed: pip could not satisfy the pins.
    """
    pins = sorted(PYTHON_PINS[name])

    def find() -> Path:
        python = newest_python()
        version = _output([python, "-c", "import sys; print('.'.join(map(str, sys.version_info[:3])))"])
        return _cached(f"py-{name}", ["venv", version, *pins], lambda folder: _build_venv(python, pins, folder))

    return _once(f"py-{name}", find) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def node_environment(name: str) -> Path:
    """The folder whose node_modules has the packages of `name`, built if it is not there yet.

    Raises:
        Unavailable: no node or npm on PATH, or the network is away (with ``CI`` set: `InstallFailed`).
        InstallFailed: npm could not install the packages.
    """
    pins = sorted(NODE_PINS[name])

    def find() -> Path:
        version = _output([node_program(), "--version"])
        npm = shutil.which("npm")
        if npm is None:
            raise Unavailable("npm is not on PATH")
        return _cached(f"node-{name}", ["npm", version, *pins], lambda folder: _build_node(npm, pins, folder))

    return _once(f"node-{name}", find)


def _once(key: str, find: Callable[[], Path]) -> Path:
    with _known_lock:
        if key in _absent:
            raise _absent[key]
        if key not in _known:
            try:
                _known[key] = find()
            except (Unavailable, InstallFailed) as reason:
                _absent[key] = reason
                raise
        return _known[key]


def _cached(label: str, contents: Sequence[str], build: Callable[[Path], None]) -> Path:
    """The folder that holds `contents`, calling `build` on an empty one first if nobody has built it."""
    identity = json.dumps([platform.machine(), sys.platform, *contents])
    folder = cache_folder() / f"{label}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(folder.name + ".lock")):
        if folder.is_dir():  # whoever held the lock before us built it
            return folder
        building = folder.with_name(folder.name + ".building")
        shutil.rmtree(building, ignore_errors=True)  # left by a run that was killed: we hold the lock, nobody uses it
        building.mkdir()
        try:
            build(building)
            (building / "contents.json").write_text(identity, encoding="utf-8")
            building.rename(folder)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
    return folder


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; the system drops it when its holder dies, so it cannot be left behind."""
    try:
        import fcntl
    except ImportError:
        raise Unavailable("interop environments need POSIX file locks") from None
    expires = time.monotonic() + LOCK_SECONDS
    with path.open("w") as held:
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > expires:
                    raise InstallFailed(f"{path} was locked by another run for {LOCK_SECONDS:.0f} s") from None
                time.sleep(0.1)
        yield


def _build_venv(python: str, pins: Sequence[str], folder: Path) -> None:
    # Only `bin/python -m ...` is used later: scripts carry the path of the folder they were installed in, and this
    # folder is renamed afterwards. The interpreter itself finds its packages from where it lies.
    _install([python, "-m", "venv", str(folder)], folder)
    # --no-cache-dir is not given and no index is named: both are the machine's business.
    _install(
        [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input", "--retries", "2", *pins],
        folder,
    )


def _build_node(npm: str, pins: Sequence[str], folder: Path) -> None:
    (folder / "package.json").write_text('{"name": "mcp-sync-interop", "private": true, "type": "module"}\n')
    # Install scripts are not run: no package here needs one, and a test run should not execute what it did not name.
    _install(
        [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--save-exact", "--loglevel=error", *pins],
        folder,
    )


def _install(argv: Sequence[str], cwd: Path) -> None:
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env=clean_environ(PIP_DISABLE_PIP_VERSION_CHECK="1"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired as late:
        raise _away(f"{_named(argv)} did not end within {INSTALL_SECONDS:.0f} s") from late
    if done.returncode == 0:
        return
    said = f"{_named(argv)} exited with {done.returncode}:\n{done.stdout[-2000:]}"
    raise _away(said) if _NETWORK_AWAY.search(done.stdout) else InstallFailed(said)


def _away(said: str) -> Exception:
    """A machine without a network skips; a CI job that was promised one fails."""
    if os.environ.get("CI", "").lower() in {"1", "true", "yes"}:
        return InstallFailed(said)
    return Unavailable(f"the packages cannot be fetched here: {said}")


def _named(argv: Sequence[str]) -> str:
    return " ".join([Path(argv[0]).name, *argv[1:]])


def _output(argv: Sequence[str]) -> str:
    return subprocess.run(
        argv, env=clean_environ(), stdin=subprocess.DEVNULL, capture_output=True, check=True, text=True, timeout=60
    ).stdout.strip()


def _answers(argv: Sequence[str]) -> Optional[str]:
    try:
        return _output(argv) or "yes"
    except (OSError, subprocess.SubprocessError):
        return None
