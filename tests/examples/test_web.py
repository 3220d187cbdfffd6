"""The Flask and the Django example, served as their first lines say, to several readers at once and to a browser."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Optional

import pytest
import requests

from mcp_sync import MCPClient

from . import browser
from .running import EXAMPLES, WAIT, demo_server, environ, python, running
from .watching import finished_calls

READERS = 4
GUNICORN = ["-m", "gunicorn", "--chdir", str(EXAMPLES), "--bind", "127.0.0.1:0", "--threads", "8", "--preload"]
COMMANDS = {
    "flask": ["-m", "flask", "--app", str(EXAMPLES / "flask_app.py"), "run", "--port", "0"],
    "django": [str(EXAMPLES / "django_app.py"), "runserver", "--noreload", "0"],
    "flask-gunicorn": [*GUNICORN, "flask_app:app"],
    "django-gunicorn": [*GUNICORN, "django_app:application"],
}


@contextmanager
def serving(name: str, mcp_url: str) -> Iterator[str]:
    """Run the example's web server, and yield its URL."""
    framework, _, server = name.partition("-")
    for module in filter(None, (framework, server)):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    if server and sys.platform == "win32":
        pytest.skip("gunicorn needs fork")
    with running(python(*COMMANDS[name]), environ(MCP_URL=mcp_url)) as child:
        yield child.expect(r"(?:Running on|development server at|Listening at:) (http://127\.0\.0\.1:\d+)")[1]


@pytest.fixture(scope="module", params=COMMANDS)
def app(request: pytest.FixtureRequest, demo_url: str) -> Iterator[str]:
    with serving(request.param, demo_url) as url:
        yield url


@pytest.fixture
def watcher(demo_url: str) -> Iterator[MCPClient]:
    """A client that looks at what the server does meanwhile."""
    with MCPClient(demo_url) as client:
        yield client


class Reader:
    """What a browser's EventSource does: reads one event stream, event by event."""

    def __init__(self, url: str, prompt: str) -> None:
        self.response = requests.get(f"{url}/write", {"prompt": prompt}, stream=True, timeout=WAIT)
        assert self.response.status_code == 200
        assert self.response.headers["Content-Type"].startswith("text/event-stream")
        self._lines = self.response.iter_lines(chunk_size=1, decode_unicode=True)

    def next(self) -> Optional[tuple[str, Any]]:
        """The next event's name and data; None at the end."""
        event = "message"
        for line in self._lines:
            field, _, value = line.partition(": ")
            if field == "event":
                event = value
            elif field == "data":
                return event, json.loads(value)
        return None

    def close(self) -> None:
        self.response.close()


def test_a_view_calls_a_tool(app: str) -> None:
    answer = requests.get(f"{app}/calculate", {"expression": "6 * 7"}, timeout=WAIT)
    assert (answer.status_code, answer.json()) == (200, {"result": 42})


def test_a_tool_that_fails_is_the_readers_error(app: str) -> None:
    answer = requests.get(f"{app}/calculate", {"expression": "1 / 0"}, timeout=WAIT)
    assert answer.status_code == 422
    assert "division by zero" in answer.json()["error"]


def test_a_view_streams_a_tool_while_it_runs(app: str, watcher: MCPClient) -> None:
    before = finished_calls(watcher)["generate_text"]
    reader = Reader(app, "light")
    try:
        first = reader.next()
        assert finished_calls(watcher)["generate_text"] == before, "the first event came when the tool was done"
        events = list(iter(reader.next, None))
    finally:
        reader.close()
    assert first == ("message", "About")
    assert events[-1] == ("done", {})
    assert {name for name, _ in events[:-1]} == {"message"}
    assert finished_calls(watcher)["generate_text"] == before + 1


def test_threads_share_the_client_and_stream_at_once(app: str) -> None:
    # Nobody reads on before everybody has had a first event, so streams that come one after the other would fail.
    together = threading.Barrier(READERS, timeout=WAIT)

    def read(number: int) -> str:
        reader = Reader(app, f"reader {number}")
        try:
            first = reader.next()
            together.wait()
            events = [first, *iter(reader.next, None)]
        finally:
            reader.close()
        assert events[-1] == ("done", {})
        return "".join(event[1] for event in events[:-1] if event is not None)

    with ThreadPoolExecutor(READERS) as pool:
        texts = list(pool.map(read, range(READERS)))
    assert [text.partition(":")[0] for text in texts] == [f"About reader {number}" for number in range(READERS)]


def test_a_reader_who_goes_away_stops_the_tool(app: str, watcher: MCPClient) -> None:
    before = finished_calls(watcher)["generate_text"]
    reader = Reader(app, "a reader in a hurry")
    assert reader.next() == ("message", "About")
    reader.close()
    outlast(watcher)
    assert finished_calls(watcher)["generate_text"] == before


def outlast(client: MCPClient) -> None:
    """Make a call that takes longer than any generate_text: what began before it is over when it returns."""
    client.call_tool("generate_numbers", {"count": 1, "delay": 3})


@pytest.mark.long
@pytest.mark.parametrize("name", ["flask", "django"])
def test_a_server_that_is_away_is_an_error_until_it_comes_back(name: str) -> None:
    pytest.importorskip("mcp_sync.demo", exc_type=ImportError)
    with demo_server() as (server, mcp_url):
        port = int(mcp_url.split(":")[2].partition("/")[0])
        with serving(name, mcp_url) as app:
            assert requests.get(f"{app}/calculate", {"expression": "1"}, timeout=WAIT).json() == {"result": 1}
            server.end()
            away = requests.get(f"{app}/calculate", {"expression": "1"}, timeout=WAIT)
            assert away.status_code == 502
            assert away.json()["outcome"] in ("not_sent", "unknown")
            reader = Reader(app, "light")
            assert [name for name, _ in iter(reader.next, None)] == ["failed"]
            with demo_server(port):
                assert requests.get(f"{app}/calculate", {"expression": "1"}, timeout=WAIT).json() == {"result": 1}


@pytest.mark.skipif(sys.platform == "win32", reason="Chromium's pipe is driven by descriptor numbers")
@pytest.mark.skipif(browser.program() is None, reason="there is no Chromium on this machine")
class TestInABrowser:
    @pytest.fixture(scope="class")
    def chromium(self) -> Iterator[browser.Browser]:
        with browser.browser() as running_one:
            yield running_one

    @pytest.mark.parametrize("name", ["flask", "django"])
    def test_the_page_fills_with_text_and_asks_once(
        self, name: str, demo_url: str, chromium: browser.Browser, watcher: MCPClient
    ) -> None:
        before = finished_calls(watcher)["generate_text"]
        with serving(name, demo_url) as app, chromium.page(app) as page:
            assert page.wait_for("document.title == 'done' && document.getElementById('text').textContent").startswith(
                "About the ocean: "
            )
            assert page.wait_for("source.readyState == EventSource.CLOSED")
        assert finished_calls(watcher)["generate_text"] == before + 1

    @pytest.mark.parametrize("name", ["flask", "django"])
    def test_closing_the_page_stops_the_tool(
        self, name: str, demo_url: str, chromium: browser.Browser, watcher: MCPClient
    ) -> None:
        before = finished_calls(watcher)["generate_text"]
        with serving(name, demo_url) as app:
            with chromium.page(app) as page:
                page.wait_for("document.getElementById('text').textContent.startsWith('About the')")
            outlast(watcher)
        assert finished_calls(watcher)["generate_text"] == before
