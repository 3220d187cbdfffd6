"""Wanting to hear of changes, under both kinds of revisions: 2025-11-25, Resources; 2026-07-28, Subscriptions."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPConnectionError, MCPServerError, MCPTimeoutError
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked, FaultServer
from tests.support.stdio_server import LineServer
from tests.transports.streamable_http.modern import META, ModernServer
from tests.transports.streamable_http.waiting import wait_for_get_stream

Connect = Callable[..., MCPClient]
URI = "test://one"


class Listening:
    """The server's side of subscriptions/listen: each request that came, to send on and to end."""

    def __init__(self, server: ModernServer) -> None:
        self.server = server
        self.arrived = threading.Condition()
        self.streams: list[Asked] = []
        self.ended: list[Any] = []
        self.acknowledges = True
        server.methods["subscriptions/listen"] = self._listen

    def _listen(self, asked: Asked) -> None:
        if self.acknowledges:
            self.tell(asked, "notifications/subscriptions/acknowledged", notifications=asked.params["notifications"])
        with self.arrived:
            self.streams.append(asked)
            self.arrived.notify_all()
        try:
            asked.wire.hold()
        finally:
            with self.arrived:
                self.ended.append(asked.id)
                self.arrived.notify_all()

    def tell(self, asked: Asked, method: str, **params: Any) -> None:
        meta = {META + "subscriptionId": asked.id}
        asked.send({"jsonrpc": "2.0", "method": method, "params": {"_meta": meta, **params}})

    def wait(self, count: int) -> Asked:
        """The request of that number, once it is there."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.streams) >= count, 10)
            return self.streams[count - 1]

    def wait_for_end(self, count: int) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.ended) >= count, 10)


@pytest.fixture
def modern() -> Iterator[ModernServer]:
    """A server of the stateless kind; what clients may not send to it fails the test."""
    running = ModernServer()
    with running:
        yield running
    assert not running.violations


@pytest.fixture
def listening(modern: ModernServer) -> Listening:
    return Listening(modern)


@pytest.fixture
def modern_client(modern: ModernServer, make_client: Connect) -> MCPClient:
    return make_client(modern.mcp_url).connect()


@pytest.fixture
def stateful_client(http_server: FaultServer, make_client: Connect) -> MCPClient:
    return make_client(http_server.mcp_url).connect()


# The stateless kind


def test_listening_asks_for_what_is_wanted_and_passes_it_on(listening: Listening, modern_client: MCPClient) -> None:
    with within(), modern_client.listen(tools=True, resources=[URI]) as events:
        asked = listening.wait(1)
        assert asked.params["notifications"] == {"toolsListChanged": True, "resourceSubscriptions": [URI]}
        listening.tell(asked, "notifications/tools/list_changed")
        event = events.get(10)
        assert event is not None
        assert event.method == "notifications/tools/list_changed"
        listening.tell(asked, "notifications/resources/updated", uri=URI)
        event = events.get(10)
        assert event is not None
        assert event.params["uri"] == URI
    listening.wait_for_end(1)
    assert listening.server.sent("notifications/cancelled") == []
    assert listening.server.sent("resources/subscribe") == []


def test_every_kind_has_its_word(listening: Listening, modern_client: MCPClient) -> None:
    with modern_client.listen(tools=True, prompts=True, resource_list=True):
        assert listening.wait(1).params["notifications"] == {
            "toolsListChanged": True,
            "promptsListChanged": True,
            "resourcesListChanged": True,
        }


def test_a_subscription_is_heard_by_the_handler_and_taken_back(
    listening: Listening, modern: ModernServer, make_client: Connect
) -> None:
    heard = threading.Event()
    notes: list[Any] = []

    def hear(note: Any) -> None:
        if note.method == "notifications/resources/updated":
            notes.append(note)
            heard.set()

    client = make_client(modern.mcp_url, notification_handler=hear).connect()
    with within():
        client.subscribe_resource(URI, timeout=LONG)
        listening.tell(listening.wait(1), "notifications/resources/updated", uri=URI)
        assert heard.wait(10)
        client.unsubscribe_resource(URI, timeout=LONG)
        listening.wait_for_end(1)
    assert notes[0].params["uri"] == URI
    assert len(listening.streams) == 1


def test_a_second_wish_takes_over_and_the_first_stream_ends(listening: Listening, modern_client: MCPClient) -> None:
    with within():
        modern_client.subscribe_resource("test://a", timeout=LONG)
        modern_client.subscribe_resource("test://a", timeout=LONG)
        modern_client.subscribe_resource("test://b", timeout=LONG)
        second = listening.wait(2)
        assert second.params["notifications"] == {"resourceSubscriptions": ["test://a", "test://b"]}
        listening.wait_for_end(1)
        modern_client.unsubscribe_resource("test://a", timeout=LONG)
        modern_client.unsubscribe_resource("test://a", timeout=LONG)
        assert listening.wait(3).params["notifications"] == {"resourceSubscriptions": ["test://b"]}
    assert len({asked.id for asked in listening.streams}) == 3


@pytest.mark.parametrize("end", ["cut", "reset", "end", "result"])
def test_a_stream_that_ends_is_opened_again(end: str, listening: Listening, modern_client: MCPClient) -> None:
    with within(8), modern_client.listen(tools=True) as events:
        first = listening.wait(1)
        if end == "result":
            first.answer({"resultType": "complete", "_meta": {META + "subscriptionId": first.id}})
            first.wire.finish()
        elif end == "end":
            first.own_stream().end()
            first.wire.finish()
        else:
            getattr(first.own_stream(), end)()
        second = listening.wait(2)
        assert second.params["notifications"] == {"toolsListChanged": True}
        assert second.id != first.id
        listening.tell(second, "notifications/tools/list_changed")
        event = events.get(10)
        assert event is not None
        assert event.method == "notifications/tools/list_changed"


def test_a_server_without_it_says_so_at_once(modern: ModernServer, modern_client: MCPClient) -> None:
    with within(), pytest.raises(MCPServerError) as caught:
        modern_client.listen(tools=True, timeout=LONG)
    assert caught.value.code == -32601
    assert caught.value.method == "subscriptions/listen"
    with within(), pytest.raises(MCPServerError):
        modern_client.subscribe_resource(URI, timeout=LONG)
    assert len(modern.sent("subscriptions/listen")) == 2
    assert modern_client.call_tool("echo", {"message": "hi"}).text == "hi"


def test_a_server_that_does_not_acknowledge_costs_the_timeout(listening: Listening, modern_client: MCPClient) -> None:
    listening.acknowledges = False
    with within(), pytest.raises(MCPTimeoutError):
        modern_client.listen(tools=True, timeout=0.4)
    listening.wait_for_end(1)


def test_a_stream_that_breaks_before_it_is_acknowledged_is_an_error(
    modern: ModernServer, modern_client: MCPClient
) -> None:
    modern.methods["subscriptions/listen"] = lambda asked: asked.wire.reset()
    with within(), pytest.raises(MCPConnectionError):
        modern_client.listen(tools=True, timeout=LONG)


def test_a_server_that_does_not_take_it_up_again_ends_the_iteration_with_its_error(
    listening: Listening, modern: ModernServer, modern_client: MCPClient
) -> None:
    with within(8), modern_client.listen(tools=True) as events:
        first = listening.wait(1)
        modern.methods["subscriptions/listen"] = lambda asked: asked.error(-32603, "no more")
        first.own_stream().cut()
        with pytest.raises(MCPServerError, match="no more"):
            events.get(LONG)
        assert events.get(0) is None
    modern.methods["subscriptions/listen"] = listening._listen
    with within(), modern_client.listen(tools=True) as events:
        listening.tell(listening.wait(2), "notifications/tools/list_changed")
        assert events.get(10) is not None


@pytest.mark.parametrize("who", ["client", "events"])
def test_who_waits_for_an_event_is_woken_by_close(who: str, listening: Listening, modern_client: MCPClient) -> None:
    events = modern_client.listen(tools=True)
    got: list[Any] = []
    waiting = threading.Thread(target=lambda: got.extend(events))
    waiting.start()
    listening.wait(1)
    with within():
        modern_client.close() if who == "client" else events.close()
        waiting.join(10)
        assert not waiting.is_alive()
        listening.wait_for_end(1)
    assert got == []


def test_what_the_server_will_not_tell_of_is_said_once(
    listening: Listening, modern_client: MCPClient, caplog: pytest.LogCaptureFixture
) -> None:
    def partly(asked: Asked) -> None:
        granted = {"toolsListChanged": True, "resourceSubscriptions": []}
        listening.tell(asked, "notifications/subscriptions/acknowledged", notifications=granted)
        asked.wire.hold()

    listening.server.methods["subscriptions/listen"] = partly
    with caplog.at_level(logging.WARNING, "mcp_sync"), within():
        modern_client.listen(tools=True, prompts=True, resources=[URI]).close()
    (record,) = [record for record in caplog.records if record.name.startswith("mcp_sync")]
    assert "promptsListChanged" in record.getMessage()
    assert URI in record.getMessage()
    assert "toolsListChanged" not in record.getMessage()


class Line:
    """A stateless server over stdio: each ``subscriptions/listen`` that came, none acknowledged by itself."""

    def __init__(self, server: LineServer) -> None:
        self.server = server
        self.listens: queue.Queue[Asked] = queue.Queue()
        discovered = {"supportedVersions": ["2026-07-28"], "capabilities": {}, "ttlMs": 0, "cacheScope": "private"}
        server.methods["server/discover"] = lambda asked: asked.answer({"resultType": "complete", **discovered})
        server.methods["subscriptions/listen"] = self.listens.put

    def tell(self, about: Asked, method: str) -> None:
        about.send(
            {
                "jsonrpc": "2.0",
                "method": method,
                "params": {
                    "_meta": {META + "subscriptionId": about.id},
                    "notifications": about.params["notifications"],
                },
            }
        )


@pytest.fixture
def line() -> Iterator[Line]:
    server = LineServer()
    with server:
        yield Line(server)


def test_on_a_shared_stream_each_subscription_has_its_own_acknowledgement(line: Line, make_client: Connect) -> None:
    client = make_client(line.server.command, timeout=LONG).connect()
    with ThreadPoolExecutor(2) as pool, within():
        tools = pool.submit(client.listen, tools=True)
        first = line.listens.get(timeout=10)
        line.tell(first, "notifications/subscriptions/acknowledged")
        events = tools.result(10)
        prompts = pool.submit(client.listen, prompts=True, timeout=LONG)
        second = line.listens.get(timeout=10)
        line.tell(first, "notifications/subscriptions/acknowledged")
        line.tell(first, "notifications/tools/list_changed")
        assert events.get(10) is not None  # both have been read, and the second is none of that one's
        assert not prompts.done()
        line.tell(second, "notifications/subscriptions/acknowledged")
        prompts.result(10)
        client.close()


def test_a_subscription_that_the_server_cancels_is_asked_for_again(line: Line, make_client: Connect) -> None:
    client = make_client(line.server.command, timeout=LONG).connect()
    with ThreadPoolExecutor(1) as pool, within(8):
        opened = pool.submit(client.listen, tools=True)
        first = line.listens.get(timeout=10)
        line.tell(first, "notifications/subscriptions/acknowledged")
        events = opened.result(10)
        first.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": first.id}})
        second = line.listens.get(timeout=10)
        assert second.id != first.id
        line.tell(second, "notifications/subscriptions/acknowledged")
        line.tell(second, "notifications/tools/list_changed")
        assert events.get(10) is not None
        client.close()
    cancelled = [note["params"]["requestId"] for note in line.server.sent("notifications/cancelled")]
    assert first.id not in cancelled  # it is over already


# With sessions


def test_resources_are_subscribed_to_by_requests(http_server: FaultServer, stateful_client: MCPClient) -> None:
    wait_for_get_stream(http_server, stateful_client)
    with within(), stateful_client.listen(tools=True, resources=[URI]) as events:
        assert [message["params"] for message in http_server.sent("resources/subscribe")] == [{"uri": URI}]
        http_server.session.notify("notifications/resources/updated", {"uri": URI + "/part"})
        http_server.session.notify("notifications/resources/updated", {"uri": "test://other"})
        http_server.session.notify("notifications/prompts/list_changed")
        http_server.session.notify("notifications/tools/list_changed")
        first, second = events.get(10), events.get(10)
        assert first is not None
        assert second is not None
        assert first.params["uri"] == URI + "/part"
        assert second.method == "notifications/tools/list_changed"
    assert len(http_server.sent("resources/unsubscribe")) == 1
    assert http_server.sent("subscriptions/listen") == []


def test_two_listeners_are_one_subscription(http_server: FaultServer, stateful_client: MCPClient) -> None:
    first = stateful_client.listen(resources=URI)
    second = stateful_client.listen(resources=URI)
    first.close()
    assert http_server.sent("resources/unsubscribe") == []
    second.close()
    second.close()
    assert len(http_server.sent("resources/subscribe")) == len(http_server.sent("resources/unsubscribe")) == 1


def test_a_refused_subscription_is_not_wanted(http_server: FaultServer, stateful_client: MCPClient) -> None:
    http_server.methods["resources/subscribe"] = lambda asked: asked.error(-32002, "no such resource")
    with pytest.raises(MCPServerError, match="no such resource"):
        stateful_client.listen(resources=[URI])
    http_server.methods["resources/subscribe"] = lambda asked: asked.answer({})
    stateful_client.subscribe_resource(URI)
    assert len(http_server.sent("resources/subscribe")) == 2


def test_a_listener_hears_of_changes_in_the_next_session_too(
    http_server: FaultServer, stateful_client: MCPClient
) -> None:
    with within(8), stateful_client.listen(tools=True, resources=[URI]) as events:
        http_server.forget_sessions()
        stateful_client.list_tools(timeout=LONG)
        assert len(http_server.sent("resources/subscribe")) == 2
        wait_for_get_stream(http_server, stateful_client)
        http_server.session.notify("notifications/tools/list_changed")
        event = events.get(10)
        assert event is not None
        assert event.method == "notifications/tools/list_changed"
