"""StdioTransport against servers that misbehave: real child processes, no client above it."""

from __future__ import annotations

import base64
import contextlib
import gc
import logging
import math
import os
import shutil
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional, cast

import pytest

from mcp_sync import MCPClientConfig
from mcp_sync.concurrency.deadline import Deadline
from mcp_sync.concurrency.log import Log
from mcp_sync.errors import (
    MCPClientError,
    MCPClosedError,
    MCPConnectionError,
    MCPProtocolError,
    MCPTimeoutError,
)
from mcp_sync.protocol.messages import Message, request, result_of
from mcp_sync.transports.base import Transport
from mcp_sync.transports.masking import Secrets
from mcp_sync.transports.stdio import child as child_module
from mcp_sync.transports.stdio import pipes as pipes_module
from mcp_sync.transports.stdio.child import Child, environment, start_error
from mcp_sync.transports.stdio.lines import Lines, ServerLog
from mcp_sync.transports.stdio.pipes import Pipes
from mcp_sync.transports.stdio.transport import StdioTransport
from tests.support.clock import eventually
from tests.support.stdio_servers import puppet

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="process groups and /proc")

# A bound for what should take no time; nothing waits this long unless it fails.
LONG = 20.0


class CollectingSink:
    """Keeps what arrives, and lets a test wait for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.messages: list[Message] = []
        self.errors: list[MCPClientError] = []
        self.lost_at = math.inf
        self.held: Optional[threading.Event] = None

    def arrived(self, messages: list[Message]) -> None:
        if self.held is not None:
            self.held.wait(LONG)
        with self._changed:
            self.messages += messages
            self._changed.notify_all()

    def route(self, messages: list[Message]) -> None:
        raise AssertionError("a child process has one stream for everything")

    def lost(self, error: MCPClientError) -> None:
        with self._changed:
            self.errors.append(error)
            self.lost_at = time.monotonic()
            self._changed.notify_all()

    def answer_to(self, id: int, timeout: float = LONG) -> dict[str, Any]:
        def found() -> Optional[Message]:
            return next((message for message in self.messages if message.get("id") == id), None)

        with self._changed:
            assert self._changed.wait_for(lambda: found() or self.errors, timeout), f"no answer to {id}"
            message = found()
            assert message is not None, self.errors
        result: dict[str, Any] = result_of(message)
        return result

    def loss(self, timeout: float = LONG) -> MCPClientError:
        with self._changed:
            assert self._changed.wait_for(lambda: self.errors, timeout), "the loss was never told"
        return self.errors[0]


class Talk:
    """One transport and its sink."""

    def __init__(self, argv: list[str], **options: Any) -> None:
        self.sink = CollectingSink()
        self.transport = StdioTransport(argv, MCPClientConfig(**options), self.sink)
        self._ids = iter(range(1, 1_000_000))

    def open(self, timeout: float = LONG) -> Talk:
        self.transport.open(Deadline(timeout))
        return self

    def tell(self, method: str, timeout: float = LONG, **params: Any) -> int:
        id = next(self._ids)
        self.transport.send(request(id, method, params), Deadline(timeout))
        return id

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        return self.sink.answer_to(self.tell(method, **params))

    def doom(self, method: str, **params: Any) -> None:
        """Tell it something that it does not survive; it can be faster than our own writing."""
        with contextlib.suppress(MCPConnectionError):
            self.tell(method, **params)

    def write(self, data: bytes, times: int = 1) -> None:
        self.tell("raw", base64=base64.b64encode(data).decode(), times=times)

    def close(self, timeout: float = 5.0) -> float:
        start = time.monotonic()
        self.transport.interrupt()
        self.transport.close(Deadline(timeout))
        return time.monotonic() - start

    @property
    def pid(self) -> int:
        child = self.transport._child
        assert child is not None
        pid: int = child.pid
        return pid

    @property
    def pipes(self) -> Pipes:
        child = self.transport._child
        assert child is not None
        return child.pipes

    def once_it_is_cut(self, action: Callable[[], object]) -> threading.Thread:
        """Do something when a message has gone out in part, and no more of it fits."""
        before = self.pipes.written

        def wait() -> None:
            assert eventually(lambda: self.pipes.written >= before + 60_000 or self.pipes.in_doubt)
            action()

        thread = threading.Thread(target=wait)
        thread.start()
        return thread


Start = Callable[..., Talk]


def open_fds() -> dict[str, str]:
    fds = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            fds[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            pass
    return fds


def children() -> list[str]:
    """The processes that this one has started and not reaped."""
    found: list[str] = []
    for thread in Path("/proc/self/task").iterdir():
        try:
            found += (thread / "children").read_text().split()
        except OSError:
            pass
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie that waits for somebody else's init does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers, ends them after the test, and looks whether they left anything."""
    gc.collect()
    fds, processes = open_fds(), children()
    talks: list[Talk] = []

    def make(*argv: str, **options: Any) -> Talk:
        talks.append(Talk(list(argv) or puppet(), **options))
        return talks[-1].open()

    yield make
    for talk in talks:
        talk.close(1.0)
        assert len(talk.sink.errors) == 1
    assert eventually(lambda: len(open_fds()) <= len(fds)), f"descriptors were left: {open_fds()} after {fds}"
    assert set(children()) <= set(processes), "a process was left"


