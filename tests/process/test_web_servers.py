"""Web servers that load the application, and with it a client in use, before they fork their workers."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.examples.running import ROOT, WAIT, Child, environ, python, running
from tests.support.beds import Bed, over
from tests.support.fault_server import Asked

FOLDER = Path(__file__).parent
WORKERS = 2
CALLS = 40
GUNICORN = ["-m", "gunicorn", "--config", FOLDER / "gunicorn_conf.py", "--workers", WORKERS, "--graceful-timeout", 10]
UWSGI = [
    *("-c", "import pyuwsgi; pyuwsgi.run()", "--http-socket", "127.0.0.1:0", "--master", "--need-app"),
    *("--processes", WORKERS, "--module", "tests.process.web_app:app", "--pythonpath", ROOT, "--die-on-term"),
]
COMMANDS = {
    "sync": [*GUNICORN, "tests.process.web_app:app"],
    "gthread": [*GUNICORN, "--threads", 4, "tests.process.web_app:app"],
    # Forks without a word to the interpreter, unless it is told to.
    "uwsgi": UWSGI,
    "uwsgi-threads": [*UWSGI, "--threads", 4],
    "uwsgi-hooks": [*UWSGI, "--enable-threads", "--py-call-uwsgi-fork-hooks"],
}
BEDS = ("sse", "http-sse", "stateless", "stdio")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these servers need fork")


@contextmanager
def serving(command: Sequence[object], bed: Bed) -> Iterator[tuple[Child, str]]:
    """Run a web server whose application has a client of ``bed``: the process and its URL."""
    module = "pyuwsgi" if "-c" in command else "gunicorn"
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    transport = "stdio" if bed.name == "stdio" else "sse" if bed.name == "sse" else "http"
    environment = environ(MCP_SERVER=json.dumps(bed.address), MCP_TRANSPORT=transport, MCP_ROOT=str(ROOT))
    with running(python(*command), environment) as child:
        found = child.expect(r"(?:Listening at: http://|bound to TCP address )(127\.0\.0\.1:\d+)")
        yield child, f"http://{found[1]}"


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest) -> list[object]:
    return list(COMMANDS[request.param])


def call(url: str, message: str, tool: str = "echo") -> dict[str, Any]:
    answer = requests.get(f"{url}/call", {"tool": tool, "message": message}, timeout=WAIT)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@over(*BEDS)
def test_each_worker_calls_in_a_session_of_its_own_and_the_parents_goes_on(command: list[object], bed: Bed) -> None:
    together = threading.Barrier(WORKERS)  # passes only if as many calls are at the server at once

    def meet(asked: Asked) -> None:
        together.wait(30)
        asked.text(asked.arguments["message"])

    bed.tool("meet", meet)
    bed.tool("endless", lambda asked: asked.progress(1))
    with serving(command, bed) as (child, url):
        with ThreadPoolExecutor(8) as pool:
            met = list(pool.map(lambda n: call(url, str(n), "meet"), range(WORKERS)))
            answers = list(pool.map(lambda n: call(url, str(n)), range(CALLS)))
        assert [answer["text"] for answer in met] == [str(number) for number in range(WORKERS)]
        assert [answer["text"] for answer in answers] == [str(number) for number in range(CALLS)]
        assert not any(answer["is_parent"] for answer in met + answers)
        workers = {answer["pid"] for answer in met + answers}
        assert len(workers) <= WORKERS
        if bed.name != "stateless":
            assert len(bed.server.sent("initialize")) == 1 + len(workers)
        for _ in range(4):
            ended = requests.get(f"{url}/inherited", timeout=WAIT)
            assert ended.json() == ["MCPClosedError unknown"] * 2
        bed.server.gate.set()
        child.process.send_signal(signal.SIGTERM)
        if "gunicorn" in command:
            child.expect("parent: still here slow")
        assert child.process.wait(WAIT) == 0
    assert bed.server.tool_calls["echo"] == CALLS + 1 + ("gunicorn" in command)
    assert bed.server.tool_calls["slow"] == bed.server.tool_calls["endless"] == 1
    assert "Traceback" not in child.printed
    bed.server.wait_until(lambda: not bed.server._wires, "all connections are closed")
