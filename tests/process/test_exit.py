"""The end of a program in every state of its client: at once, with its own exit code, and without noise."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Optional

import pytest

from tests.faults.test_every_rules import arguments
from tests.support.beds import Bed, over
from tests.support.fault_server import Asked
from tests.support.scripts import run_script

# Seconds between a program's last line and its end: the goodbye may take one.
AT_ONCE = 4.0

_BEGIN = """
import atexit, json, os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of os.fork() beside threads
from mcp_sync import MCPClient, MCPClientError

def make(**options):
    return MCPClient(json.loads(sys.argv[1]), transport=sys.argv[2], timeout=600, **options)

def end():
    print(time.time(), flush=True)

def in_thread(work, daemon=True):
    thread = threading.Thread(target=work, daemon=daemon)
    thread.start()

"""

# What a program does, its exit code, and what its last line of stderr begins with (None: anything).
PROGRAMS: dict[str, tuple[str, int, Optional[str]]] = {
    "client never connected": ("client = make(); end()", 0, ""),
    "client closed": ("client = make().connect(); client.close(); end()", 0, ""),
    "call in a daemon thread": (
        'client = make().connect(); in_thread(lambda: client.call_tool("never")); client.call_tool("seen"); end()',
        0,
        "",
    ),
    "many calls in daemon threads": (
        """
client = make().connect()
for _ in range(20):
    in_thread(lambda: client.call_tool("never"))
client.call_tool("seen"); end(); sys.exit(3)
""",
        3,
        "",
    ),
    "threads that call without end": (
        """
client = make().connect()
def busy():
    while True:
        client.call_tool("echo", {"message": "busy"})
for _ in range(8):
    in_thread(busy)
for _ in range(20):
    client.call_tool("echo", {"message": "main"})
end(); sys.exit(3)
""",
        3,
        "",
    ),
    "future under way": (
        'client = make().connect(); f = client.submit("never"); client.call_tool("seen"); end()',
        0,
        "",
    ),
    "map under way": (
        'client = make().connect(); in_thread(lambda: client.map("never", [{}] * 4)); client.call_tool("seen"); end()',
        0,
        "",
    ),
    "stream begun": ('client = make().connect(); s = client.stream_tool("endless"); next(s); end()', 0, ""),
    "stream read in a daemon thread": (
        """
client = make().connect()
first = threading.Event()
def read():
    for event in client.stream_tool("endless"):
        first.set()
in_thread(read); first.wait(20); end()
""",
        0,
        "",
    ),
    "listening in a daemon thread": (
        """
client = make().connect()
events = client.listen(tools=True)
in_thread(lambda: list(events)); end()
""",
        0,
        "",
    ),
    "sys.exit in on_progress": (
        """
client = make().connect()
def stop(progress):
    end(); sys.exit(4)
client.call_tool("endless", on_progress=stop)
""",
        4,
        "",
    ),
    "exception in on_progress": (
        """
client = make().connect()
def fail(progress):
    end(); raise LookupError("mine")
client.call_tool("endless", on_progress=fail)
""",
        1,
        "LookupError: mine",
    ),
    "exception in a stream": (
        """
client = make().connect()
for event in client.stream_tool("endless"):
    end(); raise LookupError("mine")
""",
        1,
        "LookupError: mine",
    ),
    "exception in a with block": (
        'with make() as client:\n    client.call_tool("echo")\n    end(); raise LookupError("mine")',
        1,
        "LookupError: mine",
    ),
    "sys.exit in a handler": (
        """
def stop(message):
    sys.exit(9)
client = make(log_handler=stop).connect()
client.call_tool("log")
client.call_tool("echo"); end(); sys.exit(5)
""",
        5,
        "SystemExit: 9",  # it ends the handler, which is logged, and not the program
    ),
    "handler that never returns": (
        """
entered = threading.Event()
def stay(message):
    entered.set(); threading.Event().wait()
client = make(log_handler=stay).connect()
client.call_tool("log"); entered.wait(20); end(); sys.exit(5)
""",
        5,
        "",
    ),
    "handler in a call of its own": (
        """
entered = threading.Event()
def ask(message):
    entered.set(); client.call_tool("never")
client = make(log_handler=ask).connect()
client.call_tool("log"); entered.wait(20); client.call_tool("seen"); end(); sys.exit(5)
""",
        5,
        "",
    ),
    "SIGTERM that exits": (
        """
def stop(number, frame):
    end(); sys.exit(6)
signal.signal(signal.SIGTERM, stop)
client = make().connect()
def send():
    client.call_tool("seen"); os.kill(os.getpid(), signal.SIGTERM)
in_thread(send); client.call_tool("never")
""",
        6,
        "",
    ),
    "atexit that calls and closes": (
        """
def last():
    print(client.call_tool("echo", {"message": "last"}).text); client.close(); end()
