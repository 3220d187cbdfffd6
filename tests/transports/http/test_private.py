"""The private names of other libraries, each as the package uses it: a version that has one no more fails here."""

from __future__ import annotations

import importlib.metadata
import inspect
import io
import logging
import platform
import socket
import threading
from concurrent.futures import Future
from http.client import HTTPResponse
from typing import Any, Optional

import pytest
import urllib3
from sseclient import SSEClient
from urllib3.connection import HTTPConnection, HTTPSConnection

from mcp_sync import MCPClientConfig
from mcp_sync.transports.http import private
from mcp_sync.transports.http.connections import InterruptibleConnection
from mcp_sync.transports.http.heads import WholeHeadResponse
from mcp_sync.transports.http.pools import Pool, TLSPool
from mcp_sync.transports.http.sender import Sender
from tests.support.fault_server import FaultServer

SEEN_IN = {"urllib3": "2.3 to 2.8", "sseclient-py": "1.8 and 1.9", "Python": "3.9 to 3.13"}


def gone(library: str, what: str) -> str:
    """Why a test failed, in the end."""
    version = platform.python_version() if library == "Python" else importlib.metadata.version(library)
    return f"{library} {version} has no {what} as that of {SEEN_IN[library]}: see mcp_sync/transports/http/private.py"


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_the_versions_are_those_that_the_module_names() -> None:
    told = " ".join((private.__doc__ or "").split())
    assert all(f"{library} {versions}" in told for library, versions in SEEN_IN.items())


@pytest.mark.parametrize("kind", [HTTPConnection, HTTPSConnection])
def test_urllib3_connects_with_new_conn(kind: Any) -> None:
    assert parameters(kind._new_conn) == ["self"], gone("urllib3", "HTTPConnection._new_conn")
    assert "self._new_conn()" in inspect.getsource(kind.connect), gone("urllib3", "call of _new_conn in connect")
    assert kind("host.example.")._dns_host == "host.example.", gone("urllib3", "HTTPConnection._dns_host")


def test_urllib3s_connection_is_opened_by_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def open_socket(self: InterruptibleConnection, host: str) -> Any:
        asked.append(host)
        raise OSError("seen")

    monkeypatch.setattr(InterruptibleConnection, "open_socket", open_socket)
    with pytest.raises(OSError, match="seen"):
        InterruptibleConnection("host.example.").connect()
    assert asked == ["host.example."], gone("urllib3", "call of _new_conn")


def test_urllib3s_pool_gives_and_takes_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool("localhost", maxsize=1)
    connection = pool.take()
    assert type(connection) is InterruptibleConnection, gone("urllib3", "HTTPConnectionPool._get_conn")
    pool.give_back(connection)
    assert pool.pool is not None
    assert pool.pool.queue == [connection], gone("urllib3", "HTTPConnectionPool.pool")
    monkeypatch.setattr(InterruptibleConnection, "is_connected", True)
    assert pool.take() is connection, gone("urllib3", "HTTPConnectionPool._get_conn")
    assert parameters(urllib3.HTTPConnectionPool._put_conn) == ["self", "conn"], gone("urllib3", "_put_conn")
    assert "self._put_conn(conn)" in inspect.getsource(urllib3.HTTPConnectionPool.urlopen), gone("urllib3", "_put_conn")
    pool.close()


def test_urllib3_warns_of_an_unverified_peer_in_validate_conn() -> None:
    original = urllib3.HTTPSConnectionPool._validate_conn
    assert parameters(original) == ["self", "conn"], gone("urllib3", "HTTPSConnectionPool._validate_conn")
    assert "InsecureRequestWarning" in inspect.getsource(original), gone("urllib3", "warning in _validate_conn")
    assert TLSPool._validate_conn is private.TLSPoolHooks._validate_conn


def test_urllib3s_response_has_the_pool_the_connection_and_the_original(http_server: FaultServer) -> None:
    host, _, port = http_server.url.rpartition("/")[2].rpartition(":")
    with urllib3.HTTPConnectionPool(host, int(port)) as pool:
        response: Any = pool.urlopen("GET", "/nothing", preload_content=False, retries=False)
        assert response._pool is pool, gone("urllib3", "HTTPResponse._pool")
        assert response._connection is response.connection is not None, gone("urllib3", "HTTPResponse._connection")
        original = private.original_of(response)
        assert isinstance(original, HTTPResponse), gone("urllib3", "HTTPResponse._original_response")
        assert hasattr(original.fp, "peek"), gone("Python", "buffered HTTPResponse.fp")
        response.close()


def test_a_sender_keeps_its_connections_in_pools_of_ours(http_server: FaultServer) -> None:
    sender = Sender(MCPClientConfig(), http_server.url)
    for url, kind in ((http_server.url, Pool), ("https://localhost", TLSPool)):
        route = sender._find_route(url)
        assert route is not None
        assert type(route.pool) is kind, gone("urllib3", "pool_classes_by_scheme")
    sender.close()


class Unread(socket.socket):
    """A socket on which a response has come."""

    def __init__(self, head: bytes) -> None:
        self._head = head  # and no descriptor

    def makefile(self, mode: str) -> io.BufferedReader:  # type: ignore[override]  # as http.client calls it
        return io.BufferedReader(io.BytesIO(self._head + b"0123456789"))

    def gettimeout(self) -> None:
        return None

    def settimeout(self, seconds: object) -> None:
        pass


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [200, 204, 304, 404])
@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Content-Length: 10"],
        ["Transfer-Encoding: chunked"],
        ["Connection: close", "Content-Length: 10"],
        ["Connection: keep-alive"],
    ],
    ids=" ".join,
)
def test_http_client_concludes_the_same_from_a_head(method: str, status: int, lines: list[str]) -> None:
    head = "\r\n".join([f"HTTP/1.1 {status} Reason", *lines, "", ""]).encode()
    theirs = HTTPResponse(Unread(head), method=method)
    theirs.begin()
    ours = WholeHeadResponse(Unread(head), method=method)
    ours.begin()
    names = ["code", "status", "reason", "version", "chunked", "chunk_left", "length", "will_close"]
    if method == "HEAD" or status in (204, 304):
        names.remove("chunked")  # theirs waits for chunks that never come
    if status in (204, 304) and lines == ["Transfer-Encoding: chunked"]:
        names.remove("will_close")

    def seen(response: Any) -> dict[str, Any]:
        return {name: getattr(response, name, None) for name in names}

    assert {**seen(ours), "chunk_left": None} == {**seen(theirs), "chunk_left": None}, gone("Python", "begin")
    kept = [item for item in theirs.headers.items() if "chunked" in names or item[0] != "Transfer-Encoding"]
    assert ours.headers.items() == kept
    assert ours.msg is ours.headers


def test_sseclient_logs_what_it_reads_to_a_logger_that_can_be_replaced(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = SSEClient(iter([b"nonsense: 1\ndata: secret\n\n"]))
    caplog.clear()
    private.silence(client)
    assert [event.data for event in client.events()] == ["secret"]
    assert not caplog.records, gone("sseclient-py", "SSEClient._logger")


def test_a_future_waits_in_the_condition_that_it_was_given() -> None:
    class Counting(threading.Condition):
        notified = 0

        def notify_all(self) -> None:
            self.notified += 1
            super().notify_all()

    future: Future[Optional[int]] = Future()
    condition = Counting()
    private.set_condition(future, condition)
    future.set_result(1)
    assert condition.notified == 1, gone("Python", "Future._condition")
