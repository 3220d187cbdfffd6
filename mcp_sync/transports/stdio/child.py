"""A child process: how it is started, how lines are written to it, how its exit is seen, and how it is ended together
with all that it started.

Runs on: the transport's reader thread, which starts the child, closes its stdin and reaps it; any thread for the rest.

A child leads a session and a process group of its own, so Ctrl-C does not reach it, and the processes that it started
are ended with it: by a signal to the group, sent before the child is reaped, because until then its number stays its
own.
"""

from __future__ import annotations

import errno
import ntpath
import os
import shutil
import signal
import subprocess  # nosec B404  # to start the user's own command
import sys
import threading
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Set

from ...concurrency.clock import monotonic
from ...concurrency.deadline import Deadline
from ...concurrency.forks import in_child
from ...concurrency.log import Log
from ...errors import MCPClientError, MCPConnectionError
from ...escape import excerpt
from .pipes import CAN_POLL, Descriptors, Pipes, PolledPipes, PumpedPipes, is_of_the_pipe

__all__ = ["Child", "Line", "Stdin", "environment", "start_error"]

_log = Log(__name__)

_WINDOWS = sys.platform == "win32"
# A server gets what a shell needs, and what the user gives it: the rest of this process's environment may be secret.
_INHERITED = (
    (
        "APPDATA HOMEDRIVE HOMEPATH LOCALAPPDATA PATH PATHEXT PROCESSOR_ARCHITECTURE SYSTEMDRIVE SYSTEMROOT TEMP "
        "USERNAME USERPROFILE"
    )
    if _WINDOWS
    else "HOME LOGNAME PATH SHELL TERM USER"
).split()
# How long a process may take to disappear after SIGKILL.
_REAP_SECONDS = 1.0
# Inside double quotes cmd.exe still reads these, so no argument of a batch file can carry them.
_BATCH_UNSAFE = frozenset('"%\r\n\0')


def environment(extra: Mapping[str, str]) -> Dict[str, str]:
    """The environment of a server: an allow-list out of ours, and ``extra`` over it.

    Shell functions that bash exports as variables, ``() { ...``, are left out: a shell would run what they hold.
    """
    ours = ((name, os.environ.get(name)) for name in _INHERITED)
    env = {name: value for name, value in ours if value is not None and not value.startswith("()")}
    env.update({name.upper(): value for name, value in extra.items()} if _WINDOWS else extra)
    return env


