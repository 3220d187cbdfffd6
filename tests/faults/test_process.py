"""What happens to a whole process: faults.md, Process. Each test runs a small program of its own."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from tests.support.clock import eventually
from tests.support.fault_server import Asked, FaultServer
from tests.support.scripts import Finished, run_script, start_script

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

_BEGIN = """
import gc, json, os, sys, threading, time, warnings
from mcp_sync import MCPClient
url = sys.argv[1]

def fork(child):
    '''Run child() in a forked process; returns what it returned, or how it failed.'''
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = child()
        except BaseException as exc:
            answer = repr(exc)
        os.write(write, json.dumps(answer).encode())
        os._exit(0)
    os.close(write)
    answer = b""
    while True:
        piece = os.read(read, 65536)
        if not piece:
            break
        answer += piece
    os.waitpid(pid, 0)
    return json.loads(answer)
"""


def script(code: str) -> str:
    return _BEGIN + code


# Fork


def test_a_forked_child_opens_a_session_of_its_own_and_leaves_the_parents_alone(server: FaultServer) -> None:
    done = run_script(
        script("""
client = MCPClient(url, transport="sse", timeout=15).connect()
mine = client.session_id

def child():
    before = client.connected
    text = client.call_tool("echo", {"message": "child"}).text
    session = client.session_id
    client.close()
    return [before, text, session]

before, text, session = fork(child)
same = client.session_id == mine
parent = client.call_tool("echo", {"message": "parent"}).text
print(json.dumps([before, text, session != mine, same, parent]))
client.close()
"""),
        server.sse_url,
    )
    assert done.code == 0, done
    assert done.report == [False, "child", True, True, "parent"]
    assert server.count("GET") == 2
    assert server.count("DELETE") == 0
    assert server.tool_calls["echo"] == 2


def test_nothing_that_a_child_does_reaches_the_parents_session(server: FaultServer) -> None:
    done = run_script(
        script("""
client = MCPClient(url, transport="sse", timeout=15).connect()
slow = client.submit("slow")

def collect():
    global client
    del client
    gc.collect()

answers = []
for ending in (lambda: os._exit(0), lambda: sys.exit(0), lambda: client.close(), collect):
    pid = os.fork()
    if pid == 0:
        ending()
        sys.exit(0)
    os.waitpid(pid, 0)
    answers.append(client.call_tool("echo", {"message": "parent"}).text)
print(json.dumps(answers), flush=True)
client.close()
"""),
        server.sse_url,
    )
    assert done.code == 0, done
    assert done.report == ["parent"] * 4
    assert server.count("GET") == 1
    assert server.count("DELETE") == 0
    assert "Traceback" not in done.err, done
    assert "ResourceWarning" not in done.err, done


def test_the_parents_call_under_way_gets_its_answer_in_the_parent(server: FaultServer) -> None:
    def forked(asked: Asked) -> None:
        asked.wait(server.gate)
        asked.text("to the parent")

    server.tools["forked"] = forked
    process = start_script(
        script("""
client = MCPClient(url, transport="sse", timeout=15).connect()
future = client.submit("forked")
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)  # a file sets no event
child = fork(lambda: client.call_tool("echo", {"message": "child"}).text)
answer = fork(lambda: 1)
open(sys.argv[3], "w").close()
print(json.dumps([child, future.result(15).text]))
client.close()
"""),
        server.sse_url,
        "/proc/self",
        f"/tmp/mcp-sync-test-{os.getpid()}-{server.port}",
    )
    flag = f"/tmp/mcp-sync-test-{os.getpid()}-{server.port}"
    try:
        server.wait_for_call("forked")
        assert eventually(lambda: os.path.exists(flag) or process.poll() is not None, 15)
        server.gate.set()
        done = Finished(process, 20)
    finally:
        if os.path.exists(flag):
            os.unlink(flag)
    assert done.code == 0, done
    assert done.report == ["child", "to the parent"]


def test_a_pool_of_forked_workers_has_a_session_each(server: FaultServer) -> None:
    """As gunicorn --preload and Celery's prefork pool do it."""
    done = run_script(
        script("""
import multiprocessing
client = MCPClient(url, transport="sse", timeout=15).connect()

def work(number):
    return client.call_tool("echo", {"message": str(number)}).text

context = multiprocessing.get_context("fork")
with context.Pool(3) as pool:
    results = pool.map(work, range(12), chunksize=4)
print(json.dumps([results, client.call_tool("echo", {"message": "parent"}).text]))
client.close()
"""),
        server.sse_url,
    )
    assert done.code == 0, done
    assert done.report == [[str(number) for number in range(12)], "parent"]
    assert server.tool_calls["echo"] == 13


