"""Several threads that subscribe: client and server agree afterwards, whatever the order in which things happen."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPServerError
from tests.support.beds import LEGACY, Bed, over
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked
from tests.transports.streamable_http.modern import META, ModernServer

Connect = Callable[..., MCPClient]
URI = "test://one"


class Held:
    """The server's side of one method: each request is noted, and answered when the test says so."""

    def __init__(self, bed: Bed, method: str) -> None:
        self._recorded = threading.Condition()
        self.asked: list[Asked] = []
        bed.server.methods[method] = self._take
        self._go = threading.Semaphore(0)
        self.refuses = 0

    def _take(self, asked: Asked) -> None:
        with self._recorded:
            self.asked.append(asked)
            self._recorded.notify_all()
        assert self._go.acquire(timeout=LONG)
        with self._recorded:
            refuse, self.refuses = self.refuses > 0, self.refuses - 1
        if refuse:
            asked.error(-32602, "not this one")
        else:
            asked.answer({})

    def wait(self, count: int) -> None:
        with self._recorded:
            assert self._recorded.wait_for(lambda: len(self.asked) >= count, 10)

    def answer(self, count: int = 1) -> None:
        self._go.release(count)


# Revisions with sessions


@over(*LEGACY)
def test_a_subscription_waits_for_what_the_server_says_to_another_of_the_same_resource(bed: Bed) -> None:
    subscribing = Held(bed, "resources/subscribe")
    subscribing.refuses = 1
    client = bed.connect(timeout=LONG)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(client.subscribe_resource, URI)
        subscribing.wait(1)
        second = pool.submit(client.subscribe_resource, URI)
        assert not wait([second], 0.3).done
        assert len(subscribing.asked) == 1
        subscribing.answer()
        assert isinstance(first.exception(10), MCPServerError)
        subscribing.wait(2)
        assert not second.done()
        subscribing.answer()
        second.result(10)
    with within():
        client.unsubscribe_resource(URI)
    assert len(bed.server.sent("resources/unsubscribe")) == 1


@over(*LEGACY)
def test_one_resource_does_not_wait_for_another(bed: Bed) -> None:
    subscribing = Held(bed, "resources/subscribe")
    client = bed.connect(timeout=LONG)
    with ThreadPoolExecutor() as pool:
        asking = [pool.submit(client.subscribe_resource, f"test://{number}") for number in range(4)]
        subscribing.wait(4)
        subscribing.answer(4)
        for each in asking:
            each.result(10)


@over(*LEGACY)
def test_an_unsubscription_does_not_overtake_a_later_subscription(bed: Bed) -> None:
    leaving = Held(bed, "resources/unsubscribe")
    client = bed.connect(timeout=LONG)
    client.subscribe_resource(URI)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(client.unsubscribe_resource, URI)
        leaving.wait(1)
        second = pool.submit(client.subscribe_resource, URI)
        assert not wait([second], 0.3).done
        assert len(bed.server.sent("resources/subscribe")) == 1
        leaving.answer()
        first.result(10)
        second.result(10)
    assert len(bed.server.sent("resources/subscribe")) == 2


@over(*LEGACY)
def test_of_several_resources_of_which_one_is_refused_none_stays_subscribed(bed: Bed) -> None:
    known: Counter[str] = Counter()

    def subscribe(asked: Asked) -> None:
        if asked.params["uri"] == "test://bad":
            asked.error(-32602, "not this one")
        else:
            known[asked.params["uri"]] = 1
            asked.answer({})

    def unsubscribe(asked: Asked) -> None:
        known[asked.params["uri"]] = 0
        asked.answer({})

    bed.server.methods["resources/subscribe"] = subscribe
    bed.server.methods["resources/unsubscribe"] = unsubscribe
    client = bed.connect(timeout=LONG)
    with pytest.raises(MCPServerError):
        client.listen(resources=["test://1", "test://2", "test://bad", "test://3"])
    bed.server.wait_for_method("resources/unsubscribe", 2)
    with within():
        client.subscribe_resource("test://4")
    bed.server.wait_until(lambda: +known == {"test://4": 1})


