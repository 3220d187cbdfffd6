"""Fixtures of the interop tests: servers, clients that are closed, and a check that nothing was left behind.

Runs on the test's thread. A module of this folder says ``TRANSPORT = "sse"`` (or http, stdio) and gets each test that
asks for `running` once for every server of the table with that transport, and once more for each revision that a
server speaks besides its newest.
"""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Optional

import pytest

from mcp_sync import MCPClient

from .environments import InstallFailed, Unavailable
from .real_servers import CROSS_SECTION, LEGACY, MODERN, SERVERS, Running, Server, StartFailed, start

Connect = Callable[..., MCPClient]
LEFT_BEHIND_SECONDS = 2.0  # faults.md, rule 8
# One for the whole process, whichever client called last; it ends by itself, which one test waits for, and not each.
SHARED_THREADS = {"mcp-sync-watch"}


def cases(transport: str) -> list[object]:
    """One parameter set (server, revision) for each revision that each server of `transport` is talked to in."""
    return [
        pytest.param((server, revision), id=f"{server.name}-{revision}", marks=marks(server.name, revision))
        for server in SERVERS.values()
        if server.transport == transport
        for revision in [*([] if server.modern is None else [MODERN]), LEGACY, *server.older]
    ]


def marks(server: str, revision: str) -> list[pytest.MarkDecorator]:
    """The tests of one server run on one worker; some run in every check."""
    group = pytest.mark.xdist_group(server)
    return [group, pytest.mark.cross_section] if (server, revision) in CROSS_SECTION else [group]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "running" in metafunc.fixturenames or "fresh" in metafunc.fixturenames:
        names: Optional[str] = getattr(metafunc.module, "TRANSPORT", None)
        if names is not None:
            metafunc.parametrize("case", cases(names), scope="module")


@contextlib.contextmanager
def started(server: Server) -> Iterator[Running]:
    """Run `server`, or skip the test when this machine cannot have it."""
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(start(server.name))
        except Unavailable as reason:
            pytest.skip(f"{server.name}: {reason}")
        yield running


@pytest.fixture(scope="module")
def _shared() -> Iterator[Callable[[Server], Running]]:
    """The server that tests share; pytest runs the tests of one server together, so one is up at a time."""
    running: Optional[Running] = None
    failure: Optional[BaseException] = None
    of: Optional[Server] = None
    with contextlib.ExitStack() as stack:

        def obtain(server: Server) -> Running:
            nonlocal running, failure, of
            if of is not server:
                stack.close()
                of, running, failure = server, None, None
                try:
                    running = stack.enter_context(started(server))
                except (StartFailed, InstallFailed, pytest.skip.Exception) as exc:
                    failure = exc  # and the other tests of this server end in the same way
            if failure is not None:
                raise failure
            assert running is not None
            return running

        yield obtain


@pytest.fixture
def running(_shared: Callable[[Server], Running], case: tuple[Server, str]) -> Running:
    """A server that other tests use as well: do not stop it."""
    return _shared(case[0])


@pytest.fixture
def fresh(case: tuple[Server, str]) -> Iterator[Running]:
    """A server of this test's own."""
    with started(case[0]) as running:
        yield running


@pytest.fixture
def revision(case: tuple[Server, str]) -> str:
    """The protocol revision that client and server are to speak."""
    return case[1]


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test its threads, sockets and children are gone, within two seconds."""
    if "_shared" in request.fixturenames:  # what the tests of a module share is not this test's
        server, revision = request.getfixturevalue("case")
        running = request.getfixturevalue("_shared")(server)
        if "client" in request.fixturenames and server.transport == "stdio":
            request.getfixturevalue("_kept")(running, revision)
    before = Belongings()
    yield
    before.expect_no_more()


class Belongings:
    """What this process has: threads, open file descriptors, and children."""

    def __init__(self) -> None:
        self.threads = {thread for thread in threading.enumerate() if thread.name not in SHARED_THREADS}
        self.descriptors = descriptors()
        self.children = children()

    def expect_no_more(self, seconds: float = LEFT_BEHIND_SECONDS) -> None:
        """Wait until everything that came since then is gone again, and fail if it does not go."""
        expires = time.monotonic() + seconds
        while True:
            now = Belongings()
            more = {
                "threads": [thread.name for thread in now.threads - self.threads],
                "descriptors": {fd: now.descriptors[fd] for fd in now.descriptors.keys() - self.descriptors.keys()},
                "children": now.children - self.children,
            }
            if not any(more.values()):
                return
            if time.monotonic() > expires:
                raise AssertionError(f"left behind after {seconds:g} s: {more}")
            # The idle connections of a `requests.Session` that a test brought go when the session is collected.
            gc.collect()
            time.sleep(0.02)


def descriptors() -> dict[int, str]:
    """The sockets and pipes that are open; files are left out, pytest opens those as it likes."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that listdir itself used
            target = os.readlink(f"/proc/self/fd/{name}")
            if target.startswith(("socket:", "pipe:")):
                found[int(name)] = target
    return found


def children() -> set[int]:
    """The pids of this process's children, the dead ones that nobody waited for included."""
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/children", encoding="ascii") as listed:
            found.update(int(pid) for pid in listed.read().split())
    return found


@pytest.fixture
def connect(revision: str) -> Iterator[Connect]:
    """Make a connected client of a server, closed when the test ends; options as for `MCPClient`."""
    with contextlib.ExitStack() as stack:

        def make(running: Running, **options: Any) -> MCPClient:
            return stack.enter_context(_client_of(running, revision, **options))

        yield make


def _client_of(running: Running, revision: str, **options: Any) -> MCPClient:
    # The newest revision is what a client finds by itself, so only an older one is asked for.
    if revision != (LEGACY if running.server.modern is None else MODERN):
        options.setdefault("protocol_version", revision)
    options.setdefault("timeout", 20.0)
    return MCPClient(running.target, **options)


@pytest.fixture(scope="module")
def _kept() -> Iterator[Callable[[Running, str], MCPClient]]:
    """One connected client for the tests of a stdio server: there, each client costs the start of a server."""
    kept: Optional[MCPClient] = None
    of: Optional[tuple[str, str]] = None
    with contextlib.ExitStack() as stack:

        def obtain(running: Running, revision: str) -> MCPClient:
            nonlocal kept, of
            if kept is None or of != (running.name, revision):
                stack.close()
                kept, of = stack.enter_context(_client_of(running, revision)), (running.name, revision)
            kept.connect()
            return kept

        yield obtain


@pytest.fixture
def client(connect: Connect, running: Running, revision: str, _kept: Callable[[Running, str], MCPClient]) -> MCPClient:
    """A connected client without handlers; over stdio other tests use it as well, so do not close it."""
    return _kept(running, revision) if running.server.transport == "stdio" else connect(running)
