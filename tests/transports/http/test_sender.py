"""Sending and reading over HTTP: what goes out, what each failure is called, and when a connection is kept."""

from __future__ import annotations

import http.client
import logging
import pickle
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable, cast

import pytest
import requests
import urllib3
from urllib3.exceptions import (
    ClosedPoolError,
    ConnectTimeoutError,
    IncompleteRead,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
)

from mcp_sync import (
    MCPClientConfig,
    MCPClientError,
    MCPClosedError,
    MCPConnectionError,
    MCPTimeoutError,
    MCPUsageError,
)
from mcp_sync.concurrency.deadline import Deadline
from mcp_sync.transports.http import connections, pools
from mcp_sync.transports.http.exchange import ANSWERED, CLOSED, EXPIRED, Exchange, watch
from mcp_sync.transports.http.failures import translate
from mcp_sync.transports.http.sender import HTTPRequest, Sender
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, FaultServer, hold, status

MakeSender = Callable[..., Sender]


@pytest.fixture
def make_sender(server: FaultServer) -> Iterator[MakeSender]:
    """Makes what sends requests to ``server``."""
    made: list[Sender] = []

    def make(**given: Any) -> Sender:
        live = {name: given.pop(name) for name in ("auth", "headers", "session") if name in given}
        made.append(Sender(MCPClientConfig(**given), server.url + "/x", **live))
        return made[-1]

    yield make
    for sender in made:
        sender.close()


@pytest.fixture
def answering(server: FaultServer) -> FaultServer:
    """A server that answers anything at /x with its own method."""
    server.instead(
        lambda request: request.path == "/x", lambda wire, request: wire.respond(200, request.method), ALWAYS
    )
    return server


def fetch(sender: Sender, url: str, method: str = "POST", body: bytes = b"{}", timeout: float = LONG) -> bytes:
    response = sender.send(HTTPRequest(method, url, {}, body if method == "POST" else None), Deadline(timeout))
    try:
        return response.read(1_000_000)
    finally:
        response.close()


# Connections


def test_one_connection_is_used_again_and_again(answering: FaultServer, make_sender: MakeSender) -> None:
    sender = make_sender()
    for _ in range(10):
        assert fetch(sender, answering.url + "/x") == b"POST"
    assert answering.connections == 1


def test_head_and_body_leave_together(answering: FaultServer, make_sender: MakeSender) -> None:
    sent: list[int] = []
    real = socket.socket.sendall
    here = threading.get_ident()

    def sendall(self: socket.socket, data: Any) -> None:
        if threading.get_ident() == here:  # the server's is the same class
            sent.append(len(data))
        real(self, data)

    sender = make_sender()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "sendall", sendall)
        fetch(sender, answering.url + "/x", body=b"x" * 1000)
    assert len(sent) == 1
    assert sent[0] > 1000


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 131072, 131073, 1_000_000])
def test_a_body_of_any_size_arrives_whole(size: int, answering: FaultServer, make_sender: MakeSender) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    fetch(make_sender(), answering.url + "/x", body=body[:size])
    assert answering.requests[0].body == body[:size]


