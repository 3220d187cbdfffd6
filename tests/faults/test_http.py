"""What HTTP can answer to a POST: faults.md, HTTP."""

from __future__ import annotations

import email.utils
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from mcp_sync import (
    AuthorizationError,
    HTTPStatusError,
    MCPClient,
    MCPClientError,
    MCPConnectionError,
    MCPTimeoutError,
    RateLimitedError,
    SessionExpiredError,
)
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, FaultServer, gzip_bomb, hold, raw, status

Connect = Callable[..., MCPClient]


# Statuses


@pytest.mark.parametrize(
    ("code", "kind", "outcome"),
    [
        (400, HTTPStatusError, "refused"),
        (401, AuthorizationError, "refused"),
        (403, AuthorizationError, "refused"),
        (409, HTTPStatusError, "refused"),
        (413, HTTPStatusError, "refused"),
        (429, RateLimitedError, "refused"),
        (500, HTTPStatusError, "unknown"),
        (502, HTTPStatusError, "unknown"),
        (503, HTTPStatusError, "unknown"),
    ],
)
def test_an_error_status_is_that_calls_error_at_once_and_nothing_is_sent_again(
    code: int, kind: type[Exception], outcome: str, server: FaultServer, client: MCPClient
) -> None:
    server.instead("tools/call", status(code, "because \x1b[31m", {"content-type": "text/plain", "x-why": "y"}))
    with within(), pytest.raises(kind) as caught:
        client.call_tool("echo", timeout=LONG)
    error = caught.value
    assert isinstance(error, HTTPStatusError)
    assert (error.status, error.outcome, error.method) == (code, outcome, "tools/call")
    assert error.body == "because \\x1b[31m"
    assert error.headers["X-Why"] == "y"
    assert "\x1b" not in str(error)
    assert server.tool_calls["echo"] == 1
    assert client.call_tool("echo", {"message": "next"}).text == "next"
    assert server.count("GET") == 1


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("99999999", 3600.0),
        (email.utils.formatdate(0, usegmt=True), 0.0),
        ("Wed, 01 Jan 2200 00:00:00 GMT", 3600.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("\u0667", None),
        ("9" * 1000, 3600.0),
    ],
)
def test_retry_after_is_told_as_seconds_within_bounds(
    code: int, value: str, seconds: Any, server: FaultServer, client: MCPClient
) -> None:
    def refuse(wire: Any, request: Any) -> None:
        wire.send(b"HTTP/1.1 %d Wait\r\ncontent-length: 0\r\nretry-after: %s\r\n\r\n" % (code, value.encode("utf-8")))

    server.instead("tools/call", refuse)
    with within(), pytest.raises(HTTPStatusError) as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.retry_after == seconds


def test_a_retry_after_date_is_told_as_the_seconds_until_then(server: FaultServer, client: MCPClient) -> None:
    date = email.utils.formatdate(time.time() + 100, usegmt=True)
    server.instead("tools/call", status(503, "", {"retry-after": date}))
    with pytest.raises(HTTPStatusError) as caught:
        client.call_tool("echo")
    assert caught.value.retry_after is not None
    assert 90 < caught.value.retry_after <= 101


def test_an_error_with_status_and_headers_can_be_pickled(server: FaultServer, client: MCPClient) -> None:
    server.instead("tools/call", status(429, "slow down", {"retry-after": "3"}))
    with pytest.raises(HTTPStatusError) as caught:
        client.call_tool("echo")
    twin = pickle.loads(pickle.dumps(caught.value))
    assert (type(twin), twin.status, twin.retry_after, str(twin)) == (RateLimitedError, 429, 3.0, str(caught.value))
    assert dict(twin.headers) == dict(caught.value.headers)


def test_an_errors_headers_hold_no_cookie_and_no_session_id(server: FaultServer, client: MCPClient) -> None:
    secret = {"set-cookie": "a=secret", "mcp-session-id": "secret", "x-mcp-session-id": "secret", "x-open": "1"}
    server.instead("tools/call", status(500, "", secret))
    with pytest.raises(HTTPStatusError) as caught:
        client.call_tool("echo")
    assert "secret" not in repr(dict(caught.value.headers)) + str(caught.value)
    assert caught.value.headers["x-open"] == "1"


# The session is gone