@pytest.fixture(params=["pidfd", "no pidfd", "no waitid", "no poll"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the operating system offers: Linux; old Linux; macOS; Windows, as far as that can be played here."""
    name: str = request.param
    if name in ("no pidfd", "no waitid"):
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    if name in ("no waitid", "no poll"):
        monkeypatch.delattr(os, "waitid", raising=False)
    if name == "no poll":
        monkeypatch.setattr(child_module, "CAN_POLL", False)
    return name


# Talking


@pytest.mark.usefixtures("system")
def test_a_message_is_one_line_each_way(start: Start) -> None:
    talk = start()
    assert talk.ask("echo", text="Zażółć\n\u2028gęślą\r") == {"text": "Zażółć\n\u2028gęślą\r"}
    assert talk.close() < 2.0
    assert isinstance(talk.sink.loss(), MCPClosedError)


def test_it_is_a_transport_named_stdio_without_a_session(start: Start) -> None:
    talk = start()
    transport: Transport = talk.transport
    assert transport.name == "stdio"
    assert not transport.closing_cancels
    assert talk.transport.session_id is None
    assert talk.transport.wait_for_get_stream(Deadline(LONG))
    talk.transport.agree({"MCP-Protocol-Version": "2025-11-25"}, stateful=True)
    talk.transport.open_get_stream(Deadline(LONG))
    assert transport.send(request(99, "echo", {}), Deadline(LONG), None, {"Mcp-Method": "echo"}) is None
    assert talk.sink.answer_to(99) == {}


def test_line_separators_do_not_split_a_line_for_servers_that_read_with_nodes_readline(start: Start) -> None:
    script = "import sys\nfor line in sys.stdin.buffer: sys.stdout.buffer.write(line); sys.stdout.flush()"
    talk = start(sys.executable, "-S", "-c", script)
    talk.transport.send({"jsonrpc": "2.0", "id": 1, "result": {"text": "a\u2028b\u2029c"}}, Deadline(LONG))
    assert talk.sink.answer_to(1) == {"text": "a\u2028b\u2029c"}


@pytest.mark.usefixtures("system")
def test_eight_threads_send_at_once_and_no_line_is_mixed_up(start: Start) -> None:
    talk = start()
    barrier = threading.Barrier(8)
    wrong: list[object] = []

    def work(number: int) -> None:
        barrier.wait(LONG)
        for turn in range(20):
            id = 1000 * (number + 1) + turn
            # Longer than a pipe takes at once, so that each write is done in parts.
            params = {"from": number, "turn": turn, "filling": chr(97 + number) * (100_000 if turn % 4 == 0 else 10)}
            talk.transport.send(request(id, "echo", params), Deadline(LONG))
            if talk.sink.answer_to(id) != params:
                wrong.append(id)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * LONG)
    assert not wrong
    assert len(talk.sink.messages) == 160


@pytest.mark.usefixtures("system")
def test_ten_megabytes_in_one_message_each_way(start: Start) -> None:
    text = "x" * 10_000_000
    assert start().ask("echo", text=text) == {"text": text}


# What comes on stdout


def test_noise_is_skipped_and_warned_of_once(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    talk = start()
    with caplog.at_level(logging.WARNING, "mcp_sync.transports.stdio"):
        talk.write(b'Listening on stdio \x1b[31mred\x1b[0m...\n\n   \n{not json}\n42\n"text"\n[]\n', times=3)
        assert talk.ask("echo", n=1) == {"n": 1}
    assert len(caplog.records) == 1
    text = caplog.records[0].getMessage()
    assert "Listening on stdio" in text
    assert "\x1b" not in text


def test_blank_lines_crlf_and_a_byte_order_mark_are_tolerated(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    talk = start()
    talk.write(b'\xef\xbb\xbf{"jsonrpc":"2.0","id":71,"result":{}}\r\n\r\n\n  {"jsonrpc":"2.0","id":72,"result":{}} \n')
    assert talk.sink.answer_to(71) == {}
    assert talk.sink.answer_to(72) == {}
    assert not caplog.records


def test_bytes_that_are_not_utf8_are_replaced(start: Start) -> None:
    talk = start()
    talk.write(b'{"jsonrpc":"2.0","id":71,"result":{"text":"caf\xe9 \xff"}}\n')
    assert talk.sink.answer_to(71) == {"text": "caf\ufffd \ufffd"}


def test_a_batch_is_unpacked(start: Start) -> None:
    talk = start()
    talk.write(b'[{"jsonrpc":"2.0","id":71,"result":{}},{"jsonrpc":"2.0","id":72,"result":{}}]\n')
    assert talk.sink.answer_to(71) == {}
    assert talk.sink.answer_to(72) == {}


def test_a_message_in_single_bytes_is_the_same_message(start: Start) -> None:
    talk = start()
    for byte in '{"jsonrpc":"2.0","id":71,"result":{"text":"ż"}}\n'.encode():
        talk.write(bytes([byte]))
    assert talk.sink.answer_to(71) == {"text": "ż"}


@pytest.mark.usefixtures("system")
def test_a_line_of_100_megabytes_is_over_the_limit_and_ends_the_server(start: Start) -> None:
    talk = start()
    pid = talk.pid
    begun = time.monotonic()
    talk.write(b"x" * 1_000_000, times=100)
    error = talk.sink.loss()
    assert isinstance(error, MCPProtocolError)
    assert "over the limit" in str(error)
    assert time.monotonic() - begun < 5.0
    assert not is_alive(pid)
    with pytest.raises(MCPProtocolError, match="over the limit") as caught:
        talk.tell("echo")
    assert caught.value.outcome == "not_sent"
    assert caught.value is not error


def test_the_limit_is_the_configs(start: Start) -> None:
    talk = start(max_message_bytes=1000)
    frame = b'{"jsonrpc":"2.0","id":%d,"result":{"x":"%s"}}'
    fits = frame % (71, b"x" * (1000 - len(frame % (71, b""))))
    talk.write(fits + b"\n")
    assert talk.sink.answer_to(71)
    talk.write(fits + b" \n")
    assert isinstance(talk.sink.loss(), MCPProtocolError)


@pytest.mark.parametrize(("piece", "count"), [(65536, 1024), (4096, 16384), (1, 1 << 18)])
def test_cutting_lines_takes_linear_time(piece: int, count: int) -> None:
    lines, chunk = Lines(1 << 30), b"x" * piece
    begun = time.perf_counter()
    for _ in range(count):
        assert lines.feed(chunk) == []
    assert len(lines.feed(b"\n{}\n")[0]) == piece * count
    assert time.perf_counter() - begun < 5.0  # joining at each piece takes minutes


@pytest.mark.parametrize("size", range(1, 12))
def test_lines_are_the_same_however_they_are_cut(size: int) -> None:
    text = b"one\n\ntwo\r\n" + b"three" * 5 + b"\n\nfour\nno end"
    lines = Lines(1000)
    found = [line for at in range(0, len(text), size) for line in lines.feed(text[at : at + size])]
    assert found == text.split(b"\n")[:-1]


# stderr


@pytest.mark.usefixtures("system")
def test_a_flood_of_stderr_is_drained(start: Start) -> None:
    talk = start()
    assert talk.ask("complain", text="noise " * 10_000 + "\n", times=850) == {}
    talk.doom("exit", code=3, stderr="the last words\n")
    text = str(talk.sink.loss())
    assert "exited with code 3" in text
    assert "the last words" in text
    assert len(text) < 2500


def test_stderr_goes_to_the_log_line_by_line_and_escaped(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mcp_sync.transports.stdio"):
        talk = start()
        talk.ask("complain", text="one\ntwo \x1b[2J\u202e\n" + "long " * 4000 + "\nlast")
        talk.close()
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    name = Path(sys.executable).name
    assert lines[:2] == [f"{name}: one", f"{name}: two \\x1b[2J\\u202e"]
    assert lines[-1] == f"{name}: last"
    assert max(map(len, lines)) < 5000


def test_a_log_filter_that_fails_does_not_stop_the_draining(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    def fail(record: logging.LogRecord) -> bool:
        if record.levelno == logging.INFO:
            raise ZeroDivisionError
        return True

    logger = logging.getLogger("mcp_sync.transports.stdio")
    logger.addFilter(fail)
    try:
        with caplog.at_level(logging.INFO, "mcp_sync.transports.stdio"):
            assert start().ask("complain", text="x" * 1000 + "\n", times=1000) == {}
    finally:
        logger.removeFilter(fail)


def test_values_of_env_are_masked_in_errors_and_logs(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "mcp_sync"):
        talk = start(env={"API_KEY": "hunter2-hunter2", "DEBUG": "1"})
        talk.write(b"my key is hunter2-hunter2, 1 of 1\n")
        talk.doom("exit", code=1, stderr="bad key hunter2-hunter2, 1 of 1\n")
        text = str(talk.sink.loss())
    assert "bad key $API_KEY, 1 of 1" in text
    assert "my key is $API_KEY, 1 of 1" in caplog.text
    assert "hunter2" not in text + caplog.text


def masked_by(output: list[bytes], env: dict[str, str]) -> tuple[list[str], str]:
    """What of a server's stderr is logged, and what an error says of it."""
    lines: list[str] = []
    logger = logging.Logger("stderr", logging.INFO)
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]  # of this one
    logger.addHandler(handler)
    secrets = Secrets.of_command([], env)
    log = ServerLog(Log(logger.name, logger), "server", secrets)
    for piece in output:
        log.wrote(piece)
    log.flush()
    return lines, log.tail()


def test_a_value_that_is_cut_by_what_is_kept_is_masked_all_the_same() -> None:
    # Masked, the copies take so little room that the first of them, cut in two, would be among the last 2 kB.
    _, tail = masked_by([b"hunter2-hunter2-hunter2-hunter2 " * 200], {"KEY": "hunter2-hunter2-hunter2-hunter2"})
    assert "hunter2" not in tail
    assert tail.count("$KEY") > 50


def test_a_value_that_a_long_line_is_cut_at_is_masked_all_the_same() -> None:
    secret = "hunter2-" * 10
    for size in range(4060, 4130, 7):
        lines, _ = masked_by([b"x" * size + secret[:40].encode(), secret[40:].encode() + b"y" * 5000], {"KEY": secret})
        assert len(lines) > 1
        assert "hunter2" not in "".join(lines)


def test_a_value_of_several_lines_is_masked_line_by_line() -> None:
    lines, tail = masked_by([b"it is BEGIN KEY\r\nabcdefgh\r\nEND KEY\n"], {"KEY": "BEGIN KEY\nabcdefgh\nEND KEY"})
    assert lines == ["server: it is $KEY", "server: $KEY", "server: $KEY"]
    assert tail.endswith("it is $KEY")


# The end of a child


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"code": 0}, "exited with code 0"),
        ({"code": 7, "stderr": "oh no\n"}, "exited with code 7; it wrote to stderr:\noh no"),
    ],
)
def test_the_loss_says_the_exit_code_and_the_last_of_stderr(start: Start, how: dict[str, Any], said: str) -> None:
    talk = start()
    talk.ask("echo")
    begun = time.monotonic()
    talk.doom("exit", **how)
    error = talk.sink.loss()
    assert talk.sink.lost_at - begun < 0.5
    assert type(error) is MCPConnectionError
    assert error.outcome == "unknown"
    assert said in str(error)
    assert str(talk.pid) not in children()


