"""One request under way, over a transport that is none: what comes of each way in which it can end."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any, Callable, Optional

import pytest

from mcp_sync import (
    MCPCancelledError,
    MCPClientConfig,
    MCPClientError,
    MCPClosedError,
    MCPConnectionError,
    MCPProtocolError,
    MCPServerError,
    MCPTimeoutError,
    SessionExpiredError,
)
from mcp_sync.concurrency.deadline import Deadline
from mcp_sync.session.handlers import Handlers
from mcp_sync.session.pending import PendingRequest
from mcp_sync.session.server_requests import Listeners, Pools
from mcp_sync.session.session import Session, Shared
from mcp_sync.transports.masking import Secrets

PATIENCE = 10.0


class Fake:
    """Stands for a transport: ``on_send`` says what becomes of a message."""

    name = "fake"
    shares_stream = False
    closing_cancels = False
    has_headers = False
    heard_at: Optional[float] = None
    get_stream_is_open = False
    session_id = None

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.secrets = Secrets()
        self.on_send: Callable[[dict[str, Any]], Optional[Iterator[list[Any]]]] = lambda message: None

    def wait_for_get_stream(self, deadline: Deadline) -> bool:
        return True

    def send(self, message: dict[str, Any], deadline: Deadline, delivery: Any = None, headers: Any = None) -> Any:
        self.sent.append(message)
        return self.on_send(message)

    def remark(self) -> str:
        return ""

    def interrupt(self) -> None:
        pass

    def close(self, deadline: Deadline) -> None:
        pass


@pytest.fixture
def transport() -> Fake:
    return Fake()


@pytest.fixture
def session(transport: Fake) -> Iterator[Session]:
    pools = Pools()
    ids = itertools.count(1)
    make_transport: Any = lambda sink: transport  # noqa: E731  # any transport will do
    make_stamp: Any = None
    shared = Shared("http://a/mcp", MCPClientConfig(), Handlers(), pools, Listeners(), lambda: next(ids), make_stamp)
    made = Session(make_transport, shared)
    yield made
    pools.close()


def result(id: object, value: object = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "result": {"value": value}}


def call(
    session: Session, method: str = "tools/call", seconds: float = PATIENCE, wants: Optional[str] = None
) -> PendingRequest:
    return PendingRequest(session, method, {"name": "x"}, Deadline(seconds), wants)


def result_of_call(pending: PendingRequest) -> dict[str, Any]:
    for _ in pending.events():
        pass
    return pending.answer()


def raising(error: MCPClientError) -> Callable[[Any], Any]:
    def send(message: Any) -> Any:
        raise error

    return send


def settle_background(session: Session) -> None:
    """Wait until what was to be told in the background has been told."""
    done = threading.Event()
    session.pools.background.submit(done.set)
    assert done.wait(PATIENCE)


def test_the_answer_may_come_before_the_request_was_accepted(session: Session, transport: Fake) -> None:
    transport.on_send = lambda message: session.dispatcher.route([result(message["id"], "early")])
    assert result_of_call(call(session)) == {"value": "early"}
    assert session.made_progress


def test_an_answer_that_came_counts_although_its_post_failed(session: Session, transport: Fake) -> None:
    def answer_and_fail(message: Any) -> Any:
        session.dispatcher.route([result(message["id"])])
        raise MCPConnectionError("the POST broke", outcome="unknown")

    transport.on_send = answer_and_fail
    assert result_of_call(call(session)) == {"value": 1}


def test_the_progress_before_an_answer_is_seen_although_the_post_failed(session: Session, transport: Fake) -> None:
    def report_answer_and_fail(message: Any) -> Any:
        progress = {"progressToken": message["id"], "progress": 1}
        session.dispatcher.route([{"jsonrpc": "2.0", "method": "notifications/progress", "params": progress}])
        session.dispatcher.route([result(message["id"])])
        raise MCPConnectionError("the POST broke", outcome="unknown")

    transport.on_send = report_answer_and_fail
    one = call(session, wants="progress")
    assert [message["params"]["progress"] for batch in one.events() for message in batch] == [1]
    assert one.answer() == {"value": 1}


@pytest.mark.parametrize("outcome", ["not_sent", "unknown"])
def test_of_a_lost_session_and_a_failed_post_the_one_that_knows_more_says_whether_it_may_have_run(
    outcome: str, session: Session, transport: Fake
) -> None:
    def lose_and_fail(message: Any) -> Any:
        session.dispatcher.abandon(lambda: MCPConnectionError("the stream ended", outcome="unknown"))
        raise MCPClosedError("interrupted", outcome=outcome)

    transport.on_send = lose_and_fail
    with pytest.raises(MCPConnectionError, match="the stream ended") as caught:
        result_of_call(call(session))
    assert caught.value.outcome == outcome


def test_a_server_that_says_that_it_did_not_process_a_request_is_believed_although_the_session_is_lost(
    session: Session, transport: Fake
) -> None:
    def lose_and_refuse(message: Any) -> Any:
        session.dispatcher.abandon(lambda: MCPConnectionError("the stream ended", outcome="unknown"))
        raise SessionExpiredError("no such session", status=404, outcome="refused")

    transport.on_send = lose_and_refuse
    with pytest.raises(SessionExpiredError):
        result_of_call(call(session))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MCPConnectionError("x", outcome="unknown"), True),
        (MCPTimeoutError("x", outcome="unknown"), True),
        (MCPConnectionError("x", outcome="not_sent"), False),
        (SessionExpiredError("x", outcome="refused"), False),
    ],
    ids=["broke", "timed out", "not sent", "refused"],
)
def test_the_server_is_told_to_cancel_only_what_it_may_have(
    error: MCPClientError, told: bool, session: Session, transport: Fake
) -> None:
    transport.on_send = raising(error)
    with pytest.raises(type(error)):
        result_of_call(call(session))
    transport.on_send = lambda message: None
    settle_background(session)
    assert [message["method"] for message in transport.sent[1:]] == ["notifications/cancelled"] * told
    assert session.dispatcher.waiting == 0


def test_initialize_is_never_cancelled(session: Session, transport: Fake) -> None:
    with pytest.raises(MCPTimeoutError):
        result_of_call(call(session, "initialize", 0.05))
    settle_background(session)
    assert len(transport.sent) == 1


def test_nothing_is_told_to_a_server_whose_session_is_lost(session: Session, transport: Fake) -> None:
    session.lost.set()
    with pytest.raises(MCPTimeoutError):
        result_of_call(call(session, seconds=0.05))
    settle_background(session)
    assert len(transport.sent) == 1


def test_errors_say_what_was_asked_and_for_how_long(session: Session, transport: Fake) -> None:
    with pytest.raises(MCPTimeoutError) as caught:
        result_of_call(call(session, seconds=0.05))
    error = caught.value
    assert (error.server, error.method, error.request_id) == ("http://a/mcp", "tools/call", 1)
    assert error.elapsed is not None
    assert error.elapsed >= 0.05
    transport.on_send = lambda message: session.dispatcher.route(
        [{"jsonrpc": "2.0", "id": message["id"], "error": {"code": 5, "message": "no"}}]
    )
    with pytest.raises(MCPServerError) as refused:
        result_of_call(call(session))
    assert refused.value.method == "tools/call"


def test_cancel_wakes_who_waits_and_tells_the_server_once(session: Session, transport: Fake) -> None:
    one = call(session)
    entered = threading.Event()
    transport.on_send = lambda message: entered.set()
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            result_of_call(one)
        except MCPClientError as exc:
            failures.append(exc)

    thread = threading.Thread(target=wait)
    thread.start()
    assert entered.wait(PATIENCE)
    one.cancel()
    one.cancel()
    thread.join(PATIENCE)
    assert [type(failure) for failure in failures] == [MCPCancelledError]
    settle_background(session)
    assert [message["method"] for message in transport.sent] == ["tools/call", "notifications/cancelled"]
    assert transport.sent[1]["params"]["requestId"] == one.id


def test_cancel_before_the_start_sends_nothing_and_after_the_end_nothing_more(
    session: Session, transport: Fake
) -> None:
    early = call(session)
    early.cancel()
    with pytest.raises(MCPCancelledError) as caught:
        result_of_call(early)
    assert caught.value.outcome == "not_sent"
    assert transport.sent == []
    transport.on_send = lambda message: session.dispatcher.route([result(message["id"])])
    late = call(session)
    result_of_call(late)
    late.cancel()
    settle_background(session)
    assert len(transport.sent) == 1


def test_a_response_that_does_not_hold_the_answer_breaks_the_protocol(session: Session, transport: Fake) -> None:
    closed = []

    def respond(message: Any) -> Iterator[list[Any]]:
        try:
            yield [{"jsonrpc": "2.0", "method": "notifications/x"}]
            yield [result("somebody else's")]
        finally:
            closed.append(True)

    transport.on_send = respond
    with pytest.raises(MCPProtocolError, match="does not hold the answer"):
        result_of_call(call(session))
    assert closed


def test_an_iteration_that_is_left_early_cancels_the_call(session: Session, transport: Fake) -> None:
    transport.on_send = lambda message: session.dispatcher.route(
        [
            {
                "jsonrpc": "2.0",
                "method": "notifications/progress",
                "params": {"progressToken": message["id"], "progress": 1},
            }
        ]
    )
    events: Any = call(session, wants="progress").events()
    (batch,) = [next(events)]
    assert batch[0]["params"]["progress"] == 1
    transport.on_send = lambda message: None
    events.close()
    settle_background(session)
    assert transport.sent[-1]["method"] == "notifications/cancelled"
    assert session.dispatcher.waiting == 0


def test_the_request_carries_its_id_as_progress_token_beside_the_callers_own_metadata(
    session: Session, transport: Fake
) -> None:
    transport.on_send = lambda message: session.dispatcher.route([result(message["id"])])
    given = {"name": "x", "_meta": {"trace": "t"}}
    one = PendingRequest(session, "tools/call", given, Deadline(PATIENCE), "progress")
    result_of_call(one)
    assert transport.sent[0]["params"]["_meta"] == {"trace": "t", "progressToken": one.id}
    assert given["_meta"] == {"trace": "t"}