# The stateless revision


class Listening:
    """The server's side of subscriptions/listen: streams that are acknowledged one by one, by the test."""

    def __init__(self, server: ModernServer) -> None:
        self.recorded = threading.Condition()
        self.asked: list[Asked] = []
        self.ended: list[Any] = []
        self._go = threading.Semaphore(0)
        self.refuses: Callable[[Any], bool] = lambda wanted: False
        server.methods["subscriptions/listen"] = self._listen

    def _listen(self, asked: Asked) -> None:
        with self.recorded:
            self.asked.append(asked)
            self.recorded.notify_all()
        assert self._go.acquire(timeout=LONG)
        wanted = asked.params["notifications"]
        if self.refuses(wanted):
            asked.error(-32602, "not this one")
            return
        params = {"_meta": {META + "subscriptionId": asked.id}, "notifications": wanted}
        try:
            asked.send({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params})
            asked.wire.hold()
        finally:
            with self.recorded:
                self.ended.append(asked.id)
                self.recorded.notify_all()

    def wait(self, count: int) -> Asked:
        with self.recorded:
            assert self.recorded.wait_for(lambda: len(self.asked) >= count, 10)
            return self.asked[count - 1]

    def acknowledge(self, count: int = 1) -> None:
        self._go.release(count)


@pytest.fixture
def modern() -> Iterator[ModernServer]:
    running = ModernServer()
    with running:
        yield running
    assert not running.violations


def test_a_second_request_does_not_end_a_stream_that_is_not_acknowledged_yet(
    modern: ModernServer, make_client: Connect
) -> None:
    listening = Listening(modern)
    client = make_client(modern.mcp_url, timeout=LONG).connect()
    with ThreadPoolExecutor() as pool:
        first = pool.submit(client.subscribe_resource, "test://1")
        listening.wait(1)
        second = pool.submit(client.subscribe_resource, "test://2")
        assert not wait([first, second], 0.3).done
        assert listening.ended == []
        listening.acknowledge(2)
        first.result(10)
        second.result(10)
    assert listening.wait(2).params["notifications"] == {"resourceSubscriptions": ["test://1", "test://2"]}


def test_what_one_asks_for_and_is_refused_is_no_others_error(modern: ModernServer, make_client: Connect) -> None:
    listening = Listening(modern)
    listening.refuses = lambda wanted: "test://bad" in wanted["resourceSubscriptions"]
    listening.acknowledge(100)
    client = make_client(modern.mcp_url, timeout=LONG).connect()
    uris = [f"test://{number}" for number in range(5)]
    with ThreadPoolExecutor(12) as pool:
        good = [pool.submit(client.subscribe_resource, uri) for uri in uris]
        bad = [pool.submit(client.subscribe_resource, "test://bad") for _ in range(3)]
        good += [pool.submit(client.subscribe_resource, uri) for uri in uris]
        for each in good:
            each.result(LONG)
        assert all(isinstance(each.exception(LONG), MCPServerError) for each in bad)
    open_now = [asked for asked in listening.asked if asked.id not in listening.ended]
    assert any(sorted(asked.params["notifications"]["resourceSubscriptions"]) == uris for asked in open_now)


def test_a_server_that_ends_a_stream_before_it_acknowledges_it_keeps_nobody_waiting(
    modern: ModernServer, make_client: Connect
) -> None:
    def listen(asked: Asked) -> None:
        asked.answer({})

    modern.methods["subscriptions/listen"] = listen
    client = make_client(modern.mcp_url, timeout=LONG).connect()
    with within(), ThreadPoolExecutor() as pool:
        asking = [pool.submit(client.subscribe_resource, f"test://{number}") for number in range(2)]
        assert all(each.exception(10) is not None for each in asking)
