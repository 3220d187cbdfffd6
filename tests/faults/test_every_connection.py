"""Connections that misbehave, over every transport: faults.md, Connect, HTTP, Process and Attacks."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from mcp_sync import (
    AuthorizationError,
    HTTPStatusError,
    MCPClientError,
    MCPConnectionError,
    MCPHandshakeError,
    MCPProtocolError,
    MCPTimeoutError,
)
from tests.support.beds import HTTP, LEGACY, OWN, Bed, over
from tests.support.certificates import Certificates
from tests.support.clock import LONG, within
from tests.support.fault_server import (
    ALWAYS,
    Asked,
    FaultServer,
    Request,
    Wire,
    black_hole,
    finish,
    gzip_bomb,
    hold,
    raw,
    reset,
)
from tests.support.inside import pid_of_server
from tests.support.scripts import run_script


def works(bed: Bed, client: Any) -> None:
    with within(8):
        assert client.call_tool("echo", {"message": "next"}, timeout=LONG).text == "next"
    assert bed.waiting(client) == 0


# Connect


@over(*HTTP)
def test_a_server_that_is_not_there_is_told_at_once(bed: Bed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = bed._make_client(
        f"http://127.0.0.1:{port}/mcp", transport="sse" if bed.name == "sse" else "http", timeout=LONG
    )
    with within(), pytest.raises(MCPConnectionError, match="check that the server is running") as caught:
        client.call_tool("echo")
    assert caught.value.outcome == "not_sent"
    assert isinstance(caught.value.__cause__, Exception)
    assert not isinstance(caught.value, MCPHandshakeError)
    assert not client.connected


@over(*HTTP)
def test_a_syn_without_answer_ends_at_the_connect_timeout(bed: Bed) -> None:
    with black_hole() as url, within(), pytest.raises(MCPConnectionError) as caught:
        bed._make_client(
            url, transport="sse" if bed.name == "sse" else "http", timeout=LONG, connect_timeout=0.3
        ).connect()
    assert caught.value.outcome == "not_sent"


@over(*HTTP)
@pytest.mark.parametrize(
    "fault",
    [reset, finish, raw(b"rubbish\r\n\r\n"), raw(b"HTTP/1.1 200")],
    ids=["RST", "FIN", "rubbish", "half a head"],
)
def test_a_connection_that_ends_on_accept_is_told_at_once_and_not_hammered(fault: Any, bed: Bed) -> None:
    bed.server.instead("connect", fault, ALWAYS)
    with within(), pytest.raises(MCPConnectionError) as caught:
        bed.make(timeout=LONG).connect()
    assert caught.value.outcome == "not_sent"
    assert bed.server.connections <= 3


@over(*HTTP)
def test_a_server_that_accepts_and_is_silent_ends_at_the_deadline(bed: Bed) -> None:
    bed.server.instead("connect", hold, ALWAYS)
    with within(), pytest.raises((MCPTimeoutError, MCPHandshakeError)) as caught:
        bed.make(timeout=0.5).connect()
    assert caught.value.outcome == "not_sent"


@over(*HTTP)
@pytest.mark.parametrize("wrong", ["self_signed", "wrong_host", "expired"])
def test_a_certificate_that_does_not_hold_ends_before_a_request(
    wrong: str, bed: Bed, certificates: Certificates
) -> None:
    binding = "sse" if bed.name == "sse" else "http"
    with FaultServer(binding, tls=getattr(certificates, wrong)()) as server:
        url = server.sse_url if binding == "sse" else server.mcp_url
        client = bed._make_client(url, transport=binding, verify=certificates.ca_path, timeout=LONG)
        with within(), pytest.raises(MCPConnectionError, match="no secure connection") as caught:
            client.connect()
        assert caught.value.outcome == "not_sent"
        assert server.requests == []
        assert server.connections == 1


@over(*HTTP)
def test_the_authority_that_is_pinned_wins_over_the_environments(
    bed: Bed, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = Certificates(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.ca_path)
    monkeypatch.setenv("CURL_CA_BUNDLE", certificates.ca_path)
    binding = "sse" if bed.name == "sse" else "http"
    with FaultServer(binding, tls=certificates.good()) as server:
        url = server.sse_url if binding == "sse" else server.mcp_url
        with within(), pytest.raises(MCPConnectionError, match="no secure connection"):
            bed._make_client(url, transport=binding, verify=other.ca_path).connect()
        assert server.requests == []
        assert bed._make_client(url, transport=binding).call_tool("echo", {"message": "over TLS"}).text == "over TLS"


# The head of an answer


@over(*OWN)
@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\ncontent-type: appl", b"HTTP/1.1 200 OK\r\n", b"HTTP", b""])
def test_a_head_that_is_cut_off_is_not_taken_for_an_answer(head: bytes, bed: Bed) -> None:
    client = bed.connect()
    bed.server.instead("tools/call", raw(head))
    with within(), pytest.raises(MCPConnectionError) as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.outcome == "unknown"
    assert bed.server.tool_calls["echo"] == 1
    works(bed, client)


@over(*HTTP)
@pytest.mark.parametrize("drips", ["header lines", "the status line", "interim responses"])
def test_a_head_that_trickles_in_does_not_extend_the_deadline(drips: str, bed: Bed) -> None:
    def trickle(wire: Wire, request: Request) -> None:
        pieces = {
            "header lines": (b"HTTP/1.1 200 OK\r\n", b"x-slow: 1\r\n"),
            "the status line": (b"HTTP/1.1 200 ", b"O"),
            "interim responses": (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"),
        }
        first, more = pieces[drips]
        wire.send(first)
        for _ in range(50):
            wire.send(more)
            bed.server.closing.wait(0.1)
        wire.hold()

    client = bed.connect()
    bed.server.instead("tools/call", trickle)
    with within(), pytest.raises((MCPTimeoutError, MCPConnectionError)) as caught:
        client.call_tool("echo", timeout=0.6)
    assert caught.value.outcome == "unknown"
    assert bed.server.tool_calls["echo"] == 1
    works(bed, client)


INTERIM = {
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "102": b"HTTP/1.1 102 Processing\r\n\r\n",
    "103": b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n",
    "several": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\na: b\r\n\r\nHTTP/1.1 199 Own\r\n\r\n",
}


@over(*HTTP)
@pytest.mark.parametrize("interim", INTERIM.values(), ids=INTERIM.keys())
def test_interim_responses_are_passed_over(interim: bytes, bed: Bed) -> None:
    """RFC 9110, section 15.2: a client must be able to parse them, even if it does not expect one."""

    def serve(wire: Wire, request: Request) -> None:
        wire.send(interim)
        bed.server.serve(wire, request)

    bed.server.instead(lambda request: request.method != "connect", serve, ALWAYS)
    client = bed.connect()
    with within(8):
        assert client.call_tool("echo", {"message": "hi"}, timeout=LONG).text == "hi"
    assert bed.server.tool_calls["echo"] == 1


@over(*HTTP)
def test_interim_responses_without_end_are_bounded(bed: Bed) -> None:
    def flood(wire: Wire, request: Request) -> None:
        while True:
            wire.send(INTERIM["103"] * 100)

    client = bed.connect()
    bed.server.instead("tools/call", flood)
    with within(), pytest.raises(MCPConnectionError) as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.outcome == "unknown"
    works(bed, client)


# The body of an answer


@over(*OWN)
def test_a_body_shorter_than_its_length_is_a_lost_connection(bed: Bed) -> None:
    client = bed.connect()
    kind = "application/json" if bed.name == "http-json" else "text/event-stream"
    begin = b"{" if bed.name == "http-json" else b'data: {"jsonrpc"'
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: 1000\r\n\r\n".encode()
    bed.server.instead("tools/call", raw(head + begin))
    with within(), pytest.raises(MCPConnectionError) as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.outcome == "unknown"
    assert bed.server.tool_calls["echo"] == 1
    works(bed, client)


@over("http-json")
def test_a_body_longer_than_its_length_is_never_the_answer_to_the_next_call(bed: Bed) -> None:
    """What comes with an answer, unasked, is nobody's: not even a whole response that carries the next id."""

    def response(id: int, text: str) -> bytes:
        body = json.dumps({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": text}]}})
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        return (head + body).encode()

    def stuff(asked: Asked) -> None:
        asked.wire.send(response(asked.id, "first") + response(asked.id + 1, "FORGED"))

    bed.tool("stuff", stuff)
    client = bed.connect()
    for _ in range(3):
        assert client.call_tool("stuff", timeout=LONG).text == "first"
        assert client.call_tool("echo", {"message": "second"}, timeout=LONG).text == "second"


@over(*OWN)
@pytest.mark.parametrize("length", ["-1", "x", "10, 20", "1e3", "\u0661"])
def test_a_length_that_is_none_costs_that_call_alone(length: str, bed: Bed) -> None:
    client = bed.connect()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    bed.server.instead("tools/call", raw(head.encode() + b'{"jsonrpc":'))
    with within(), pytest.raises((MCPConnectionError, MCPProtocolError)) as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.outcome == "unknown"
    works(bed, client)


# The request


LARGE = "x" * 8_000_000


def early(code: int, then: str) -> Any:
    """Answer a POST before its body was read; then read it to its end, or tear the connection down."""

    def serve(wire: Wire) -> None:
        wire._read_until(b"\r\n\r\n")
        wire.send(wire.head(code, {"content-length": "0", "connection": "close"}))
        if then == "reads on":
            wire._shut(socket.SHUT_WR)
            while wire._receive():
                pass
        else:
            wire.reset()

    return serve


@over(*HTTP)
@pytest.mark.parametrize("then", ["reads on", "resets"])
def test_an_answer_before_the_body_was_read_is_that_calls_error(
    then: str, bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """413 of a proxy with a limit, which does not wait for what it will not take."""
    server = bed.server
    refused = 0
    read = Wire.read_request

    def read_or_refuse(wire: Wire) -> Any:
        nonlocal refused
        while b"\r\n\r\n" not in wire._unread:
            piece = wire._receive()
            if not piece:
                return None
            wire._unread += piece
        head = wire._unread.partition(b"\r\n\r\n")[0].lower()
        if wire.server is server and b"content-length: 8000" in head:
            refused += 1
            early(413, then)(wire)
            return None
        return read(wire)

    monkeypatch.setattr(Wire, "read_request", read_or_refuse)
    client = bed.connect()
    with within(8), pytest.raises(MCPConnectionError) as caught:
        client.call_tool("echo", {"message": LARGE}, timeout=LONG)
    if then == "reads on":
        assert isinstance(caught.value, HTTPStatusError)
        assert caught.value.status == 413
    # Where the reset overtook the answer, nobody can tell.
    assert caught.value.outcome == ("refused" if isinstance(caught.value, HTTPStatusError) else "unknown")
    assert refused == 1
    assert server.tool_calls["echo"] == 0
    works(bed, client)


@over(*LEGACY)
def test_a_request_of_the_server_under_an_id_of_ours_is_not_taken_for_the_answer(bed: Bed) -> None:
    def ask(asked: Asked) -> None:
        answer = asked.session.ask("ping", id=asked.id, via=asked.send)
        asked.text(str(answer.get("result")))

    bed.tool("collide", ask)
    client = bed.connect()
    with within(8):
        assert client.call_tool("collide", timeout=LONG).text == "{}"


# Processes that stand still


def test_a_process_that_stands_still_costs_the_deadline_and_no_more(bed: Bed) -> None:
    """SIGSTOP: the server's process over stdio, its connections over HTTP."""
    client = bed.connect()
    if bed.name == "stdio":
        pid = pid_of_server(client)
        os.kill(pid, signal.SIGSTOP)
    else:
        bed.server.instead(lambda request: bool(request.body), hold)
    with within(), pytest.raises(MCPTimeoutError) as caught:
        client.call_tool("echo", {"message": "stopped"}, timeout=0.5)
    assert caught.value.outcome == "unknown"
    if bed.name == "stdio":
        os.kill(pid, signal.SIGCONT)
    works(bed, client)


@over("stdio")
def test_a_process_that_stands_still_does_not_hold_close_up(bed: Bed) -> None:
    client = bed.connect(close_timeout=1.0)
    pid = pid_of_server(client)
    os.kill(pid, signal.SIGSTOP)
    with within():
        client.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# Memory, in a process of its own


_MEMORY = """
import json, sys
from mcp_sync import MCPClient, MCPClientError, MCPProtocolError
client = MCPClient(json.loads(sys.argv[1]), transport=sys.argv[2], timeout=60).connect()
client.call_tool("echo", {"message": "warm"})

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

before = peak()
try:
    client.call_tool("flood")
    error = None
except MCPClientError as exc:
    error = exc
grown = peak() - before
again = client.call_tool("echo", {"message": "again"}).text
client.close()
print(json.dumps([type(error).__name__, str(error), error.outcome, grown, again]))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak is read in /proc")
def test_100_megabytes_without_a_line_end_are_refused_within_bounds(bed: Bed) -> None:
    """At the default limit of 64 MiB: as much as that is kept, once, and a little."""
    piece = b"x" * 1_000_000

    def flood(asked: Asked) -> None:
        if bed.name == "http-json":
            asked.wire.send(asked.wire.head(200, {"content-type": "application/json", "transfer-encoding": "chunked"}))
            for _ in range(100):
                asked.wire.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        else:
            stream = bed.stream(asked)
            stream.send(b"data: " if bed.name != "stdio" else b"{")
            for _ in range(100):
                stream.send(piece)

    bed.tool("flood", flood)
    address = bed.address
    transport = "stdio" if bed.name == "stdio" else "sse" if bed.name == "sse" else "http"
    kind, text, outcome, grown, again = run_script(_MEMORY, json.dumps(address), transport, timeout=60).report
    assert (kind, outcome, again) == ("MessageTooLargeError", "unknown", "again")
    assert "max_message_bytes" in text
    assert grown < 100_000
    assert bed.server.tool_calls["flood"] == 1


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak is read in /proc")
@over("http-json")
def test_a_gzip_bomb_costs_little_at_the_default_limit(bed: Bed) -> None:
    bomb = gzip_bomb(439_000_000)
    kind = {"content-type": "application/json", "content-encoding": "gzip"}
    bed.tool("flood", lambda asked: asked.wire.respond(200, bomb, kind))
    kind_of_error, text, outcome, grown, again = run_script(_MEMORY, json.dumps(bed.address), "http").report
    assert (kind_of_error, outcome, again) == ("MessageTooLargeError", "unknown", "again")
    assert "over the limit" in text
    assert grown < 20_000
    assert bed.server.tool_calls["flood"] == 1


@over("http-json")
@pytest.mark.parametrize("how", ["with its length", "chunked"])
def test_an_answer_that_is_compressed_all_the_same_is_read(how: str, bed: Bed) -> None:
    text = "".join(f"{number} " for number in range(1_000_000))

    def pack(asked: Asked) -> None:
        message = {"jsonrpc": "2.0", "id": asked.id, "result": {"content": [{"type": "text", "text": text}]}}
        body = gzip.compress(json.dumps(message).encode(), 9)
        kind = {"content-type": "application/json", "content-encoding": "gzip"}
        if how == "chunked":
            stream = asked.wire.stream(headers=kind, content_type="application/json")
            stream.send(body)
            stream.end()
        else:
            asked.wire.respond(200, body, kind)

    bed.tool("pack", pack)
    assert bed.connect().call_tool("pack", timeout=LONG).text == text


# The environment


@over(*HTTP)
@pytest.mark.parametrize("given", [None, {"auth": "token"}, {"headers": {"AUTHORIZATION": "Bearer token"}}], ids=str)
def test_netrc_counts_only_where_nothing_is_given_and_the_environment_is_trusted(
    given: Any, bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login netrc-user password netrc-password\n", encoding="utf-8")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    with bed.connect(**(given or {})) as client:
        client.call_tool("echo")
    seen = {request.headers["authorization"].split()[0] for request in bed.server.requests}
    assert seen == ({"Basic"} if given is None else {"Bearer"})
    del bed.server.requests[:]
    with bed.connect(trust_env=False) as client:
        client.call_tool("echo")
    assert all("authorization" not in request.headers for request in bed.server.requests)


@over(*HTTP)
def test_a_proxy_of_the_environment_is_used_only_where_the_environment_is_trusted(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultServer() as proxy:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        with bed.connect(trust_env=False) as client:
            assert client.call_tool("echo", {"message": "direct"}).text == "direct"
        assert proxy.connections == 0
        proxy.instead(
            lambda request: request.method != "connect", lambda wire, request: wire.respond(407, "who are you?"), ALWAYS
        )
        client = bed.make(timeout=LONG, max_retries=0)
        with within(), pytest.raises(MCPClientError) as caught:
            client.connect()
        assert caught.value.outcome == "not_sent"
        assert proxy.requests[0].target == bed.address


@over(*HTTP)
@pytest.mark.parametrize("code", [401, 403])
def test_what_no_credentials_satisfy_is_told_and_not_tried_again(code: int, bed: Bed) -> None:
    bed.server.instead(
        lambda request: request.method != "connect", lambda wire, request: wire.respond(code, "no"), ALWAYS
    )
    with within(), pytest.raises(AuthorizationError) as caught:
        bed.make(timeout=LONG, auth="token").connect()
    assert caught.value.outcome == "not_sent"
    assert len(bed.server.requests) <= 2
    assert "token" not in str(caught.value)
