"""What a hostile HTTP server sends beside an answer: redirects, cookies, codings, statuses, and what it quotes."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import pickle
import traceback
import tracemalloc
import zlib
from typing import Any, Callable
from urllib.parse import quote

import pytest
import requests

from mcp_sync import (
    AuthorizationError,
    HTTPStatusError,
    MCPClient,
    MCPClientError,
    MCPProtocolError,
    MCPServerError,
    RateLimitedError,
)
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, Asked, FaultServer, Request, Wire, raw, status

SECRET = "hunter2/hunter2+ä"
JSON = {"content-type": "application/json"}


@pytest.fixture
def server() -> Any:
    with FaultServer("http") as server:
        yield server


def client_of(server: FaultServer, **options: Any) -> MCPClient:
    return MCPClient(server.mcp_url, transport="http", timeout=LONG, **options)


# Redirects


def moved(code: int, to: str) -> Callable[[Wire, Request], None]:
    return lambda wire, request: wire.respond(code, "", {"location": to})


@pytest.mark.parametrize(("code", "asked_again"), [(307, True), (308, False)])
def test_only_a_permanent_redirect_is_remembered(code: int, asked_again: bool, server: FaultServer) -> None:
    server.instead(lambda request: request.path == "/a", moved(code, "/b"), ALWAYS)
    server.instead(lambda request: request.path == "/b", status(200, "1", JSON), ALWAYS)
    with client_of(server) as client:
        for _ in range(3):
            assert client.call_operation("POST:/a") == 1
    asked = [request.path for request in server.requests if request.path in ("/a", "/b")]
    assert asked == (["/a", "/b"] * 3 if asked_again else ["/a", "/b", "/b", "/b"])


def test_after_a_temporary_one_nothing_is_permanent(server: FaultServer) -> None:
    server.instead(lambda request: request.path == "/a", moved(307, "/b"), ALWAYS)
    server.instead(lambda request: request.path == "/b", moved(308, "/c"), ALWAYS)
    server.instead(lambda request: request.path == "/c", status(200, "1", JSON), ALWAYS)
    with client_of(server) as client:
        for _ in range(2):
            assert client.call_operation("POST:/a") == 1
    assert [request.path for request in server.requests].count("/a") == 2


@pytest.mark.parametrize("fault", ["404", "500", "reset"])
def test_a_permanent_redirect_that_fails_is_forgotten(fault: str, server: FaultServer) -> None:
    server.instead(lambda request: request.path == "/a", moved(308, "/b"))
    server.instead(lambda request: request.path == "/b", status(200, "1", JSON))
    with client_of(server) as client, within():
        assert client.call_operation("POST:/a") == 1
        broken: Any = (lambda wire, request: wire.reset()) if fault == "reset" else status(int(fault), "")
        server.instead(lambda request: request.path == "/b", broken, ALWAYS)
        server.instead(lambda request: request.path == "/a", status(200, "2", JSON), ALWAYS)
        with pytest.raises(MCPClientError):
            client.call_operation("POST:/a")
        assert client.call_operation("POST:/a") == 2


# Cookies


@pytest.mark.parametrize("cookie", ["a=b;\r\n  Path=/", "a=b\r\n c", "a=b\r\n\tc\r\n d; Path=/"])
@pytest.mark.parametrize("auth", [None, requests.auth.HTTPDigestAuth("u", "p")])
def test_a_folded_cookie_is_no_obstacle(cookie: str, auth: Any, server: FaultServer) -> None:
    def respond(wire: Wire, request: Request) -> None:
        wire.send(f"HTTP/1.1 200 OK\r\nSet-Cookie: {cookie}\r\nContent-Length: 2\r\n\r\n{{}}".encode())

    server.instead(lambda request: request.path == "/a", respond, ALWAYS)
    with client_of(server, auth=auth) as client:
        client.call_operation("GET:/a")
        client.call_operation("GET:/a")
        assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    assert "a=b" in server.requests[-1].headers.get("cookie", "a=b")


# Codings


def gzipped(size: int, times: int = 1) -> bytes:
    data = b" " * size
    for _ in range(times):
        data = gzip.compress(data)
    return data


@pytest.mark.parametrize("coding", ["gzip, gzip", "gzip,gzip", "deflate, gzip", "br", "zstd", "gzip;q=1", "x, y"])
@pytest.mark.parametrize("chunked", [False, True])
def test_more_than_one_coding_or_another_is_refused(coding: str, chunked: bool, server: FaultServer) -> None:
    server.instead(lambda request: request.path == "/a", coded(gzipped(50_000_000, 2), coding, chunked))
    with client_of(server) as client:
        client.ping()
        tracemalloc.start()
        try:
            with pytest.raises(MCPProtocolError, match="Content-Encoding"):
                client.call_operation("GET:/a")
            assert tracemalloc.get_traced_memory()[1] < 10_000_000
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_bound_counts_while_it_is_unpacked(coding: str, chunked: bool, server: FaultServer) -> None:
    body = gzipped(200_000_000) if coding == "gzip" else zlib.compress(b" " * 200_000_000)
    server.instead(lambda request: request.path == "/a", coded(body, coding, chunked))
    with client_of(server) as client:
        client.ping()
        tracemalloc.start()
        try:
            with pytest.raises(MCPProtocolError, match="limit"):
                client.call_operation("GET:/a")
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
        finally:
            tracemalloc.stop()


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED: dict[str, tuple[str, bytes]] = {
    "gzip": ("gzip", gzip.compress(b'{"a": 1}')),
    "two members": ("GZIP", gzip.compress(b'{"a":') + gzip.compress(b" 1}")),
    "x-gzip": ("x-gzip", gzip.compress(b'{"a": 1}')),
    "zlib": ("deflate", zlib.compress(b'{"a": 1}')),
    "raw": ("deflate", raw_deflate(b'{"a": 1}')),
    "identity": (" identity ", b'{"a": 1}'),
}


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("chunked", [False, True])
def test_one_coding_is_unpacked(kind: str, chunked: bool, server: FaultServer) -> None:
    coding, body = PACKED[kind]
    server.instead(lambda request: request.path == "/a", coded(body, coding, chunked))
    with client_of(server) as client:
        assert client.call_operation("GET:/a") == {"a": 1}


@pytest.mark.parametrize("body", [b"no gzip at all", gzip.compress(b"x" * 1000, mtime=0)[:-12]])
def test_what_is_not_as_it_says_is_an_error(body: bytes, server: FaultServer) -> None:
    server.instead(lambda request: request.path == "/a", coded(body, "gzip", False))
    with client_of(server) as client, pytest.raises(MCPProtocolError):
        client.call_operation("GET:/a")


def coded(body: bytes, coding: str, chunked: bool) -> Callable[[Wire, Request], None]:
    def respond(wire: Wire, request: Request) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: {coding}\r\n"
        if chunked:
            wire.send((head + "Transfer-Encoding: chunked\r\n\r\n").encode())
            wire.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        else:
            wire.send((head + f"Content-Length: {len(body)}\r\n\r\n").encode() + body)

    return respond


# Statuses


@pytest.mark.parametrize(
    ("code", "kind", "outcome"),
    [
        (401, AuthorizationError, "refused"),
        (403, AuthorizationError, "refused"),
        (429, RateLimitedError, "refused"),
        (500, HTTPStatusError, "unknown"),
        (503, HTTPStatusError, "unknown"),
        (400, MCPServerError, None),
    ],
)
def test_the_status_decides_what_an_error_is(code: int, kind: type[Any], outcome: Any, server: FaultServer) -> None:
    error = {"code": -32000, "message": "no", "data": {"why": 1}}

    def respond(wire: Wire, request: Request) -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": request.messages[0]["id"], "error": error})
        wire.respond(code, body, JSON)

    with client_of(server) as client:
        client.ping()
        server.instead("tools/call", respond)
        with pytest.raises(kind) as caught:
            client.call_tool("echo", {"message": "hi"})
    raised: Any = caught.value
    assert type(raised) is kind
    assert raised.outcome == outcome
    assert raised.data == (error if kind is not MCPServerError else error["data"])
    assert pickle.loads(pickle.dumps(raised)).data == raised.data


@pytest.mark.parametrize("code", [401, 404, 429, 500])
@pytest.mark.parametrize("timeout", [LONG, float("inf")])
@pytest.mark.parametrize("kind", ["application/json", "text/html"])
def test_a_refusal_whose_body_never_comes_is_told_at_once(
    code: int, timeout: float, kind: str, server: FaultServer
) -> None:
    def respond(wire: Wire, request: Request) -> None:
        wire.send(f"HTTP/1.1 {code} X\r\nContent-Type: {kind}\r\nContent-Length: 100\r\n\r\n".encode())
        wire.hold()

    with client_of(server) as client, within(10):
        client.ping()
        server.instead("tools/call", respond)
        with pytest.raises(HTTPStatusError) as caught:
            client.call_tool("echo", {"message": "hi"}, timeout=timeout)
        assert caught.value.status == code
        server.instead(lambda request: request.path == "/a", respond)
        with pytest.raises(HTTPStatusError):
            client.call_operation("GET:/a", timeout=timeout)


# What a server quotes

WAYS: dict[str, dict[str, Any]] = {
    "bearer": {"auth": SECRET.replace("ä", "e")},
    "basic": {"auth": ("user", SECRET)},
    "header": {"default_headers": {"X-Api-Key": SECRET}},
    "cookie": {"default_headers": {"Cookie": f"first={quote(SECRET)}; second=other-secret"}},
    "function": {"headers": lambda: {"X-Token": SECRET}},
}
QUOTED: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent": lambda secret: quote(secret, safe=""),
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "json": lambda secret: json.dumps(secret)[1:-1],
}


def of(way: str) -> str:
    return {"bearer": SECRET.replace("ä", "e"), "cookie": quote(SECRET)}.get(way, SECRET)


def refuse(text: str, code: int, kind: str) -> Callable[[Wire, Request], None]:
    return lambda wire, request: wire.respond(code, text, {"content-type": kind, "x-quoted": text.split("|")[0][-200:]})


def everything_about(error: BaseException) -> str:
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    chain: Any = error
    while chain is not None:
        shown += repr(chain) + repr(chain.args) + repr(getattr(chain, "__dict__", ""))
        frame = chain.__traceback__
        while frame is not None:
            if "mcp_sync" in frame.tb_frame.f_code.co_filename and "tests" not in frame.tb_frame.f_code.co_filename:
                shown += repr(frame.tb_frame.f_locals)
            frame = frame.tb_next
        chain = chain.__cause__ or chain.__context__
    return shown


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", QUOTED)
def test_no_error_quotes_what_was_sent(
    way: str, form: str, server: FaultServer, caplog: pytest.LogCaptureFixture, recwarn: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = of(way)
    quoted = QUOTED[form](secret)

    def rpc_error(asked: Asked) -> None:
        asked.error(-32000, f"bad token {quoted}", {"got": [f"<{quoted}>"], quoted: 1})

    answers: list[Any] = [
        rpc_error,
        refuse(f"{quoted}|", 401, "text/plain"),
        refuse(f"{'x' * 190}{quoted}", 500, "text/plain"),
        refuse(f"{' ' * (4090)}{quoted}", 403, "text/plain"),
        refuse(f"<html>{quoted}</html>", 200, "application/json"),
        refuse("x" * 192 + quoted, 200, "application/json"),
        refuse(f"<html>{quoted}</html>", 200, "text/html"),
        refuse(f"data: {quoted} {{\n\n", 200, "text/event-stream"),
        raw(f"HTTP/1.1 200 {quoted}\r\n{quoted}\r\n\r\n".encode()),
        raw(f"HTTP/9 {quoted}\r\n\r\n".encode()),
    ]
    with client_of(server, **WAYS[way]) as client:
        client.ping()
        for number, answer in enumerate(answers):
            if number == 0:
                server.methods["tools/call"] = answer
            else:
                server.instead("tools/call", answer)
            with pytest.raises(MCPClientError) as caught:
                client.call_tool("echo", {"message": "hi"})
            shown = everything_about(caught.value)
            for text in (secret, quoted):
                assert text not in shown, (number, shown[max(0, shown.find(text) - 300) :][:600])
                assert text[:12] not in str(caught.value), number
        server.tools["echo"] = lambda asked: asked.text(f"no: {quoted}", isError=True)
        server.methods.pop("tools/call", None)
    for text in (secret, quoted):
        assert text not in caplog.text


def test_a_failed_tools_text_is_masked_and_its_result_is_not(server: FaultServer) -> None:
    server.tools["echo"] = lambda asked: asked.text("not allowed: token-of-mine", isError=True)
    with client_of(server, auth="token-of-mine") as client, pytest.raises(MCPClientError) as caught:
        client.call_tool("echo", {"message": "hi"})
    error: Any = caught.value
    assert "not allowed: (Authorization)" in str(error)
    assert error.result.text == "not allowed: token-of-mine"
