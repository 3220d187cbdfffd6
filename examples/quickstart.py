"""Quickstart: connect, list the tools, call one, call one as a function, and follow one while it runs.

Run it: python examples/quickstart.py [URL]
"""

import os
import sys

from mcp_sync import MCPClient, Progress

URL = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MCP_URL", "http://localhost:8000/mcp")

with MCPClient(URL, timeout=10) as client:
    print(f"connected to {client.server_info.name}, MCP {client.protocol_version}")
    for tool in client.list_tools():
        print(f"  {tool.name}: {tool.description}")

    result = client.call_tool("echo", {"message": "hello"})
    print("echo says:", result.text)

    print("(1 + 2) * 3 =", client.tools.calculate(expression="(1 + 2) * 3"))

    with client.stream_tool("generate_numbers", {"count": 5}) as stream:
        for event in stream:
            if isinstance(event, Progress):
                print(f"number {event.message} ({event.progress} of {event.total})")
    print("all of them:", stream.result.data)
