"""Sockets whose timeouts the system keeps: they end as Python's own do, with and without the watch."""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mcp_sync import MCPClientConfig, MCPTimeoutError
from mcp_sync.concurrency.deadline import Deadline
from mcp_sync.transports.http import wire
from mcp_sync.transports.http.exchange import Exchange, watch
from mcp_sync.transports.http.sender import HTTP
from mcp_sync.transports.http.wire import Wire, is_quiet, wire_class
from tests.support.clock import LONG
from tests.support.fault_server import FaultServer, hold

SHORT = 0.2

pytestmark = pytest.mark.skipif(wire_class() is not Wire, reason="this system keeps no timeouts")


@pytest.fixture
def pair() -> Iterator[tuple[Wire, socket.socket]]:
    """A connected wire, and its far end."""
    with socket.create_server(("127.0.0.1", 0)) as listener, Wire(socket.AF_INET, socket.SOCK_STREAM) as near:
        near.settimeout(LONG)
        near.connect(listener.getsockname())
        far, _ = listener.accept()
        with far:
            yield near, far


def kernel_seconds(near: Wire, option: int) -> float:
    seconds, micros = struct.unpack("ll", near.getsockopt(socket.SOL_SOCKET, option, 16))
    return float(seconds + micros / 1_000_000)


def test_python_asks_nothing_before_an_operation(pair: tuple[Wire, socket.socket]) -> None:
    near, far = pair
    assert near.gettimeout() is None  # of Python's: with one, each operation is a question and an operation
    far.sendall(b"x")
    assert near.makefile("rb").peek(1) == b"x"


@pytest.mark.parametrize("read", ["recv_into", "file"])
def test_a_read_ends_after_the_timeout(read: str, pair: tuple[Wire, socket.socket]) -> None:
    near, _ = pair
    near.settimeout(SHORT)
    began = time.monotonic()
    with pytest.raises(socket.timeout):
        if read == "file":
            near.makefile("rb").read(1)
        else:
            near.recv_into(bytearray(1))
    assert time.monotonic() - began >= SHORT * 0.9


def test_a_write_that_nobody_reads_ends_after_the_timeout(pair: tuple[Wire, socket.socket]) -> None:
    near, _ = pair
    near.settimeout(SHORT)
    with pytest.raises(socket.timeout):
        near.sendall(bytes(64 * 1024 * 1024))


def test_what_comes_in_time_is_read(pair: tuple[Wire, socket.socket]) -> None:
    near, far = pair
    for seconds in (SHORT, None, LONG):
        near.settimeout(seconds)
        far.sendall(b"hello\n")
        assert near.makefile("rb").readline() == b"hello\n"


