"""The bundled server as a child process: it comes up, it ends, and when it cannot it says why."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import requests

pytest.importorskip("mcp_sync.demo", exc_type=ImportError)

from mcp_sync.demo.launcher import DemoServerDied, running_demo_server

WAIT = 30.0  # seconds, for what takes moments on an idle machine


def test_it_ends_with_the_block_also_when_that_raises() -> None:
    before = set(threading.enumerate())
    with pytest.raises(KeyError, match="mine"), running_demo_server() as url:
        assert requests.get(url.replace("/mcp", "/health"), timeout=WAIT).json() == {"status": "ok"}
        raise KeyError("mine")
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=WAIT)
    assert set(threading.enumerate()) <= before


def test_a_child_that_dies_is_reported_with_what_it_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uvicorn.py").write_text("raise RuntimeError('broken on purpose')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(DemoServerDied, match="broken on purpose"), running_demo_server():
        pass
