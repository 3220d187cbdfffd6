"""What patches requests, and what a user brings: a request goes through them, and nothing real runs beside a mock."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter

import mcp_sync
from mcp_sync import MCPClient, MCPConnectionError, MCPUsageError
from mcp_sync.protocol.urls import resolve_redirect
from tests.support.clock import LONG
from tests.support.fault_server import FaultServer

ANSWER = {"jsonrpc": "2.0", "id": 1, "result": {}}


@pytest.fixture
def server() -> Any:
    with FaultServer("http") as server:
        yield server


def client_of(server: FaultServer, **options: Any) -> MCPClient:
    return MCPClient(server.mcp_url, transport="http", timeout=LONG, **options)


def test_under_responses_nothing_real_is_asked(server: FaultServer) -> None:
    responses = pytest.importorskip("responses")
    with client_of(server) as client:
        client.ping()
        before = len(server.requests)
        with responses.RequestsMock() as mocked:
            mocked.get(server.url + "/health", json={"mocked": True})
            assert client.call_operation("GET:/health") == {"mocked": True}
            with pytest.raises(MCPConnectionError):
                client.call_tool("echo", {"message": "hi"})
        assert server.tool_calls["echo"] == 0
        assert [request.path for request in server.requests[before:]] == []
        assert client.call_tool("echo", {"message": "hi"}).text == "hi"


def test_under_requests_mock_nothing_real_is_asked(server: FaultServer) -> None:
    requests_mock = pytest.importorskip("requests_mock")
    with client_of(server) as client:
        client.ping()
        with requests_mock.Mocker() as mocked:
            mocked.get(server.url + "/health", json={"mocked": True}, headers={"Content-Type": "application/json"})
            assert client.call_operation("GET:/health") == {"mocked": True}
            with pytest.raises(MCPConnectionError):
                client.call_tool("echo", {"message": "hi"})
        assert server.tool_calls["echo"] == 0
        assert client.call_tool("echo", {"message": "hi"}).text == "hi"


def test_a_patched_session_is_gone_through(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    send = requests.Session.send

    def traced(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        seen.append(request.method)
        request.headers["traceparent"] = "00-1"
        return send(self, request, **options)

    with client_of(server) as client:
        client.ping()
        monkeypatch.setattr(requests.Session, "send", traced)
        client.ping()
    assert seen[0] == "POST"
    assert [request for request in server.requests if "traceparent" in request.headers]


class Signing(requests.Session):
    """As those of requests-oauthlib, Authlib and google-auth: the token is added in ``request``."""

    def request(self, method: Any, url: Any, data: Any = None, headers: Any = None, **options: Any) -> Any:  # type: ignore[override]  # as theirs
        assert isinstance(options["timeout"], tuple)
        return super().request(method, url, data=data, headers={**headers, "Authorization": "Bearer own"}, **options)


def test_a_session_that_adds_its_token_in_request_does(server: FaultServer) -> None:
    with Signing() as session, client_of(server, session=session) as client:
        session.headers["User-Agent"] = "mine/1"
        assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer own"}
    assert server.requests[-1].headers["user-agent"] == "mine/1"


@pytest.mark.parametrize("hook", ["raises", "reads"])
def test_hooks_that_raise_for_a_status_or_read_are_no_obstacle(hook: str, server: FaultServer) -> None:
    def respond(response: requests.Response, *_: Any, **__: Any) -> None:
        if hook == "raises":
            response.raise_for_status()
        elif "event-stream" not in response.headers.get("content-type", ""):
            assert response.text is not None

    with requests.Session() as session:
        session.hooks["response"].append(respond)
        with client_of(server, session=session) as client:
            assert client.call_tool("echo", {"message": "hi"}).text == "hi"


class Canned(BaseAdapter):
    """An adapter that makes its responses up."""

    def __init__(self, with_raw: bool) -> None:
        super().__init__()
        self._with_raw = with_raw

    def send(self, request: Any, **_: Any) -> requests.Response:  # type: ignore[override]  # as requests calls it
        response = requests.Response()
        response.status_code, response.request, response.url = 200, request, request.url
        response.headers["Content-Type"] = "application/json"
        if self._with_raw:
            response.raw = io.BytesIO(b'{"canned": true}')
        else:
            response._content = b'{"canned": true}'
        return response

    def close(self) -> None:
        pass


@pytest.mark.parametrize("with_raw", [False, True])
def test_an_adapter_may_make_its_responses_up(with_raw: bool, server: FaultServer) -> None:
    with requests.Session() as session, client_of(server, session=session) as client:
        session.mount(server.url + "/canned", Canned(with_raw))
        assert client.call_operation("GET:/canned") == {"canned": True}


@pytest.mark.parametrize("kind", ["auth", "headers"])
def test_what_the_callers_own_code_raises_is_the_callers(kind: str, server: FaultServer) -> None:
    def broken(*_: Any) -> Any:
        raise LookupError("no token in the vault")

    options: dict[str, Any] = {kind: broken}
    with pytest.raises(MCPUsageError, match="no token in the vault") as caught:
        client_of(server, **options).connect()
    assert caught.value.outcome == "not_sent"
    assert isinstance(caught.value.__cause__, LookupError)
    assert server.requests == []


def test_a_socks_proxy_is_no_type_error(server: FaultServer) -> None:
    with pytest.raises(MCPConnectionError) as caught:
        client_of(server, proxies={"http": "socks5h://127.0.0.1:1"}).connect()
    assert "TypeError" not in str(caught.value)


def test_https_to_a_plain_port_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(MCPConnectionError, match="plain http"):
            MCPClient(f"https://127.0.0.1:{listener.getsockname()[1]}/mcp", transport="http", timeout=LONG).connect()
        thread.join(LONG)


def test_a_redirect_to_http_advises_https() -> None:
    with pytest.raises(MCPConnectionError, match=r"try https://example\.com/mcp/") as caught:
        resolve_redirect("https://example.com/mcp", "http://example.com/mcp/?token=1")
    assert "use that URL" not in str(caught.value)


def test_the_other_sseclient_is_told_from_ours(tmp_path: Path) -> None:
    (tmp_path / "sseclient.py").write_text("class SSEClient:\n    def __init__(self, url): pass\n")
    program = "from mcp_sync import MCPClient, MCPUsageError\nMCPClient('http://127.0.0.1:1/mcp').connect()"
    paths = os.pathsep.join([str(tmp_path), str(Path(mcp_sync.__file__).parent.parent)])
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert "MCPUsageError: the package sseclient is installed over sseclient-py: run pip uninstall" in done.stderr
