"""Servers that end each stream at once: they are asked again half a second later, then ever less often, and five times;
then the call that waits fails as lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPClientError, MCPConnectionError
from tests.support import inside
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, Asked, FaultServer, Request, Wire
from tests.transports.streamable_http.modern import ModernServer

Connect = Callable[..., MCPClient]


@pytest.fixture
def modern() -> Iterator[ModernServer]:
    running = ModernServer()
    with running:
        yield running


def end_at_once(wire: Wire, request: Request) -> None:
    stream = wire.stream()
    stream.event("", event=None, id="1", retry=0)
    stream.end()


def test_a_get_stream_that_says_retry_0_and_ends_is_asked_for_3_times_in_3_seconds(
    http_server: FaultServer, make_client: Connect
) -> None:
    http_server.instead("GET", end_at_once, ALWAYS)
    client = make_client(http_server.mcp_url, transport="http").connect()
    http_server.wait_until(lambda: len(http_server.requests) > 0 and http_server_gets(http_server) >= 3, "three GETs")
    client.close()
    times = http_server.times("GET")[:3]
    assert times[1] - times[0] >= 0.48
    assert times[2] - times[1] >= 0.98


def http_server_gets(server: FaultServer) -> int:
    return sum(request.method == "GET" for request in server.requests)


@pytest.mark.parametrize("has_ids", [True, False])
def test_a_call_whose_stream_breaks_again_and_again_fails_as_lost(
    has_ids: bool, http_server: FaultServer, make_client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside.resume_after(monkeypatch, 0.01)

    def begin(asked: Asked) -> None:
        asked.own_stream().event("", event=None, id="1" if has_ids else None, retry=0)
        asked.own_stream().end()

    http_server.tools["work"] = begin
    http_server.instead(lambda request: "last-event-id" in request.headers, end_at_once, ALWAYS)
    client = make_client(http_server.mcp_url, transport="http")
    with within(), pytest.raises(MCPConnectionError, match="ended the stream before its answer") as caught:
        client.call_tool("work", timeout=LONG)
    assert caught.value.outcome == "unknown"
    assert http_server.tool_calls["work"] == 1
    resumed = [request for request in http_server.requests if "last-event-id" in request.headers]
    assert len([request for request in resumed if request.method == "GET"]) >= 5 * has_ids


def test_a_stream_of_changes_that_ends_again_and_again_is_told_to_who_listens(
    modern: ModernServer, make_client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside.resume_after(monkeypatch, 0.01)

    def listen(asked: Asked) -> None:
        params: dict[str, Any] = {"notifications": asked.params["notifications"]}
        asked.send({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params})
        asked.wire.finish()

    modern.methods["subscriptions/listen"] = listen
    client = make_client(modern.mcp_url)
    with client.listen(tools=True) as events, within(), pytest.raises(MCPClientError):
        events.get(timeout=LONG)
    assert len(modern.sent("subscriptions/listen")) == 6
