"""Fresh results: 2026-07-28, Caching."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPServerError
from mcp_sync.session import cache as cache_module
from mcp_sync.session.cache import ResultCache
from tests.support import inside
from tests.support.fault_server import Asked
from tests.transports.streamable_http.modern import META, ModernServer

Connect = Callable[..., MCPClient]
MINUTE = 60_000


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The cache's clock."""
    clock = Clock()
    monkeypatch.setattr(cache_module, "monotonic", clock.monotonic)
    return clock


@pytest.fixture
def modern() -> Iterator[ModernServer]:
    """A server of the stateless kind whose results stay fresh for a minute."""
    running = ModernServer()
    with running:
        for method in ("tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"):
            running.methods[method] = fresh(running.methods[method])
        yield running


def fresh(method: Callable[[Asked], None]) -> Callable[[Asked], None]:
    def answer(asked: Asked) -> None:
        usual = asked.answer
        asked.answer = lambda result: usual({**result, "ttlMs": MINUTE, "cacheScope": "private"})  # type: ignore[method-assign]  # what it says more
        method(asked)

    return answer


@pytest.fixture
def client(modern: ModernServer, make_client: Connect) -> MCPClient:
    return make_client(modern.mcp_url).connect()


LISTS: list[tuple[str, Callable[[MCPClient], Any]]] = [
    ("tools/list", lambda client: client.list_tools()),
    ("prompts/list", lambda client: client.list_prompts()),
    ("resources/list", lambda client: client.list_resources()),
    ("resources/templates/list", lambda client: client.list_resource_templates()),
    ("resources/read", lambda client: client.read_resource("test://one")),
]


@pytest.mark.parametrize(("method", "ask"), LISTS)
def test_a_fresh_result_is_not_asked_for_again(
    method: str, ask: Any, clock: Clock, modern: ModernServer, client: MCPClient
) -> None:
    first = ask(client)
    clock.now += 59.9
    assert ask(client) == first
    assert len(modern.sent(method)) == 1
    clock.now += 0.2
    assert ask(client) == first
    assert len(modern.sent(method)) == 2


def test_what_is_asked_differently_is_asked_for(modern: ModernServer, client: MCPClient) -> None:
    assert client.read_resource("test://one").contents[0].uri == "test://one"
    assert client.read_resource("test://two").contents[0].uri == "test://two"
    assert client.read_resource("test://one").contents[0].uri == "test://one"
    assert len(modern.sent("resources/read")) == 2


@pytest.mark.parametrize(("method", "ask"), LISTS)
def test_cache_false_asks_each_time(method: str, ask: Any, modern: ModernServer, make_client: Connect) -> None:
    client = make_client(modern.mcp_url, cache=False).connect()
    ask(client)
    ask(client)
    assert len(modern.sent(method)) == 2


@pytest.mark.parametrize("ttl", [0, -1, None, "60000", True, float("-inf")])
def test_what_does_not_say_that_it_stays_fresh_does_not(ttl: Any, modern: ModernServer, client: MCPClient) -> None:
    more = {} if ttl is None else {"ttlMs": ttl}
    modern.methods["prompts/list"] = lambda asked: asked.answer({"prompts": [], **more})
    client.list_prompts()
    client.list_prompts()
    assert len(modern.sent("prompts/list")) == 2


