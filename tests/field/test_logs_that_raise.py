"""What a program's logging does must not end a session: a closed stderr, handlers and filters that raise or exit."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

import pytest

from mcp_sync.concurrency.log import Log, Sparing
from tests.support.beds import ALL, SHARED, Bed, over
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked
from tests.support.inside import pid_of_server
from tests.support.scripts import Finished, start_script

ANSWER = {"content": [{"type": "text", "text": "hi"}]}


class _Raising(logging.Handler):
    def __init__(self, kind: type[BaseException]) -> None:
        super().__init__(logging.DEBUG)
        self.kind = kind
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        raise self.kind("the program's own logging is broken")


@contextmanager
def broken_handler(kind: type[BaseException], name: str = "mcp_sync") -> Iterator[_Raising]:
    logger, handler = logging.getLogger(name), _Raising(kind)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@contextmanager
def broken_filter() -> Iterator[None]:
    def refuse(record: logging.LogRecord) -> bool:
        raise RuntimeError("no")

    names = [name for name in logging.root.manager.loggerDict if name.startswith("mcp_sync")]
    for name in names:
        logging.getLogger(name).addFilter(refuse)
    try:
        yield
    finally:
        for name in names:
            logging.getLogger(name).removeFilter(refuse)


def _noise(bed: Bed) -> Callable[[Asked], None]:
    def noisy(asked: Asked) -> None:
        bed.stream(asked).event("this is no message")
        asked.text("hi")

    return noisy


@pytest.mark.parametrize(
    "broken",
    [lambda: broken_handler(OSError), lambda: broken_handler(OSError, ""), broken_filter],
    ids=["handler", "handler of the root", "filter"],
)
@over(*ALL)
def test_calls_go_on(bed: Bed, broken: Callable[[], Any]) -> None:
    with broken(), within():
        client = bed.connect()
        assert client.call_tool("echo", {"message": "a"}, timeout=LONG).text == "a"
        client.close()


@pytest.mark.parametrize("kind", [ValueError, SystemExit])
@over(*SHARED)
def test_noise_and_a_handler_that_raises_leave_the_reader_alive(bed: Bed, kind: type[BaseException]) -> None:
    bed.tool("noisy", _noise(bed))
    client = bed.connect()
    handler = _Raising(kind)
    logger = logging.getLogger("mcp_sync")
    logger.addHandler(handler)  # at WARNING: on the reader alone
    try:
        with within():
            assert client.call_tool("noisy", timeout=LONG).text == "hi"
            assert client.call_tool("echo", {"message": "next"}, timeout=LONG).text == "next"
    finally:
        logger.removeHandler(handler)
    assert handler.count == 1


@over("stdio")
def test_a_child_is_ended_whatever_the_logging_does(bed: Bed) -> None:
    bed.tool("noisy", _noise(bed))
    client = bed.connect()
    pid = pid_of_server(client)
    with broken_handler(SystemExit), broken_filter():
        client.call_tool("noisy", timeout=LONG)
        client.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


_NOISY_SERVER = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    answer = {"result": {"content": [{"type": "text", "text": "hi"}]}}
    if message["method"] == "initialize":
        server = {"name": "s", "version": "1"}
        answer = {"result": {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": server}}
    elif message["method"] == "server/discover":
        answer = {"error": {"code": -32601, "message": "no"}}
    print("some noise", flush=True)
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)
"""


def test_a_closed_stderr_and_noise_on_stdout_cost_nothing() -> None:
    process = start_script(
        """
        import os, sys
        from mcp_sync import MCPClient
        from tests.support.inside import pid_of_server
        sys.stderr.close()
        with MCPClient([sys.executable, "-c", sys.argv[1]], timeout=20) as client:
            print(client.call_tool("any").text, client.call_tool("any").text)
            pid = pid_of_server(client)
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            print("gone")
        """,
        _NOISY_SERVER,
    )
    done = Finished(process, 60)
    assert done.out.split() == ["hi", "hi", "gone"], done


def test_what_a_signal_handler_raises_in_a_log_call_is_the_programs() -> None:
    if not hasattr(__import__("signal"), "setitimer"):
        pytest.skip("no signals like that here")
    import signal

    def late(number: int, frame: object) -> None:
        raise TimeoutError("the program's own alarm")

    class Alarming(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            signal.raise_signal(signal.SIGALRM)

    log = Log("mcp_sync.test")
    handler = Alarming()
    logging.getLogger("mcp_sync.test").addHandler(handler)
    before = signal.signal(signal.SIGALRM, late)
    try:
        with pytest.raises(TimeoutError, match="own alarm"):
            log.warning("a line")
    finally:
        signal.signal(signal.SIGALRM, before)
        logging.getLogger("mcp_sync.test").removeHandler(handler)


def test_a_line_is_told_to_come_from_where_it_was_logged(caplog: pytest.LogCaptureFixture) -> None:
    Log("mcp_sync.test").warning("a line")
    assert caplog.records[-1].funcName == sys._getframe().f_code.co_name


def test_a_kind_of_warning_is_logged_once_a_minute_with_a_count(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcp_sync.concurrency import log as log_module

    at = 100.0
    monkeypatch.setattr(log_module, "monotonic", lambda: at)
    sparing = Sparing(Log("mcp_sync.test"))
    for number in range(1000):
        sparing.warning("frames", "frame %d is bad", number)
    sparing.warning("others", "something else")
    at += 61
    sparing.warning("frames", "frame %d is bad", 1000)
    sparing.warning("frames", "frame %d is bad", 1001)
    sparing.tell_rest()
    sparing.tell_rest()
    assert [record.getMessage() for record in caplog.records] == [
        "frame 0 is bad",
        "something else",
        "frame 1000 is bad (and 999 more like it since the last one that was logged)",
        "frames: 1 more were not logged one by one",
    ]