def test_a_forgotten_session_is_told_when_the_call_may_not_be_repeated(server: FaultServer, client: MCPClient) -> None:
    server.forget_sessions()
    with within(), pytest.raises(SessionExpiredError) as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.outcome == "refused"
    assert server.tool_calls["echo"] == 1
    with within(8):
        assert client.call_tool("echo", {"message": "next"}, timeout=LONG).text == "next"
    assert len(server.sent("initialize")) == 2


def test_a_forgotten_session_costs_a_reading_call_nothing(server: FaultServer, client: MCPClient) -> None:
    server.forget_sessions()
    with within(8):
        assert [tool.name for tool in client.list_tools(timeout=LONG)]
    assert client.read_resource("test://one").contents
    assert len(server.sent("initialize")) == 2
    assert len(server.sent("tools/list")) == 2


def test_a_forgotten_session_costs_a_tool_that_says_it_may_be_repeated_nothing(
    server: FaultServer, client: MCPClient
) -> None:
    server.tool_list[0]["annotations"] = {"idempotentHint": True}
    server.tool_list[1]["annotations"] = {"readOnlyHint": True}
    client.list_tools()
    server.gate.set()
    for name in ("echo", "slow"):
        server.forget_sessions()
        with within(8):
            client.call_tool(name, timeout=LONG)
        assert server.tool_calls[name] == 2


def test_a_forgotten_session_costs_a_call_whose_caller_allows_a_retry_nothing(
    server: FaultServer, client: MCPClient
) -> None:
    server.forget_sessions()
    with within(8):
        assert client.call_tool("echo", {"message": "hi"}, retry=True, timeout=LONG).text == "hi"
    assert server.tool_calls["echo"] == 2


def test_a_session_that_is_forgotten_each_time_is_not_opened_for_ever(server: FaultServer, client: MCPClient) -> None:
    server.instead("tools/list", status(404, "no session"), ALWAYS)
    with within(12), pytest.raises(SessionExpiredError):
        client.list_tools(timeout=LONG)
    assert len(server.sent("initialize")) <= 3
    assert len(server.sent("tools/list")) == 2


def test_callers_who_meet_a_forgotten_session_together_open_one_new_one(server: FaultServer, client: MCPClient) -> None:
    server.forget_sessions()
    start = threading.Barrier(8)

    def call(number: int) -> int:
        start.wait(10)
        return len(client.list_tools(timeout=LONG))

    with ThreadPoolExecutor(8) as pool, within(10):
        assert set(pool.map(call, range(8))) == {len(server.tool_list)}
    assert len(server.sent("initialize")) == 2
    assert server.count("GET") == 2


def test_calls_that_still_wait_in_a_forgotten_session_may_yet_get_their_answers(
    server: FaultServer, client: MCPClient
) -> None:
    slow = client.submit("slow", timeout=LONG)
    server.wait_for_call("slow")
    server.forget_sessions()
    with pytest.raises(SessionExpiredError):
        client.call_tool("echo", timeout=LONG)
    assert client.call_tool("echo", {"message": "new"}, timeout=LONG).text == "new"
    server.gate.set()
    assert slow.result(timeout=LONG).text == "slow"


# Bodies


def test_a_202_without_a_body_or_length_or_with_json_is_an_acceptance(server: FaultServer, client: MCPClient) -> None:
    heads = [
        b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n",
        b'HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: 22\r\n\r\n{"message":"Accepted"}',
        b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.0 202 Accepted\r\n\r\nAccepted",
    ]
    for number, head in enumerate(heads):

        def accept(wire: Any, request: Any, head: bytes = head) -> None:
            wire.send(head)
            server.handle(server.session, wire, request)
            if head.startswith(b"HTTP/1.0"):
                wire.finish()

        server.instead("tools/call", accept)
        with within():
            assert client.call_tool("echo", {"message": str(number)}, timeout=LONG).text == str(number)
    assert server.tool_calls["echo"] == len(heads)


def test_a_202_whose_body_never_ends_does_not_hold_the_call_up(server: FaultServer, client: MCPClient) -> None:
    def accept_slowly(wire: Any, request: Any) -> None:
        wire.send(b"HTTP/1.1 202 Accepted\r\ncontent-length: 1000\r\n\r\nAcc")
        server.handle(server.session, wire, request)
        wire.hold()

    server.instead("tools/call", accept_slowly)
    with within():
        assert client.call_tool("echo", {"message": "hi"}, timeout=LONG).text == "hi"


