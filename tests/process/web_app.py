"""A web application that used its client before it was forked: what gunicorn --preload and uWSGI make of most programs.

Runs on: the threads of a web server's workers; its beginning on the only thread of their parent.

The server is in the environment, as ``MCP_SERVER`` (JSON) and ``MCP_TRANSPORT``.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Iterable
from typing import Any, Callable
from urllib.parse import parse_qs

from mcp_sync import MCPClient, MCPClientError

client = MCPClient(json.loads(os.environ["MCP_SERVER"]), transport=os.environ["MCP_TRANSPORT"], timeout=30)
parent = os.getpid()
client.call_tool("echo", {"message": "parent"})
# Under way while the workers are forked.
future = client.submit("slow", timeout=60)
stream = client.stream_tool("endless", timeout=60)
next(stream)
# uWSGI lets go of the interpreter before it forks, unless it has its hooks: a thread that ran just then would keep the
# worker from its first step. See docs/failures.md. So all of them wait for the server.
time.sleep(0.5)


def call(tool: str, message: str) -> dict[str, Any]:
    """Call a tool with the parent's client."""
    text = client.call_tool(tool, {"message": message}).text
    return {"text": text, "pid": os.getpid(), "is_parent": os.getpid() == parent}


@functools.lru_cache(None)  # a stream that has ended has nothing more to say
def inherited() -> list[str]:
    """What the parent's future and the parent's stream give here."""
    ends: list[Callable[[], object]] = [lambda: future.result(20), lambda: list(stream)]
    return [_outcome(end) for end in ends]


def _outcome(end: Callable[[], object]) -> str:
    try:
        return f"gave {end()!r}"
    except MCPClientError as exc:
        return f"{type(exc).__name__} {exc.outcome}"


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """``/call?tool=...&message=...`` calls a tool, ``/inherited`` looks at what the parent had under way."""
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    answer = inherited() if environ["PATH_INFO"] == "/inherited" else call(query["tool"], query["message"])
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
