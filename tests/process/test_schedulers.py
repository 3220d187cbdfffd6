"""Programs that schedule otherwise than by threads: gevent, and asyncio with its threads and its futures."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

from tests.faults.test_every_rules import arguments
from tests.support.beds import Bed, over
from tests.support.scripts import run_script

_END = """
def left():
    end = time.monotonic() + 10
    while time.monotonic() < end:
        names = sorted(t.name for t in threading.enumerate() if t.name.startswith("mcp-sync") and "watch" not in t.name)
        if not names:
            break
        time.sleep(0.02)  # nothing tells when the last has gone
    return names
"""
_GEVENT = (
    """
from gevent import monkey; monkey.patch_all()
import gevent, json, sys, threading, time
from mcp_sync import MCPClient, MCPClientError
from tests.support import inside
client = MCPClient(json.loads(sys.argv[1]), transport=sys.argv[2], timeout=30).connect()
"""
    + _END
)
_ASYNCIO = (
    """
import asyncio, json, sys, threading, time
from mcp_sync import MCPCancelledError, MCPClient, MCPClientError, MCPTimeoutError
client = MCPClient(json.loads(sys.argv[1]), transport=sys.argv[2], timeout=30)
"""
    + _END
)


@pytest.mark.skipif(find_spec("gevent") is None, reason="gevent is not installed")
def test_greenlets_share_a_client_and_may_be_killed_in_a_call(bed: Bed) -> None:
    done = run_script(
        _GEVENT
        + """
def call(number):
    return client.call_tool("echo", {"message": str(number)}).text

ticks = []
def tick():
    while True:
        ticks.append(1)
        gevent.sleep(0.01)
ticker = gevent.spawn(tick)

jobs = [gevent.spawn(call, number) for number in range(50)]
gevent.joinall(jobs, timeout=30)
right = [job.value for job in jobs] == [str(number) for number in range(50)]

stuck = [gevent.spawn(client.call_tool, "never") for _ in range(5)]
gevent.sleep(0.3)
before = len(ticks)
gevent.sleep(0.3)
went_on = len(ticks) > before + 5  # a call that waits does not keep the others waiting
gevent.killall(stuck, timeout=10)
killed = all(job.dead for job in stuck)

timed_out = False
try:
    with gevent.Timeout(0.3):
        client.call_tool("never")
except gevent.Timeout:
    timed_out = True
try:
    client.call_tool("never", timeout=0.3)
    ours = "answered"
except MCPClientError as exc:
    ours = type(exc).__name__
future = client.submit("echo", {"message": "future"}).result(10).text
rows = [row.text for row in client.map("echo", [{"message": str(n)} for n in range(10)])]
again = call("again")
ticker.kill()
waiting = inside.waiting(client)
client.close()
print(json.dumps([right, went_on, killed, timed_out, ours, future, rows == [str(n) for n in range(10)], again, waiting,
    left()]))
""",
        *arguments(bed),
        timeout=60,
    )
    assert done.code == 0, done
    assert done.report == [True, True, True, True, "MCPTimeoutError", "future", True, "again", 0, []], done
    bed.server.wait_until(lambda: not bed.server._wires, "all connections are closed")


@pytest.mark.skipif(find_spec("gevent") is None, reason="gevent is not installed")
@over("sse", "http-sse")
def test_what_is_left_unpatched_stops_nobody(bed: Bed) -> None:
    """A thread of gevent's that waited in the system's select would stop all others."""
    done = run_script(
        _GEVENT.replace("patch_all()", "patch_all(select=False)")
        + """
times = []
for number in range(3):
    before = time.monotonic()
    gevent.sleep(0.3)  # idle
    call = client.call_tool("echo", {"message": str(number)}).text
    times.append(time.monotonic() - before < 5)
client.close()
print(json.dumps([times, left()]))
""",
        *arguments(bed),
        timeout=60,
    )
    assert done.code == 0, done
    assert done.report == [[True] * 3, []], done


@pytest.mark.skipif(find_spec("gevent") is None or not hasattr(os, "fork"), reason="needs gevent and fork")
@over("sse", "http-sse", "stdio")
def test_a_child_forked_by_gevent_has_a_session_of_its_own(bed: Bed) -> None:
    done = run_script(
        _GEVENT
        + """
import os
read, write = os.pipe()
pid = os.fork()
if not pid:
    os.write(write, client.call_tool("echo", {"message": "child"}).text.encode())
    os._exit(0)
os.waitpid(pid, 0)
print(json.dumps([os.read(read, 100).decode(), client.call_tool("echo", {"message": "parent"}).text]))
client.close()
""",
        *arguments(bed),
    )
    assert done.code == 0, done
    assert done.report == ["child", "parent"]
    assert len(bed.server.sent("initialize")) == 2


@pytest.mark.clock
def test_asyncio_calls_by_to_thread_and_gives_up_what_takes_too_long(bed: Bed) -> None:
    done = run_script(
        _ASYNCIO
        + """
async def main():
    await asyncio.to_thread(client.connect)
    texts = await asyncio.gather(
        *(asyncio.to_thread(client.call_tool, "echo", {"message": str(number)}) for number in range(30)))
    right = [result.text for result in texts] == [str(number) for number in range(30)]
    # Nobody can cancel a thread: the call ends by its own timeout, and the program does not wait for it.
    start = time.monotonic()
    try:
        await asyncio.wait_for(asyncio.to_thread(client.call_tool, "never", timeout=2), 0.2)
        gave_up = None
    except asyncio.TimeoutError:
        gave_up = time.monotonic() - start < 1.5
    # A future of ours can be cancelled: the server is told to stop the tool.
    future = client.submit("never")
    try:
        await asyncio.wait_for(asyncio.wrap_future(future), 0.2)
        cancelled = None
    except asyncio.TimeoutError:
        cancelled = future.cancelled()
    again = (await asyncio.to_thread(client.call_tool, "echo", {"message": "again"})).text
    task = asyncio.ensure_future(asyncio.to_thread(client.call_tool, "never", timeout=2))
    await asyncio.sleep(0.2)
    await asyncio.to_thread(client.close)
    try:
        await task
        closed = None
    except MCPClientError as exc:
        closed = type(exc).__name__
    return [right, gave_up, cancelled, again, closed]

print(json.dumps([*asyncio.run(main(), debug=False), left()]))
""",
        *arguments(bed),
        timeout=60,
    )
    assert done.code == 0, done
    assert done.report == [True, True, True, "again", "MCPClosedError", []], done
    assert "Traceback" not in done.err, done
    if bed.name != "stateless":
        bed.server.wait_for_method("notifications/cancelled")
    bed.server.wait_until(lambda: not bed.server._wires, "all connections are closed")
