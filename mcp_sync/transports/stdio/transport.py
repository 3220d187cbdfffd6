"""The stdio binding (every revision, Transports, stdio): the server is a child process, and each message is one line.

Runs on: one reader thread per transport, which starts the child, reads it, ends it and reaps it; one thread that
drains the child's stderr; ``send`` on any number of calling threads.

The reader thread ends because each of its waits does: it waits for the child's stdout, its exit or ``interrupt``,
whichever comes first. Once the child is being ended each step has a time limit, and the last one is SIGKILL. The stderr
thread ends at the end of stderr, or a moment after the child has exited, even if another process holds the pipe open.
"""

from __future__ import annotations

import math
import os
import threading
from typing import Callable, List, Mapping, Optional

from ...concurrency.clock import monotonic
from ...concurrency.deadline import Deadline
from ...concurrency.events import Event
from ...concurrency.log import Log
from ...concurrency.threads import join
from ...config import MCPClientConfig
from ...errors import MCPClientError, MCPClosedError, MCPConnectionError, MCPTimeoutError
from ...escape import command_name
from ...protocol.messages import Message
from ..base import Delivery, Sink
from ..masking import Secrets
from .child import Child, Line, environment, start_error
from .lines import Messages, ServerLog, line_of

__all__ = ["StdioTransport"]

# By the name of the package, which programs know: the server's stderr goes there.
_log = Log(__package__ or __name__)

# When a child ends by itself, or cannot be used any more, its callers get the error within half a second: what it has
# written last has this long to arrive, and the processes that it started have this long after SIGTERM.
_GRACE = 0.15
# How often the reader checks the time while it ends a child.
_TICK = 0.02
# A caller who finds that nothing can be sent waits this long for the reader to find out why.
_REPORT_SECONDS = 0.5
# A server gets SIGTERM so long after its stdin was closed, and SIGKILL so long after that, if the deadline allows: the
# specification leaves the times open (2025-11-25, Lifecycle, Shutdown, stdio).
_PATIENCE = 2.0