def test_fork_while_other_threads_are_inside_never_hangs(server: FaultServer) -> None:
    done = run_script(
        script("""
client = MCPClient(url, transport="sse", timeout=15).connect()
stop = threading.Event()

def busy():
    while not stop.is_set():
        client.call_tool("echo", {"message": "busy"})
        client.session_id, client.connected

threads = [threading.Thread(target=busy) for _ in range(4)]
for thread in threads:
    thread.start()
answers = [fork(lambda: client.call_tool("echo", {"message": "child"}, timeout=10).text) for _ in range(15)]
stop.set()
for thread in threads:
    thread.join(10)
print(json.dumps([answers, client.call_tool("echo", {"message": "parent"}).text]))
client.close()
"""),
        server.sse_url,
        timeout=60,
    )
    assert done.code == 0, done
    assert done.report == [["child"] * 15, "parent"]


def test_a_fork_before_the_first_call_is_no_matter(server: FaultServer) -> None:
    done = run_script(
        script("""
client = MCPClient(url, transport="sse", timeout=15)
child = fork(lambda: client.call_tool("echo", {"message": "child"}).text)
print(json.dumps([child, client.call_tool("echo", {"message": "parent"}).text]))
client.close()
"""),
        server.sse_url,
    )
    assert done.code == 0, done
    assert done.report == ["child", "parent"]


def test_a_child_restores_what_the_parent_had_asked_for(server: FaultServer) -> None:
    done = run_script(
        script("""
client = MCPClient(url, transport="sse", timeout=15, log_level="warning").connect()
print(json.dumps(fork(lambda: [client.ping(), client.connected])))
client.close()
"""),
        server.sse_url,
    )
    assert done.code == 0, done
    assert done.report == [None, True]
    assert len(server.sent("logging/setLevel")) == 2


def test_a_client_closed_in_the_parent_can_be_used_by_the_child_after_connect(server: FaultServer) -> None:
    done = run_script(
        script("""
client = MCPClient(url, transport="sse", timeout=15).connect()
client.close()
print(json.dumps(fork(lambda: client.connect().call_tool("echo", {"message": "child"}).text)))
"""),
        server.sse_url,
    )
    assert done.report == "child", done


# Exit


@pytest.mark.parametrize(("ending", "code"), [("sys.exit(7)", 7), ("raise RuntimeError", 1)])
def test_a_script_that_forgets_to_close_exits_at_once_with_its_own_code(
    ending: str, code: int, server: FaultServer
) -> None:
    done = run_script(
        script(f"""
client = MCPClient(url, transport="sse").connect()
client.call_tool("echo", {{"message": "hi"}})
print(json.dumps("end"), flush=True)
{ending}
"""),
        server.sse_url,
    )
    assert done.code == code, done
    assert done.report == "end"
    server.wait_until(lambda: not server.sessions, "the session is over")
    assert "Exception ignored" not in done.err, done
    assert "Fatal" not in done.err, done
    # Python itself takes a good part of a second to start and to import.
    assert done.seconds < 10


def test_a_script_exits_at_once_although_something_is_under_way(server: FaultServer) -> None:
    done = run_script(
        script("""
import atexit
client = MCPClient(url, transport="sse", timeout=600).connect()
future = client.submit("never")
threading.Thread(target=client.call_tool, args=("never",), daemon=True).start()
stream = client.stream_tool("progress")
next(stream)
events = client.listen(tools=True, resources=["test://one"])
time.sleep(0.2)  # any moment will do: what is under way is not over before the end
atexit.register(lambda: print(json.dumps("exiting"), flush=True))
"""),
        server.sse_url,
        timeout=20,
    )
    assert done.code == 0, done
    assert done.report == "exiting"
    assert done.seconds < 10


def test_a_handler_that_never_returns_does_not_keep_a_script_alive(server: FaultServer) -> None:
    def notify(asked: Asked) -> None:
        asked.session.notify("notifications/tools/list_changed")
        asked.text("told")

    server.tools["notify"] = notify
    done = run_script(
        script("""
entered = threading.Event()

def handler(notification):
    entered.set()
    threading.Event().wait()

client = MCPClient(url, transport="sse", notification_handler=handler).connect()
client.call_tool("notify")
entered.wait(10)
print(json.dumps(entered.is_set()))
"""),
        server.sse_url,
    )
    assert done.code == 0, done


