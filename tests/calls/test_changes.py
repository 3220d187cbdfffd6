"""listen(): change notifications as an iterator that outlives sessions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Callable

import pytest

from mcp_sync import MCPClient, MCPClientError, MCPServerError
from tests.support.clock import AT_ONCE, LONG, within
from tests.support.fault_server import ALWAYS, FaultServer, status
from tests.support.inside import listeners

Connect = Callable[..., MCPClient]


def test_it_passes_on_what_was_asked_for_and_nothing_else(server: FaultServer, client: MCPClient) -> None:
    with client.listen(tools=True, resources=["test://one"]) as events:
        notify = server.session.notify
        notify("notifications/prompts/list_changed")
        notify("notifications/resources/updated", {"uri": "test://other"})
        notify("notifications/tools/list_changed")
        notify("notifications/message", {"level": "info", "data": 1})
        notify("notifications/resources/updated", {"uri": "test://one"})
        notify("notifications/resources/updated", {"uri": "test://one/part"})
        notify("notifications/resources/updated", {})
        notify("notifications/resources/updated", {"uri": 7})
        seen = [events.get(LONG) for _ in range(3)]
        assert events.get(0.1) is None
    assert [event.method.rsplit("/", 1)[1] for event in seen if event] == ["list_changed", "updated", "updated"]


def test_it_subscribes_at_the_beginning_and_unsubscribes_at_the_end(server: FaultServer, client: MCPClient) -> None:
    with client.listen(resources=["test://one", "test://two"]):
        assert [m["params"]["uri"] for m in server.sent("resources/subscribe")] == ["test://one", "test://two"]
        assert server.sent("resources/unsubscribe") == []
    assert sorted(m["params"]["uri"] for m in server.sent("resources/unsubscribe")) == ["test://one", "test://two"]


def test_two_listeners_hear_the_same_and_the_last_one_unsubscribes(server: FaultServer, client: MCPClient) -> None:
    with client.listen(resources=["test://one"]) as one:
        with client.listen(resources=["test://one"]) as two:
            server.session.notify("notifications/resources/updated", {"uri": "test://one"})
            assert one.get(LONG) == two.get(LONG)
            assert one.get(0) is None
        assert server.sent("resources/unsubscribe") == []
    assert len(server.sent("resources/unsubscribe")) == 1


def test_a_wait_for_an_event_is_bounded(server: FaultServer, client: MCPClient) -> None:
    with client.listen(tools=True) as events, within():
        assert events.get(timeout=0.1) is None
        server.session.notify("notifications/tools/list_changed")
        assert events.get(timeout=LONG) is not None


def test_closing_it_from_another_thread_ends_the_iteration(server: FaultServer, client: MCPClient) -> None:
    events = client.listen(tools=True)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(list, events)
        server.session.notify("notifications/tools/list_changed")
        with within():
            events.close()
            events.close()
            assert len(reading.result(AT_ONCE)) <= 1


def test_closing_the_client_ends_the_iteration(server: FaultServer, client: MCPClient) -> None:
    with ThreadPoolExecutor(1) as pool:
        events = client.listen(tools=True, resources=["test://one"])
        reading = pool.submit(list, events)
        with within():
            client.close()
            assert reading.result(AT_ONCE) == []
    events.close()


def test_it_opens_a_lost_session_again_with_its_subscriptions(server: FaultServer, client: MCPClient) -> None:
    with client.listen(tools=True, resources=["test://one"]) as events, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(events.get, LONG)
        server.session.stream.reset()  # type: ignore[union-attr]
        server.wait_for_method("resources/subscribe", 2)
        server.session.notify("notifications/resources/updated", {"uri": "test://one"})
        event = waiting.result(20)
    assert event is not None
    assert server.count("GET") == 2


def test_a_session_that_cannot_be_opened_again_ends_it_with_an_error(server: FaultServer, connect: Connect) -> None:
    client = connect(max_retries=0)
    with client.listen(tools=True) as events:
        server.instead("GET", status(403, "no"), ALWAYS)
        server.session.stream.reset()  # type: ignore[union-attr]
        with within(8), pytest.raises(MCPClientError):
            events.get(LONG)


def test_a_subscription_that_is_refused_is_told_and_leaves_no_listener(server: FaultServer, client: MCPClient) -> None:
    server.methods["resources/subscribe"] = lambda asked: asked.error(-32602, "no such resource")
    before = listeners(client)
    with pytest.raises(MCPServerError, match="no such resource"):
        client.listen(resources=["test://none"])
    assert listeners(client) == before


def test_who_falls_behind_loses_the_oldest_and_is_told_how_many(server: FaultServer, client: MCPClient) -> None:
    with client.listen(resources=["test://one"]) as events:
        for number in range(1500):
            server.session.notify("notifications/resources/updated", {"uri": "test://one", "n": number})
        server.session.ask("ping")
        client.ping()
        seen = []
        while True:
            event = events.get(0.2)
            if event is None:
                break
            seen.append((event.params or {})["n"])
    assert seen == list(range(500, 1500))
    assert events.dropped == 500


def test_a_reader_in_time_loses_nothing(server: FaultServer, client: MCPClient) -> None:
    with client.listen(tools=True) as events:
        for _ in range(20):
            server.session.notify("notifications/tools/list_changed")
            assert events.get(LONG) is not None
    assert events.dropped == 0