def test_a_change_that_the_server_tells_of_makes_the_list_stale(modern: ModernServer, client: MCPClient) -> None:
    streams: list[Asked] = []
    ready = threading.Event()

    def listen(asked: Asked) -> None:
        meta = {"_meta": {META + "subscriptionId": asked.id}}
        note = {"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged"}
        asked.send({**note, "params": {**meta, "notifications": asked.params["notifications"]}})
        streams.append(asked)
        ready.set()
        asked.wire.hold()

    modern.methods["subscriptions/listen"] = listen
    client.list_tools()
    client.list_prompts()
    with client.listen(tools=True) as events:
        assert ready.wait(10)
        streams[0].send({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        assert events.get(10) is not None
        client.list_tools()
        client.list_prompts()
    assert len(modern.sent("tools/list")) == 2
    assert len(modern.sent("prompts/list")) == 1


def test_a_list_that_changed_while_it_was_asked_for_is_not_kept(modern: ModernServer, client: MCPClient) -> None:
    cache = inside.connection_of(client).cache
    assert cache is not None

    def list_prompts(asked: Asked) -> None:
        cache.notified({"method": "notifications/prompts/list_changed"})  # it overtakes the answer
        asked.answer({"prompts": [], "ttlMs": MINUTE})

    modern.methods["prompts/list"] = list_prompts
    client.list_prompts()
    client.list_prompts()
    assert len(modern.sent("prompts/list")) == 2


def test_a_kept_page_whose_cursor_leads_nowhere_any_more_is_read_anew(modern: ModernServer, client: MCPClient) -> None:
    good = ["1"]

    def page(asked: Asked) -> None:
        if "cursor" not in asked.params:
            asked.answer({"prompts": [{"name": "a"}], "nextCursor": good[0], "ttlMs": MINUTE})
        elif asked.params["cursor"] == good[0]:
            asked.answer({"prompts": [{"name": "b"}], "ttlMs": 0})
        else:
            asked.error(-32602, "no such cursor")

    modern.methods["prompts/list"] = page
    client.list_prompts()
    good[0] = "2"
    assert [prompt.name for prompt in client.list_prompts()] == ["a", "b"]
    assert len(modern.sent("prompts/list")) == 5
    good[0] = "3"
    modern.methods["prompts/list"] = lambda asked: asked.error(-32603, "broken")
    with pytest.raises(MCPServerError, match="broken"):
        client.list_prompts()


def test_each_page_is_kept_apart(modern: ModernServer, client: MCPClient) -> None:
    def page(asked: Asked) -> None:
        if "cursor" in asked.params:
            asked.answer({"prompts": [{"name": "b"}], "ttlMs": 0})
        else:
            asked.answer({"prompts": [{"name": "a"}], "nextCursor": "2", "ttlMs": MINUTE})

    modern.methods["prompts/list"] = page
    assert [prompt.name for prompt in client.list_prompts()] == ["a", "b"]
    assert [prompt.name for prompt in client.list_prompts()] == ["a", "b"]
    assert [message["params"].get("cursor") for message in modern.sent("prompts/list")] == [None, "2", "2"]


def test_a_result_that_took_input_is_not_kept(modern: ModernServer, make_client: Connect) -> None:
    usual = modern.methods["resources/read"]

    def read(asked: Asked) -> None:
        if "requestState" in asked.params or "inputResponses" in asked.params:
            usual(asked)
        else:
            asked.answer({"resultType": "input_required", "inputRequests": {"a": {"method": "roots/list"}}})

    modern.methods["resources/read"] = read
    client = make_client(modern.mcp_url, roots=["file:///a"]).connect()
    client.read_resource("test://one")
    client.read_resource("test://one")
    assert len(modern.sent("resources/read")) == 4


def test_a_result_that_took_a_round_without_questions_is_not_kept_either(
    modern: ModernServer, client: MCPClient
) -> None:
    usual = modern.methods["resources/read"]

    def read(asked: Asked) -> None:
        if "requestState" in asked.params:
            usual(asked)
        else:
            asked.answer({"resultType": "input_required", "requestState": "s"})

    modern.methods["resources/read"] = read
    client.read_resource("test://one")
    client.read_resource("test://one")
    assert len(modern.sent("resources/read")) == 4


def test_what_the_caller_does_to_a_result_does_not_reach_the_next_one(client: MCPClient) -> None:
    first = client.list_tools()
    first[0].input_schema["changed"] = True
    first.clear()
    assert "changed" not in client.list_tools()[0].input_schema


# The table itself


def test_it_keeps_no_more_than_it_may(clock: Clock) -> None:
    cache = ResultCache()
    for number in range(1000):
        cache.put("resources/read", {"uri": str(number)}, {"ttlMs": MINUTE})
    assert len(cache._entries) <= 256
    assert cache.get("resources/read", {"uri": "999"}) is not None


def test_it_keeps_nothing_longer_than_a_day(clock: Clock) -> None:
    cache = ResultCache()
    cache.put("tools/list", None, {"ttlMs": 1e300})
    clock.now += 24 * 3600 - 1
    assert cache.get("tools/list", {}) is not None
    clock.now += 2
    assert cache.get("tools/list", None) is None


def test_it_keeps_only_what_may_be_kept() -> None:
    cache = ResultCache()
    cache.put("tools/call", {"name": "x"}, {"ttlMs": MINUTE})
    assert cache.get("tools/call", {"name": "x"}) is None


def test_the_order_of_params_does_not_matter() -> None:
    cache = ResultCache()
    cache.put("resources/read", {"uri": "a", "b": 1}, {"ttlMs": MINUTE})
    assert cache.get("resources/read", {"b": 1, "uri": "a"}) is not None


@pytest.mark.parametrize(
    ("note", "gone"),
    [
        ("notifications/tools/list_changed", {"tools/list"}),
        ("notifications/prompts/list_changed", {"prompts/list"}),
        ("notifications/resources/list_changed", {"resources/list", "resources/templates/list"}),
        ("notifications/resources/updated", {"resources/read"}),
        ("notifications/message", set()),
    ],
)
def test_each_notification_makes_stale_what_it_is_about(note: str, gone: set[str]) -> None:
    cache = ResultCache()
    methods = {method for method, _ in LISTS}
    for method in methods:
        cache.put(method, None, {"ttlMs": MINUTE})
    cache.notified({"method": note})
    assert {method for method in methods if cache.get(method, None) is None} == gone
