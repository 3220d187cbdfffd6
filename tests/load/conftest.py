"""Servers that bear a load, each in a process of its own, over every transport; and how much of a load it is to be."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mcp_sync import MCPClient
from tests.soak.processes import ROOT, Process, free_port

if sys.platform == "win32":
    collect_ignore_glob = ["test_*.py"]  # the servers' pipes, and the limit of descriptors, are those of POSIX

TRANSPORTS = ("sse", "http-json", "http-sse", "modern", "stdio")
_BINDINGS = {"sse": "sse", "http-json": "json", "http-sse": "streams", "modern": "modern"}


@dataclass
class Loaded:
    """A running server, and the log of the calls that ran there."""

    server: Any
    options: dict[str, Any]
    log: Path

    def client(self, **options: Any) -> MCPClient:
        return MCPClient(self.server, **{"timeout": 60.0, **self.options, **options})

    @property
    def runs(self) -> Counter[str]:
        """How often each call ran."""
        return Counter(self.log.read_text().splitlines()) if self.log.exists() else Counter()


@pytest.fixture
def tools() -> int:
    """How long the server's list of tools is at least."""
    return 0


@pytest.fixture(params=TRANSPORTS)
def loaded(request: pytest.FixtureRequest, tmp_path: Path, tools: int) -> Iterator[Loaded]:
    transport, log = request.param, tmp_path / "calls.log"
    if transport == "stdio":
        argv = [sys.executable, "-m", "tests.soak.stdio_server", str(log), str(tools)]
        yield Loaded(argv, {"cwd": str(ROOT)}, log)
        return
    port = free_port(random.Random())
    argv = ["-m", "tests.soak.server", "--binding", _BINDINGS[transport], "--calm", "--seed", "1"]
    process = Process([*argv, "--port", str(port), "--log", str(log), "--tools", str(tools)], tmp_path / "stderr")
    process.start()
    try:
        path = "/sse" if transport == "sse" else "/mcp"
        options = {"transport": "sse" if transport == "sse" else "http"}
        if transport.startswith("http"):
            options["protocol_version"] = "2025-11-25"
        yield Loaded(f"http://127.0.0.1:{port}{path}", options, log)
    finally:
        process.stop()


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether the load is as large as it gets (``--soak``), or just large enough to see what breaks first."""
    return bool(request.config.getoption("--soak"))
