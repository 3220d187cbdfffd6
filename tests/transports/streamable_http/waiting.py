"""What these tests wait for, each with a bound.

Runs on: the test's thread.
"""

from __future__ import annotations

from mcp_sync import MCPClient
from tests.support import inside
from tests.support.fault_server import FaultServer

__all__ = ["wait_for_get_stream", "wait_for_requests"]


def wait_for_requests(server: FaultServer, method: str, count: int = 1) -> None:
    """Wait until ``count`` requests of an HTTP method have come."""
    server.wait_until(
        lambda: sum(request.method == method for request in server.requests) >= count, f"{count} times {method}"
    )


def wait_for_get_stream(server: FaultServer, client: MCPClient) -> None:
    """Wait until the client's GET stream is open, at both ends."""
    id = client.session_id
    assert id is not None
    server.wait_until(lambda: server.sessions[id].stream is not None, "the GET stream")
    assert inside.get_stream_settled(client, 10)
    assert inside.get_stream_is_open(client)
