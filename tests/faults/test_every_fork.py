"""Forked children over every transport: what they inherit half done, and forks that Python is not told of."""

from __future__ import annotations

import os
import sys

import pytest

from tests.faults.test_every_rules import arguments
from tests.support.beds import STREAMS, Bed, over
from tests.support.fault_server import Asked
from tests.support.scripts import run_script

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

_BEGIN = """
import concurrent.futures, ctypes, json, os, sys, threading, time
from mcp_sync import MCPClient, MCPClientError
client = MCPClient(json.loads(sys.argv[1]), transport=sys.argv[2], timeout=20).connect()

def fork_by(how, child):
    '''Run child() in a process forked by how(); returns what it returned, or how it failed.'''
    read, write = os.pipe()
    pid = how()
    if pid == 0:
        try:
            answer = child()
        except MCPClientError as exc:
            answer = [type(exc).__name__, exc.outcome]
        except BaseException as exc:
            answer = repr(exc)
        os.write(write, json.dumps(answer).encode())
        os._exit(0)
    os.close(write)
    answer = os.read(read, 65536)
    os.waitpid(pid, 0)
    return json.loads(answer)
"""
# Calls fork(2) with the interpreter locked, as uWSGI does: no hook of Python's runs. A thread that waits for that lock
# at this moment would break it in the child, whoever's thread it is, so they are given the time to come to rest.
_UNTOLD = """
def untold():
    time.sleep(0.3)  # nothing tells when they rest
    return ctypes.PyDLL(None).fork()
"""


@over(*STREAMS)
def test_a_stream_of_the_parents_fails_in_the_child_and_goes_on_in_the_parent(bed: Bed) -> None:
    def two(asked: Asked) -> None:
        asked.progress(1)
        asked.wait(bed.server.gate)
        asked.text("done")

    def let_go(asked: Asked) -> None:
        bed.server.gate.set()
        asked.text("")

    bed.tool("two", two)
    bed.tool("let go", let_go)
    done = run_script(
        _BEGIN
        + """
stream = client.stream_tool("two")
next(stream)
inherited = fork_by(os.fork, lambda: [str(event) for event in stream])
client.call_tool("let go")
print(json.dumps([inherited, stream.result.text if list(stream) else None]))
client.close()
""",
        *arguments(bed),
    )
    assert done.report == [["MCPClosedError", "unknown"], "done"], done


def test_futures_of_the_parents_are_failed_in_the_child_whoever_waits_for_them(bed: Bed) -> None:
    done = run_script(
        _BEGIN
        + """
future = client.submit("never")
told = threading.Event()

def child():
    finished, pending = concurrent.futures.wait([future], timeout=10)
    future.add_done_callback(lambda future: told.set())
    next(concurrent.futures.as_completed([future], timeout=10))
    return [len(finished), len(pending), told.wait(10), type(future.exception()).__name__, future.cancelled()]

print(json.dumps([fork_by(os.fork, child), future.done()]))
client.close()
""",
        *arguments(bed),
    )
    assert done.report == [[1, 0, True, "MCPClosedError", False], False], done


@pytest.mark.skipif(sys.platform != "linux", reason="calls fork(2) by itself")
def test_a_fork_that_python_is_not_told_of_is_noticed_at_the_next_call(bed: Bed) -> None:
    """uWSGI's master forks its workers without the hooks that os.fork() runs."""
    done = run_script(
        _BEGIN
        + _UNTOLD
        + """
from tests.support import inside
session = inside.session_of(client)
future = client.submit("never")
said = [fork_by(untold, lambda: client.call_tool("echo", {"message": str(number)}).text) for number in range(3)]
waited = fork_by(untold, lambda: future.result(10))
closed = fork_by(untold, lambda: client.close())
new = fork_by(untold, lambda: MCPClient(json.loads(sys.argv[1]), transport=sys.argv[2]).connect()
    .call_tool("echo", {"message": "new"}).text)
mine = client.call_tool("echo", {"message": "parent"}).text
print(json.dumps([said, waited, closed, new, mine, inside.session_of(client) is session]))
client.close()
""",
        *arguments(bed),
    )
    assert done.report == [["0", "1", "2"], ["MCPClosedError", "unknown"], None, "new", "parent", True], done
    assert bed.server.tool_calls["echo"] == 5
    if bed.name != "stateless":
        assert len(bed.server.sent("initialize")) == 5


@pytest.mark.skipif(sys.platform != "linux", reason="calls fork(2) by itself")
def test_threads_that_notice_a_fork_at_once_find_one_session(bed: Bed) -> None:
    done = run_script(
        _BEGIN
        + _UNTOLD
        + """
def child():
    start = threading.Barrier(8)
    def call(number):
        start.wait(10)
        return client.call_tool("echo", {"message": str(number)}).text
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(call, range(8)))

print(json.dumps([fork_by(untold, child) for _ in range(5)]))
client.close()
""",
        *arguments(bed),
    )
    assert done.report == [[str(number) for number in range(8)]] * 5, done
    if bed.name != "stateless":
        assert len(bed.server.sent("initialize")) == 6


@over(*STREAMS)
@pytest.mark.skipif(sys.platform != "linux", reason="calls fork(2) by itself")
def test_what_a_child_does_to_inherited_streams_and_futures_does_not_reach_the_server(bed: Bed) -> None:
    def two(asked: Asked) -> None:
        asked.progress(1)
        asked.wait(bed.server.gate)
        asked.text("done")

    def let_go(asked: Asked) -> None:
        bed.server.gate.set()
        asked.text("")

    bed.tool("two", two)
    bed.tool("let go", let_go)
    done = run_script(
        _BEGIN
        + _UNTOLD
        + """
new, begun, future = client.stream_tool("echo"), client.stream_tool("two"), client.submit("two")
next(begun)

def then_rest(do):
    do()
    for thread in threading.enumerate():
        if thread.name == "mcp-sync-background":
            thread.join(10)

said = [fork_by(untold, lambda: list(new))]
said += [fork_by(untold, lambda: then_rest(do)) for do in (begun.close, begun.cancel, future.cancel)]
client.call_tool("let go")
print(json.dumps([said, begun.result.text, future.result(10).text]))
client.close()
""",
        *arguments(bed),
    )
    assert done.report == [[["MCPClosedError", "not_sent"], None, None, None], "done", "done"], done
    assert bed.server.tool_calls["echo"] == 0
    assert not bed.server.sent("notifications/cancelled")
