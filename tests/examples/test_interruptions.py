"""interruptions.py, while its server is killed and comes back, and what it tries again."""

from __future__ import annotations

import importlib.util
import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from types import ModuleType, SimpleNamespace
from urllib.parse import urlsplit

import pytest

from mcp_sync import MCPClient, MCPConnectionError

from .running import EXAMPLES, WAIT, Child, demo_server, python, running

pytest.importorskip("mcp_sync.demo", exc_type=ImportError)


class Restartable:
    """The bundled server, which can end at any moment and come back on the same port."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._port = 0
        self.url = ""
        self.start()

    def start(self) -> None:
        self._child: Child
        self._child, self.url = self._stack.enter_context(demo_server(self._port))
        self._port = urlsplit(self.url).port or 0

    def end(self, how: signal.Signals) -> None:
        self._child.process.send_signal(how)
        self._child.process.wait(WAIT)

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def restartable() -> Iterator[Restartable]:
    server = Restartable()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def example() -> ModuleType:
    """The example as a module: its functions, without running it."""
    spec = importlib.util.spec_from_file_location("interruptions", EXAMPLES / "interruptions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither SIGKILL nor SIGTERM")
@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM"])
def test_it_survives_a_server_that_ends_in_the_middle_of_a_stream_and_of_a_call(
    restartable: Restartable, how: str
) -> None:
    with running(python(EXAMPLES / "interruptions.py", restartable.url)) as example:
        example.expect(r"^timed out after 0\.[5-9] s, outcome: unknown$")
        example.expect("^number 3$")
        restartable.end(signal.Signals[how])
        broke = example.expect(r"^the stream broke after (\d+) events, outcome: unknown$")
        assert int(broke[1]) >= 3
        restartable.start()
        example.expect("^back again$")
        # Now it makes the call that only reads. Whether that is on its way yet makes no difference to its result.
        restartable.end(signal.Signals[how])
        restartable.start()
        assert example.finish() == 0
        assert json.loads(example.printed.splitlines()[-1]) == list(range(1, 61))
        assert "Warning" not in example.printed


def test_a_call_that_may_have_run_is_not_sent_again(example: ModuleType, restartable: Restartable) -> None:
    runs = threading.Event()
    with MCPClient(restartable.url, timeout=WAIT, progress_handler=lambda _: runs.set()) as client:

        def end_it() -> None:
            if runs.wait(WAIT):
                restartable.end(signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)

        ending = threading.Thread(target=end_it)
        ending.start()
        with pytest.raises(MCPConnectionError) as caught:
            example.call_with_care(client, "generate_numbers", {"count": 2_000}, only_reads=False)
        ending.join(WAIT)
    assert caught.value.outcome == "unknown"


def test_a_call_that_was_not_sent_is_tried_again(
    example: ModuleType, restartable: Restartable, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with MCPClient(restartable.url, timeout=WAIT, max_retries=0) as client:
        client.list_tools()
        restartable.end(signal.SIGTERM)
        # It comes back while the example waits between two attempts.
        monkeypatch.setattr(example, "time", SimpleNamespace(sleep=lambda _: restartable.start()))
        result = example.call_with_care(client, "echo", {"message": "at last"}, only_reads=False)
    assert result.text == "at last"
    assert capsys.readouterr().out.startswith("attempt 1 failed: ")


def test_trying_again_has_an_end(
    example: ModuleType, restartable: Restartable, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(example, "time", SimpleNamespace(sleep=pauses.append))
    with MCPClient(restartable.url, timeout=WAIT, max_retries=0) as client:
        client.list_tools()
        restartable.end(signal.SIGTERM)
        with pytest.raises(MCPConnectionError) as caught:
            example.call_with_care(client, "echo", {"message": "never"}, only_reads=False, attempts=2)
    assert caught.value.outcome == "not_sent"
    assert pauses == [1]
