"""Dropped clients, collected at the worst of times: in handlers, on our threads, between any two steps of a call."""

from __future__ import annotations

import pytest

from tests.faults.test_every_rules import arguments
from tests.support.beds import LEGACY, Bed, over
from tests.support.fault_server import Asked
from tests.support.scripts import run_script

_BEGIN = """
import gc, json, os, sys, threading, time, warnings, weakref
warnings.simplefilter("ignore")
from mcp_sync import MCPClient, MCPClientError

def make(**options):
    return MCPClient(json.loads(sys.argv[1]), transport=sys.argv[2], timeout=30, **options)

def sockets():
    count = 0
    for fd in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            count += os.readlink("/proc/self/fd/" + fd).startswith(("socket:", "pipe:"))
        except OSError:
            pass
    return count

def ours():
    return sorted(t.name for t in threading.enumerate() if t.name.startswith("mcp-sync") and t.name != "mcp-sync-watch")

def settled(before, seconds=15):
    '''What is left of threads, sockets and pipes once nothing more goes.'''
    end = time.monotonic() + seconds
    while (ours() or sockets() > before) and time.monotonic() < end:
        gc.collect()
        time.sleep(0.02)  # nothing tells when the last has gone
    return [ours(), sockets() - before]

before = sockets()
"""

PROGRAMS = {
    "in its own handler": """
class Owner:
    pass
done = threading.Event()
alive = []
def drop(message):
    owner = holder.pop()
    alive.append(weakref.ref(owner.client))
    del owner
    gc.collect()
    done.set()
owner = Owner(); owner.itself = owner
owner.client = make(log_handler=drop).connect()
holder = [owner]
call = threading.Thread(target=owner.client.call_tool, args=("log",))
del owner
call.start(); call.join(20); del call
assert done.wait(20)
gc.collect()
print(json.dumps([alive[0]() is None, *settled(before)]))
""",
    "with a call, a stream and a listener under way": """
client = make().connect()
future = client.submit("never", timeout=1)  # it keeps the client until it is over
stream = client.stream_tool("endless"); next(stream)
try:
    events = client.listen(tools=True)
except MCPClientError:
    events = None
alive = weakref.ref(client)
client.itself = client
del client, future, stream, events
left = settled(before)
print(json.dumps([alive() is None, *left]))
""",
    "between any two steps": """
# A collection at almost each allocation, on whichever thread makes it, with something to collect each time.
gc.set_threshold(1, 1, 1)
wrong = []
def come_and_go(number):
    for round in range(4):
        client = make()
        client.itself = client
        text = client.call_tool("echo", {"message": f"{number} {round}"}).text
        future = client.submit("echo", {"message": "future"})
        if text != f"{number} {round}" or future.result(30).text != "future":
            wrong.append(text)
        del client, future
threads = [threading.Thread(target=come_and_go, args=(number,)) for number in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join(60)
gc.set_threshold(700, 10, 10)
print(json.dumps([not wrong and not any(thread.is_alive() for thread in threads), *settled(before)]))
""",
    "by callbacks that close": """
# Whatever is collected, another client is closed from its callback, on any thread, between any two steps.
gc.set_threshold(1, 1, 1)
class Trash:
    pass
def litter(client):
    trash = Trash(); trash.itself = trash
    refs.append(weakref.ref(trash, lambda ref: client.close()))
refs = []
closed = []
def run(number):
    for round in range(4):
        client = make()
        try:
            client.connect()
            litter(client)
            for call in range(20):
                client.call_tool("echo", {"message": "x"})
        except MCPClientError as exc:
            closed.append(type(exc).__name__)
        client.close()
threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join(60)
gc.set_threshold(700, 10, 10)
del refs
right = set(closed) <= {"MCPClosedError", "MCPConnectionError"} and closed
print(json.dumps([bool(right) and not any(thread.is_alive() for thread in threads), *settled(before)]))
""",
}


@over(*LEGACY, "stateless")
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_dropped_client_is_collected_and_nothing_waits_for_it(name: str, bed: Bed) -> None:
    if name == "in its own handler" and bed.name == "stateless":
        pytest.skip("this server tells nothing on its own")
    if "stream" in name and bed.name == "http-json":
        pytest.skip("no streams there")
    bed.tool("endless", lambda asked: asked.progress(1))

    def log(asked: Asked) -> None:
        asked.log("x")
        asked.text("")

    bed.tool("log", log)
    done = run_script(_BEGIN + PROGRAMS[name], *arguments(bed), timeout=90)
    assert done.code == 0, done
    assert done.report == [True, [], 0], done
    assert "Traceback" not in done.err, done
    bed.server.wait_until(lambda: not bed.server._wires, "all connections are closed", 10)


@over("sse", "http-sse", "stateless", "stdio")
def test_a_client_is_kept_by_whatever_its_caller_still_waits_with(bed: Bed) -> None:
    def slow(asked: Asked) -> None:
        asked.progress(1)
        bed.server.wait_for_call("echo")
        asked.text("done")

    bed.tool("slow", slow)
    done = run_script(
        _BEGIN
        + """
client = make().connect()
alive, task = weakref.ref(client), client.task("1")
future, stream = make().connect().submit("slow"), make().connect().stream_tool("slow")
next(stream)
first = make().submit("slow")
del client
gc.collect()
make().call_tool("echo")
said = [future.result(30).text, stream.result.text, first.result(30).text, alive() is not None]
del future, stream, first, task
print(json.dumps([said, *settled(before)]))
""",
        *arguments(bed),
        timeout=90,
    )
    assert done.report == [["done", "done", "done", True], [], 0], done
