"""What the bundled server has done, seen from outside by a client of its own. Used on the test's thread."""

from __future__ import annotations

import json

from mcp_sync import MCPClient

__all__ = ["finished_calls"]


def finished_calls(client: MCPClient) -> dict[str, int]:
    """How many calls of each tool the server has brought to their end; a call that was cancelled does not count."""
    calls: dict[str, int] = json.loads(client.read_resource("demo://calls").text)
    return calls
