"""A Celery worker whose application has used its client before the pool was forked, with a real redis."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.examples.running import ROOT, WAIT, environ, python, running
from tests.support.beds import Bed, over
from tests.support.fault_server import Asked

WORKERS = 2
CALLS = 40

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="Celery forks"),
    pytest.mark.skipif(not all(map(find_spec, ("celery", "redis"))), reason="celery and redis are not installed"),
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no redis-server on the PATH"),
]


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A redis-server of our own, which keeps nothing: its URL."""
    for _ in range(5):  # somebody else may take the port meanwhile
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""]
        with running([*command, "--appendonly", "no"]) as child:
            if "Ready" in child.expect(r"Ready to accept connections|Failed listening|Address already in use")[0]:
                yield f"redis://127.0.0.1:{port}/0"
                return
    pytest.fail("redis-server found no port")


@over("sse", "http-sse", "stateless", "stdio")
def test_each_worker_calls_in_a_session_of_its_own_and_the_parents_goes_on(bed: Bed, tmp_path: Path) -> None:
    together = threading.Barrier(WORKERS)  # passes only if as many calls are at the server at once

    def meet(asked: Asked) -> None:
        together.wait(30)
        asked.text(asked.arguments["message"])

    bed.tool("meet", meet)
    bed.tool("endless", lambda asked: asked.progress(1))
    transport = "stdio" if bed.name == "stdio" else "sse" if bed.name == "sse" else "http"
    with redis(tmp_path) as url:
        environment = environ(MCP_REDIS=url, MCP_SERVER=json.dumps(bed.address), MCP_TRANSPORT=transport)
        worker = ["-m", "celery", "--app", "tests.process.celery_app", "worker", "--pool", "prefork"]
        with running(python(*worker, "--concurrency", WORKERS, "--loglevel", "INFO"), environment) as child:
            child.expect("celery@.* ready")
            asks = python("-m", "tests.process.ask_celery", WORKERS, CALLS)
            asked = subprocess.run(
                asks, cwd=ROOT, env=environment, stdout=subprocess.PIPE, timeout=2 * WAIT, check=True, encoding="utf-8"
            )
            found = json.loads(asked.stdout)
            bed.server.gate.set()
            child.process.send_signal(signal.SIGTERM)
            child.expect("parent: still here slow")
            assert child.process.wait(WAIT) == 0
    assert [answer["text"] for answer in found["met"]] == [str(number) for number in range(WORKERS)]
    assert [answer["text"] for answer in found["answers"]] == [str(number) for number in range(CALLS)]
    workers = {answer["pid"] for answer in found["met"] + found["answers"]}
    assert len(workers) == WORKERS
    assert not any(answer["is_parent"] for answer in found["met"] + found["answers"])
    assert found["ends"] == [["MCPClosedError unknown"] * 2] * 4
    assert found["limited"] == "limited"
    if bed.name != "stateless":
        assert len(bed.server.sent("initialize")) == 1 + WORKERS
    assert bed.server.tool_calls["echo"] == CALLS + 3
    assert bed.server.tool_calls["slow"] == bed.server.tool_calls["endless"] == 1
    assert "Traceback" not in child.printed
    bed.server.wait_until(lambda: not bed.server._wires, "all connections are closed")
