"""One client for many users: nobody gets another's session, cookies, answers or kept results (per-user credentials).

The servers judge: each request carries a user, and what belongs to that user, or the server notes it.
"""

from __future__ import annotations

import contextvars
import math
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Optional

import pytest
import requests

from mcp_sync import MCPClient, MCPClosedError, MCPUsageError
from tests.support.beds import Bed, over
from tests.support.fault_server import Asked, FaultServer, Message, Request, Session, Wire
from tests.transports.streamable_http.modern import ModernServer

PATIENCE = 10.0
Connect = Callable[..., MCPClient]

user: contextvars.ContextVar[str] = contextvars.ContextVar("user")


def headers() -> Mapping[str, str]:
    """What an application shows for the user of now."""
    return {"Authorization": f"Bearer {user.get()}"}


def as_user(name: str, function: Callable[[], Any]) -> Any:
    """``function``'s result, called for this user."""
    context = contextvars.copy_context()
    context.run(user.set, name)
    return context.run(function)


def user_of(request: Request) -> str:
    return request.headers.get("authorization", "").partition(" ")[2]


class _Users:
    """What both kinds of server do for their users: tools, resources and cookies of their own.

    Attributes:
        wrongs: requests that carried what belongs to another user.
    """

    def __init__(self, server: FaultServer) -> None:
        self.wrongs: list[str] = []
        self._server = server
        server.methods["tools/list"] = self.list_tools
        server.methods["resources/read"] = self.read
        server.tools["whoami"] = lambda asked: asked.text(user_of(asked.request))

    def list_tools(self, asked: Asked) -> None:
        tools = [{"name": f"tool_of_{user_of(asked.request)}", "inputSchema": {"type": "object"}}]
        asked.answer({"tools": tools, "ttlMs": 60_000, "cacheScope": "private"})

    def read(self, asked: Asked) -> None:
        uri = asked.params["uri"]
        scope = "public" if "public" in uri else "private"
        contents = [{"uri": uri, "text": user_of(asked.request)}]
        asked.answer({"contents": contents, "ttlMs": 60_000, "cacheScope": scope})

    def look_at(self, request: Request) -> None:
        cookie = request.headers.get("cookie")
        if cookie is not None and cookie != f"user={user_of(request)}":
            self.wrongs.append(f"{user_of(request)} with the cookie {cookie}")


class StatelessServer(ModernServer):
    """2026-07-28, with users."""

    def __init__(self) -> None:
        super().__init__()
        self.users = _Users(self)

    def serve(self, wire: Wire, request: Request) -> None:
        self.users.look_at(request)
        super().serve(wire, request)


class SessionServer(FaultServer):
    """2025-11-25, which binds each session to the user who opened it, and says 404 to others.

    Attributes:
        owners: session id -> user.
        most: how many sessions there were at once.
        ended: the users whose sessions a DELETE has ended.
    """

    def __init__(self) -> None:
        super().__init__("http")
        self.users = _Users(self)
        self.owners: dict[str, str] = {}
        self.most = 0
        self.ended: list[str] = []
        # The request that a thread of the server is at.
        self._current = threading.local()

    def session_headers(self, session: Session, message: Message) -> dict[str, str]:
        return {**super().session_headers(session, message), "set-cookie": f"user={self.owners[session.id]}"}

    def serve(self, wire: Wire, request: Request) -> None:
        self.users.look_at(request)
        owner = self.owners.get(request.headers.get("mcp-session-id", ""))
        if owner is not None and owner != user_of(request):
            self.users.wrongs.append(f"{user_of(request)} in the session of {owner}")
            wire.respond(404)
            return
        if request.method == "DELETE" and owner is not None:
            self.ended.append(owner)
        self._current.request = request
        super().serve(wire, request)

    def new_session(self, stream: Any) -> Session:
        session = super().new_session(stream)
        self.owners[session.id] = user_of(self._current.request)
        self.most = max(self.most, len(self.sessions))
        return session


@pytest.fixture
def stateless() -> Iterator[StatelessServer]:
    running = StatelessServer()
    with running:
        yield running
    assert running.users.wrongs == []
    assert running.violations == []


