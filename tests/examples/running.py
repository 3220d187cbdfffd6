"""Examples and servers as child processes: every wait has a bound, and every child ends with its block.

Used by the test process, on the thread that runs the test; one more thread for each child reads what it prints.
"""

from __future__ import annotations

import codecs
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

__all__ = ["EXAMPLES", "ROOT", "WAIT", "Child", "demo_server", "environ", "python", "running"]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
WAIT = 60.0  # seconds, for what takes a few on an idle machine

# A resource that is not closed shows on standard error, and the tests look there.
_PYTHON = [sys.executable, "-W", "default::ResourceWarning", "-X", "utf8"]


class Child:
    """A process, and what it prints: standard output and standard error in one."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        # Guards what follows.
        self._changed = threading.Condition()
        self._printed = ""
        self._read_to = 0
        self._ended = False
        self._reader = threading.Thread(target=self._read, name="example-output")
        self._reader.start()

    def _read(self) -> None:
        # It ends with the stream, and that ends with the process.
        assert self.process.stdout is not None
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        data = b"."
        while data:
            data = os.read(self.process.stdout.fileno(), 65536)
            with self._changed:
                self._printed += decoder.decode(data)
                self._ended = not data
                self._changed.notify_all()

    @property
    def printed(self) -> str:
        """All that it has printed so far."""
        with self._changed:
            return self._printed

    def expect(self, pattern: str, seconds: float = WAIT) -> re.Match[str]:
        """Wait until it prints something like `pattern`, after what was expected before."""
        compiled = re.compile(pattern, re.MULTILINE)
        with self._changed:
            self._changed.wait_for(lambda: self._ended or compiled.search(self._printed, self._read_to), seconds)
            found = compiled.search(self._printed, self._read_to)
            assert found, f"{'the end' if self._ended else f'{seconds:g} s'} came before {pattern!r}: {self._printed}"
            self._read_to = found.end()
            return found

    def say(self, text: str) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def finish(self) -> int:
        """Close its standard input, wait until it ends by itself, and return the exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        status = self.process.wait(WAIT)
        self._reader.join(WAIT)
        return status

    def end(self) -> None:
        """End it, if it has not ended, and leave nothing of it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        for insist in (self.process.terminate, self.process.kill):
            insist()
            try:
                self.process.wait(5)
                break
            except subprocess.TimeoutExpired:
                pass
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()


def environ(**more: str) -> dict[str, str]:
    """Our environment variables, and some more."""
    return {**os.environ, **more}


def python(*arguments: object) -> list[str]:
    """The command line that runs this interpreter with `arguments`."""
    return [*_PYTHON, *map(str, arguments)]


@contextmanager
def running(command: Sequence[str], environment: Optional[Mapping[str, str]] = None) -> Iterator[Child]:
    """Start a command in the repository, with our environment variables or others, and end it with the block."""
    child = Child(
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**(os.environ if environment is None else environment), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A Ctrl-C in the terminal is for pytest alone, which then ends the children.
            start_new_session=True,
        )
    )
    try:
        yield child
    finally:
        child.end()


@contextmanager
def demo_server(port: int = 0) -> Iterator[tuple[Child, str]]:
    """The bundled server on a port of our choice, so that it can be killed and come back: the child and its URL.

    `tests.support.demo_server` has the one for everything else.
    """
    with running(python("-m", "mcp_sync.demo", "--port", port, "--until-stdin-closes")) as server:
        yield server, server.expect(r"http://\S+/mcp$")[0]
