"""A chat: each answer appears token by token. Ctrl-C stops an answer; at the prompt it ends the chat.

Run it: python examples/chat.py [URL]
"""

import contextlib
import os
import sys

from mcp_sync import MCPClient, MCPClientError, Progress

URL = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MCP_URL", "http://localhost:8000/mcp")


def answer(client: MCPClient, prompt: str) -> None:
    with client.stream_tool("generate_text", {"prompt": prompt}, timeout=120) as stream:
        for event in stream:
            if isinstance(event, Progress):
                print(event.message, end="", flush=True)
    print()


with contextlib.suppress(KeyboardInterrupt), MCPClient(URL) as client:
    print("you> ", end="", flush=True)
    for line in sys.stdin:
        if line.strip():
            try:
                answer(client, line.strip())
            except KeyboardInterrupt:  # it has left the with block, so the tool is cancelled
                print(" [stopped]")
            except MCPClientError as error:  # this answer is lost; the next one connects again by itself
                print(f"\n[no answer: {error}]")
        print("you> ", end="", flush=True)
    print()
