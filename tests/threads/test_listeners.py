"""A wait for a change takes no longer than it was told to, whatever becomes of the session meanwhile."""

from __future__ import annotations

import math
import threading

import pytest

from mcp_sync import MCPConnectionError, MCPTimeoutError
from tests.support.beds import Bed, over
from tests.support.clock import LONG, within
from tests.support.fault_server import Request, Wire

CHANGE = "notifications/tools/list_changed"


@over("sse")
def test_a_wait_keeps_its_timeout_where_the_server_is_down(bed: Bed) -> None:
    client = bed.connect(retry_delay=5.0)
    with client.listen(tools=True) as changes:
        bed.server.stop_listening()
        bed.server.drop_connections()
        with within():
            for _ in range(3):
                assert changes.get(timeout=0.1) is None


@over("sse")
def test_a_wait_keeps_its_timeout_where_the_server_is_silent_and_hears_what_comes_later(bed: Bed) -> None:
    gate = threading.Event()

    def late(wire: Wire, request: Request) -> None:
        bed.server.wait(gate)
        bed.server.serve(wire, request)

    client = bed.connect(timeout=LONG)
    with client.listen(tools=True) as changes:
        bed.server.instead("GET", late)
        bed.server.drop_connections()
        with within():
            for _ in range(3):
                assert changes.get(timeout=0.1) is None
        gate.set()
        # It goes on in the background, and whoever waits next has it.
        bed.server.wait_for_method("notifications/initialized", 2)
        assert changes.get(timeout=0.0) is None
        bed.server.session.notify(CHANGE)
        event = changes.get(timeout=10)
    assert event is not None
    assert event.method == CHANGE


@over("sse")
def test_that_no_session_can_be_opened_is_told_to_who_waits_next(bed: Bed) -> None:
    client = bed.connect(timeout=0.8, max_retries=0)
    changes = client.listen(tools=True)
    bed.server.stop_listening()
    bed.server.drop_connections()
    with within(LONG), pytest.raises((MCPConnectionError, MCPTimeoutError)):
        while True:
            assert changes.get(timeout=0.05) is None
    assert changes.get(timeout=math.inf) is None