def test_a_connection_that_was_idle_for_long_is_not_used_again(
    answering: FaultServer, make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = make_sender()
    fetch(sender, answering.url + "/x")
    monkeypatch.setattr(connections, "_IDLE_SECONDS", 0.0)
    fetch(sender, answering.url + "/x")
    assert answering.connections == 2


def test_a_response_that_was_not_read_to_its_end_costs_its_connection_and_no_other(
    answering: FaultServer, make_sender: MakeSender
) -> None:
    sender = make_sender()
    answering.instead(lambda request: request.path == "/big", status(200, b"x" * 100_000), ALWAYS)
    response = sender.send(HTTPRequest("GET", answering.url + "/big", {}), Deadline(LONG))
    next(response.chunks())
    response.close()
    response.close()
    assert fetch(sender, answering.url + "/x") == b"POST"


def test_close_closes_idle_connections_at_once(answering: FaultServer, make_sender: MakeSender) -> None:
    sender = make_sender()
    fetch(sender, answering.url + "/x")
    sender.close()
    sender.close()
    answering.wait_until(lambda: not answering._wires, "the connection is closed")
    with pytest.raises(MCPClosedError) as caught:
        fetch(sender, answering.url + "/x")
    assert caught.value.outcome == "not_sent"


def test_a_session_that_the_user_brought_is_used_and_left_open(answering: FaultServer, make_sender: MakeSender) -> None:
    with requests.Session() as session:
        session.headers["X-Mine"] = "1"
        sender = make_sender(session=session)
        fetch(sender, answering.url + "/x")
        sender.close()
        assert session.post(answering.url + "/x").status_code == 200
    assert [request.headers["x-mine"] for request in answering.requests] == ["1", "1"]


def test_an_interrupt_never_hits_the_request_that_got_the_connection_next(
    answering: FaultServer, make_sender: MakeSender
) -> None:
    sender = make_sender()
    first = Exchange(0.0)
    response = sender.send(HTTPRequest("POST", answering.url + "/x", {}, b"1"), Deadline(LONG), exchange=first)
    response.read(100)
    response.close()
    second = sender.send(HTTPRequest("POST", answering.url + "/x", {}, b"2"), Deadline(LONG))
    first.stop(CLOSED)
    assert second.read(100) == b"POST"
    second.close()
    assert answering.connections == 1


def test_what_stops_a_finished_request_never_hits_the_connection_that_the_next_one_has_chosen(
    answering: FaultServer, make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = make_sender()
    first = Exchange(0.0)
    response = sender.send(HTTPRequest("POST", answering.url + "/x", {}, b"1"), Deadline(LONG), exchange=first)
    response.read(100)
    take = pools.Pool.take

    def take_and_stop(pool: pools.Pool) -> Any:
        connection = take(pool)  # it was looked at, and found good
        first.stop(ANSWERED)
        return connection

    monkeypatch.setattr(pools.Pool, "take", take_and_stop)
    assert fetch(sender, answering.url + "/x") == b"POST"
    response.hasten()  # nor does what bounds the rest of the former
    response.close()
    assert fetch(sender, answering.url + "/x") == b"POST"
    assert answering.connections == 1


def test_a_connection_that_was_shut_down_is_not_used_again(answering: FaultServer, make_sender: MakeSender) -> None:
    sender = make_sender()
    stopped = Exchange(0.0)
    response = sender.send(HTTPRequest("POST", answering.url + "/x", {}, b"1"), Deadline(LONG), exchange=stopped)
    stopped.stop(ANSWERED)  # the answer has come, and is in the buffer
    assert response.read(100) == b"POST"
    response.close()
    assert fetch(sender, answering.url + "/x") == b"POST"
    assert answering.connections == 2


def test_an_exchange_that_was_stopped_before_it_was_sent_sends_nothing(
    answering: FaultServer, make_sender: MakeSender
) -> None:
    exchange = Exchange(0.0)
    exchange.stop(CLOSED)
    with pytest.raises(MCPClosedError) as caught:
        make_sender().send(HTTPRequest("POST", answering.url + "/x", {}, b"1"), Deadline(LONG), exchange=exchange)
    assert caught.value.outcome == "not_sent"
    assert answering.requests == []


def test_stopping_frees_who_waits_for_the_head_and_who_reads_the_body(
    server: FaultServer, make_sender: MakeSender
) -> None:
    def half(wire: Any, request: Any) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")
        wire.hold()

    server.instead(lambda request: request.path == "/head", hold)
    server.instead(lambda request: request.path == "/body", half)
    for path in ("/head", "/body"):
        sender = make_sender()
        failures: list[BaseException] = []

        def run(sender: Sender = sender, path: str = path, failures: list[BaseException] = failures) -> None:
            try:
                fetch(sender, server.url + path)
            except MCPClientError as exc:
                failures.append(exc)

        thread = threading.Thread(target=run)
        thread.start()
        server.wait_until(lambda path=path: any(request.path == path for request in server.requests))  # type: ignore[misc]
        with within():
            sender.interrupt()
            thread.join(10)
        assert [type(failure) for failure in failures] == [MCPClosedError]


@pytest.mark.parametrize("answers", ["nothing", "half a head", "half a body"])
def test_a_call_ends_where_no_other_thread_runs(
    answers: str, server: FaultServer, make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under uWSGI without threads: the watch, which stops an exchange at its deadline, is not there."""

    def watch_in_vain(exchange: Exchange) -> None:
        """Nothing ever looks at it."""

    def answer(wire: Any, request: Any) -> None:
        parts = {
            "nothing": b"",
            "half a head": b"HTTP/1.1 200 OK\r\nContent-",
            "half a body": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{",
        }
        wire.send(parts[answers])
        hold(wire, request)

    server.instead("POST", answer)
    monkeypatch.setattr(watch, "add", watch_in_vain)
    with within(), pytest.raises(MCPTimeoutError, match="no answer"):
        fetch(make_sender(), server.url + "/x", timeout=0.2)


def test_more_threads_than_the_pool_holds_are_served_all_the_same(
    answering: FaultServer, make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pools, "_POOL_SIZE", 2)
    sender = make_sender()
    done: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: done.extend(fetch(sender, answering.url + "/x") for _ in range(5)))
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert done == [b"POST"] * 50
    ((pool, *_),) = sender._routes.values()
    assert 1 <= sum(connection is not None for connection in pool.pool.queue) <= 2
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# What goes out


def test_later_headers_win_over_earlier_ones(answering: FaultServer, make_sender: MakeSender) -> None:
    sender = make_sender(default_headers={"X-A": "config", "X-B": "config"}, headers={"X-B": "option"})
    sender.send(HTTPRequest("GET", answering.url + "/x", {"X-C": "call"}), Deadline(LONG)).close()
    headers = answering.requests[0].headers
    assert (headers["x-a"], headers["x-b"], headers["x-c"]) == ("config", "option", "call")
    assert headers["user-agent"].startswith("mcp-sync/")
    assert headers["accept-encoding"] == "identity"


def test_a_bearer_token_with_a_line_break_is_a_usage_error_that_does_not_show_it(make_sender: MakeSender) -> None:
    with pytest.raises(MCPUsageError) as caught:
        make_sender(auth="secret\r\nX-Injected: 1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("auth", [7, object(), ["a", "b"], {"a": "b"}])
def test_what_is_no_auth_is_a_usage_error(auth: Any, make_sender: MakeSender) -> None:
    with pytest.raises(MCPUsageError, match="auth must be"):
        make_sender(auth=auth)


def test_an_auth_that_answers_a_challenge_is_given_the_chance(server: FaultServer, make_sender: MakeSender) -> None:
    def challenge(wire: Any, request: Any) -> None:
        if "authorization" in request.headers:
            wire.respond(200, "in")
        else:
            wire.respond(401, "who?", {"www-authenticate": 'Digest realm="r", nonce="n", qop="auth"'})

    server.instead(lambda request: request.path == "/x", challenge, ALWAYS)
    sender = make_sender(auth=requests.auth.HTTPDigestAuth("user", "password"))
    assert fetch(sender, server.url + "/x") == b"in"


# What failures are called

URL = "http://host/path?token=secret"
POOL = urllib3.HTTPConnectionPool("host")
CONNECTION: Any = urllib3.connection.HTTPConnection("host")
SECRET_TEXT = "url=/path?token=secret"


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize(
    ("failure", "kind", "outcome"),
    [
        (NameResolutionError("host", CONNECTION, socket.gaierror(-2, "x")), MCPConnectionError, "not_sent"),
        (ConnectTimeoutError(CONNECTION, SECRET_TEXT), MCPConnectionError, "not_sent"),
        (NewConnectionError(CONNECTION, "refused"), MCPConnectionError, "not_sent"),
        (MaxRetryError(POOL, URL, NewConnectionError(CONNECTION, "refused")), MCPConnectionError, "not_sent"),
        (requests.ConnectionError(MaxRetryError(POOL, URL, OSError(SECRET_TEXT))), MCPConnectionError, None),
        (ProtocolError("aborted", ConnectionResetError(104, "reset")), MCPConnectionError, None),
        (ProtocolError("aborted", http.client.RemoteDisconnected("closed")), MCPConnectionError, None),
        (ReadTimeoutError(POOL, URL, SECRET_TEXT), MCPTimeoutError, None),
        (socket.timeout("timed out"), MCPTimeoutError, None),
        (IncompleteRead(5, 10), MCPConnectionError, None),
        (http.client.BadStatusLine("x"), MCPConnectionError, None),
        (http.client.LineTooLong("header line"), MCPConnectionError, None),
        (ssl.SSLCertVerificationError(1, "no"), MCPConnectionError, None),
        (ProxyError("no", OSError("x")), MCPConnectionError, None),
        (ClosedPoolError(POOL, "closed"), MCPClosedError, None),
        (BrokenPipeError(32, "pipe"), MCPConnectionError, None),
        (requests.exceptions.InvalidHeader(SECRET_TEXT), MCPConnectionError, None),
        (RuntimeError(SECRET_TEXT), MCPConnectionError, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_whatever_a_library_raises_has_one_name_here_and_holds_no_secret(
    failure: Exception, kind: type[MCPClientError], outcome: Any, sent: bool
) -> None:
    exchange = Exchange(time.monotonic() + LONG)
    exchange.sent = sent
    error = translate(failure, exchange, URL, Deadline(LONG))
    assert type(error) is kind
    assert error.outcome == (outcome or ("unknown" if sent else "not_sent"))
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("reason", "kind"), [(CLOSED, MCPClosedError), (EXPIRED, MCPTimeoutError), (ANSWERED, MCPConnectionError)]
)
def test_an_exchange_that_was_stopped_says_why_whatever_the_socket_says(
    reason: str, kind: type[MCPClientError]
) -> None:
    exchange = Exchange(time.monotonic() + LONG)
    exchange.stop(reason)
    assert type(translate(OSError("bad file descriptor"), exchange, URL, None)) is kind


def test_what_breaks_after_the_deadline_is_the_deadlines_doing() -> None:
    exchange = Exchange(time.monotonic() - 1.0)
    assert isinstance(translate(ConnectionResetError(104, "reset"), exchange, URL, Deadline(0.5)), MCPTimeoutError)


def test_a_cause_that_is_chained_does_not_know_the_url_and_can_be_pickled() -> None:
    cause = ReadTimeoutError(cast(Any, object()), "/mcp?token=secret", "Read timed out.")
    error = translate(cause, Exchange(0.0), "http://127.0.0.1:1/mcp?token=secret", None)
    assert error.__cause__ is cause
    assert "secret" not in repr(vars(cause))
    assert isinstance(pickle.loads(pickle.dumps(cause)), ReadTimeoutError)
