"""Interruptions: a time-out, a stream that breaks, a server that restarts, and what may be sent again.

Run it: python examples/interruptions.py [URL]      # stop the server while it counts, then start it again
"""

import os
import sys
import time
from typing import Any, Dict

from mcp_sync import (
    AuthorizationError,
    CallToolResult,
    MCPClient,
    MCPConnectionError,
    MCPTimeoutError,
    Progress,
    StreamLostError,
)

URL = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MCP_URL", "http://localhost:8000/mcp")


def wait_too_briefly(client: MCPClient) -> None:
    """A time-out covers the whole call. The server was told to stop, but what it did by then is done."""
    try:
        client.call_tool("generate_numbers", {"count": 200}, timeout=0.5)
    except MCPTimeoutError as error:
        print(f"timed out after {error.elapsed:.1f} s, outcome: {error.outcome}")


def follow_until_it_breaks(client: MCPClient) -> None:
    """A stream that breaks says how far it came. It is never started again by itself: you have seen half of it."""
    try:
        with client.stream_tool("generate_numbers", {"count": 2_000}, timeout=120) as stream:
            for event in stream:
                if isinstance(event, Progress):
                    print(f"number {event.message}", flush=True)
    except StreamLostError as error:
        print(f"the stream broke after {error.events_received} events, outcome: {error.outcome}", flush=True)


def call_with_care(
    client: MCPClient, name: str, arguments: Dict[str, Any], *, only_reads: bool, attempts: int = 8
) -> CallToolResult:
    """Call a tool, and again where that cannot do harm."""
    attempt = 0
    while True:
        attempt += 1
        try:
            return client.call_tool(name, arguments, retry=only_reads)
        except AuthorizationError:
            raise  # the same credentials get the same answer
        except (MCPConnectionError, MCPTimeoutError) as error:
            # After "not_sent" and "refused" the tool has not run. After "unknown" it may have: before an order is sent
            # a second time, someone has to look whether the first one arrived.
            if attempt == attempts or (error.outcome == "unknown" and not only_reads):
                raise
            print(f"attempt {attempt} failed: {error}", flush=True)
            time.sleep(min(attempt, 5))


def main() -> None:
    # One client for all of it: after a lost connection its next call connects again.
    with MCPClient(URL, timeout=30) as client:
        wait_too_briefly(client)
        follow_until_it_breaks(client)
        print(call_with_care(client, "echo", {"message": "back again"}, only_reads=True).text, flush=True)
        print(call_with_care(client, "generate_numbers", {"count": 60}, only_reads=True).text)


if __name__ == "__main__":
    main()
