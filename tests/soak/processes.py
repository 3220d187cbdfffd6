"""The servers and the proxy of a soak: child processes on fixed ports, which end when this process does.

Runs on: the soak's threads; each process belongs to one of them.
"""

from __future__ import annotations

import faulthandler
import math
import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TextIO

__all__ = ["ROOT", "Process", "children", "die_with_stacks_after", "free_port", "marked_processes", "state_of"]

ROOT = Path(__file__).parents[2]
_START_SECONDS = 90.0  # the imports of the SDK take long on a busy machine


class Process:
    """A child process that says a word when it is ready, and ends when its standard input does."""

    def __init__(self, argv: list[str], complaints: Path) -> None:
        self._argv = [sys.executable, *argv]
        self._complaints = complaints
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self._complaints.open("ab") as complaints:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                cwd=ROOT,
                start_new_session=True,
            )
        if not self._read_line(_START_SECONDS):
            self.kill(signal.SIGKILL)
            raise RuntimeError(f"{self._argv} did not start; see {self._complaints}")

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout

    def _read_line(self, seconds: float) -> bytes:
        ready, _, _ = select.select([self._stdout], [], [], seconds)
        return self._stdout.readline() if ready else b""

    def tell(self, word: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())
        self._process.stdin.flush()

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self, number: int) -> None:
        """End it by a signal, and leave nothing of it."""
        assert self._process is not None
        self._process.send_signal(number)
        self._reap()

    def stop(self) -> bytes:
        """End it in order. Returns its last word."""
        if self._process is None:
            return b""
        assert self._process.stdin is not None
        self._process.stdin.close()
        line = self._read_line(10)
        self._reap()
        return line

    def _reap(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdin.close()
        self._stdout.close()


def die_with_stacks_after(seconds: float, file: TextIO) -> None:
    """End this process after so long, whatever it is at, and write the stacks of all its threads.

    Not ``faulthandler.dump_traceback_later``: where that runs, it cannot be called in a forked child.
    """
    faulthandler.register(signal.SIGALRM, file=file, all_threads=True, chain=True)
    signal.alarm(math.ceil(seconds))


def free_port(chance: random.Random) -> int:
    """A port below those that connections get: a server that is away must find it free again."""
    for _ in range(1000):
        port = chance.randrange(20000, 32000)
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("there is no free port")


def children() -> list[int]:
    """The child processes of this one, zombies too."""
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        try:
            found += [int(word) for word in (task / "children").read_text().split()]
        except OSError:
            pass  # the thread has ended
    return found


def state_of(pid: int) -> tuple[str, str]:
    """The state of a process ("Z" is a zombie) and its command line; two empty strings if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return "", ""
    return stat.rpartition(")")[2].split()[0], command


def marked_processes(mark: str, seconds: float) -> list[str]:
    """The other processes that have ``mark`` in their command line; gives them ``seconds`` to end."""
    at = time.monotonic() + seconds
    while True:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                _, command = state_of(int(entry.name))
                if mark in command:
                    found.append(f"{entry.name}: {command}")
        if not found or time.monotonic() > at:
            return found
        time.sleep(0.1)
