"""The client of server.py beside it: the same operations as MCP tools, and directly by HTTP.

Run it: python examples/fastapi_mcp/client.py [URL]
"""

import os
import sys

from mcp_sync import HTTPStatusError, MCPClient, ToolError

URL = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MCP_URL", "http://localhost:8000/mcp")

with MCPClient(URL) as client:
    print("tools:", ", ".join(tool.name for tool in client.list_tools()))

    # By operation_id it is a tool: call_operation returns plain data.
    print(client.call_operation("echo", {"message": "hello"}))
    for name in client.call_operation("search_documents", {"query": "sea"}):
        print(client.call_operation("read_document", {"name": name})["message"])

    # By method and path it is the service itself, over the same connection settings and credentials.
    print(client.call_operation("POST:/echo", {"message": "hello again"}))
    print(client.call_operation("GET:/documents", {"query": "light"}))

    # fastapi-mcp hands a tool's answer on as a whole. The operation itself streams: each line comes as it is written.
    for line in client.call_operation("GET:/numbers", {"count": 3}, stream=True):
        print("number", line["number"])

    # The same failure, seen from both sides.
    try:
        client.call_operation("read_document", {"name": "atlantis"})
    except ToolError as error:
        print("the tool failed:", error.message)
    try:
        client.call_operation("GET:/documents/{name}", {"name": "atlantis"})
    except HTTPStatusError as error:
        print("the service said", error.status)
