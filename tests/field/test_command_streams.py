"""The command without standard input, output or error, and with a full disk behind them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.fault_server import Asked, FaultServer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell closes the streams")


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer("http") as running:
        yield running


def shell(line: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command with redirections."""
    return subprocess.run(
        ["sh", "-c", f'"$0" -m mcp_sync "$@" {line}', sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_a_call_without_standard_input_or_error_works(server: FaultServer, closed: str) -> None:
    done = shell(closed, "call", server.mcp_url, "echo", '{"message": "hi"}')
    assert (done.returncode, done.stdout, done.stderr) == (0, "hi\n", "")


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_a_call_whose_result_nobody_wants_to_see_is_made(server: FaultServer, closed: str) -> None:
    done = shell(closed, "call", server.mcp_url, "echo", '{"message": "hi"}')
    assert (done.returncode, done.stderr) == (0, "")
    assert server.tool_calls["echo"] == 1


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_a_stdio_server_is_started_without_them_too(closed: str) -> None:
    from tests.support.stdio_server import LineServer

    lines = LineServer()
    with lines:
        done = shell(closed, "call", "echo", '{"message": "hi"}', "--", *lines.command)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hi\n", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
class TestAFullDisk:
    @pytest.mark.parametrize(
        "command",
        [["call", "URL", "echo", '{"message": "hi"}'], ["tools", "URL"], ["info", "URL"], ["--help"]],
        ids=str,
    )
    def test_it_is_one_line_on_standard_error(self, server: FaultServer, command: list[str]) -> None:
        done = shell(">/dev/full", *[server.mcp_url if word == "URL" else word for word in command])
        assert done.returncode == 1
        assert done.stderr == "error: the output cannot be written: No space left on device\n"

    def test_behind_both_it_is_the_status_alone(self, server: FaultServer) -> None:
        done = shell(">/dev/full 2>/dev/full", "call", server.mcp_url, "echo", '{"message": "hi"}')
        assert done.returncode == 1

    def test_behind_standard_error_progress_is_lost_and_the_result_is_not(self, server: FaultServer) -> None:
        def work(asked: Asked) -> None:
            asked.progress(1)
            asked.text("hi")
            if asked.stream is not None:
                asked.stream.end()

        server.answers = "sse"
        server.tools["work"] = work
        done = shell("2>/dev/full", "call", "--progress", server.mcp_url, "work")
        assert (done.returncode, done.stdout) == (0, "hi\n")


def test_a_file_that_cannot_be_written_is_named(server: FaultServer) -> None:
    done = shell("", "read", server.mcp_url, "test://one", "-o", "/nowhere/at/all")
    assert done.returncode == 1
    assert done.stderr == "error: /nowhere/at/all cannot be written: No such file or directory\n"