@pytest.mark.usefixtures("system")
def test_the_loss_names_the_signal(start: Start) -> None:
    talk = start()
    talk.doom("die")
    assert "was killed by SIGKILL" in str(talk.sink.loss())


def test_a_message_that_death_cuts_off_is_not_a_message(start: Start) -> None:
    talk = start()
    talk.doom(
        "die", stdout='{"jsonrpc":"2.0","id":71,"result":{}}\n{"jsonrpc":"2.0","id":72,"result":{"text":"TRUNCATED"}}'
    )
    talk.sink.loss()
    assert [message["id"] for message in talk.sink.messages] == [71]


def test_what_was_written_before_the_end_is_delivered_before_the_loss(start: Start) -> None:
    talk = start()
    talk.doom("die", stdout='{"jsonrpc":"2.0","id":71,"result":{}}\n' * 1000)
    talk.sink.loss()
    assert len(talk.sink.messages) == 1000


@pytest.mark.usefixtures("system")
def test_a_grandchild_that_holds_the_pipes_keeps_nobody_waiting_and_does_not_survive(start: Start) -> None:
    talk = start()
    grandchild = talk.ask("spawn")["pid"]
    begun = time.monotonic()
    talk.doom("exit", code=4, stderr="gone\n")
    error = talk.sink.loss()
    assert talk.sink.lost_at - begun < 0.5
    assert "exited with code 4; it wrote to stderr:\ngone" in str(error)
    assert eventually(lambda: not is_alive(grandchild))