class Line:
    """A line that is being written to a child.

    Attributes:
        was_begun: whether it was this line's turn to be written at all.
        written: how many of its bytes are known to have been written.
        in_doubt: whether there may have been more: the last write was interrupted before its result was seen.
        refused: whether stdin is closed at the other end.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.was_begun = False
        self.written = 0
        self.in_doubt = False
        self.refused = False

    @property
    def is_whole(self) -> bool:
        return self.written == len(self.data)

    @property
    def is_cut(self) -> bool:
        """Whether only a part of it was written, and the child may still read: then no other line can follow it."""
        return not self.refused and (self.in_doubt or 0 < self.written < len(self.data))


class Stdin:
    """Writes whole lines to a child, one at a time."""

    def __init__(self, pipes: Pipes) -> None:
        self._pipes = pipes
        # Held by the thread that writes or closes. Re-entrant because such a lock knows its owner: a KeyboardInterrupt
        # can come right after it was acquired, before that is recorded anywhere else.
        self._writer = threading.RLock()
        self._busy = False
        self._closing = False

    def write(self, line: Line, deadline: Deadline, is_over: Callable[[], bool]) -> None:
        """Write ``line`` until ``deadline`` or until ``is_over()``, and record in it how much was written.

        Any thread. A signal handler that interrupts a write of its own thread writes nothing.
        """
        try:
            if self._writer.acquire(timeout=deadline.remaining) and not self._busy:
                self._write(line, deadline, is_over)
        finally:
            # This must come first: the interpreter runs signal handlers at calls.
            try:
                self._writer.release()
            except RuntimeError:
                pass  # it was not acquired

    def _write(self, line: Line, deadline: Deadline, is_over: Callable[[], bool]) -> None:
        pipes = self._pipes
        start, was_in_doubt = pipes.written, pipes.in_doubt
        data = memoryview(line.data)
        try:
            self._busy = line.was_begun = True
            start, was_in_doubt = pipes.written, pipes.in_doubt  # a signal handler may have written until here
            end = start + len(line.data)
            _write(pipes, data, end, deadline, is_over)
        except OSError as exc:
            if not is_of_the_pipe(exc):
                raise
            line.refused = True
        finally:
            self._busy = False
            line.written, line.in_doubt = pipes.written - start, pipes.in_doubt and not was_in_doubt
            if self._closing:
                pipes.close_stdin()

    def close(self, seconds: float) -> None:
        """Close stdin. A thread that still writes after ``seconds``, though it was woken, closes it when it is done."""
        self._closing = True
        if self._writer.acquire(timeout=seconds):
            try:
                if not self._busy:
                    self._pipes.close_stdin()
            finally:
                self._writer.release()


def _write(pipes: Pipes, data: memoryview, end: int, deadline: Deadline, is_over: Callable[[], bool]) -> None:
    while pipes.written < end and not (is_over() or deadline.expired or pipes.in_doubt):
        pipes.write(data[pipes.written - end :], deadline.remaining)


class Child:
    """A process that this one has started.

    Attributes:
        pipes: its three pipes, and a way to wake the threads that wait for one of them.
        stdin: writes lines to it.
        exited: whether ``has_exited`` has seen that it has.
        code: its exit code, negative for a signal; None where other code of this process has collected it.

    Raises:
        OSError, ValueError: it could not be started.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Optional[str]) -> None:
        self.exited = False
        self.code: Optional[int] = None
        # Held while a signal is sent, and while the child is reaped. Re-entrant because a finalizer may run meanwhile.
        self._guard = threading.RLock()
        self._reaped = False
        self._fds = Descriptors()
        ours: List[int] = []
        theirs: List[int] = []
        try:
            for end in (1, 0, 0):
                pair = os.pipe()
                self._fds.add(*pair)
                ours.append(pair[end])
                theirs.append(pair[1 - end])
            self._process = _spawn(argv, theirs, env, cwd)
        except BaseException:
            self._fds.close_all()
            raise
        finally:
            self._fds.close(*theirs)
        self.pid = self._process.pid
        _children.add(self)
        try:
            if CAN_POLL:
                self.pipes: Pipes = PolledPipes(self._fds, ours[0], ours[1], ours[2], self.pid)
            else:
                self.pipes = PumpedPipes(self._fds, ours[0], ours[1], ours[2])
        except BaseException:
            self.kill()
            self.reap()
            self._fds.close_all()
            raise
        self.stdin = Stdin(self.pipes)

    def has_exited(self) -> bool:
        """Whether it has exited. Any thread. This does not reap it, where the system can tell without."""
        if self.exited:
            return True
        if not hasattr(os, "waitid"):
            code = self._process.poll()
            if code is not None:
                self.code = code
                self.exited = True
            return self.exited
        with self._guard:
            if self._reaped:
                return self.exited
            try:
                seen = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                self.exited = True  # SIGCHLD is ignored, or other code waits for every child of this process
                return True
        if seen is not None:
            self.code = seen.si_status if seen.si_code == os.CLD_EXITED else -seen.si_status
            self.exited = True
        return self.exited

    def exit_text(self) -> str:
        """How it ended, for an error's text."""
        if self.code is None:
            return "ended, and somebody else collected its exit code"
        if self.code >= 0:
            return f"exited with code {self.code}"
        try:
            return f"was killed by {signal.Signals(-self.code).name}"
        except ValueError:
            return f"was killed by signal {-self.code}"

    def terminate(self) -> None:
        """Send SIGTERM to it and to all that it started."""
        self._signal("SIGTERM")

    def kill(self) -> None:
        """Send SIGKILL to it and to all that it started."""
        self._signal("SIGKILL")

    def _signal(self, name: str) -> None:
        with self._guard:
            if self._reaped:
                return  # its number may be another process's by now
            if _WINDOWS:
                _kill_tree(self._process)
                return
            try:
                os.killpg(self.pid, getattr(signal, name))
            except (ProcessLookupError, PermissionError):
                pass  # no process is left, or none that this one may signal

    def reap(self) -> bool:
        """Collect its exit code. Returns False where it has not exited although it was killed."""
        until = monotonic() + _REAP_SECONDS
        while not self.has_exited() and monotonic() < until:
            time.sleep(0.005)
        with self._guard:
            self._reaped = True
            gone = self._process.poll() is not None
        _children.discard(self)
        return gone

    def end_at_once(self) -> None:
        """Kill it and collect its exit code, unless it was collected."""
        if not self._reaped:
            self.kill()
            self.reap()
            self.pipes.close()

    def forget(self) -> None:
        """In a forked process: close its pipes here; the child belongs to the parent."""
        self._fds.close_all()
        self._process.returncode = 0  # nothing to wait for, and nothing to warn about


