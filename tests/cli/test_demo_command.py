"""``mcp-sync demo`` and ``mcp-sync serve`` as a user runs them, and that nothing is left running."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest
import requests

pytest.importorskip("click")
pytest.importorskip("rich")
pytest.importorskip("mcp_sync.demo", exc_type=ImportError)

WAIT = 90.0  # seconds; it takes about ten on an idle machine
COMMAND = [sys.executable, "-m", "mcp_sync"]

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a single child")


def gone(url: str) -> bool:
    try:
        requests.get(url, timeout=5, stream=True).close()
    except requests.ConnectionError:
        return True
    return False


@pytest.mark.long
def test_the_demonstration_runs_to_its_end_and_leaves_nothing_behind() -> None:
    ended = subprocess.run([*COMMAND, "demo"], capture_output=True, text=True, timeout=WAIT, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    output = ended.stdout
    url = re.search(r"it listens on (http://127\.0\.0\.1:\d+/mcp)\n", output)
    assert url is not None
    in_order = [
        "> GET /mcp HTTP/1.1",
        "< HTTP/1.1 200 OK",
        "< event: endpoint",
        "< data: /mcp/messages/?session_id=",
        "> POST /mcp/messages/?session_id=",
        '"method":"initialize"',
        "< event: message",
        "mcp-sync-demo",
        "  generate_numbers  Count from 1 to",
        '"echo", {"message": "hello"}',
        "  hello",
        "  20 of 20: 20",
        "[1, 2, 3,",
        "About the ocean: ",
        "the server has ended",
    ]
    places = [output.find(text) for text in in_order]
    assert -1 not in places, in_order[places.index(-1)]
    assert places == sorted(places)
    assert gone(url[1])


@pytest.mark.long
@needs_signals
def test_an_interrupted_demonstration_leaves_nothing_behind() -> None:
    with subprocess.Popen(
        [*COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        url = ""
        for line in child.stdout:
            if line.startswith("it listens on "):
                url = line.split()[-1]
            if "of 20" in line:
                break
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does it
        assert child.wait(WAIT) == 130
        assert child.stderr.read().strip() == "interrupted"
    assert gone(url)


@pytest.mark.long
@needs_signals
def test_a_killed_demonstration_leaves_nothing_behind() -> None:
    with subprocess.Popen([*COMMAND, "demo"], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        url = next(line.split()[-1] for line in child.stdout if line.startswith("it listens on "))
        with requests.get(url, stream=True, timeout=WAIT) as stream:
            chunks = stream.iter_content(None)
            next(chunks)
            child.kill()
            assert list(chunks) == []  # the server noticed, and ended this stream with all others
    for _ in range(100):
        if gone(url):
            return
    pytest.fail("the server outlived the command that started it")


@needs_signals
def test_serve_prints_its_url_and_ends_with_status_0() -> None:
    with subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        url = child.stdout.readline().split()[-1]
        assert requests.get(url.replace("/mcp", "/health"), timeout=WAIT).json() == {"status": "ok"}
        child.send_signal(signal.SIGINT)
        assert child.wait(WAIT) == 0
        assert child.stderr.read() == ""
