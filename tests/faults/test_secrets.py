"""Secrets stay put: faults.md, rule 12, over every transport, for every kind of secret, at every level of every log."""

from __future__ import annotations

import base64
import io
import logging
import pickle
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from mcp_sync import MCPClient, MCPClientConfig, MCPClientError, MCPConnectionError, MCPTimeoutError
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, FaultServer, Request, Wire, hold, raw, reset, status

Connect = Callable[..., MCPClient]
SECRET = "hunter2hunter2"
FORMS = (SECRET, base64.b64encode(f"user:{SECRET}".encode()).decode())


def everything_about(error: BaseException) -> str:
    """The text of an error and of all that is chained to it, as a traceback, a repr and a pickle show it."""
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    chain: Any = error
    while chain is not None:
        shown += repr(chain) + repr(chain.args) + repr(getattr(chain, "__dict__", ""))
        chain = chain.__cause__ or chain.__context__
    return shown + repr(pickle.dumps(error))


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that anybody logs at any level, with the tracebacks: urllib3, requests and sseclient-py too."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(1)
    yield stream
    root.removeHandler(handler)
    root.setLevel(before)


def assert_silent(*texts: str) -> None:
    for text in texts:
        for form in FORMS:
            assert form not in text, text[max(0, text.find(form) - 200) :]


def echo(code: int) -> Callable[[Wire, Request], None]:
    """A server that is being debugged: its error page shows the request."""

    def respond(wire: Wire, request: Request) -> None:
        body = f"{request.method} {request.target}\n{request.headers}"
        wire.respond(code, body, {"x-echo": str(request.headers), "content-type": "text/plain"})

    return respond


# urllib3 tells of a header without a colon at WARNING, with the URL.
ODD_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nno colon here\r\ncontent-length: 2\r\n\r\nno"
FAULTS: dict[str, Callable[[FaultServer], None]] = {
    "none": lambda server: None,
    "refused": lambda server: server.stop_listening(),
    "get reset": lambda server: server.instead("GET", reset, ALWAYS),
    "get echo": lambda server: server.instead("GET", echo(500), ALWAYS),
    "get html": lambda server: server.instead("GET", echo(200), ALWAYS),
    "get odd head": lambda server: server.instead("GET", raw(ODD_HEAD), ALWAYS),
    "post reset": lambda server: server.instead("POST", reset, ALWAYS),
    "post silent": lambda server: server.instead("POST", hold, ALWAYS),
    "post odd head": lambda server: server.instead("POST", raw(ODD_HEAD), ALWAYS),
    "post echo": lambda server: server.instead("POST", echo(400), ALWAYS),
    "post html": lambda server: server.instead("POST", echo(200), ALWAYS),
    "call echo": lambda server: server.instead("tools/call", echo(500), ALWAYS),
    "call 401": lambda server: server.instead("tools/call", echo(401), ALWAYS),
    "call silent": lambda server: server.instead("tools/call", hold, ALWAYS),
    "call reset": lambda server: server.instead("tools/call", reset, ALWAYS),
    "call redirect": lambda server: server.instead(
        "tools/call", status(307, "", {"location": f"http://127.0.0.1:9/?token={SECRET}"}), ALWAYS
    ),
}


