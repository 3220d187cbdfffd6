"""Fixtures for every test: one resource each; and after each test, a look at what it left behind."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from mcp_sync import MCPClient
from tests.support import inside
from tests.support.beds import ALL, Bed, make_server
from tests.support.certificates import Certificates
from tests.support.fault_server import FaultServer

# Shared by all tests; it ends by itself when it has nothing to wait for.
_SHARED = {"mcp-sync-watch"}
_PATIENCE = 3.0


# Folders that need programs of other people, or an environment of their own for each server, and minutes.
_ON_REQUEST = {"interop": "--interop", "conformance": "--interop", "benchmarks": "--benchmarks", "process": "--process"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--interop", action="store_true", help="talk to real servers, and run the conformance suite")
    parser.addoption("--long", action="store_true", help="run what takes more than five seconds, too")
    parser.addoption("--soak", action="store_true", help="make the loads as large as they get")
    parser.addoption("--fuzz", type=int, default=0, metavar="SECONDS", help="run the coverage-guided fuzzer so long")
    parser.addoption("--process", action="store_true", help="run inside web servers, task queues and pools")
    parser.addoption("--benchmarks", action="store_true", help="compare the speed of clients")


def pytest_configure() -> None:
    # A shell that runs the tests in the background has them ignore Ctrl-C, and their children too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> Optional[bool]:
    """Leave out what was not asked for; None leaves the decision to others."""
    option = _ON_REQUEST.get(collection_path.name)
    return True if option is not None and not config.getoption(option) else None


def _names_one_test(config: pytest.Config) -> bool:
    return any("::" in argument for argument in config.args)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Most tests wait more than they compute. One that is named runs in this process, where a debugger can look."""
    return 0 if _names_one_test(config) else min(8, max(4, 2 * (os.cpu_count() or 1)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        # Those alone: a test that fails now and then for another reason is to be seen.
        if item.get_closest_marker("clock") is not None:
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=1))
    if not config.getoption("--long") and not _names_one_test(config):
        long = [item for item in items if item.get_closest_marker("long") is not None]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item.get_closest_marker("long") is None]


def pytest_report_header(config: pytest.Config) -> list[str]:
    left_out = [f"{name} ({option})" for name, option in _ON_REQUEST.items() if not config.getoption(option)]
    left_out += [] if config.getoption("--long") else ["what takes more than five seconds (--long)"]
    return [f"left out unless asked for: {', '.join(left_out)}"] if left_out else []


def our_threads() -> list[str]:
    """The names of the package's threads that are alive, the shared one left out."""
    return sorted(
        thread.name
        for thread in threading.enumerate()
        # One whose start was interrupted is listed for ever, and never ran.
        if thread.ident is not None and thread.name.startswith("mcp-sync-") and thread.name not in _SHARED
    )


def open_sockets() -> int:
    """How many sockets this process has; 0 where the system does not tell."""
    count = 0
    try:
        entries = os.listdir("/proc/self/fd")
    except OSError:
        return 0
    for entry in entries:
        try:
            count += os.readlink(f"/proc/self/fd/{entry}").startswith("socket:")
        except OSError:
            pass
    return count


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """After each test no thread of ours is alive, and no socket is open that was not open before."""
    before = open_sockets()
    yield
    at = time.monotonic() + _PATIENCE
    while our_threads() or open_sockets() > before:
        if time.monotonic() > at:
            assert not our_threads(), "threads were left behind"
            assert open_sockets() <= before, "sockets were left behind"
        gc.collect()
        time.sleep(0.01)  # nothing tells when the last has gone


@pytest.fixture(autouse=True)
def unknown_servers() -> None:
    """What a server turned out to be is remembered by its URL, and ports come back."""
    inside.forget_servers()


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A well-behaved server over HTTP+SSE, until the test makes it misbehave."""
    with FaultServer() as running:
        yield running


@pytest.fixture
def http_server() -> Iterator[FaultServer]:
    """A well-behaved server over Streamable HTTP, until the test makes it misbehave."""
    with FaultServer("http") as running:
        yield running


Connect = Callable[..., MCPClient]


@pytest.fixture
def make_client() -> Iterator[Connect]:
    """Makes clients that are closed at the end of the test."""
    made: list[MCPClient] = []

    def make(url: Any, **options: Any) -> MCPClient:
        client = MCPClient(url, **options)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture(params=ALL)
def bed(request: pytest.FixtureRequest, make_client: Connect) -> Iterator[Bed]:
    """A well-behaved server over each transport in turn, and how to reach it."""
    with make_server(request.param) as running:
        yield Bed(request.param, running, make_client)
    assert not getattr(running, "violations", [])


@pytest.fixture
def connect(make_client: Connect, server: FaultServer) -> Connect:
    """Connects a client to ``server`` over HTTP+SSE."""

    def make(**options: Any) -> MCPClient:
        return make_client(server.sse_url, **{"transport": "sse", **options}).connect()

    return make


@pytest.fixture
def client(connect: Connect) -> MCPClient:
    """A client connected to ``server`` over HTTP+SSE, with the default timeout of 30 seconds."""
    return connect()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """TLS contexts for servers, and the authority to check them by."""
    return Certificates(tmp_path_factory.mktemp("tls"))