def test_a_202_whose_body_is_without_bound_does_not_hold_the_call_up(server: FaultServer, client: MCPClient) -> None:
    def flood(wire: Any, request: Any) -> None:
        stream = wire.stream(code=202, content_type="text/plain")
        server.handle(server.session, wire, request)
        while True:
            stream.send(b"x" * 65536)

    server.instead("tools/call", flood)
    with within():
        assert client.call_tool("echo", {"message": "hi"}, timeout=LONG).text == "hi"


def test_a_202_whose_body_is_a_gzip_bomb_costs_nothing(server: FaultServer, client: MCPClient) -> None:
    bomb = gzip_bomb(100_000_000)

    def explode(wire: Any, request: Any) -> None:
        wire.respond(202, bomb, {"content-encoding": "gzip"})
        server.handle(server.session, wire, request)

    server.instead("tools/call", explode)
    before = _peak_kilobytes()
    with within():
        assert client.call_tool("echo", {"message": "hi"}, timeout=LONG).text == "hi"
    assert _peak_kilobytes() - before < 20_000


def test_an_error_whose_body_is_a_gzip_bomb_costs_nothing(server: FaultServer, client: MCPClient) -> None:
    server.instead("tools/call", status(500, gzip_bomb(100_000_000), {"content-encoding": "gzip"}))
    before = _peak_kilobytes()
    with within(), pytest.raises(HTTPStatusError):
        client.call_tool("echo", timeout=LONG)
    assert _peak_kilobytes() - before < 20_000


def _peak_kilobytes() -> int:
    resource = pytest.importorskip("resource")
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak


def test_an_error_body_that_is_not_what_it_says_is_left_out(server: FaultServer, client: MCPClient) -> None:
    server.instead("tools/call", status(500, b"not gzip at all", {"content-encoding": "gzip"}))
    with within(), pytest.raises(HTTPStatusError) as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.status == 500


def test_an_error_body_shorter_than_it_says_does_not_matter(server: FaultServer, client: MCPClient) -> None:
    server.instead("tools/call", raw(b"HTTP/1.1 500 No\r\ncontent-length: 100\r\n\r\nshort"))
    with within(), pytest.raises(HTTPStatusError) as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.status == 500


def test_an_error_body_that_trickles_in_does_not_extend_the_deadline(server: FaultServer, client: MCPClient) -> None:
    def trickle(wire: Any, request: Any) -> None:
        wire.send(b"HTTP/1.1 500 No\r\ncontent-length: 100000\r\n\r\n")
        wire.drip(b"x" * 100_000, pause=0.05)

    server.instead("tools/call", trickle)
    with within(), pytest.raises((HTTPStatusError, MCPTimeoutError)):
        client.call_tool("echo", timeout=0.5)


def test_a_post_that_is_never_answered_ends_at_the_deadline(server: FaultServer, client: MCPClient) -> None:
    server.instead("tools/call", hold)
    with within(), pytest.raises(MCPTimeoutError) as caught:
        client.call_tool("echo", timeout=0.4)
    assert caught.value.outcome == "unknown"
    assert server.tool_calls["echo"] == 1


# Redirects


@pytest.fixture
def stranger() -> Any:
    """A second origin, where nothing may ever arrive."""
    with FaultServer() as other:
        yield other
        assert other.connections == 0


@pytest.mark.parametrize("code", [307, 308])
def test_a_redirect_of_the_same_origin_keeps_method_and_body(code: int, server: FaultServer, client: MCPClient) -> None:
    server.messages_path = "/elsewhere/"
    session = server.session

    def redirect(wire: Any, request: Any) -> None:
        wire.respond(code, "", {"location": f"/elsewhere/?session_id={session.id}"})

    server.instead(lambda request: request.path == "/messages/", redirect, ALWAYS)
    assert client.call_tool("echo", {"message": "1"}, timeout=LONG).text == "1"
    assert client.call_tool("echo", {"message": "2"}, timeout=LONG).text == "2"
    posts = [request for request in server.requests if request.method == "POST"][2:]
    again = ["/messages/"] if code == 307 else []
    assert [request.path for request in posts] == ["/messages/", "/elsewhere/", *again, "/elsewhere/"]
    assert posts[0].body == posts[1].body


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location",
    ["http://{other}/messages/", "//{other}/x", "http://127.0.0.1:{port}@{other}/", "https://127.0.0.1:{port}/"],
)
def test_a_redirect_to_another_origin_is_not_followed(
    code: int, location: str, server: FaultServer, stranger: FaultServer, connect: Connect
) -> None:
    client = connect(auth="secret-token", default_headers={"X-API-Key": "secret-key"})
    target = location.replace("{other}", f"127.0.0.1:{stranger.port}").replace("{port}", str(server.port))
    server.instead("tools/call", status(code, "", {"location": target}))
    with within(), pytest.raises(MCPConnectionError) as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.outcome in ("not_sent", "refused")
    assert server.tool_calls["echo"] == 1