@pytest.fixture
def stateful() -> Iterator[SessionServer]:
    running = SessionServer()
    with running:
        yield running
    assert running.users.wrongs == []


def read(client: MCPClient, uri: str) -> str:
    """The text of a resource."""
    return str(client.read_resource(uri).contents[0].model_dump()["text"])


def asked(server: FaultServer, method: str) -> int:
    """How often a method was asked for."""
    return len(server.sent(method))


def tools_of(client: MCPClient) -> list[str]:
    return [tool.name for tool in client.list_tools()]


def whoami(client: MCPClient, **options: Any) -> str:
    return client.call_tool("whoami", **options).text


def test_a_private_result_is_shown_to_nobody_else(stateless: StatelessServer, make_client: Connect) -> None:
    client = make_client(stateless.mcp_url, headers=headers)
    for _ in range(2):
        for name in ("alice", "bob"):
            assert as_user(name, lambda: tools_of(client)) == [f"tool_of_{name}"]
            assert as_user(name, lambda: read(client, "test://private")) == name
            assert as_user(name, lambda: [tool.tool.name for tool in client.tools]) == [f"tool_of_{name}"]
    # Once for each user: the second time it was kept.
    assert asked(stateless, "tools/list") == asked(stateless, "resources/read") == 2


def test_a_public_result_is_kept_for_everybody(stateless: StatelessServer, make_client: Connect) -> None:
    client = make_client(stateless.mcp_url, headers=headers)
    told = {as_user(name, lambda: read(client, "test://public")) for name in "abc"}
    assert told == {"a"}
    assert asked(stateless, "resources/read") == 1


def test_what_one_user_hears_makes_only_his_and_public_results_stale(
    stateless: StatelessServer, make_client: Connect
) -> None:
    from mcp_sync.session.cache import ResultCache

    public = ResultCache()
    alice, bob = ResultCache(public=public), ResultCache(public=public)
    fresh = {"tools": [], "ttlMs": 60_000}
    for cache in (alice, bob):
        cache.put("tools/list", None, {**fresh, "cacheScope": "private"})
    alice.put("prompts/list", None, {**fresh, "cacheScope": "public"})
    assert bob.get("prompts/list", None) is not None
    before = bob.changes
    alice.notified({"method": "notifications/tools/list_changed"})
    alice.notified({"method": "notifications/prompts/list_changed"})
    assert (alice.get("tools/list", None), bob.get("prompts/list", None)) == (None, None)
    assert bob.get("tools/list", None) is not None
    # What was asked for before that, and comes after it, may be stale.
    bob.put("prompts/list", None, {**fresh, "cacheScope": "public"}, before)
    assert alice.get("prompts/list", None) is None


def test_each_user_has_one_session_and_keeps_it(stateful: SessionServer, make_client: Connect) -> None:
    client = make_client(stateful.mcp_url, headers=headers)
    for _ in range(3):
        for name in ("alice", "bob"):
            assert as_user(name, lambda: whoami(client)) == name
    assert sorted(stateful.owners.values()) == ["alice", "bob"]
    shown = {name: as_user(name, lambda: client.session_id) for name in ("alice", "bob")}
    assert {id: name for name, id in shown.items()} == stateful.owners
    assert as_user("bob", lambda: client.connected)
    assert not as_user("carol", lambda: client.connected)
    with pytest.raises(MCPClosedError, match="not connected"):
        as_user("carol", lambda: client.server_info)
    client.close()
    assert sorted(stateful.ended) == ["alice", "bob"]
    with pytest.raises(MCPClosedError):
        as_user("alice", lambda: whoami(client))
    as_user("alice", client.connect)
    assert as_user("bob", lambda: whoami(client)) == "bob"