def _spawn(argv: Sequence[str], pipes: Sequence[int], env: Mapping[str, str], cwd: Optional[str]) -> Any:
    options: Dict[str, Any] = {"start_new_session": True}
    if _WINDOWS:
        options = {"creationflags": 0x00000200 | 0x08000000}  # CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW
    return subprocess.Popen(  # noqa: S603  # nosec B603  # the user's own command, without a shell
        _windows_command(argv, env) if _WINDOWS else list(argv),
        stdin=pipes[0],
        stdout=pipes[1],
        stderr=pipes[2],
        env=dict(env),
        cwd=cwd,
        close_fds=True,
        **options,
    )


def _windows_command(argv: Sequence[str], env: Mapping[str, str]) -> Any:
    """Windows finds ``npx.cmd`` for "npx" only if it is looked for, and gives the arguments of a batch file to cmd.exe,
    which reads them in its own way.
    """
    found = shutil.which(argv[0], path=env.get("PATH")) or argv[0]
    if not found.lower().endswith((".cmd", ".bat")):
        return [found, *argv[1:]]
    if any(_BATCH_UNSAFE.intersection(argument) for argument in argv[1:]):
        raise ValueError("an argument of a batch file cannot hold a quote, a percent sign or a line break")
    return " ".join(f'"{part}"' for part in (found, *argv[1:]))


def _kill_tree(process: Any) -> None:
    system = os.environ.get("SYSTEMROOT", r"C:\Windows")
    try:
        subprocess.run(  # noqa: S603  # nosec B603  # a program of Windows, and a number
            # By its path: Windows would look for it in the working directory first.
            [ntpath.join(system, "System32", "taskkill.exe"), "/F", "/T", "/PID", str(process.pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_REAP_SECONDS,
            check=False,
        )
        process.kill()
    except (OSError, subprocess.SubprocessError) as exc:
        _log.debug("process %d could not be killed: %s", process.pid, type(exc).__name__)


def start_error(problem: Exception, command: str, cwd: Optional[str]) -> MCPClientError:
    """Why ``command`` could not be started, and what to do. Its arguments stay out of it: they may be secret."""
    number = problem.errno if isinstance(problem, OSError) else None
    is_path = os.path.dirname(command) != ""
    # "server.py --key ..." as one string is a frequent mistake.
    several = command.split() if not os.path.exists(command) else [command]
    name = excerpt(several[0] if several else command)
    if cwd is not None and not os.path.isdir(cwd):
        text = f"the server {name} cannot be started: its working directory {excerpt(cwd)} is not there; check cwd="
    elif number == errno.ENOENT and len(several) > 1:
        text = f"there is no command {name!r} with blanks in its name; pass the command and its arguments as a list"
    elif number == errno.ENOENT and is_path:
        text = f"there is no program {name}, or not the interpreter that its first line names; check the path"
    elif number == errno.ENOENT:
        text = f"the command {name} was not found on PATH; install it, give its full path, or pass a PATH in env="
    elif number == errno.EACCES:
        text = f"the program {name} may not be executed; make it executable, or start it by its interpreter"
    elif number == errno.ENOEXEC:
        text = f"the file {name} is no program; start it by its interpreter, or give it a first line with #!"
    elif number is not None:
        text = f"the server {name} cannot be started: {os.strerror(number)}"
    else:
        text = f"the server {name} cannot be started: {excerpt(str(problem))}"
    error = MCPConnectionError(text, outcome="not_sent")
    if number is not None:
        error.__cause__ = OSError(number, os.strerror(number))  # the library's own names the whole command
    return error


# The children of this process, for a fork.
_children: Set[Child] = set()


def _after_fork_in_child() -> None:
    for child in list(_children):
        child.forget()
    _children.clear()


in_child(_after_fork_in_child)