class StdioTransport:
    """A server that this process starts, and that ends with it.

    What the server writes to stderr is its log: each line goes, escaped, to the logger ``mcp_sync.transports.stdio``
    at INFO. So ``logging.basicConfig(level=logging.INFO)`` shows it, and a program that configures no logging stays
    quiet; only in a notebook the lines are shown below the cell then. The last 2 kB also go into the error when the
    server ends. The values of ``env`` and the arguments are masked in all of them.

    Parameters:
        argv: the command, which is looked up on the PATH that the server gets, and its arguments.
        config: ``env`` and ``cwd`` are the server's.
        sink: where what arrives goes.
    """

    name = "stdio"
    shares_stream = True
    closing_cancels = False
    has_headers = False
    heard_at: Optional[float] = None
    get_stream_is_open = False

    def __init__(self, argv: List[str], config: MCPClientConfig, sink: Sink) -> None:
        self._argv = argv
        self._config = config
        self._sink = sink
        self._pid = os.getpid()
        self.secrets = Secrets.of_command(argv, config.env)
        self._server_log = ServerLog(_log, command_name(argv[0]), self.secrets)
        # Guards the three below.
        self._guard = threading.RLock()
        self._child: Optional[Child] = None
        # Why nothing can be sent any more: the first reason that was found.
        self._cause: Optional[MCPClientError] = None
        # When the child must be gone.
        self._end_at = math.inf
        self._reader: Optional[threading.Thread] = None
        self._stderr_thread: Optional[threading.Thread] = None
        # Set when the child runs, or cannot be started.
        self._started = Event()
        # Set when the session is over, after ``_report``: the error with all that is known about how the child ended.
        self._ended = Event()
        self._report: Optional[MCPClientError] = None
        self._received = False
        self._messages = Messages(config.max_message_bytes, self._server_log)

    @property
    def session_id(self) -> Optional[str]:
        return None

    @property
    def has_read(self) -> bool:
        """Whether the server has read all that it was sent, as far as the system can tell; True where it cannot."""
        child = self._child
        return child is None or child.pipes.unread() in (None, 0)

    # Opening

    def open(self, deadline: Deadline) -> None:
        """Start the server.

        Raises:
            MCPConnectionError: it cannot be started, or ended at once.
            MCPTimeoutError: starting it takes too long.
        """
        try:
            error = self._cause or self._start_reader()
            if error is None:
                self._started.wait(deadline.remaining)
        except BaseException:
            self.interrupt()
            raise
        if error is not None:
            self._sink.lost(error)
        elif self._started.is_set():
            error = self._report
        else:
            late = f"the server was not started within {deadline.timeout:g} s"
            self._give_up(MCPTimeoutError(late, outcome="not_sent"))
            error = self._cause
        if error is not None:
            raise _copy(error, "not_sent")

    def _start_reader(self) -> Optional[MCPClientError]:
        self._reader = threading.Thread(target=self._run, name="mcp-sync-reader", daemon=True)
        try:
            self._reader.start()
        except RuntimeError as exc:
            return MCPConnectionError(f"no thread could be started for the server: {exc}", outcome="not_sent")
        return None

    def agree(self, headers: Mapping[str, str], *, stateful: bool) -> None:
        """Nothing changes: this binding has no headers, and one stream for as long as the child lives."""

    def open_get_stream(self, deadline: Deadline) -> None:
        """Nothing to do: everything comes on the one stream."""

    def wait_for_get_stream(self, deadline: Deadline) -> bool:
        """Nothing to wait for."""
        return True

    # The reader thread

    def _run(self) -> None:
        error = self._error_of(self._read_to_the_end)
        child = self._child
        if child is not None:
            # Senders wait for the exit report from here on.
            self._give_up(error or MCPConnectionError("the server ended", outcome="unknown"))
            error = self._error_of(lambda: self._end(child, error))
            self._error_of(child.end_at_once)  # whatever may have failed before
        assert error is not None  # nosec B101  # only a child that was started can end without one
        with self._guard:
            self._report = error
            if self._cause is None:
                self._cause = error
        # In this order: a sender who is woken may try again at once, and must find the session lost.
        self._sink.lost(error)
        self._ended.set()
        self._started.set()
        self._messages.end()

    def _error_of(self, step: Callable[[], Optional[MCPClientError]]) -> Optional[MCPClientError]:
        try:
            return step()
        except MCPClientError as exc:
            return exc
        except BaseException as exc:  # noqa: BLE001  # whatever it is, it must reach those who wait
            _log.exception("the reader of %s failed", self._server_log.server)
            error = MCPConnectionError(f"the reader failed: {type(exc).__name__}", outcome="unknown")
            error.__cause__ = exc
            return error

    def _read_to_the_end(self) -> Optional[MCPClientError]:
        """Start the child and read it. Returns why it must be ended, or None where it has ended by itself."""
        if self._cause is None:
            self._read(self._start())
        return self._cause

    def _start(self) -> Child:
        problem: Exception
        try:
            child = Child(self._argv, environment(self._config.env), self._config.cwd)
        except (OSError, ValueError) as exc:
            problem = exc
        else:
            with self._guard:
                self._child = child
                if self._cause is not None:
                    child.pipes.wake()
            thread = threading.Thread(target=self._read_stderr, args=(child,), name="mcp-sync-stderr", daemon=True)
            thread.start()
            self._stderr_thread = thread
            _log.debug("%s was started as process %d", self._server_log.server, child.pid)
            self._started.set()
            return child
        raise start_error(problem, self._argv[0], self._config.cwd)

    def _read(self, child: Child) -> None:
        """Read until stdout ends, the child has exited, or there is a reason to stop."""
        pipes = child.pipes
        until = math.inf
        while self._cause is None and not pipes.ended and monotonic() < until:
            chunk = pipes.read(math.inf if until == math.inf else _TICK)
            if chunk:
                messages = self._messages.feed(chunk)
                if messages:
                    self._received = True
                    self._sink.arrived(messages)
            elif until != math.inf:
                return
            if until == math.inf and child.has_exited():
                # All that it has written is in the pipe by now; another process may hold that open, or write to it.
                until = monotonic() + _GRACE

    # Ending, on the reader thread

    def _end(self, child: Child, why: Optional[MCPClientError]) -> MCPClientError:
        """End the child, all that it started, and the stderr thread. Returns ``why``, or else the exit report."""
        child.stdin.close(_GRACE)
        is_close = isinstance(self._cause, MCPClosedError)
        began = monotonic()
        steps: List[Callable[[], None]] = [child.kill, child.terminate]
        while not child.has_exited():
            passed = monotonic() - began
            pause = min(_PATIENCE, 0.4 * max(0.0, self._end_at - began)) if is_close else _GRACE
            while steps and passed >= pause * (3 - len(steps)):
                steps.pop()()
            if not steps and passed >= 2 * pause + _PATIENCE:
                break
            child.pipes.read(_TICK)  # it is dropped, but a full pipe would keep the child from exiting
        grace = min(1.0, 0.4 * max(0.0, self._end_at - monotonic())) if is_close else _GRACE
        self._end_descendants(child, grace)
        if not child.reap():
            _log.warning("process %d of %s is still there after SIGKILL", child.pid, self._server_log.server)
        if self._stderr_thread is not None:
            join(self._stderr_thread, _GRACE)
        else:
            child.pipes.close_stderr()
        child.pipes.close()
        return why or self._exit_report(child, ended_by_itself=len(steps) == 2)

    def _end_descendants(self, child: Child, grace: float) -> None:
        """End the processes that the child started: they may hold its pipes, and have something to finish."""
        child.terminate()
        until = monotonic() + grace
        stderr_thread = self._stderr_thread
        while monotonic() < until:
            if not child.pipes.ended:
                child.pipes.read(_TICK)
            elif stderr_thread is not None and stderr_thread.is_alive():
                join(stderr_thread, _TICK)
            else:
                break
        child.kill()

    def _exit_report(self, child: Child, ended_by_itself: bool) -> MCPClientError:
        what = child.exit_text() if ended_by_itself else "closed its stdout but did not exit, so it was ended"
        when = "" if self._received else " before it sent anything; try the command by hand"
        said = self._messages.remark() + self._server_log.tail()
        return MCPConnectionError(f"the server {what}{when}{said}", outcome="unknown")

    # The stderr thread

    def _read_stderr(self, child: Child) -> None:
        until = math.inf
        try:
            while monotonic() < until:
                chunk = child.pipes.read_stderr(max(0.0, until - monotonic()))
                if chunk:
                    self._server_log.wrote(chunk)
                elif chunk is not None:
                    break
                if until == math.inf and child.has_exited():
                    until = monotonic() + _GRACE
            self._server_log.flush()
        finally:
            child.pipes.close_stderr()

    # Sending

    def remark(self) -> str:
        return self._messages.remark()

    def send(
        self,
        message: Message,
        deadline: Deadline,
        delivery: Optional[Delivery] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Write one message; the answer, if there is one, comes on the stream.

        A message of which only a part could be written ends the stream for everybody: the next one must not go on in
        the middle of its line.

        Raises:
            MCPConnectionError, MCPClosedError: the server has ended, or is being ended.
            MCPTimeoutError: it does not read.
        """
        data = line_of(message)
        if self._pid != os.getpid():
            raise MCPClosedError("the server belongs to the process that this one was forked from", outcome="not_sent")
        child, cause = self._child, self._cause
        if child is None or cause is not None:
            raise self._why("not_sent", deadline)
        line = Line(data)
        try:
            child.stdin.write(line, deadline, self._has_failed)
        finally:
            if line.is_cut:
                text = "the server stopped reading in the middle of a message"
                self._give_up(MCPConnectionError(text, outcome="unknown"))
        if line.is_whole:
            return
        outcome = "unknown" if line.written or line.in_doubt else "not_sent"
        if line.refused or (line.was_begun and not deadline.expired):
            raise self._why(outcome, deadline)
        problem = "other messages kept stdin" if not line.was_begun else "the server did not read its stdin"
        ends = "; it is ended, because a message was written in part" if outcome == "unknown" else ""
        raise MCPTimeoutError(f"{problem} for {deadline.elapsed:.1f} s{ends}", outcome=outcome)

    def _has_failed(self) -> bool:
        return self._cause is not None

    def _why(self, outcome: str, deadline: Deadline) -> MCPClientError:
        """Why nothing can be sent."""
        if not isinstance(self._cause, MCPClosedError):
            self._ended.wait(min(_REPORT_SECONDS, deadline.remaining))
        if self._report is None:
            self._give_up(MCPConnectionError("the server closed its stdin, so nothing can be sent", outcome="unknown"))
        error = self._report or self._cause
        assert error is not None  # nosec B101  # it was given up
        return _copy(error, outcome)

    # Ending

    def _give_up(self, cause: MCPClientError) -> None:
        """Send nothing any more, because of ``cause``; free all that are blocked. Any thread; does not block."""
        with self._guard:
            if self._cause is None:
                self._cause = cause
                self._end_at = min(self._end_at, monotonic() + self._config.close_timeout)
            child = self._child
        if child is not None:
            child.pipes.wake()

    def disown(self) -> None:
        """This process was forked from the one that started the server."""
        self._child = None
        if self._cause is None:
            self._cause = MCPClosedError(
                "the server belongs to the process that this one was forked from", outcome="not_sent"
            )
        self._ended.set()
        self._started.set()

    def interrupt(self) -> None:
        # A forked process shares the pipes, but the server is its parent's.
        if self._pid == os.getpid():
            self._give_up(MCPClosedError("the client was closed while this call was under way", outcome="unknown"))

    def close(self, deadline: Deadline) -> None:
        """End the server: its stdin is closed, then it is asked to end, then killed, with all that it started."""
        if self._pid != os.getpid():
            return
        with self._guard:
            self._end_at = min(self._end_at, deadline.at)
        self.interrupt()
        threads = [thread for thread in (self._reader, self._stderr_thread) if thread is not None]
        if threading.current_thread() in threads:
            return  # a thread cannot wait for itself; both end soon after this returns
        for thread in threads:
            join(thread, deadline.remaining)
        child = self._child
        if child is not None and deadline.expired and any(thread.is_alive() for thread in threads):
            child.kill()  # whatever keeps the reader from it, the server must not stay


def _copy(error: MCPClientError, outcome: str) -> MCPClientError:
    twin = error.again()
    twin.outcome = outcome
    return twin
