"""The bundled server as plain HTTP sees it: what ``curl`` shows, how it starts, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

pytest.importorskip("mcp_sync.demo", exc_type=ImportError)

WAIT = 30.0  # seconds, for what takes moments on an idle machine
BOTH = {"Accept": "application/json, text/event-stream"}


def request(method: str, params: dict[str, Any], request_id: int = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def initialize(version: str = "2025-11-25") -> dict[str, Any]:
    return request(
        "initialize",
        {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
    )


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """``python -m mcp_sync.demo``, ended with the block."""
    child = subprocess.Popen(
        [sys.executable, "-m", "mcp_sync.demo", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        try:
            yield child
        finally:
            child.kill()


def url_of(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    line = child.stdout.readline()
    assert line, child.stderr.read() if child.stderr else ""
    return line.split()[-1]


def test_get_opens_the_sse_stream_with_the_endpoint_first(demo_url: str) -> None:
    with requests.get(demo_url, stream=True, timeout=WAIT) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        frame = next(response.iter_content(None)).decode()
    assert re.fullmatch(r"event: endpoint\r\ndata: /mcp/messages/\?session_id=[0-9a-f]{32}\r\n\r\n", frame)


def test_answers_to_posted_messages_come_on_the_stream(demo_url: str) -> None:
    with requests.get(demo_url, stream=True, timeout=WAIT) as response:
        chunks = response.iter_content(None)
        endpoint = re.search(r"data: (\S+)", next(chunks).decode())
        assert endpoint is not None
        origin = demo_url[: -len("/mcp")]
        posted = requests.post(origin + endpoint[1], json=initialize("2024-11-05"), timeout=WAIT)
        assert (posted.status_code, posted.text) == (202, "Accepted")
        event = next(chunks).decode()
    assert event.startswith("event: message\r\ndata: ")
    assert json.loads(event.split("data: ")[1])["result"]["protocolVersion"] == "2024-11-05"


def test_the_same_url_speaks_streamable_http(demo_url: str) -> None:
    answer = requests.post(demo_url, json=initialize(), headers=BOTH, timeout=WAIT)
    assert answer.status_code == 200
    session = {"Mcp-Session-Id": answer.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}
    with requests.get(
        demo_url, headers={**session, "Accept": "text/event-stream"}, stream=True, timeout=WAIT
    ) as stream:
        assert stream.status_code == 200
        assert requests.delete(demo_url, headers=session, timeout=WAIT).status_code == 200
        assert list(stream.iter_content(None)) == []  # the stream ended, and held no endpoint event
    gone = requests.get(demo_url, headers={**session, "Accept": "text/event-stream"}, timeout=WAIT)
    assert gone.status_code == 404


def test_the_same_url_speaks_the_stateless_revision(demo_url: str) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    answer = requests.post(
        demo_url,
        json=request("server/discover", {"_meta": meta}),
        headers={**BOTH, "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "server/discover"},
        timeout=WAIT,
    )
    assert answer.status_code == 200
    assert "mcp-session-id" not in answer.headers
    assert answer.json()["result"]["supportedVersions"] == ["2026-07-28"]


def test_plain_operations_stand_beside_it(demo_url: str) -> None:
    origin = demo_url[: -len("/mcp")]
    assert requests.get(f"{origin}/health", timeout=WAIT).json() == {"status": "ok"}
    assert requests.get(f"{origin}/items/bees", timeout=WAIT).json()["title"] == "The dance of the honey bee"
    assert requests.get(f"{origin}/items/none", timeout=WAIT).status_code == 404


@pytest.mark.parametrize(("header", "status"), [("Host", 421), ("Origin", 403)])
def test_a_page_from_elsewhere_is_refused_on_loopback(demo_url: str, header: str, status: int) -> None:
    value = "evil.example" if header == "Host" else "http://evil.example"
    assert requests.get(demo_url, headers={header: value}, timeout=WAIT).status_code == status
    posted = requests.post(demo_url, json=initialize(), headers={**BOTH, header: value}, timeout=WAIT)
    assert posted.status_code == status


def test_a_taken_port_is_said_with_what_to_do(demo_url: str) -> None:
    port = demo_url.split(":")[2].split("/")[0]
    with process("--port", port) as child:
        output, complaint = child.communicate(timeout=WAIT)
    assert child.returncode == 1
    assert output == ""
    assert complaint == (
        f"port {port} on 127.0.0.1 is taken: another program listens there. "
        "Choose another one with --port, or --port 0 for a free one.\n"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals that a process can be asked to end by")
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "stdin"])
def test_open_streams_end_properly_when_the_server_is_told_to_end(how: str) -> None:
    with process("--port", "0", "--until-stdin-closes") as child:
        url = url_of(child)
        answer = requests.post(url, json=initialize(), headers=BOTH, timeout=WAIT)
        session = {"Mcp-Session-Id": answer.headers["mcp-session-id"], "Accept": "text/event-stream"}
        slow = request("tools/call", {"name": "generate_numbers", "arguments": {"count": 100, "delay": 10}})
        with (
            requests.get(url, stream=True, timeout=WAIT) as sse,
            requests.get(url, headers=session, stream=True, timeout=WAIT) as standalone,
            requests.post(url, json=slow, headers={**BOTH, **session, **BOTH}, stream=True, timeout=WAIT) as call,
        ):
            chunks = sse.iter_content(None)
            next(chunks)
            if how == "stdin":
                assert child.stdin is not None
                child.stdin.close()
            else:
                child.send_signal(getattr(signal, how))
            # Each ends without ChunkedEncodingError: with its last chunk, not with a cut.
            assert list(chunks) == []
            assert list(standalone.iter_content(None)) == []
            assert b'"result"' not in b"".join(call.iter_content(None))
        assert child.wait(timeout=WAIT) == 0
        assert child.stderr is not None
        assert child.stderr.read() == ""


def test_localhost_is_listened_on_for_every_address_it_has() -> None:
    with process("--host", "localhost", "--port", "0") as child:
        url = url_of(child)
        assert url.startswith("http://localhost:")
        assert requests.get(url.replace("/mcp", "/health"), timeout=WAIT).json() == {"status": "ok"}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only 127.0.0.1 is an address of the machine")
@pytest.mark.parametrize("host", ["127.0.0.2", "127.1", "LOCALHOST", "0x7f.1"])
def test_every_spelling_of_loopback_refuses_pages_from_elsewhere(host: str) -> None:
    with process("--host", host, "--port", "0") as child:
        url = url_of(child)
        port = url.rpartition(":")[2].partition("/")[0]
        for header, value, status in (
            ("Host", "evil.example", 421),
            ("Host", f"evil.example:{port}", 421),
            ("Origin", "http://evil.example", 403),
        ):
            posted = requests.post(url, json=initialize(), headers={**BOTH, header: value}, timeout=WAIT)
            assert posted.status_code == status
        assert requests.post(url, json=initialize(), headers=BOTH, timeout=WAIT).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "no-such-host.invalid"])
def test_what_is_not_loopback_is_not_taken_for_it(host: str) -> None:
    from mcp_sync.demo.serving import loopback_names

    assert loopback_names(host) == []
    assert "[::ffff:127.0.0.1]" in loopback_names("::ffff:127.0.0.1")