@pytest.mark.parametrize("transport", ["stateless", "stateful"])
def test_sixteen_threads_mix_their_users(transport: str, request: pytest.FixtureRequest, make_client: Connect) -> None:
    server = request.getfixturevalue(transport)
    client = make_client(server.mcp_url, headers=headers)
    start = threading.Barrier(16)

    def work(number: int) -> None:
        start.wait(PATIENCE)
        for turn in range(12):
            name = f"user{(number + turn) % 5}"
            assert as_user(name, lambda: whoami(client)) == name
            assert as_user(name, lambda: tools_of(client)) == [f"tool_of_{name}"]
            future = as_user(name, lambda: client.submit("whoami"))
            assert [each.text for each in as_user(name, lambda: client.map("whoami", [{}, {}]))] == [name, name]
            assert future.result(PATIENCE).text == name

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    if transport == "stateful":
        assert sorted(server.owners.values()) == [f"user{n}" for n in range(5)]


def test_the_function_is_asked_once_for_each_call_on_the_callers_thread(
    stateful: SessionServer, make_client: Connect
) -> None:
    asked: list[threading.Thread] = []

    def ask() -> Mapping[str, str]:
        asked.append(threading.current_thread())
        return {"Authorization": "Bearer alice", "X-Request-ID": str(len(asked))}

    client = make_client(stateful.mcp_url, headers=ask)
    whoami(client)
    whoami(client)
    client.submit("whoami").result(PATIENCE)
    assert asked == [threading.current_thread()] * 3
    calls = [request for request in stateful.requests if "tools/call" in request.rpc_methods]
    assert [request.headers["x-request-id"] for request in calls] == ["1", "2", "3"]
    assert len(stateful.owners) == 1


@pytest.mark.parametrize(
    ("shown", "sessions"),
    [
        (lambda n: {"X-API-Key": f"key{n}"}, 3),
        (lambda n: {"Cookie": f"sid={n}"}, 3),
        (lambda n: {"x-auth-token": str(n)}, 3),
        (lambda n: {"X-Forwarded-User": f"user{n}"}, 3),
        (lambda n: {"X-Trace-Token": str(n)}, 3),
        (lambda n: {"authorization" if n % 2 else "Authorization": "Bearer same"}, 1),
        (lambda n: {"traceparent": f"00-{n:032x}-{n:016x}-01", "X-Request-ID": str(n)}, 1),
        (lambda n: {"Authorization": "Bearer same", "X-Correlation-Id": str(n), "baggage": f"a={n}"}, 1),
    ],
)
def test_what_says_who_calls(shown: Callable[[int], Mapping[str, str]], sessions: int, make_client: Connect) -> None:
    count = iter(range(3))
    with FaultServer("http") as server:
        client = make_client(server.mcp_url, headers=lambda: shown(next(count)))
        for _ in range(3):
            client.call_tool("echo")
        assert asked(server, "initialize") == sessions


def test_an_identity_that_is_named_keeps_its_session_while_its_token_changes(
    stateful: SessionServer, make_client: Connect
) -> None:
    tokens = iter(range(1000))
    with FaultServer("http") as server:
        client = make_client(
            server.mcp_url, headers=lambda: {"Authorization": f"Bearer {next(tokens)}"}, identity=lambda: "service"
        )
        for _ in range(3):
            client.call_tool("echo")
        server.wait_until(lambda: any(request.method == "GET" for request in server.requests))
        calls = [request for request in server.requests if "tools/call" in request.rpc_methods]
        assert len({user_of(request) for request in calls}) == 3
        assert asked(server, "initialize") == 1
        # What is done for nobody shows a token of now.
        client.close()
        last = server.requests[-1]
        assert last.method == "DELETE"
        assert int(user_of(last)) > int(user_of(calls[-1]))


@pytest.mark.parametrize("given", [None, 7, b"alice"])
def test_an_identity_is_a_string(given: Any, make_client: Connect) -> None:
    with pytest.raises(MCPUsageError, match="must return a string"):
        make_client("http://127.0.0.1:1/mcp", identity=lambda: given).ping()
    with pytest.raises(MCPUsageError, match="must be a function"):
        make_client("http://127.0.0.1:1/mcp", identity="alice")


def test_auth_may_be_a_function_that_returns_a_token(stateful: SessionServer, make_client: Connect) -> None:
    client = make_client(stateful.mcp_url, auth=user.get)  # a builtin, too
    assert [as_user(name, lambda: whoami(client)) for name in ("alice", "bob", "alice")] == ["alice", "bob", "alice"]
    assert len(stateful.owners) == 2