def test_a_writer_blocked_on_a_pipe_that_a_grandchild_holds_is_told_why(start: Start) -> None:
    talk = start()
    talk.ask("spawn")
    # Its first reader is gone before all is written, but the pipe has no end yet.
    talk.ask("stop_reading")
    killer = talk.once_it_is_cut(lambda: os.kill(talk.pid, signal.SIGKILL))
    with pytest.raises(MCPConnectionError, match="was killed by SIGKILL") as caught:
        talk.tell("size", text="x" * 10_000_000)
    assert caught.value.outcome == "unknown"
    killer.join(LONG)


def test_usage_and_exit_at_once(start: Start) -> None:
    talk = Talk([sys.executable, "--no-such-option"])
    try:
        talk.open()
    except MCPConnectionError:
        pass  # it was that fast
    error = talk.sink.loss()
    assert "exited with code 2 before it sent anything" in str(error)
    assert "--no-such-option" in str(error)  # it is in what the command wrote
    with pytest.raises(MCPConnectionError, match="exited with code 2") as caught:
        talk.tell("echo")
    assert caught.value.outcome == "not_sent"
    talk.close()


@pytest.mark.clock
@pytest.mark.usefixtures("system")
def test_a_server_that_closes_its_stdout_is_ended(start: Start) -> None:
    talk = start()
    pid = talk.pid
    begun = time.monotonic()
    talk.doom("close_stdout")
    assert "closed its stdout" in str(talk.sink.loss())
    assert talk.sink.lost_at - begun < 1.5
    assert not is_alive(pid)


def test_a_server_that_closes_its_stdin_is_ended_at_the_next_message(start: Start) -> None:
    talk = start()
    talk.ask("close_stdin")
    with pytest.raises(MCPConnectionError, match="closed its stdin") as caught:
        talk.tell("echo")
    assert caught.value.outcome == "not_sent"
    assert "closed its stdin" in str(talk.sink.loss())