def test_a_script_that_is_interrupted_exits_as_usual(server: FaultServer) -> None:
    process = start_script(
        script("""
with MCPClient(url, transport="sse", timeout=600) as client:
    client.call_tool("never")
"""),
        server.sse_url,
    )
    server.wait_for_call("never")
    process.send_signal(signal.SIGINT)
    done = Finished(process, 15)
    assert done.code in (-signal.SIGINT, 130, 1), done
    assert "KeyboardInterrupt" in done.err
    assert "ExceptionGroup" not in done.err
    assert done.err.count("Traceback") == 1, done


def test_a_script_that_is_killed_harms_the_server_only(server: FaultServer) -> None:
    process = start_script(
        script("""
client = MCPClient(url, transport="sse").connect()
client.call_tool("never")
"""),
        server.sse_url,
    )
    server.wait_for_call("never")
    process.kill()
    Finished(process, 15)
    server.wait_until(lambda: not server.sessions, "the session is over")


@pytest.mark.clock
@pytest.mark.skipif(sys.platform != "linux", reason="stops a process")
def test_a_process_that_was_stopped_keeps_its_deadline_by_the_monotonic_clock(server: FaultServer) -> None:
    process = start_script(
        script("""
client = MCPClient(url, transport="sse").connect()
started = time.monotonic()
try:
    client.call_tool("never", timeout=1.5)
except TimeoutError as exc:
    print(json.dumps([type(exc).__name__, time.monotonic() - started]), flush=True)
print(json.dumps(client.call_tool("echo", {"message": "after"}).text))
client.close()
"""),
        server.sse_url,
    )
    server.wait_for_call("never")
    process.send_signal(signal.SIGSTOP)
    time.sleep(2.0)  # the process must be stopped for longer than its deadline: there is nothing to wait for
    process.send_signal(signal.SIGCONT)
    done = Finished(process, 15)
    assert done.code == 0, done
    assert done.report == "after"
    assert "MCPTimeoutError" in done.out


def test_a_dropped_client_leaves_no_thread_and_no_socket_and_says_so(server: FaultServer) -> None:
    done = run_script(
        script("""
def sockets():
    return sum(os.readlink(f"/proc/self/fd/{fd}").startswith("socket:") for fd in os.listdir("/proc/self/fd")
               if os.path.lexists(f"/proc/self/fd/{fd}"))

def ours():
    return [t.name for t in threading.enumerate() if t.name.startswith("mcp-sync")]

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    before = sockets()
    client = MCPClient(url, transport="sse").connect()
    client.call_tool("echo", {"message": "hi"})
    del client
    gc.collect()
    end = time.monotonic() + 10
    while (ours() or sockets() > before) and time.monotonic() < end:
        time.sleep(0.02)  # nothing tells when the last has gone
    print(json.dumps([ours(), sockets() - before, [w.category.__name__ for w in caught]]))
"""),
        server.sse_url,
    )
    assert done.code == 0, done
    assert done.report == [[], 0, ["ResourceWarning"]]


def test_without_threads_the_reason_is_named(server: FaultServer) -> None:
    """uWSGI without enable-threads: threads can be started, and never run."""
    done = run_script(
        script("""
real = threading.Thread.start
def start(self):
    if self.name.startswith("mcp-sync"):
        self.run = threading.Event().wait  # nothing of it ever runs
    real(self)
threading.Thread.start = start
try:
    MCPClient(url, transport="sse", timeout=1.0, close_timeout=0.2).connect()
except Exception as exc:
    print(json.dumps([type(exc).__name__, str(exc)]), flush=True)
os._exit(0)
"""),
        server.sse_url,
    )
    assert done.code == 0, done
    name, text = done.report
    assert name == "MCPHandshakeError", done
    assert "thread" in text, done
    assert "uWSGI" in text, done


# What is imported


def test_importing_the_package_starts_nothing_and_needs_the_core_dependencies_only() -> None:
    done = run_script(
        """
import json, sys, threading
import mcp_sync
from mcp_sync import MCPClient
heavy = {"asyncio", "click", "rich", "flask", "django", "celery", "mcp", "anyio", "httpx", "cryptography"}
print(json.dumps([threading.active_count(), sorted(heavy & set(sys.modules))]))
"""
    )
    assert done.code == 0, done
    assert done.report[0] == 1
    assert set(done.report[1]) <= {"cryptography"}, done  # urllib3 and requests look whether it is there