client = make().connect()
atexit.register(last)
""",
        0,
        "",
    ),
    "atexit of before the import": (
        """
def last():
    try:
        client.call_tool("echo", {"message": "too late"}, timeout=5)
    except MCPClientError as exc:
        print(type(exc).__name__)
    client.close(); end()
from tests.support import inside
inside.at_exit_before_ours(last)
client = make().connect()
""",
        0,
        "",
    ),
    "close in __del__ at the very end": (
        """
class Owner:
    def __init__(self):
        self.client = make().connect()
    def __del__(self):
        self.client.close()
owner = Owner(); owner.itself = owner; end()
""",
        0,
        "",
    ),
    "hundred clients": (
        "clients = [make() for _ in range(100)]; [c.connect() for c in clients[:20]]; end()",
        0,
        "",
    ),
    "os._exit": ("client = make().connect(); end(); os._exit(8)", 8, ""),
    "daemon thread with a lock that the end needs": (
        """
lock = threading.Lock()
def hold():
    with lock:
        client.call_tool("never")
client = make().connect(); in_thread(hold); client.call_tool("seen")
def last():
    with lock:
        end()
from tests.support import inside
inside.at_exit_before_ours(last)
""",
        0,
        None,
    ),
    "os._exit in a forked child": (
        """
client = make().connect(); client.submit("never"); client.call_tool("seen")
pid = os.fork()
if not pid:
    client.call_tool("echo"); os._exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
assert client.call_tool("echo", {"message": "on"}).text == "on"; end()
""",
        0,
        "",
    ),
    "exit in a forked child": (
        """
client = make().connect(); future = client.submit("never"); client.call_tool("seen")
pid = os.fork()
if not pid:
    client.call_tool("echo"); stream = client.stream_tool("endless"); next(stream); sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
assert client.call_tool("echo", {"message": "on"}).text == "on"; end()
""",
        0,
        "",
    ),
}


@over("sse", "http-sse", "stateless", "stdio")
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_ends_at_once_with_its_own_code_and_without_noise(name: str, bed: Bed) -> None:
    program, code, last_words = PROGRAMS[name]
    if "fork" in name and not hasattr(os, "fork"):
        pytest.skip("needs fork")
    if "listening" in name and bed.name == "stateless":
        pytest.skip("this server has nothing to tell")

    def seen(asked: Asked) -> None:
        bed.server.wait_for_call("never")
        asked.text("")

    def log(asked: Asked) -> None:
        asked.log("x")
        asked.text("")

    bed.tool("seen", seen)
    bed.tool("log", log)
    bed.tool("endless", lambda asked: asked.progress(1))
    done: Any = run_script(_BEGIN + program, *arguments(bed), timeout=60)
    ended = time.time()
    assert done.code == code, done
    times = [line for line in done.out.splitlines() if line.replace(".", "", 1).isdigit()]
    assert ended - float(times[-1]) < AT_ONCE, done
    lines = done.err.strip().splitlines()
    if last_words:
        assert lines[-1].startswith(last_words), done
        assert sum(line.startswith("Traceback") for line in lines) == 1, done
    elif last_words is not None:
        assert not lines, done
    bed.server.wait_until(lambda: not bed.server._wires, "all connections are closed", 10)


# A server that stays when its stdin ends, and when it is told to terminate.
_STUBBORN = """
import json, os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for line in sys.stdin:
    asked = json.loads(line)
    if asked["method"] == "initialize":
        given = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": given}), flush=True)
    elif asked["method"] == "pid":
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": {"pid": os.getpid()}}), flush=True)
while True:
    time.sleep(60)
"""

CLOSED_IN_THE_BACKGROUND = {
    "by a handler": """
def stop(number, frame):
    client.close(); sys.exit(0)
signal.signal(signal.SIGUSR1, stop)
client = make()
print(json.dumps(client.request("pid")), flush=True)
threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
client.request("never")
""",
    "because it was dropped": """
warnings.simplefilter("ignore", ResourceWarning)
print(json.dumps(make().request("pid")), flush=True)
""",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs signals")
@pytest.mark.parametrize("name", CLOSED_IN_THE_BACKGROUND)
def test_the_end_waits_for_what_is_being_closed_in_the_background(name: str, tmp_path: Path) -> None:
    server = tmp_path / "stubborn.py"
    server.write_text(_STUBBORN)
    done = run_script(
        """
import json, os, signal, sys, threading, warnings
from mcp_sync import MCPClient

def make():
    # The server is killed 0.8 s after close(): later than that returns in a handler, sooner than the end gives up.
    return MCPClient(
        [sys.executable, sys.argv[1]], protocol_version="2025-11-25", timeout=30, close_timeout=0.8
    )
"""
        + CLOSED_IN_THE_BACKGROUND[name],
        str(server),
    )
    assert done.code == 0, done
    with pytest.raises(ProcessLookupError):
        os.kill(done.report["pid"], 0)