def test_an_auth_object_is_one_identity_whatever_it_signs_with(make_client: Connect) -> None:
    class Signing(requests.auth.AuthBase):
        count = 0

        def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
            self.count += 1
            request.headers["Authorization"] = f"Signature {self.count}"
            return request

    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        return Signing()(request)

    with FaultServer("http") as server:
        for auth in (Signing(), sign):
            client = make_client(server.mcp_url, auth=auth)
            client.call_tool("echo")
            client.call_tool("echo")
        assert asked(server, "initialize") == 2
        client.call_tool("echo", auth=Signing())
        assert asked(server, "initialize") == 3


def test_credentials_of_one_call_are_its_identity(stateful: SessionServer, make_client: Connect) -> None:
    client = make_client(stateful.mcp_url, auth="service")
    assert whoami(client) == "service"
    assert whoami(client, auth="alice") == "alice"
    assert whoami(client, headers={"authorization": "Bearer bob"}) == "bob"
    assert whoami(client, headers=lambda: {"X-Request-ID": "1"}) == "service"
    assert tools_of(client) == ["tool_of_service"]
    assert [tool.name for tool in client.list_tools(auth="alice")] == ["tool_of_alice"]
    assert client.submit("whoami", auth="alice").result(PATIENCE).text == "alice"
    assert client.map("whoami", [{}], auth="bob")[0].text == "bob"
    with client.stream_tool("whoami", auth="alice") as stream:
        assert stream.result.text == "alice"
    assert sorted(stateful.owners.values()) == ["alice", "bob", "service"]


EVERY_METHOD: Mapping[str, Callable[[MCPClient, dict[str, Any]], Any]] = {
    "tools/call": lambda client, more: client.call_tool("echo", **more),
    "stream": lambda client, more: client.stream_tool("echo", **more).result,
    "submit": lambda client, more: client.submit("echo", **more).result(PATIENCE),
    "map": lambda client, more: client.map("echo", [{}], **more),
    "submit_task": lambda client, more: client.submit_task("echo", **more).result(),
    "call_operation": lambda client, more: client.call_operation("echo", **more),
    "call_operation, streamed": lambda client, more: client.call_operation("echo", stream=True, **more).result,
    "tools/list": lambda client, more: client.list_tools(**more),
    "resources/list": lambda client, more: client.list_resources(**more),
    "resources/templates/list": lambda client, more: client.list_resource_templates(**more),
    "prompts/list": lambda client, more: client.list_prompts(**more),
    "resources/read": lambda client, more: client.read_resource("test://one", **more),
    "prompts/get": lambda client, more: client.get_prompt("greet", **more),
    "completion/complete": lambda client, more: client.complete("greet", "name", "a", **more),
    "resources/subscribe": lambda client, more: client.subscribe_resource("test://one", **more),
    "logging/setLevel": lambda client, more: client.set_logging_level("info", **more),
    "ping": lambda client, more: client.ping(**more),
    "request": lambda client, more: client.request("ping", {"_meta": {"own": 1}}, **more),
    "notifications/own": lambda client, more: client.notify("notifications/own", **more),
    "listen": lambda client, more: client.listen(resources=["test://two"], **more).close(),
}


@pytest.mark.parametrize("name", EVERY_METHOD)
def test_every_method_that_sends_takes_headers_auth_and_meta(name: str, make_client: Connect) -> None:
    with FaultServer("http") as server:
        client = make_client(server.mcp_url, auth="service").connect()
        before = len(server.requests)
        EVERY_METHOD[name](client, {"auth": "alice", "headers": {"X-More": "1"}, "meta": {"example.com/key": "value"}})
        sent = [request for request in server.requests[before:] if request.method == "POST"]
        assert {(user_of(request), request.headers["x-more"]) for request in sent} == {("alice", "1")}
        with_meta = [
            message
            for request in sent
            for message in request.messages
            if (message.get("params") or {}).get("_meta", {}).get("example.com/key") == "value"
        ]
        assert with_meta
        # A new session of Alice's, and the one request.
        assert asked(server, "initialize") == 2
        if name == "request":
            assert with_meta[0]["params"]["_meta"]["own"] == 1