def test_a_child_whose_exit_code_somebody_else_collects(start: Start) -> None:
    talk = start()
    talk.sink.held = threading.Event()  # the reader is kept from looking first
    id = talk.tell("echo")
    talk.doom("exit", code=5)
    os.waitpid(talk.pid, 0)
    talk.sink.held.set()
    assert talk.sink.answer_to(id) == {}
    assert "somebody else collected its exit code" in str(talk.sink.loss())


def test_a_process_that_ignores_its_childrens_ends(start: Start) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        talk = start()
        talk.ask("echo")
        talk.doom("exit", code=5)
        assert "the server ended" in str(talk.sink.loss())
        assert start().close() < 1.0
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_sink_that_fails_ends_the_server_and_is_told_so(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    talk = start()

    def fail(messages: list[Message]) -> None:
        raise ZeroDivisionError

    talk.sink.arrived = fail  # type: ignore[method-assign]  # this test's sink is broken
    talk.tell("echo")
    error = talk.sink.loss()
    assert "the reader failed: ZeroDivisionError" in str(error)
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert not is_alive(talk.pid)


def test_the_loss_is_told_even_if_ending_the_child_fails(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    talk = start()
    real = Child.reap

    def fail(child: Child) -> bool:
        real(child)
        child.pipes.close()
        raise ZeroDivisionError

    monkeypatch.setattr(Child, "reap", fail)
    talk.doom("exit", code=3)
    assert "the reader failed: ZeroDivisionError" in str(talk.sink.loss())


# Cannot start


def refused(*argv: str, **options: Any) -> MCPClientError:
    talk = Talk(list(argv), **options)
    with pytest.raises(MCPConnectionError) as caught:
        talk.open()
    assert caught.value.outcome == "not_sent"
    assert len(talk.sink.errors) == 1
    with pytest.raises(MCPConnectionError):
        talk.tell("echo")
    talk.close()
    return caught.value


def causes(error: Optional[BaseException]) -> str:
    text = ""
    while error is not None:
        text += f"{error!r}\n"
        error = error.__cause__ or error.__context__
    return text


def test_a_command_that_is_not_there_is_named_without_its_arguments() -> None:
    error = refused("no-such-command", "--token", "hunter2")
    assert "the command no-such-command was not found on PATH" in str(error)
    assert "hunter2" not in causes(error)
    assert "No such file" in causes(error)


def test_a_command_with_its_arguments_in_one_string() -> None:
    error = refused("no-such-command --token hunter2")
    assert "pass the command and its arguments as a list" in str(error)
    assert "'no-such-command'" in str(error)
    assert "hunter2" not in causes(error)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    assert f"there is no program {tmp_path}/server" in str(refused(f"{tmp_path}/server"))


def test_a_file_that_may_not_be_executed(tmp_path: Path) -> None:
    script = tmp_path / "server"
    script.write_text("#!/bin/sh\n")
    assert "may not be executed" in str(refused(str(script)))


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    script = tmp_path / "server"
    script.write_text("print('hello')\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    assert "is no program" in str(refused(str(script)))


def test_a_working_directory_that_is_not_there(tmp_path: Path) -> None:
    error = refused(*puppet(), cwd=str(tmp_path / "nowhere"))
    assert "working directory" in str(error)
    assert "nowhere" in str(error)


def test_a_command_with_a_nul() -> None:
    assert "null byte" in str(refused("a\0b"))


def test_no_descriptors_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pipe", fail)
    assert "Too many open files" in str(refused(*puppet()))


def test_no_descriptors_left_for_the_wake_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    fds, processes = len(open_fds()), children()

    def fail(pid: int) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(pipes_module, "_open_pidfd", fail)
    assert "Too many open files" in str(refused(*puppet()))
    assert eventually(lambda: len(open_fds()) <= fds)
    assert set(children()) <= set(processes)


@pytest.mark.parametrize("number", [0, 1])
def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    fds, processes = len(open_fds()), children()
    real, asked = threading.Thread.start, []

    def fail(thread: threading.Thread) -> None:
        asked.append(thread)
        if len(asked) > number:
            raise RuntimeError("can't start new thread")
        real(thread)

    talk = Talk(puppet())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(MCPConnectionError):
            talk.open()
    talk.close()
    assert len(talk.sink.errors) == 1
    assert eventually(lambda: len(open_fds()) <= fds)
    assert set(children()) <= set(processes)


def test_starting_has_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    real, going = child_module._spawn, threading.Event()

    def spawn(*arguments: Any) -> Any:
        going.wait(LONG)  # a disk that does not answer
        return real(*arguments)

    monkeypatch.setattr(child_module, "_spawn", spawn)
    talk = Talk(puppet())
    with pytest.raises(MCPTimeoutError) as caught:
        talk.open(timeout=0.2)
    assert caught.value.outcome == "not_sent"
    going.set()
    talk.sink.loss()
    assert talk.close() < 2.0


def test_one_that_was_interrupted_before_it_was_opened_does_not_start() -> None:
    talk = Talk(puppet())
    talk.transport.interrupt()
    with pytest.raises(MCPClosedError):
        talk.open()
    talk.close()
    assert talk.transport._child is None
    assert len(talk.sink.errors) == 1


def test_windows_batch_files_get_no_arguments_that_their_shell_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: f"C:\\bin\\{name}.CMD")
    command = child_module._windows_command(["npx", "-y", "a & b"], {"PATH": "C:\\bin"})
    assert command == '"C:\\bin\\npx.CMD" "-y" "a & b"'
    for argument in ('a" & calc', "%PATH%", "a\nb"):
        with pytest.raises(ValueError, match="batch file"):
            child_module._windows_command(["npx", argument], {})
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    assert child_module._windows_command(["node", "%x%"], {}) == ["node", "%x%"]


def test_errors_of_the_system_that_are_not_in_the_table() -> None:
    assert "Cannot allocate memory" in str(start_error(OSError(12, "-"), "server", None))


# What a child is given


def test_the_environment_is_an_allow_list_and_what_is_given(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("TERM", "() { :; }; echo vulnerable")
    monkeypatch.setenv("SHELL", "/bin/sh")
    monkeypatch.setenv("USER", "somebody")
    env = start(env={"API_KEY": "sk-1", "USER": "nobody"}).ask("about")["env"]
    env.pop("LC_CTYPE", None)  # Python sets it for itself
    assert set(env) <= {"HOME", "LOGNAME", "PATH", "SHELL", "USER", "API_KEY"}
    assert env["PATH"] == os.environ["PATH"]
    assert (env["SHELL"], env["API_KEY"], env["USER"]) == ("/bin/sh", "sk-1", "nobody")
    assert environment({})["USER"] == "somebody"


def test_the_command_is_looked_up_on_the_path_that_is_given(start: Start, tmp_path: Path) -> None:
    (tmp_path / "my-own-server").symlink_to(sys.executable)
    talk = start("my-own-server", *puppet()[1:], env={"PATH": str(tmp_path)})
    assert talk.ask("about")["env"]["PATH"] == str(tmp_path)


def test_the_working_directory(start: Start, tmp_path: Path) -> None:
    assert start(cwd=str(tmp_path)).ask("about")["cwd"] == str(tmp_path.resolve())


def test_arguments_arrive_as_they_are(start: Start) -> None:
    arguments = ["two words", "", '"quoted"', "$HOME", "; rm -rf /", "ż", "*"]
    assert start(*puppet(*arguments)).ask("about")["argv"] == arguments


def test_a_child_has_its_own_session_and_none_of_our_descriptors(start: Start) -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        start()
        about = start().ask("about")
    finally:
        os.close(read)
        os.close(write)
    assert about["pgid"] == about["sid"] == about["pid"]
    assert about["sid"] != os.getsid(0)
    assert len(about["fds"]) <= 4  # the three, and the one that lists them


# A server that does not read


@pytest.mark.clock
@pytest.mark.usefixtures("system")
def test_ten_megabytes_to_a_server_that_stops_reading_end_at_the_deadline(start: Start) -> None:
    talk = start()
    pid = talk.pid
    talk.ask("stop_reading")
    begun = time.monotonic()
    with pytest.raises(MCPTimeoutError) as caught:
        talk.tell("echo", timeout=1.0, text="x" * 10_000_000)
    assert 0.9 < time.monotonic() - begun < 1.5
    assert caught.value.outcome == "unknown"
    # Half a line is in the pipe: nothing may follow it, and everybody is told.
    assert "in the middle of a message" in str(talk.sink.loss())
    with pytest.raises(MCPConnectionError, match="in the middle of a message") as second:
        talk.tell("echo")
    assert second.value.outcome == "not_sent"
    assert not is_alive(pid)


def fill(talk: Talk) -> None:
    """Send whole messages to a server that does not read, until not a byte more fits."""
    for params in {"text": "x" * 3000}, {}:
        with pytest.raises(MCPTimeoutError) as caught:
            for _ in range(10_000):
                talk.tell("echo", timeout=0.05, **params)
        assert caught.value.outcome == "not_sent"


def test_a_message_of_which_no_byte_was_written_was_not_sent_and_harms_nobody(start: Start, tmp_path: Path) -> None:
    talk = start()
    talk.ask("read_later", file=str(tmp_path / "go"))
    fill(talk)
    with pytest.raises(MCPTimeoutError) as caught:
        talk.tell("echo", timeout=0.05)
    assert caught.value.outcome == "not_sent"
    (tmp_path / "go").touch()
    assert talk.ask("echo", n=2) == {"n": 2}


@pytest.mark.clock
def test_the_wait_for_other_senders_has_the_deadline_too(start: Start) -> None:
    talk = start()
    talk.ask("stop_reading")
    done = threading.Event()

    def hog() -> None:
        with pytest.raises(MCPClientError):
            talk.tell("echo", timeout=LONG, text="x" * 1_000_000)
        done.set()

    thread = threading.Thread(target=hog)
    thread.start()
    assert eventually(lambda: talk.pipes.written > 60_000)
    begun = time.monotonic()
    with pytest.raises(MCPTimeoutError) as caught:
        talk.tell("echo", timeout=0.2)
    assert time.monotonic() - begun < 0.4
    assert caught.value.outcome == "not_sent"
    assert not done.is_set()
    talk.transport.interrupt()
    assert done.wait(0.5)
    thread.join(LONG)


def test_a_deadline_that_is_over_sends_nothing(start: Start) -> None:
    talk = start()
    with pytest.raises(MCPTimeoutError) as caught:
        talk.tell("exit", timeout=0)
    assert caught.value.outcome == "not_sent"
    assert talk.ask("echo") == {}


@pytest.mark.clock
@pytest.mark.usefixtures("system")
def test_interrupt_frees_eight_blocked_senders_at_once(start: Start) -> None:
    talk = start()
    talk.ask("stop_reading")
    barrier = threading.Barrier(9)
    caught: list[MCPClientError] = []

    def work() -> None:
        barrier.wait(LONG)
        try:
            talk.tell("echo", timeout=math.inf, text="x" * 1_000_000)
        except MCPClientError as error:
            caught.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    barrier.wait(LONG)
    assert eventually(lambda: talk.pipes.written > 60_000 or talk.pipes.in_doubt)
    begun = time.monotonic()
    talk.transport.interrupt()
    for thread in threads:
        thread.join(LONG)
    assert time.monotonic() - begun < 1.0
    assert {type(error) for error in caught} == {MCPClosedError}
    assert sorted(str(error.outcome) for error in caught) == ["not_sent"] * 7 + ["unknown"]
    assert len({id(error) for error in caught}) == 8


def test_a_keyboard_interrupt_in_the_middle_of_a_message_ends_the_stream(start: Start) -> None:
    talk = start()
    talk.ask("stop_reading")
    main = threading.get_ident()
    thread = talk.once_it_is_cut(lambda: signal.pthread_kill(main, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        talk.tell("echo", text="x" * 1_000_000)
    thread.join(LONG)
    assert "in the middle of a message" in str(talk.sink.loss())


def test_a_keyboard_interrupt_right_after_the_turn_was_taken_gives_it_back(start: Start) -> None:
    talk = start()
    child = talk.transport._child
    assert child is not None
    real = child.stdin._writer

    class Interrupted:
        """The signal comes between the lock's success and its caller's next step."""

        def acquire(self, timeout: float) -> bool:
            assert real.acquire(timeout=timeout)
            raise KeyboardInterrupt

        def release(self) -> None:
            real.release()

    child.stdin._writer = cast(Any, Interrupted())  # as much of a lock as is used
    with pytest.raises(KeyboardInterrupt):
        talk.tell("echo")
    child.stdin._writer = real
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(talk.ask("echo", n=1)))
    thread.start()
    thread.join(LONG)
    assert answers == [{"n": 1}]


def test_a_signal_handler_that_sends_in_the_middle_of_its_own_threads_message(start: Start) -> None:
    talk = start()
    talk.ask("stop_reading")
    caught: list[MCPClientError] = []

    def handle(*_: object) -> None:
        try:
            talk.tell("echo", timeout=0.1)
        except MCPClientError as error:
            caught.append(error)
        talk.transport.interrupt()

    before = signal.signal(signal.SIGUSR1, handle)
    main = threading.get_ident()
    try:
        thread = talk.once_it_is_cut(lambda: signal.pthread_kill(main, signal.SIGUSR1))
        with pytest.raises(MCPClosedError):
            talk.tell("echo", text="x" * 1_000_000)
        thread.join(LONG)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [error.outcome for error in caught] == ["not_sent"]


def test_a_keyboard_interrupt_before_the_first_byte_harms_nobody(start: Start, tmp_path: Path) -> None:
    talk = start()
    talk.ask("read_later", file=str(tmp_path / "go"))
    fill(talk)
    # It cannot know when the sender has come to its wait; any moment before is as good.
    timer = threading.Timer(0.2, signal.pthread_kill, (threading.get_ident(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        talk.tell("echo", n=1)
    timer.join(LONG)
    (tmp_path / "go").touch()
    assert talk.ask("echo", n=2) == {"n": 2}


# Ending


@pytest.mark.clock
@pytest.mark.usefixtures("system")
def test_close_ends_a_server_by_its_stdin(start: Start) -> None:
    talk = start()
    talk.ask("echo")
    pid = talk.pid
    assert talk.close() < 1.0
    assert not is_alive(pid)
    child = talk.transport._child
    assert child is not None
    assert child.code == 0


@pytest.mark.usefixtures("system")
def test_close_terminates_a_server_that_stays(start: Start) -> None:
    talk = start()
    talk.ask("ignore_end")
    pid = talk.pid
    assert 0.3 < talk.close(1.0) < 1.0
    assert not is_alive(pid)


@pytest.mark.usefixtures("system")
def test_close_kills_a_server_that_ignores_everything(start: Start) -> None:
    talk = start()
    talk.ask("ignore_end", sigterm=True)
    pid = talk.pid
    assert 0.7 < talk.close(1.0) < 1.1
    assert not is_alive(pid)


@pytest.mark.long
def test_close_takes_two_seconds_and_two_more(start: Start) -> None:
    talk = start()
    talk.ask("ignore_end", sigterm=True)
    assert 3.9 < talk.close() < 4.6


def test_close_without_time_kills_at_once(start: Start) -> None:
    talk = start()
    talk.ask("ignore_end", sigterm=True)
    pid = talk.pid
    assert talk.close(0.0) < 0.2
    assert eventually(lambda: not is_alive(pid), 1.0)
    talk.sink.loss(2.0)


@pytest.mark.usefixtures("system")
def test_close_ends_a_grandchild_that_ignores_everything(start: Start) -> None:
    talk = start()
    grandchild = talk.ask("spawn")["pid"]
    assert talk.close() < 2.0
    assert eventually(lambda: not is_alive(grandchild))


def test_close_is_idempotent_and_works_from_many_threads_at_once(start: Start) -> None:
    talk = start()
    barrier = threading.Barrier(4)

    def close() -> None:
        barrier.wait(LONG)
        talk.close()

    threads = [threading.Thread(target=close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert talk.close() < 0.1
    with pytest.raises(MCPClosedError):
        talk.tell("echo")


@pytest.mark.clock
def test_close_from_the_reader_thread(start: Start) -> None:
    talk = start()
    real = talk.sink.arrived

    def arrived(messages: list[Message]) -> None:
        talk.close()
        real(messages)

    talk.sink.arrived = arrived  # type: ignore[method-assign]  # this test's sink closes
    id = talk.tell("echo")
    begun = time.monotonic()
    assert talk.sink.answer_to(id) == {}
    assert isinstance(talk.sink.loss(), MCPClosedError)
    assert time.monotonic() - begun < 1.0


def test_close_from_the_stderr_thread(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    talk = start()
    closed = threading.Event()

    class Closes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            talk.close()
            closed.set()

    logger = logging.getLogger("mcp_sync.transports.stdio")
    handler = Closes(logging.INFO)
    logger.addHandler(handler)
    try:
        with caplog.at_level(logging.INFO, "mcp_sync.transports.stdio"):
            talk.tell("complain", text="hello\n")
            assert closed.wait(LONG)
    finally:
        logger.removeHandler(handler)
    assert isinstance(talk.sink.loss(), MCPClosedError)


def test_close_does_not_wait_for_a_sink_that_is_stuck(start: Start) -> None:
    talk = start()
    talk.sink.held = threading.Event()
    talk.tell("echo")
    pid = talk.pid
    assert talk.close(0.5) < 0.7
    assert eventually(lambda: not is_alive(pid))
    talk.sink.held.set()
    talk.sink.loss()


def test_close_frees_a_server_that_is_blocked_on_its_stdout(start: Start) -> None:
    talk = start()
    talk.sink.held = threading.Event()
    talk.tell("echo")
    talk.write(b'{"jsonrpc":"2.0","method":"x"}\n' * 1000, times=100)
    talk.transport.interrupt()
    talk.sink.held.set()
    assert talk.close() < 1.5
    child = talk.transport._child
    assert child is not None
    assert child.code == 0


def test_ctrl_c_does_not_reach_the_server(start: Start) -> None:
    talk = start()
    about = talk.ask("about")
    assert about["pgid"] != os.getpgid(0)  # a terminal signals its foreground group


# Forks


def in_a_fork(work: Callable[[], object]) -> int:
    """Run ``work`` in a forked process; returns its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def test_a_forked_process_leaves_its_parents_server_alone(start: Start) -> None:
    talk = start()
    talk.ask("echo")

    def work() -> None:
        with pytest.raises(MCPClosedError):
            talk.tell("echo")
        talk.close()
        child = talk.transport._child
        assert child is not None
        child.__dict__.clear()
        gc.collect()

    assert in_a_fork(work) == 0
    assert talk.ask("echo", n=1) == {"n": 1}


@pytest.mark.clock
def test_a_forked_process_does_not_hold_the_servers_stdin_open(start: Start) -> None:
    talk = start()
    talk.ask("echo")
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    try:
        assert talk.close() < 1.0  # by its stdin alone: SIGTERM would come after two seconds
    finally:
        os.close(read)
        os.close(write)
        os.waitpid(pid, 0)
    child = talk.transport._child
    assert child is not None
    assert child.code == 0


# Many


def test_twenty_servers_at_once_leave_nothing(start: Start) -> None:
    talks = [start() for _ in range(20)]
    assert [talk.ask("echo", n=n) for n, talk in enumerate(talks)] == [{"n": n} for n in range(20)]
    threads = [threading.Thread(target=talk.close) for talk in talks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mcp-sync-")]


def test_descriptors_above_1024(start: Start) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip("not so many descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        talk = start()
        assert talk.ask("echo") == {}
        talk.close()
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
