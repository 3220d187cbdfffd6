"""What a hostile server may try with a client's memory: everything that is kept of what it sent, and that nobody has
read yet, counts against one budget, ``max_buffered_bytes``.
"""

from __future__ import annotations

import json
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from mcp_sync import CallToolResult, LogMessage, MCPClient, MCPHandshakeError, MCPProtocolError
from mcp_sync.concurrency.budget import Budget
from mcp_sync.protocol.messages import weight_of
from mcp_sync.session.waiter import Waiter
from tests.support import inside
from tests.support.beds import LEGACY, SHARED, STREAMS, Bed, over
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, Asked, FaultServer, Request, Wire
from tests.transports.streamable_http.modern import ModernServer

Connect = Callable[..., MCPClient]

LIMIT = 2_000_000
LARGE = "x" * 100_000
SAMPLE = {"messages": [{"role": "user", "content": {"type": "text", "text": LARGE}}], "maxTokens": 9}
SAMPLED = {"role": "assistant", "content": {"type": "text", "text": "4"}, "model": "abacus"}


@pytest.fixture
def modern() -> Iterator[ModernServer]:
    running = ModernServer()
    with running:
        yield running


class Peak:
    """How much was ever kept at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        take = inside.budget_take()

        def watched(account: Any, size: int, **options: Any) -> bool:
            taken = bool(take(account, size, **options))
            self.bytes = max(self.bytes, account._budget.held)
            return taken

        inside.replace_budget_take(monkeypatch, watched)


@pytest.fixture
def peak(monkeypatch: pytest.MonkeyPatch) -> Peak:
    return Peak(monkeypatch)


def test_what_a_message_weighs_is_about_what_it_takes() -> None:
    texts = [
        "[" + ",".join(["{}"] * 20_000) + "]",
        json.dumps([[n, str(n), n / 7] for n in range(5_000)]),
        f'["{LARGE}"]',
    ]
    for text in texts:
        tracemalloc.start()
        value = json.loads(text)
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert 0.7 * taken <= weight_of(value) <= 1.7 * taken
        assert weight_of(value, 1000) > 1000


# What waits


@over(*STREAMS)
def test_the_events_of_a_slow_reader_are_bounded_and_its_result_comes(
    bed: Bed, peak: Peak, caplog: pytest.LogCaptureFixture
) -> None:
    sent = threading.Event()

    def flood(asked: Asked) -> None:
        for _ in range(200):
            asked.log(LARGE)
        sent.set()
        asked.text("done")

    bed.tool("flood", flood)
    client = bed.connect(timeout=LONG, max_buffered_bytes=LIMIT)
    with client.stream_tool("flood") as stream:
        first = next(stream)
        assert isinstance(first, LogMessage)
        if bed.is_shared:
            assert sent.wait(LONG)
            client.ping()  # what came before its answer was routed
        events = list(stream)
    assert isinstance(events[-1], CallToolResult)
    assert events[-1].text == "done"
    assert peak.bytes <= LIMIT
    assert stream.dropped == 200 - len(events)
    assert client.dropped == stream.dropped
    if bed.is_shared:
        assert stream.dropped > 100
        said = [record for record in caplog.records if "max_buffered_bytes" in record.getMessage()]
        assert len(said) == 1
    assert inside.kept(client) == 0


@over(*LEGACY)
def test_what_a_slow_log_handler_is_to_be_told_is_bounded_and_the_oldest_goes(bed: Bed, peak: Peak) -> None:
    gate, newest = threading.Event(), threading.Event()

    def tell(message: Any) -> None:
        if message.data.startswith("00099"):
            newest.set()
        gate.wait(LONG)

    def flood(asked: Asked) -> None:
        for number in range(100):
            asked.log(f"{number:05}" + LARGE)
        asked.text("done")

    bed.tool("flood", flood)
    client = bed.connect(timeout=LONG, max_buffered_bytes=LIMIT, log_handler=tell)
    try:
        assert client.call_tool("flood").text == "done"
        assert peak.bytes <= LIMIT
        assert client.dropped > 50
        assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    finally:
        gate.set()
    assert newest.wait(LONG)


@over(*LEGACY)
def test_requests_that_wait_for_a_handler_are_bounded_and_the_server_is_told(bed: Bed, peak: Peak) -> None:
    gate = threading.Event()
    answers: list[Any] = []

    def sample(params: Any) -> Any:
        gate.wait(LONG)
        return SAMPLED

    def flood(asked: Asked) -> None:
        ids = [f"r{number}" for number in range(40)]
        for id in ids:
            asked.session.ask("sampling/createMessage", SAMPLE, id=id, via=asked.send, wait=False)
        busy = [id for id in ids[30:] if "error" in asked.session.answer_to(id)]
        gate.set()
        answers.extend(asked.session.answer_to(id) for id in ids)
        asked.text(f"{len(busy)}")

    bed.tool("flood", flood)
    client = bed.connect(timeout=LONG, max_buffered_bytes=LIMIT, sampling_handler=sample)
    try:
        assert client.call_tool("flood").text == "10"
    finally:
        gate.set()
    assert peak.bytes <= LIMIT
    codes = [answer["error"]["code"] for answer in answers if "error" in answer]
    assert set(codes) == {-32000}
    assert len(codes) > 20


@over(*SHARED)
def test_an_unread_listen_is_bounded_and_counts_what_it_drops(bed: Bed, peak: Peak) -> None:
    client = bed.connect(timeout=LONG, max_buffered_bytes=LIMIT)

    def flood(asked: Asked) -> None:
        for number in range(100):
            asked.send(
                {"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {"n": number, "x": LARGE}}
            )
        asked.text("done")

    bed.tool("flood", flood)
    with client.listen(tools=True) as events:
        assert client.call_tool("flood").text == "done"
        assert peak.bytes <= LIMIT
        assert events.dropped > 50
        event = events.get(LONG)
        assert event is not None
        assert event.params["n"] == events.dropped
    assert inside.kept(client) == 0


def test_results_that_are_called_fresh_are_bounded(modern: ModernServer, make_client: Connect, peak: Peak) -> None:
    def read(asked: Asked) -> None:
        contents = [{"uri": asked.params["uri"], "text": LARGE}]
        asked.answer({"contents": contents, "ttlMs": 60_000, "cacheScope": "private"})

    modern.methods["resources/read"] = read
    client = make_client(modern.mcp_url, max_buffered_bytes=LIMIT)
    for number in range(50):
        client.read_resource(f"a://{number}")
    assert peak.bytes <= LIMIT / 4
    client.read_resource("a://49")
    assert len(modern.sent("resources/read")) == 50
    client.read_resource("a://0")
    assert len(modern.sent("resources/read")) == 51


def test_a_fresh_result_that_is_larger_than_its_share_keeps_no_one_from_theirs(
    modern: ModernServer, make_client: Connect
) -> None:
    def read(asked: Asked) -> None:
        asked.answer({"contents": [{"uri": "a://b", "text": LARGE * 30}], "ttlMs": 60_000, "cacheScope": "private"})

    modern.methods["resources/read"] = read
    client = make_client(modern.mcp_url, max_buffered_bytes=LIMIT)
    client.read_resource("a://b")
    assert inside.kept(client) == 0


def test_the_pages_of_a_list_are_bounded(modern: ModernServer, make_client: Connect, peak: Peak) -> None:
    def pages(asked: Asked) -> None:
        number = int(asked.params.get("cursor", "0"))
        tool = {"name": f"t{number}", "description": LARGE, "inputSchema": {"type": "object"}}
        asked.answer({"tools": [tool], "nextCursor": str(number + 1)})

    modern.methods["tools/list"] = pages
    client = make_client(modern.mcp_url, max_buffered_bytes=LIMIT, timeout=LONG)
    with within(8), pytest.raises(MCPProtocolError, match="max_buffered_bytes"):
        client.list_tools()
    assert peak.bytes <= LIMIT
    assert inside.kept(client) == 0


def test_a_single_message_that_is_larger_finds_room(http_server: FaultServer, make_client: Connect) -> None:
    http_server.answers = "sse"

    def large(asked: Asked) -> None:
        asked.log(LARGE * 30)
        asked.text("done")

    http_server.tools["large"] = large
    client = make_client(http_server.mcp_url, transport="http", max_buffered_bytes=LIMIT)
    with client.stream_tool("large") as stream:
        events = list(stream)
    assert [type(event).__name__ for event in events] == ["LogMessage", "CallToolResult"]
    assert stream.dropped == 0


@over(*SHARED)
def test_the_reader_waits_for_a_dispatcher_that_is_behind_and_nothing_is_lost(bed: Bed, peak: Peak) -> None:
    """Answers are never dropped; what is between the two threads is bounded all the same."""
    bed.tool("large", lambda asked: asked.text(LARGE * 3))
    client = bed.connect(timeout=LONG, max_buffered_bytes=LIMIT // 4)
    results = [client.submit("large") for _ in range(30)]
    assert all(len(result.result(LONG).text) == len(LARGE) * 3 for result in results)
    assert peak.bytes <= LIMIT // 4
    assert client.dropped == 0


def test_a_place_takes_half_at_most_and_leaves_the_others_theirs() -> None:
    budget = Budget(1000)
    hog, other = budget.account(), budget.account()
    assert hog.take(300)
    assert hog.take(200)
    assert not hog.take(100)
    assert other.take(400)
    hog.close()
    hog.close()
    assert budget.held == 400
    assert not hog.take(1)
    other.give_back(400)
    assert budget.held == 0


def test_an_event_that_finds_no_room_anywhere_is_dropped_and_its_reader_is_woken() -> None:
    budget = Budget(1000)
    assert budget.account(1.0).take(1000)
    waiter = Waiter(1, "all", budget)
    waiter.deliver({"method": "x"})
    assert waiter.dropped == budget.dropped == 1
    assert waiter.take() == []


# What is sent back


def test_as_many_cookies_are_kept_as_browsers_keep_and_no_larger_ones(
    http_server: FaultServer, make_client: Connect
) -> None:
    numbers = iter(range(10**6))

    def many(asked: Asked) -> None:
        lines = [f"set-cookie: c{next(numbers)}={'v' * 40}" for _ in range(90)]
        body = json.dumps({"jsonrpc": "2.0", "id": asked.id, "result": {"content": []}}).encode()
        head = ["HTTP/1.1 200 OK", "content-type: application/json", f"content-length: {len(body)}", *lines]
        asked.wire.send("\r\n".join([*head, "set-cookie: huge=" + "v" * 5000, "", ""]).encode() + body)

    http_server.tools["many"] = many
    client = make_client(http_server.mcp_url, transport="http")
    for _ in range(10):
        client.call_tool("many")
    sent = http_server.requests[-1].headers["cookie"].split("; ")
    assert len(sent) == 180
    assert "huge" not in http_server.requests[-1].headers["cookie"]
    assert sent[-1].startswith("c809=")


@pytest.mark.parametrize(("length", "resumed"), [(1024, True), (1025, False), (1_000_000, False)])
def test_an_event_id_of_more_than_1024_bytes_is_not_sent_back(
    length: int, resumed: bool, http_server: FaultServer, make_client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside.resume_after(monkeypatch, 0.01)

    def begin(asked: Asked) -> None:
        asked.own_stream().event("", event=None, id="x" * length, retry=0)
        asked.own_stream().end()

    def go_on(wire: Wire, request: Request) -> None:
        id = http_server.sent("tools/call")[0]["id"]
        wire.stream().event({"jsonrpc": "2.0", "id": id, "result": {"content": []}})
        wire.finish()

    http_server.tools["work"] = begin
    http_server.instead(lambda request: "last-event-id" in request.headers, go_on, ALWAYS)
    client = make_client(http_server.mcp_url, transport="http", timeout=LONG)
    future = client.submit("work")
    with within():
        assert (future.exception(LONG) is None) == resumed


def test_an_endpoint_of_a_megabyte_is_refused(server: FaultServer, make_client: Connect) -> None:
    def greet(session: Any) -> None:
        session.stream.event("/messages/?session_id=" + "x" * 1_000_000, event="endpoint")

    server.greet = greet
    with within(), pytest.raises(MCPHandshakeError, match="8192") as caught:
        make_client(server.sse_url, transport="sse").connect()
    assert len(str(caught.value)) < 2_000


@over("sse", "stdio")
def test_a_request_under_an_id_of_a_megabyte_is_skipped(bed: Bed) -> None:
    def ask(asked: Asked) -> None:
        asked.send({"jsonrpc": "2.0", "id": LARGE, "method": "ping"})
        asked.text("done")

    bed.tool("ask", ask)
    client = bed.connect(timeout=LONG)
    assert client.call_tool("ask").text == "done"
    client.ping()
    assert not [request for request in bed.server.requests if len(request.body) > 50_000]