def test_direct_calls_take_headers_and_share_the_cookies_of_their_identity(make_client: Connect) -> None:
    seen: list[tuple[str, Optional[str]]] = []

    def answer(wire: Wire, request: Request) -> None:
        seen.append((user_of(request), request.headers.get("cookie")))
        wire.respond(200, {"ok": True}, {"set-cookie": f"user={user_of(request)}"})

    with FaultServer("http") as server:
        server.instead(lambda request: request.path == "/me", answer, math.inf)
        client = make_client(server.mcp_url, headers=headers)
        for name in ("alice", "bob", "alice", "bob"):
            assert as_user(name, lambda: client.call_operation("GET:/me")) == {"ok": True}
        as_user("dave", lambda: client.call_operation("GET:/me", auth="carol"))
        with pytest.raises(MCPUsageError, match="_meta"):
            as_user("dave", lambda: client.call_operation("GET:/me", meta={"a": 1}))
    assert seen == [
        ("alice", None),
        ("bob", None),
        ("alice", "user=alice"),
        ("bob", "user=bob"),
        ("carol", None),
    ]


def test_a_session_that_the_user_brought_keeps_cookies_apart(stateful: SessionServer, make_client: Connect) -> None:
    with requests.Session() as session:
        session.cookies.set("theme", "dark", domain="elsewhere.example")
        client = make_client(stateful.mcp_url, headers=headers, session=session)
        for name in ("alice", "bob", "alice"):
            assert as_user(name, lambda: whoami(client)) == name
        client.close()
        assert session.cookies.get_dict() == {"theme": "dark"}


def test_listen_is_told_what_the_callers_own_session_is(stateful: SessionServer, make_client: Connect) -> None:
    client = make_client(stateful.mcp_url, headers=headers)
    of_alice = as_user("alice", lambda: client.listen(tools=True))
    of_bob = as_user("bob", lambda: client.listen(tools=True))
    sessions = {owner: stateful.sessions[id] for id, owner in stateful.owners.items()}
    stateful.wait_until(lambda: all(session.stream is not None for session in sessions.values()))
    sessions["alice"].notify("notifications/tools/list_changed")
    sessions["bob"].notify("notifications/prompts/list_changed")
    assert of_alice.get(PATIENCE) is not None
    assert of_bob.get(0.2) is None
    for stream in (of_alice, of_bob):
        stream.close()


def test_log_level_and_tasks_are_the_callers_own(stateful: SessionServer, make_client: Connect) -> None:
    client = make_client(stateful.mcp_url, headers=headers)
    as_user("alice", lambda: client.set_logging_level("debug"))
    as_user("bob", client.ping)
    stateful.forget_sessions()
    as_user("bob", client.ping)
    as_user("alice", client.ping)
    levels = [request for request in stateful.requests if "logging/setLevel" in request.rpc_methods]
    assert {user_of(request) for request in levels} == {"alice"}
    stateful.methods["tasks/get"] = lambda asked: asked.answer(
        {"taskId": user_of(asked.request), "status": "working", "createdAt": "2026-01-01T00:00:00Z", "ttl": None}
    )
    handle = as_user("alice", lambda: client.task("one"))
    # Whoever looks: the task is hers who found it.
    assert as_user("bob", lambda: handle.status().task_id) == "alice"


# How many sessions, and for how long


def test_all_users_share_one_pool_of_connections(stateless: StatelessServer, make_client: Connect) -> None:
    client = make_client(stateless.mcp_url, headers=headers)
    for number in range(20):
        assert as_user(f"user{number}", lambda: whoami(client)) == f"user{number}"
    assert stateless.connections == 1