class Bearer(requests.auth.AuthBase):
    """An auth object, which the package cannot look into."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {SECRET}"
        return request


AUTHS: list[Any] = [SECRET, ("user", SECRET), Bearer()]


@pytest.mark.parametrize("binding", ["sse", "http"])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_secret_is_in_an_error_a_repr_a_warning_or_a_log(
    fault: str, binding: str, make_client: Connect, log: io.StringIO
) -> None:
    auth = AUTHS[list(FAULTS).index(fault) % len(AUTHS)]
    with FaultServer("http" if binding == "http" else "sse") as server, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        path = "mcp" if binding == "http" else "sse"
        client = make_client(
            f"http://user:{SECRET}@127.0.0.1:{server.port}/{path}?token={SECRET}#{SECRET}",
            transport=binding,
            timeout=0.5,
            auth=auth,
            headers={"X-API-Key": SECRET},
            default_headers={"X-Other": SECRET},
            proxies={"https": f"http://user:{SECRET}@127.0.0.1:9"},
            max_retries=0,
        )
        FAULTS[fault](server)
        error: Any = None
        with within():
            try:
                client.call_tool("echo", {"password": SECRET})
            except MCPClientError as exc:
                error = exc
        assert (error is None) == (fault == "none" or (fault.startswith("get") and binding == "http"))
        seen = [] if error is None else [everything_about(error), repr(dict(getattr(error, "headers", {})))]
        assert_silent(log.getvalue(), repr(client), str(client.config), repr(client.config), *seen)
        assert_silent(*(str(warning.message) for warning in warned))
        assert server.requests == [] or f"token={SECRET}" in server.requests[0].target  # it did arrive where it should


def test_other_peoples_records_of_urllib3_stay_as_they_are(server: FaultServer, log: io.StringIO) -> None:
    with requests.Session() as session:
        session.get(f"{server.url}/x?token=theirs", timeout=LONG)
    assert "/x?token=theirs" in log.getvalue()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("fault", ["refused", "407", "reset", "silent"])
@pytest.mark.parametrize("by", ["proxies", "environment"])
def test_the_password_of_a_proxy_is_shown_nowhere(
    by: str,
    fault: str,
    scheme: str,
    make_client: Connect,
    log: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FaultServer() as proxy:
        do = {"407": status(407, "no", {"proxy-authenticate": "Basic"}), "reset": reset}.get(fault, hold)
        proxy.instead(lambda request: True, do, ALWAYS)
        if fault == "refused":
            proxy.stop_listening()
        url = f"http://user:{SECRET}@127.0.0.1:{proxy.port}"
        options: dict[str, Any] = {"proxies": {scheme: url}} if by == "proxies" else {}
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        if by == "environment":
            monkeypatch.setenv(f"{scheme}_proxy", url)
        client = make_client(
            f"{scheme}://somewhere.invalid/mcp", transport="http", timeout=0.5, max_retries=0, **options
        )
        with within(), pytest.raises(MCPClientError) as caught:
            client.connect()
        assert_silent(everything_about(caught.value), log.getvalue(), repr(client), repr(client.config))
        assert fault == "refused" or proxy.connections > 0


@pytest.mark.parametrize("binding", ["sse", "http"])
def test_a_session_id_is_in_no_error_and_no_log_and_gone_with_its_session(
    binding: str, make_client: Connect, log: io.StringIO
) -> None:
    with FaultServer("http" if binding == "http" else "sse") as server:
        url = server.mcp_url if binding == "http" else server.sse_url
        client = make_client(url, transport=binding, timeout=0.5).connect()
        first = client.session_id
        assert first is not None
        seen = [repr(client)]
        for do, kind in ((hold, MCPTimeoutError), (reset, MCPConnectionError), (echo(500), MCPConnectionError)):
            server.instead("tools/call", do)
            with pytest.raises(kind) as caught:
                client.call_tool("echo")
            seen.append(everything_about(caught.value))
        server.instead("tools/call", status(404, "gone"))
        with pytest.raises(MCPClientError) as expired:
            client.call_tool("echo")
        seen.append(everything_about(expired.value))
        before = len(server.requests)
        assert client.call_tool("echo", {"message": "again"}, timeout=LONG).text == "again"
        assert client.session_id != first
        later = [request for request in server.requests[before:] if "tools/call" in request.rpc_methods]
        assert later
        for request in later:
            assert first not in request.target + repr(request.headers)
        assert first not in "".join(seen) + log.getvalue()


DIES = "import os, sys; sys.stderr.write('key ' + os.environ['KEY'] + ', token ' + os.environ['KEY']); sys.exit(3)"
NOISE = "import os, sys; print('key', os.environ['KEY'], flush=True); sys.stdin.read()"


@pytest.mark.parametrize("program", [DIES, NOISE])
def test_a_stdio_servers_environment_and_arguments_are_shown_nowhere(
    program: str, make_client: Connect, log: io.StringIO
) -> None:
    client = make_client([sys.executable, "-c", program, SECRET], env={"KEY": SECRET}, timeout=2)
    with within(), pytest.raises(MCPClientError) as caught:
        client.connect()
    assert "$KEY" in everything_about(caught.value) + log.getvalue()
    assert_silent(everything_about(caught.value), log.getvalue(), repr(client), repr(client.config))


@pytest.mark.parametrize("command", [["no-such-command", SECRET], [sys.executable, SECRET + "\0"], ["/", SECRET]])
def test_a_command_that_cannot_be_started_is_named_without_its_secrets(
    command: list[str], make_client: Connect, log: io.StringIO
) -> None:
    client = make_client(command, env={"KEY": SECRET}, timeout=2)
    with within(), pytest.raises(MCPClientError) as caught:
        client.connect()
    assert_silent(everything_about(caught.value), log.getvalue())


@pytest.mark.parametrize(
    "url",
    [
        f"htp://h/?token={SECRET}",
        f"localhost:8000/mcp?token={SECRET}",
        f"http://[x/?t={SECRET}",
        f"http://h:x/?t={SECRET}",
        f"http://h/a b?t={SECRET}",
        f"http://u:{SECRET}@h:x/",
        f"u:{SECRET}@h",
        f"http:///?t={SECRET}",
        f"http://h/#a b{SECRET}",
    ],
)
def test_a_url_that_is_none_is_named_without_its_secrets(url: str) -> None:
    with pytest.raises(MCPClientError) as caught:
        MCPClient(url)
    assert_silent(everything_about(caught.value))


@pytest.mark.parametrize(
    "options",
    [
        {"default_headers": {"X": SECRET + "\n"}},
        {"headers": {"X": SECRET + "\n"}},
        {"headers": {"X": SECRET + "漢"}},
        {"headers": {"X": [SECRET]}},
        {"auth": SECRET + "\n"},
        {"auth": SECRET + "漢"},
        {"auth": ["user", SECRET]},
        {"auth": ("a", "b", SECRET)},
        {"auth": (1, SECRET)},
        {"env": {"A": 1, "B": SECRET}},
        {"proxies": {"http": 1, "https": SECRET}},
        {"proxies": {"http": f"http://user:{SECRET}@[x"}},
        {"proxies": {"http": f"foo://user:{SECRET}@127.0.0.1:9"}},
        {"cert": [SECRET]},
    ],
    ids=str,
)
def test_an_option_that_is_refused_is_not_quoted(options: dict[str, Any], make_client: Connect) -> None:
    with within(), pytest.raises(MCPClientError) as caught:
        make_client("http://127.0.0.1:9/mcp", timeout=1, **options).connect()
    assert caught.value.outcome == "not_sent"
    assert_silent(everything_about(caught.value))


def test_a_config_that_is_refused_is_not_quoted_either() -> None:
    with pytest.raises(ValueError, match="default_headers") as caught:
        MCPClientConfig(default_headers={"A": SECRET + "\n"})
    assert_silent(str(caught.value), repr(caught.value))
    with pytest.raises(ValueError, match="env") as caught:
        MCPClientConfig(env={"A": [SECRET]})
    assert_silent(str(caught.value), repr(caught.value))