@pytest.mark.parametrize(
    "location", ["http://[", "//[::1", "\\\\evil.example\\x", "http://127.0.0.1:x/", "/a b", "file:///x"]
)
def test_a_redirect_to_nowhere_is_an_error_of_this_package(
    location: str, server: FaultServer, client: MCPClient
) -> None:
    server.instead("tools/call", status(307, "", {"location": location}))
    with within(), pytest.raises(MCPConnectionError, match="the server redirects to") as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.outcome == "not_sent"
    assert client.call_tool("echo", {"message": "next"}, timeout=LONG).text == "next"


@pytest.mark.parametrize("code", [301, 302, 303])
def test_a_redirect_that_turns_post_into_get_is_an_error(code: int, server: FaultServer, client: MCPClient) -> None:
    server.instead("tools/call", status(code, "", {"location": "/messages/"}))
    with within(), pytest.raises(MCPConnectionError, match="would turn POST into GET") as caught:
        client.call_tool("echo", timeout=LONG)
    assert caught.value.outcome == "refused"


def test_redirects_in_a_circle_are_bounded(server: FaultServer, client: MCPClient) -> None:
    server.instead("tools/call", status(307, "", {"location": "?again"}), ALWAYS)
    with within(), pytest.raises(MCPConnectionError, match="circle"):
        client.call_tool("echo", timeout=LONG)
    assert server.tool_calls["echo"] <= 6


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_the_stream_is_redirected_within_its_origin_only(
    code: int, server: FaultServer, stranger: FaultServer, make_client: Connect
) -> None:
    server.instead(lambda request: request.path == "/old", status(code, "", {"location": "/sse"}))
    assert make_client(server.url + "/old", transport="sse").connect().connected
    server.instead(lambda request: request.path == "/away", status(code, "", {"location": stranger.sse_url}))
    with pytest.raises(MCPConnectionError, match="another origin"):
        make_client(server.url + "/away", transport="sse", auth="secret").connect()


# Cookies


def test_cookies_of_a_load_balancer_are_sent_back(server: FaultServer, make_client: Connect) -> None:
    server.stream_options["headers"] = {"set-cookie": "route=a; Path=/"}
    client = make_client(server.sse_url, transport="sse").connect()
    client.call_tool("echo")
    posts = [request for request in server.requests if request.method == "POST"]
    assert {request.headers.get("cookie") for request in posts} == {"route=a"}


@pytest.mark.parametrize("name", ["Cookie", "cookie"])
def test_the_callers_own_cookies_stay_when_a_server_sets_one(
    name: str, server: FaultServer, make_client: Connect
) -> None:
    server.stream_options["headers"] = {"set-cookie": "route=a; Path=/"}
    client = make_client(server.sse_url, transport="sse", headers={name: "mine=1"})
    client.call_tool("echo", {"message": "hi"})
    posts = [request for request in server.requests if request.method == "POST"]
    assert {request.headers.get("cookie") for request in posts} == {"mine=1; route=a"}


def test_a_header_that_is_spelled_in_two_ways_is_sent_once_and_the_nearer_one_counts(
    server: FaultServer, make_client: Connect
) -> None:
    client = make_client(
        server.sse_url,
        transport="sse",
        headers={"X-TENANT": "near", "user-agent": "mine"},
        default_headers={"x-tenant": "far"},
    )
    client.call_tool("echo", {"message": "hi"})
    for request in server.requests:
        assert request.headers["x-tenant"] == "near"
        assert request.headers["user-agent"] == "mine"


# All calls share the server, none another's fault


def test_one_slow_post_holds_nobody_else_up(server: FaultServer, client: MCPClient) -> None:
    held = client.submit("echo", {"message": "held"}, timeout=LONG)
    held.result(timeout=LONG)
    server.instead("tools/call", hold)
    stuck = client.submit("echo", {"message": "stuck"}, timeout=0.7)
    server.wait_for_call("echo", 2)
    with within():
        for number in range(10):
            assert client.call_tool("echo", {"message": str(number)}, timeout=LONG).text == str(number)
    error = stuck.exception(timeout=LONG)
    assert isinstance(error, MCPClientError)