def test_a_hundred_users_have_a_session_and_the_longest_idle_makes_room(
    stateful: SessionServer, make_client: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    stateful.standing_stream = False
    client = make_client(stateful.mcp_url, headers=headers)
    names = [f"user{n}" for n in range(100)]
    for name in names:
        assert as_user(name, lambda: whoami(client)) == name
    assert stateful.ended == []
    as_user(names[0], lambda: whoami(client))
    assert as_user("late", lambda: whoami(client)) == "late"
    stateful.wait_until(lambda: bool(stateful.ended))
    assert stateful.ended == [names[1]]
    assert "identity=" in caplog.text
    assert as_user(names[1], lambda: whoami(client)) == names[1]


def test_a_session_with_a_call_under_way_is_not_ended(stateful: SessionServer, make_client: Connect) -> None:
    client = make_client(stateful.mcp_url, headers=headers, max_identities=1)
    slow = as_user("alice", lambda: client.submit("slow"))
    stateful.wait_for_call("slow")
    with as_user("bob", lambda: client.listen(tools=True)):
        assert as_user("carol", lambda: whoami(client)) == "carol"
        assert as_user("dave", lambda: whoami(client)) == "dave"
        stateful.wait_until(lambda: stateful.ended == ["carol"])
        stateful.gate.set()
        assert slow.result(PATIENCE).text == "slow"
    assert as_user("erin", lambda: whoami(client)) == "erin"
    stateful.wait_until(lambda: sorted(stateful.ended) == ["alice", "bob", "carol", "dave"])


def test_a_session_that_nobody_uses_is_ended(stateful: SessionServer, make_client: Connect) -> None:
    client = make_client(stateful.mcp_url, headers=headers, identity_idle=0.2)
    slow = as_user("alice", lambda: client.submit("slow"))
    stateful.wait_for_call("slow")
    as_user("bob", lambda: whoami(client))
    stateful.wait_until(lambda: stateful.ended == ["bob"])
    stateful.gate.set()
    slow.result(PATIENCE)
    stateful.wait_until(lambda: stateful.ended == ["bob", "alice"])
    assert as_user("bob", lambda: whoami(client)) == "bob"


def test_threads_that_come_and_go_meet_no_session_that_is_being_ended(
    stateful: SessionServer, make_client: Connect
) -> None:
    stateful.standing_stream = False
    client = make_client(stateful.mcp_url, headers=headers, max_identities=2)
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait(PATIENCE)
        for turn in range(15):
            name = f"user{(number * 3 + turn) % 6}"
            assert as_user(name, lambda: whoami(client)) == name

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_a_fixed_token_has_one_session_and_asks_nothing(stateful: SessionServer, make_client: Connect) -> None:
    client = make_client(stateful.mcp_url, auth="alice", max_identities=1, identity_idle=0.01)
    whoami(client)
    time.sleep(0.05)  # longer than identity_idle, which is not about it
    whoami(client)
    assert (len(stateful.owners), stateful.ended) == (1, [])


# The caller's context


def test_background_work_sees_the_callers_context(stateful: SessionServer, make_client: Connect) -> None:
    client = make_client(stateful.mcp_url, auth="alice")
    stateful.answers = "sse"
    seen: list[str] = []

    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        seen.append(user.get("nobody"))
        return request

    def work(pool: ThreadPoolExecutor) -> None:
        client.submit("progress", {"count": 1}, on_progress=lambda _: seen.append(user.get("nobody"))).result(PATIENCE)
        client.map("whoami", [{}, {}], auth=sign)
        client.map("whoami", [{}, {}], auth=sign, executor=pool)

    with ThreadPoolExecutor(2) as pool:
        for name in ("alice", "bob"):
            seen.clear()
            as_user(name, lambda: work(pool))
            assert len(seen) >= 5
            assert set(seen) == {name}


def test_a_handler_sees_the_context_of_its_call_or_of_who_opened_the_session(make_client: Connect) -> None:
    seen: list[str] = []
    told = threading.Event()

    def roots() -> list[str]:
        seen.append(user.get("nobody"))
        return ["file:///srv"]

    def notified(_: object) -> None:
        seen.append(user.get("nobody"))
        told.set()

    with FaultServer("http") as server:
        server.answers = "sse"
        client = make_client(server.mcp_url, roots=roots, notification_handler=notified)
        as_user("alice", client.connect)
        as_user("bob", lambda: client.call_tool("ask", {"method": "roots/list", "params": {}}))
        assert seen == ["bob"]
        server.wait_until(lambda: server.session.stream is not None)
        server.session.notify("notifications/tools/list_changed")
        assert told.wait(PATIENCE)
        assert seen == ["bob", "alice"]


# Mistakes


def test_what_the_functions_raise_is_the_callers(make_client: Connect) -> None:
    def fail() -> Any:
        raise LookupError("no user is signed in")

    for options in ({"headers": fail}, {"auth": fail}, {"identity": fail}):
        client = make_client("http://127.0.0.1:1/mcp", **options)
        for call in (client.ping, lambda: client.submit("echo"), lambda: client.map("echo", [{}])):  # noqa: B023  # called here
            with pytest.raises(MCPUsageError, match="no user is signed in"):
                call()
        assert "not connected" in repr(client)


@pytest.mark.parametrize("auth", [7, b"token", ["a", "b"], ("a", 1)])
def test_credentials_of_one_call_that_cannot_be_sent_are_a_usage_error(auth: Any, make_client: Connect) -> None:
    client = make_client("http://127.0.0.1:1/mcp")
    for given in (auth, lambda: auth):
        with pytest.raises(MCPUsageError) as caught:
            client.ping(auth=given)
        assert caught.value.outcome == "not_sent"
    with pytest.raises(MCPUsageError):
        client.ping(headers={"a b": "c"})


@over("stdio")
def test_a_command_gets_no_headers_and_says_so(bed: Bed) -> None:
    client = bed.make(headers=lambda: {"Authorization": "Bearer x"})
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    with pytest.raises(MCPUsageError, match="command"):
        client.ping(auth="token")


def test_an_identity_says_nothing_of_the_credentials(stateful: SessionServer, make_client: Connect) -> None:
    from mcp_sync.credentials import Callers

    shown = Callers(headers={"a": "b"}).ask(headers={"Authorization": "Bearer s3cret-token"})
    assert "s3cret" not in repr(shown)
    assert "s3cret" not in shown.identity


# As the README has it


def test_each_request_of_a_flask_app_is_its_users(stateful: SessionServer, make_client: Connect) -> None:
    flask = pytest.importorskip("flask", reason="for the frameworks")
    app = flask.Flask("shop")
    client = make_client(stateful.mcp_url, headers=lambda: {"Authorization": flask.request.headers["Authorization"]})

    @app.get("/me")  # type: ignore[untyped-decorator, unused-ignore]  # where flask is not installed
    def me() -> Any:
        with client.stream_tool("whoami") as stream:
            streamed = stream.result.text
        return [whoami(client), client.submit("whoami").result(PATIENCE).text, streamed, *tools_of(client)]

    def visit(number: int) -> None:
        for turn in range(5):
            name = f"user{(number + turn) % 3}"
            answer = app.test_client().get("/me", headers={"Authorization": f"Bearer {name}"})
            assert answer.json == [name, name, name, f"tool_of_{name}"]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(visit, range(6)))
    assert sorted(stateful.owners.values()) == ["user0", "user1", "user2"]
    with pytest.raises(MCPUsageError, match="request context"):
        client.ping()


def test_each_request_of_a_django_app_is_its_users(stateful: SessionServer, make_client: Connect) -> None:
    token_of_user: contextvars.ContextVar[Optional[str]] = contextvars.ContextVar("token_of_user", default=None)
    client = make_client(stateful.mcp_url, auth=token_of_user.get)

    def remember_user(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def middleware(request: Any) -> Any:
            before = token_of_user.set(request.session.get("mcp_token"))
            try:
                return get_response(request)
            finally:
                token_of_user.reset(before)

        return middleware

    class Visit:
        def __init__(self, **session: str) -> None:
            self.session = session

    def view(request: Visit) -> list[str]:
        return [whoami(client), *(each.text for each in client.map("whoami", [{}, {}]))]

    def visit(number: int) -> None:
        for turn in range(5):
            name = f"user{(number + turn) % 3}"
            assert remember_user(view)(Visit(mcp_token=name)) == [name] * 3
            # The thread serves another after this, who is not signed in.
            assert remember_user(view)(Visit()) == [""] * 3

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(visit, range(6)))
    assert sorted(stateful.owners.values()) == ["", "user0", "user1", "user2"]
