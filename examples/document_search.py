"""Document search: show each hit as it is found, then the best one in full.

Run it: python examples/document_search.py [URL [WORDS ...]]
"""

import json
import os
import sys

from mcp_sync import MCPClient, Progress

URL = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MCP_URL", "http://localhost:8000/mcp")
QUERY = " ".join(sys.argv[2:]) or "ocean light"

with MCPClient(URL) as client:
    with client.stream_tool("search_documents", {"query": QUERY}) as hits:
        for event in hits:
            if isinstance(event, Progress) and event.message:
                hit = json.loads(event.message)
                print(f"{event.fraction or 0:4.0%}  {hit['title']}: {hit['excerpt']}")

    ranked = hits.result.data["documents"]
    print(f"{len(ranked)} documents about {QUERY!r}")
    if ranked:
        print()
        print(client.read_resource(ranked[0]["uri"]).text)
