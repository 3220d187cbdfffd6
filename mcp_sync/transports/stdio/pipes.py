"""The three pipes of a child process: waiting for bytes with a limit.

Runs on: the transport's reader thread for ``read`` and ``close``; its stderr thread for ``read_stderr`` and
``close_stderr``; one sending thread at a time for ``write``; any thread for ``wake``.

Where there is ``poll``, nothing in here blocks: each wait is for a pipe, the child's exit (a pidfd) or ``wake``, and
has a time limit. Windows cannot wait for a pipe: there a thread of its own blocks in each, and is freed when the child
is killed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import select
import sys
import threading
import weakref
from typing import Any, Dict, Optional, Tuple, Union

from ...concurrency.events import Event
from ...concurrency.forks import in_child

__all__ = ["CAN_POLL", "Descriptors", "Pipes", "PolledPipes", "PumpedPipes", "is_of_the_pipe"]

CAN_POLL = hasattr(select, "poll") and sys.platform != "win32"
# What a pipe of Linux holds.
_CHUNK = 65536
# Without a pidfd (macOS, old kernels) a read ends this often, so that its caller can look for the child's exit.
_LOOK_SECONDS = 0.1


def is_of_the_pipe(error: OSError) -> bool:
    """Whether a call on a pipe failed with ``error`` by itself.

    A signal handler that interrupts the call may raise an OSError too, such as TimeoutError; that has no number.
    """
    return error.errno is not None and not isinstance(error, TimeoutError)


class Descriptors:
    """File descriptors that this process has opened, each closed once: by the thread that uses it, or after a fork.

    A program that becomes a daemon closes all descriptors above 2, and its next files get their numbers: so what a
    number stands for is remembered, and one that is another file's by now is neither used nor closed.
    """

    def __init__(self) -> None:
        self._open: Dict[int, Tuple[int, int]] = {}
        _all.add(self)

    def add(self, *descriptors: Optional[int]) -> None:
        for fd in descriptors:
            if fd is not None:
                self._open[fd] = _identity(fd)

    def check(self, fd: int) -> None:
        """Raise OSError unless ``fd`` is still what it was."""
        if _identity(fd) != self._open.get(fd):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def close(self, *descriptors: Optional[int]) -> None:
        for fd in descriptors:
            # In this order: a fork in between must not find a number here that belongs to another file by now.
            identity = None if fd is None else self._open.pop(fd, None)
            if fd is not None and identity is not None:
                with contextlib.suppress(OSError):
                    if _identity(fd) == identity:
                        os.close(fd)

    def close_all(self) -> None:
        self.close(*self._open)


def _identity(fd: int) -> Tuple[int, int]:
    """What ``fd`` stands for. Raises OSError where it stands for nothing."""
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


# Those of this process, for a fork.
_all: weakref.WeakSet[Descriptors] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """A server's stdin ends when the last copy is closed, and the parent's must be the last."""
    for descriptors in list(_all):
        descriptors.close_all()


in_child(_after_fork_in_child)


class PolledPipes:
    """Pipes that are waited for with ``poll``.

    Attributes:
        written: how many bytes went into stdin.
        in_doubt: whether there may have been more: a write was interrupted before its result was seen.
        ended: whether stdout has come to its end.

    Parameters:
        fds: gets the descriptors that are opened here; the three are in it.
        pid: of the child.
    """

    def __init__(self, fds: Descriptors, stdin: int, stdout: int, stderr: int, pid: int) -> None:
        self.written = 0
        self.in_doubt = False
        self.ended = False
        self._fds = fds
        self._stdin, self._stdout, self._stderr = stdin, stdout, stderr
        # Held by ``wake``, and while the wake pipe is closed. Re-entrant because a finalizer may call ``wake`` in it.
        self._guard = threading.RLock()
        # A byte in it, which is never read, frees every thread that waits, now and later.
        self._wake_read, self._wake_write = os.pipe()
        fds.add(self._wake_read, self._wake_write)
        os.set_blocking(self._wake_write, False)
        os.set_blocking(stdin, False)
        # One for the reader and one for the stderr thread: each closes its own.
        self._exit, self._exit_too = _open_pidfd(pid), _open_pidfd(pid)
        fds.add(self._exit, self._exit_too)
        self._reading = _poller(stdout, self._wake_read, self._exit)
        self._reading_stderr = _poller(stderr, self._exit_too)
        self._writing = _poller(self._wake_read)
        self._writing.register(stdin, select.POLLOUT)

    def read(self, seconds: float) -> Optional[bytes]:
        """What has come from stdout; b"" at its end; None when ``seconds`` passed, the child exited, or ``wake`` was
        called, each of the latter two once.
        """
        data = self._read(self._stdout, self._reading, self._exit, seconds)
        if data == b"":
            self.ended = True
        return data

    def read_stderr(self, seconds: float) -> Optional[bytes]:
        """The same for stderr, which ``wake`` does not touch."""
        return self._read(self._stderr, self._reading_stderr, self._exit_too, seconds)

    def _read(self, fd: int, poller: Any, exit_fd: Optional[int], seconds: float) -> Optional[bytes]:
        data: Optional[bytes] = None
        if exit_fd is None:
            seconds = min(seconds, _LOOK_SECONDS)
        for ready, _ in poller.poll(_milliseconds(seconds)):
            if ready == fd:
                data = self._read_some(fd)
            if ready != fd or not data:
                poller.unregister(ready)  # it stays ready, and nothing more comes from it
        return data

    def _read_some(self, fd: int) -> bytes:
        try:
            self._fds.check(fd)
        except OSError:
            return b""  # other code of this process has closed it
        return os.read(fd, _CHUNK)

    def write(self, data: memoryview, seconds: float) -> None:
        """Write as much as the pipe takes at once, waiting for room if there is none; ``written`` says how much.

        Raises:
            OSError: the other end is closed.
        """
        if not self._write_some(data) and self._writing.poll(_milliseconds(seconds)):
            self._write_some(data)

    def _write_some(self, data: memoryview) -> bool:
        self._fds.check(self._stdin)
        # A signal handler can raise right after the system call, before its result is seen.
        self.in_doubt = True
        try:
            count = os.write(self._stdin, data)
        except OSError as exc:
            if isinstance(exc, BlockingIOError):
                self.in_doubt = False
                return False
            self.in_doubt = not is_of_the_pipe(exc)
            raise
        self.written += count
        self.in_doubt = False
        return True

    def unread(self) -> Optional[int]:
        """How many bytes lie in stdin, not read yet; None where the system does not tell. Any thread."""
        if sys.platform != "linux":
            return None  # elsewhere the end that writes is not told what the other has read
        import fcntl
        import termios

        count = bytearray(4)
        try:
            fcntl.ioctl(self._stdin, termios.FIONREAD, count)
        except OSError:
            return None  # it was closed meanwhile
        return int.from_bytes(count, sys.byteorder)

    def wake(self) -> None:
        """Free every thread that waits for stdin or stdout. Any thread; does not block."""
        with self._guard:
            if self._wake_write >= 0:
                try:
                    self._fds.check(self._wake_write)
                    os.write(self._wake_write, b"\0")
                except OSError:
                    pass  # full of wakes; or closed by other code, and that has woken them

    def disown(self) -> None:
        """After a fork: the child is the parent's, and the numbers of the descriptors may be reused soon."""
        self._wake_write = -1

    def close_stdin(self) -> None:
        self._fds.close(self._stdin)

    def close_stderr(self) -> None:
        self._fds.close(self._stderr, self._exit_too)

    def close(self) -> None:
        """Close the rest."""
        self._fds.close(self._stdout, self._exit)
        with self._guard:
            descriptors = self._wake_read, self._wake_write
            self._wake_write = -1
            self._fds.close(*descriptors)


