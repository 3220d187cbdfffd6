"""Looking up a host takes as long as it likes: whoever waits for it is free all the same."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPClosedError, MCPConnectionError
from mcp_sync.concurrency.events import Event
from tests.support.clock import LONG, within
from tests.support.fault_server import FaultServer

Connect = Callable[..., MCPClient]
HOST = "slow.test"
PATHS = {"sse": "/sse", "http": "/mcp"}


class Resolver:
    """Stands for the system's: it knows one more host, and answers for it when the gate opens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.begun = threading.Event()
        self.gate = threading.Event()
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: str, *args: Any, **kwargs: Any) -> Any:
        if host != HOST:
            return self._real(host, *args, **kwargs)
        self.asked += 1
        self.begun.set()
        assert self.gate.wait(LONG)
        return self._real("127.0.0.1", *args, **kwargs)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    made = Resolver(monkeypatch)
    yield made
    made.gate.set()


@contextmanager
def interrupt_at_wait_of(function: str) -> Iterator[None]:
    """Raise KeyboardInterrupt where a function of this name begins to wait for an event."""
    acquired = [0]

    def look(frame: FrameType, event: str, called: Any) -> None:
        caller = frame.f_back
        if event == "c_call" and called.__name__ == "acquire" and frame.f_code is Event.wait.__code__:
            acquired[0] += caller is not None and caller.f_code.co_name == function
            if acquired[0] == 2:  # the first one takes a new lock, and the second waits for it
                acquired[0] = 0
                sys.setprofile(None)
                raise KeyboardInterrupt

    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(None)


@pytest.fixture(params=["sse", "http"])
def address(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """A URL by the slow host's name, and the transport there."""
    with FaultServer(request.param) as running:
        yield f"http://{HOST}:{running.port}{PATHS[request.param]}", request.param


def test_a_client_is_closed_at_once_while_its_host_is_looked_up(
    resolver: Resolver, address: tuple[str, str], make_client: Connect
) -> None:
    client = make_client(address[0], transport=address[1], timeout=LONG, connect_timeout=LONG, close_timeout=LONG)
    with ThreadPoolExecutor() as pool:
        connecting = pool.submit(client.connect)
        assert resolver.begun.wait(10)
        with within():
            client.close()
            with pytest.raises(MCPClosedError):
                connecting.result(10)


def test_an_interrupt_ends_the_wait_for_a_look_up(
    resolver: Resolver, address: tuple[str, str], make_client: Connect
) -> None:
    client = make_client(address[0], transport=address[1], timeout=LONG, connect_timeout=LONG, close_timeout=LONG)
    # Over HTTP+SSE the reader looks it up, and the caller waits for the reader.
    where = "open" if address[1] == "sse" else "look_up"
    with within(), pytest.raises(KeyboardInterrupt), interrupt_at_wait_of(where):
        client.connect()
    resolver.gate.set()
    with within():
        assert client.call_tool("echo", {"message": "after it"}).text == "after it"


def test_all_who_need_one_host_share_its_look_up(
    resolver: Resolver, address: tuple[str, str], make_client: Connect
) -> None:
    clients = [make_client(address[0], transport=address[1], timeout=LONG, connect_timeout=LONG) for _ in range(8)]
    impatient = make_client(address[0], transport=address[1], timeout=LONG, connect_timeout=0.1)
    with ThreadPoolExecutor(8) as pool:
        connecting = [pool.submit(client.connect) for client in clients]
        assert resolver.begun.wait(10)
        for _ in range(5):
            with within(), pytest.raises(MCPConnectionError):
                impatient.connect()
        assert resolver.asked == 1
        resolver.gate.set()
        for each in connecting:
            each.result(10)
    assert resolver.asked <= 2 * len(clients)


def test_a_host_that_is_not_there_is_an_error_of_each_who_waits(
    resolver: Resolver, make_client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(host: str, *args: Any, **kwargs: Any) -> Any:
        resolver.begun.set()
        assert resolver.gate.wait(LONG)
        raise socket.gaierror(socket.EAI_NONAME, "no such host")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    clients = [make_client(f"http://{HOST}:9/mcp", timeout=LONG, connect_timeout=LONG) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        connecting = [pool.submit(client.connect) for client in clients]
        assert resolver.begun.wait(10)
        resolver.gate.set()
        errors = [each.exception(10) for each in connecting]
    assert all(isinstance(error, MCPConnectionError) and error.outcome == "not_sent" for error in errors)
    assert len({id(error) for error in errors}) == 3
