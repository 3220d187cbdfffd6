"""The bundled server as a child process: started on a free port, and certain to end.

Runs on: the caller's thread, and one short thread that waits for the child's first line so that the wait has a bound.
"""

from __future__ import annotations

import subprocess  # nosec B404  # it starts this package's own server
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

__all__ = ["DemoServerDied", "running_demo_server"]

START_TIMEOUT = 60.0  # seconds; the imports alone take several on a loaded machine
STOP_TIMEOUT = 5.0


class DemoServerDied(RuntimeError):
    """The child did not come up. The message holds what it said."""


@contextmanager
def running_demo_server() -> Iterator[str]:
    """Start the bundled server on a free loopback port, and end it when the block is left.

    The child ends by itself when its standard input does, so it does not outlive this process, not even a killed one.

    Yields:
        The URL of its MCP endpoint, such as ``http://127.0.0.1:40123/mcp``.

    Raises:
        DemoServerDied: it did not listen within a minute.
    """
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(  # nosec B603  # a fixed command, without a shell
            [sys.executable, "-m", "mcp_sync.demo", "--port", "0", "--until-stdin-closes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            # A Ctrl-C in the terminal reaches the whole process group; the child shall end when this process is done.
            start_new_session=True,
        )
        try:
            yield _url(process, complaints)
        finally:
            _end(process)


def _url(process: subprocess.Popen[bytes], complaints: IO[bytes]) -> str:
    stdout = process.stdout
    assert stdout is not None  # nosec B101  # it is a pipe
    lines: list[bytes] = []
    reader = threading.Thread(target=lambda: lines.append(stdout.readline()), name="mcp-sync-demo-start")
    reader.start()
    reader.join(START_TIMEOUT)
    if reader.is_alive():
        process.kill()  # which ends the line that the reader waits for
        reader.join()
    words = lines[0].split()
    if not words or not words[-1].startswith(b"http://"):
        _end(process)
        complaints.seek(0)
        said = complaints.read().decode("utf-8", "replace").strip()
        raise DemoServerDied(f"the bundled server did not start: {said or 'it said nothing within a minute'}")
    return words[-1].decode("ascii")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the child: close its stdin, then SIGTERM, then SIGKILL; and reap it."""
    assert process.stdin is not None  # nosec B101  # it is a pipe
    assert process.stdout is not None  # nosec B101  # it is a pipe
    process.stdin.close()
    for insist in (process.terminate, process.kill):
        try:
            process.wait(STOP_TIMEOUT)
            break
        except subprocess.TimeoutExpired:
            insist()
    process.wait()
    process.stdout.close()