def _open_pidfd(pid: int) -> Optional[int]:
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None  # an old kernel, a sandbox, or other code has reaped the child already


def _poller(*descriptors: Optional[int]) -> Any:
    poller = select.poll()
    for fd in descriptors:
        if fd is not None:
            poller.register(fd, select.POLLIN)
    return poller


def _milliseconds(seconds: float) -> float:
    return min(seconds * 1000.0, 1e9)


class PumpedPipes:
    """Pipes that cannot be waited for: one thread blocks in stdout, one in stdin, the stderr thread in stderr. See
    ``PolledPipes``.

    These threads end because the child does, and its end of each pipe is closed then.
    """

    def __init__(self, fds: Descriptors, stdin: int, stdout: int, stderr: int) -> None:
        self.written = 0
        self.in_doubt = False
        self.ended = False
        self._fds = fds
        self._stdin, self._stdout, self._stderr = stdin, stdout, stderr
        self._chunks: queue.Queue[bytes] = queue.Queue(4)
        # What is to be written; None ends the thread that writes, which closes stdin.
        self._jobs: queue.SimpleQueue[Optional[memoryview]] = queue.SimpleQueue()
        self._failure: Optional[OSError] = None
        # Set when a job is done, and by ``wake``.
        self._done = Event()
        self._woken = False
        self._closed = False
        for pump in (self._pump_out, self._pump_in):
            threading.Thread(target=pump, name="mcp-sync-pump", daemon=True).start()

    def _pump_out(self) -> None:
        data = b"-"
        while data and not self._closed:
            data = _read_blocking(self._stdout)
            while not self._closed:
                try:
                    self._chunks.put(data, timeout=_LOOK_SECONDS)
                    break
                except queue.Full:
                    continue
        self._fds.close(self._stdout)

    def _pump_in(self) -> None:
        for job in iter(self._jobs.get, None):
            rest = job
            try:
                while rest:
                    count = os.write(self._stdin, rest)
                    self.written += count
                    rest = rest[count:]
            except OSError as exc:
                self._failure = exc
            self.in_doubt = False
            self._done.set()
        self._fds.close(self._stdin)

    def read(self, seconds: float) -> Optional[bytes]:
        try:
            data = self._chunks.get(timeout=min(seconds, _LOOK_SECONDS))
        except queue.Empty:
            return None
        if not data:
            self.ended = True
        return data

    def read_stderr(self, seconds: float) -> Optional[bytes]:
        return _read_blocking(self._stderr)

    def write(self, data: memoryview, seconds: float) -> None:
        self._done.clear()  # an earlier write may have left it set
        self.in_doubt = True
        self._jobs.put(data)
        if not self._woken:
            self._done.wait(seconds)
        if self._failure is not None:
            raise self._failure

    def unread(self) -> Optional[int]:
        return None

    def wake(self) -> None:
        self._woken = True
        self._done.set()

    def close_stdin(self) -> None:
        self._jobs.put(None)

    def close_stderr(self) -> None:
        self._fds.close(self._stderr)

    def close(self) -> None:
        self._closed = True
        self._jobs.put(None)


def _read_blocking(fd: int) -> bytes:
    try:
        return os.read(fd, _CHUNK)
    except OSError:
        return b""


Pipes = Union[PolledPipes, PumpedPipes]