def test_a_timeout_is_told_to_the_system_once(
    pair: tuple[Wire, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    near, _ = pair
    told: list[object] = []
    monkeypatch.setattr(Wire, "setsockopt", lambda wire, level, option, value: told.append(option))
    for seconds in (28.99, 28.5, 28.001):
        near.settimeout(seconds)
    assert told == [socket.SO_RCVTIMEO, socket.SO_SNDTIMEO]


@pytest.mark.parametrize(("asked", "kept"), [(29.3, 30), (1.0, 1), (0.25, 0.25), (None, 0), (1e9, 1e9)])
def test_the_system_keeps_what_was_asked_for(asked: float, kept: float, pair: tuple[Wire, socket.socket]) -> None:
    near, _ = pair
    near.settimeout(asked)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        assert kernel_seconds(near, option) == pytest.approx(kept, rel=0.1)


def test_zero_is_no_timeout_without_end(pair: tuple[Wire, socket.socket]) -> None:
    near, _ = pair
    near.settimeout(0)
    with pytest.raises(socket.timeout):
        near.recv_into(bytearray(1))


def test_shutting_it_down_frees_who_reads(pair: tuple[Wire, socket.socket]) -> None:
    near, _ = pair
    near.settimeout(None)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(near.makefile("rb").read(1)))
    reader.start()
    time.sleep(0.05)  # nobody can tell when it has come to its wait; any moment before ends it as well
    near.shutdown(socket.SHUT_RDWR)
    reader.join(LONG)
    assert read == [b""]


def test_connecting_has_its_own_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = []
        try:
            with pytest.raises(socket.timeout):
                for _ in range(8):  # the backlog takes a few
                    near = Wire(socket.AF_INET, socket.SOCK_STREAM)
                    waiting.append(near)
                    near.settimeout(SHORT)
                    near.connect(listener.getsockname())
        finally:
            for near in waiting:
                near.close()


def test_a_system_that_keeps_no_timeouts_leaves_them_to_python(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(self: Wire, *args: object) -> None:
        raise OSError("no such option")

    monkeypatch.setattr(Wire, "setsockopt", refuses)
    with socket.create_server(("127.0.0.1", 0)) as listener, Wire(socket.AF_INET, socket.SOCK_STREAM) as near:
        near.settimeout(LONG)
        near.connect(listener.getsockname())
        assert near.gettimeout() == LONG
        near.settimeout(SHORT)
        with pytest.raises(socket.timeout):
            near.recv_into(bytearray(1))


def test_sockets_of_another_library_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """gevent's wait in its own loop, and one that blocked in the system would stop all of it."""

    class Cooperative(socket.socket):
        pass

    monkeypatch.setattr(socket, "socket", Cooperative)
    assert wire_class() is Cooperative


@pytest.mark.parametrize("answers", ["nothing", "half a head", "half a body"])
def test_a_call_ends_where_no_thread_runs(answers: str, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under uWSGI without threads: the watch, which stops an exchange at its deadline, is not there."""

    def watch_in_vain(exchange: Exchange) -> None:
        """Nothing ever looks at it."""

    def answer(connection: object, request: object) -> None:
        part = {
            "nothing": b"",
            "half a head": b"HTTP/1.1 200 OK\r\nContent-",
            "half a body": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{",
        }[answers]
        connection.send(part)  # type: ignore[attr-defined]
        hold(connection, request)  # type: ignore[arg-type]

    server.instead("POST", answer)
    monkeypatch.setattr(watch, "add", watch_in_vain)
    http_ = HTTP(MCPClientConfig(), server.url + "/x")
    try:
        with pytest.raises(MCPTimeoutError, match="no answer"):
            response = http_.send("POST", server.url + "/x", {}, b"{}", Deadline(SHORT))
            try:
                response.read(1000)
            finally:
                response.close()
    finally:
        http_.close()


def test_quiet_is_what_nothing_comes_on(pair: tuple[Wire, socket.socket]) -> None:
    near, far = pair
    assert is_quiet(near, 0.05)
    far.sendall(b"x")
    assert not is_quiet(near, LONG)


def test_what_tls_has_decrypted_already_counts() -> None:
    class Decrypting(socket.socket):
        def pending(self) -> int:
            return 1

    with Decrypting() as sock:
        assert not is_quiet(sock, LONG)


def test_what_keeps_to_itself_what_has_come_is_never_quiet() -> None:
    """As urllib3's SSLTransport and pyOpenSSL's WrappedSocket do, which are no sockets."""

    class Wrapped:
        def fileno(self) -> int:
            raise AssertionError("it was waited on")

    wrapped: Any = Wrapped()
    assert not is_quiet(wrapped, LONG)


# Whether a connection is still good


linux = pytest.mark.skipif(sys.platform != "linux", reason="the system does not say")


@linux
def test_a_connection_on_which_all_was_read_is_as_it_was_left(pair: tuple[Wire, socket.socket]) -> None:
    near, far = pair
    assert near.is_as_it_was_left()
    for size in (1, 70_000):
        far.sendall(b"x" * size)
        file = near.makefile("rb")
        assert file.read(size) == b"x" * size
        file.close()
        assert near.is_as_it_was_left()
        near.sendall(b"y")
        assert near.is_as_it_was_left()


@linux
@pytest.mark.parametrize("happens", ["something comes", "the peer closes", "the peer resets", "it is shut down here"])
def test_a_connection_to_which_something_has_happened_is_not(happens: str, pair: tuple[Wire, socket.socket]) -> None:
    near, far = pair
    far.sendall(b"x")
    assert near.recv_into(bytearray(10)) == 1
    if happens == "something comes":
        far.sendall(b"HTTP/1.1 408 Request Timeout\r\n")
    elif happens == "the peer closes":
        far.close()
    elif happens == "the peer resets":
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
    else:
        near.shutdown(socket.SHUT_RDWR)
    at = time.monotonic() + LONG
    while near.is_as_it_was_left():  # what the far end does takes a moment to arrive
        assert time.monotonic() < at
        time.sleep(0.001)


def test_where_the_system_does_not_say_it_is_not(
    pair: tuple[Wire, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    near, _ = pair
    monkeypatch.setattr(Wire, "getsockopt", lambda *asked: b"\x01" + bytes(103))  # of Linux before 4.1
    assert not near.is_as_it_was_left()
    monkeypatch.setattr(wire, "_TELLS_STATE", False)
    assert not near.is_as_it_was_left()
