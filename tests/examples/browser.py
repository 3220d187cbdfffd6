"""A headless Chromium, driven over its DevTools pipe: enough to open a page and to wait for what a script promises.

Used by the test process, on the thread that runs the test; one more thread reads the pipe.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Browser", "browser", "program"]

SECONDS = 60.0
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",  # containers have no user namespaces, and the pages are ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
# With --remote-debugging-pipe it reads messages from descriptor 3 and writes them to 4, each with a NUL at its end.
_ON_3_AND_4 = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def program() -> str | None:
    """The Chromium of this machine, or None."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Browser:
    """A running Chromium.

    Parameters:
        commands: the descriptor that it reads from.
        messages: the descriptor that it writes to.
    """

    def __init__(self, commands: int, messages: int) -> None:
        self._commands = commands
        self._messages = messages
        self._ids = itertools.count(1)
        self._messages_read: queue.Queue[dict[str, Any]] = queue.Queue()
        # Events that nobody has asked for yet; the thread that runs the test has them.
        self._kept: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, name="devtools")
        self._reader.start()

    def _read(self) -> None:
        # It ends with the pipe, and that ends with the process.
        buffered = b""
        data = b"."
        while data:
            data = os.read(self._messages, 65536)
            *messages, buffered = (buffered + data).split(b"\0")
            for message in messages:
                self._messages_read.put(json.loads(message))
        self._messages_read.put({"error": "the browser has ended"})

    def ask(self, method: str, session: str | None = None, **params: object) -> dict[str, Any]:
        """Send one command, and return its result."""
        message: dict[str, object] = {"id": next(self._ids), "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        result: dict[str, Any] = self.receive(id=message["id"])["result"]
        return result

    def receive(self, **wanted: object) -> dict[str, Any]:
        """The next message with these members; others are kept for whoever asks for them."""
        expires = time.monotonic() + SECONDS
        passed: list[dict[str, Any]] = []
        waiting = iter(self._kept)
        while True:
            message = next(waiting, None) or self._messages_read.get(timeout=max(0.0, expires - time.monotonic()))
            assert "error" not in message, message
            if wanted.items() <= message.items():
                self._kept = [*passed, *waiting]
                return message
            passed.append(message)

    @contextmanager
    def page(self, url: str) -> Iterator[Page]:
        """Open a page, and close it at the end of the block."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        try:
            session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            self.ask("Page.enable", session)
            self.ask("Page.navigate", session, url=url)
            # The answer comes when the document is there, and that is before it is loaded.
            self.receive(sessionId=session, method="Page.loadEventFired")
            yield Page(self, session)
        finally:
            self.ask("Target.closeTarget", targetId=target)

    def join(self) -> None:
        self._reader.join()


class Page:
    """An open page."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def wait_for(self, expression: str) -> Any:
        """Wait until a JavaScript expression is true, looked at after each change of the page; returns its value."""
        promise = f"""new Promise(resolve => {{
            const look = () => {{ const value = {expression}; if (value) {{ watch.disconnect(); resolve(value); }} }};
            const watch = new MutationObserver(look);
            watch.observe(document, {{subtree: true, childList: true, characterData: true}});
            look();
        }})"""
        answer = self._browser.ask(
            "Runtime.evaluate", self._session, expression=promise, awaitPromise=True, returnByValue=True
        )
        return answer["result"].get("value")


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium with a profile of its own, and end it with the block."""
    executable = program()
    assert executable is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", _ON_3_AND_4, str(theirs_in), str(theirs_out)),
                *(executable, *_FLAGS, f"--user-data-dir={profile}", "about:blank"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs_in, theirs_out),
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        driven = Browser(ours_out, ours_in)
        try:
            yield driven
        finally:
            os.close(ours_out)  # which ends the browser
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            driven.join()
            os.close(ours_in)
