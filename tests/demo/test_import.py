"""What the bundled server needs is said when it is missing, and the client never loads it."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("missing", ["mcp", "uvicorn", "starlette"])
def test_a_missing_module_is_named_with_what_to_install(missing: str) -> None:
    ended = run(f"import sys; sys.modules[{missing!r}] = None; sys.version_info = (3, 10); import mcp_sync.demo")
    assert ended.returncode == 1
    assert "the bundled server needs Python 3.10+ and `pip install 'mcp-sync-client[demo]'`" in ended.stderr


def test_an_old_python_is_named() -> None:
    ended = run("import sys; sys.version_info = (3, 9, 18); import mcp_sync.demo")
    assert ended.returncode == 1
    assert "needs Python 3.10+" in ended.stderr
    assert "this is Python 3.9" in ended.stderr


def test_the_client_does_not_import_the_server() -> None:
    ended = run("import sys; from mcp_sync import MCPClient; sys.exit('mcp_sync.demo' in sys.modules)")
    assert ended.returncode == 0, ended.stderr
