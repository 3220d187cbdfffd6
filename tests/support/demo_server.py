"""The bundled server for tests: a child process on a free loopback port, which ends with the block.

Used by the test process, on the thread that runs the test or sets up the fixture.

    with running_demo_server() as url:
        client = MCPClient(url)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

__all__ = ["STDIO_ARGV", "running_demo_server"]

STDIO_ARGV = [sys.executable, "-m", "mcp_sync.demo", "--stdio"]


@contextmanager
def running_demo_server() -> Iterator[str]:
    """Yield the URL of the bundled server's endpoint; skip the test where it cannot run, with the reason."""
    try:
        from mcp_sync.demo.launcher import running_demo_server as run
    except ImportError as error:
        pytest.skip(str(error))
    with run() as url:
        yield url
