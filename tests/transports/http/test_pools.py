"""The direct way of plain requests: what urllib3's own way would do as well, and what it does not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, Optional

import pytest

from mcp_sync.concurrency.deadline import Deadline
from mcp_sync.config import MCPClientConfig
from mcp_sync.transports.http import pools
from mcp_sync.transports.http.sender import HTTPRequest, Sender
from tests.support.fault_server import FaultServer


@pytest.fixture
def sender(http_server: FaultServer) -> Iterator[Sender]:
    made = Sender(MCPClientConfig(), http_server.mcp_url)
    yield made
    made.close()


def exchange(sender: Sender, url: str, method: str = "GET") -> int:
    response = sender.send(HTTPRequest(method, url, {}), Deadline(10))
    try:
        response.read(100_000)
        return response.status
    finally:
        response.close()


def test_an_interrupt_while_a_connection_is_given_back_does_not_put_it_there_twice(
    sender: Sender, http_server: FaultServer
) -> None:
    url = http_server.mcp_url + "/nothing"
    exchange(sender, url)
    code = pools.IdleConnections.put.__code__

    def interrupt(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "return":
            sys.settrace(None)
            raise KeyboardInterrupt
        return interrupt

    before = sys.gettrace()
    sys.settrace(lambda frame, event, argument: interrupt if frame.f_code is code else None)
    try:
        with pytest.raises(KeyboardInterrupt):
            exchange(sender, url)
    finally:
        sys.settrace(before)
    idle = list(next(iter(sender._routes.values())).pool.pool.queue)
    kept = [id(connection) for connection in idle if connection is not None]
    assert len(kept) == len(set(kept))
    assert exchange(sender, url) == 404


@pytest.mark.parametrize(("method", "length"), [("GET", None), ("HEAD", None), ("OPTIONS", None), ("POST", "0")])
def test_only_what_has_a_body_says_how_long_it_is(
    sender: Sender, http_server: FaultServer, method: str, length: Optional[str]
) -> None:
    exchange(sender, http_server.mcp_url + "/nothing", method)
    assert http_server.requests[-1].headers.get("content-length") == length
