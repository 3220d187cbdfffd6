"""A data pipeline: rows go to a tool, and each chunk is stored as soon as the server has finished it.

Run it: python examples/data_pipeline.py [URL] > chunks.jsonl
"""

import json
import os
import sys
from typing import Any, Dict, Iterable, Iterator, List

from mcp_sync import LogMessage, MCPClient, Progress

URL = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MCP_URL", "http://localhost:8000/mcp")


def read_rows(days: int) -> Iterator[Dict[str, Any]]:
    """Where rows come from: a CSV file, a database cursor, an API."""
    for day in range(days):
        yield {"day": f"2026-03-{day + 1:02d}", "orders": 10 + day % 7, "revenue": 99.5 * (day % 5)}


def processed(client: MCPClient, rows: List[Dict[str, Any]], chunk_size: int) -> Iterator[Dict[str, Any]]:
    """Yield the summary of each chunk when it is done. Whoever stops reading early stops the tool, too."""
    with client.stream_tool("process_rows", {"rows": rows, "chunk_size": chunk_size}, timeout=300) as stream:
        for event in stream:
            if isinstance(event, Progress) and event.message:
                yield {**json.loads(event.message), "rows_done": event.progress}
            elif isinstance(event, LogMessage):
                print(f"server {event.level}: {event.data}", file=sys.stderr)
    print(f"total: {stream.result.data['sums']}", file=sys.stderr)


def store(chunks: Iterable[Dict[str, Any]]) -> None:
    for chunk in chunks:
        print(json.dumps(chunk), flush=True)


with MCPClient(URL) as client:
    store(processed(client, list(read_rows(days=31)), chunk_size=7))
