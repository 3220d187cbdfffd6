"""Another program on PyPI has this one's import name and command: its files in ours are named, and what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mcp_sync

# What that program's wheel puts where our package is.
FILES = ("main.py", "sync.py", "config/__init__.py", "config/settings.py", "clients/__init__.py")


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder with our package and the other program's files in it."""
    shutil.copytree(Path(mcp_sync.__file__).parent, tmp_path / "mcp_sync")
    for name in FILES:
        path = tmp_path / "mcp_sync" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=env, cwd=folder, timeout=60, check=False
    )


@pytest.mark.parametrize("name", ["MCPClient", "MCPClientConfig", "MCPClientError"])
def test_an_import_says_whose_files_they_are_and_what_to_do(mixed: Path, name: str) -> None:
    done = run(mixed, "-c", f"from mcp_sync import {name}")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: in ")
    assert "pip uninstall mcp-sync mcp-sync-client" in last
    assert "pip install mcp-sync-client" in last


@pytest.mark.parametrize("left", FILES[:3])
def test_one_file_that_was_left_behind_is_enough(mixed: Path, left: str) -> None:
    for name in FILES:
        if name != left:
            (mixed / "mcp_sync" / name).unlink()
    assert "another program" in run(mixed, "-c", "from mcp_sync import MCPClient").stderr


def test_the_command_says_it_in_one_line(mixed: Path) -> None:
    done = run(mixed, "-m", "mcp_sync", "tools", "http://127.0.0.1:1/mcp")
    assert done.returncode == 2
    assert done.stderr.startswith("error: in ")
    assert done.stderr.count("\n") == 1


def test_without_them_nothing_is_said(mixed: Path) -> None:
    for name in FILES:
        (mixed / "mcp_sync" / name).unlink()
    (mixed / "mcp_sync" / "config").rmdir()
    assert run(mixed, "-c", "from mcp_sync import MCPClient; MCPClient('http://127.0.0.1:1/mcp')").returncode == 0
