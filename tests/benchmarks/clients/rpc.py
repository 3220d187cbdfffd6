"""What the clients without a library say: JSON-RPC bodies and headers for each binding.

Runs in the process of the client that is measured.
"""

from __future__ import annotations

import itertools
import json
from typing import Any, Optional

__all__ = ["INITIALIZED", "Rpc", "text_of"]

INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
_ABOUT = {"name": "benchmark", "version": "1"}
_VERSIONS = {
    "HTTP+SSE": "2024-11-05",
    "HTTP, JSON": "2025-11-25",
    "HTTP, stream": "2025-11-25",
    "2026-07-28": "2026-07-28",
    "stdio": "2025-11-25",
}


class Rpc:
    """One session's bodies and headers; ids are unique over all threads."""

    def __init__(self, binding: str) -> None:
        self.version = _VERSIONS[binding]
        self.stateless = binding == "2026-07-28"
        self.session_id: Optional[str] = None
        self._ids = itertools.count(1)
        self._meta: dict[str, Any] = {}
        if self.stateless:
            self._meta = {
                "io.modelcontextprotocol/protocolVersion": self.version,
                "io.modelcontextprotocol/clientInfo": _ABOUT,
                "io.modelcontextprotocol/clientCapabilities": {},
            }

    def initialize(self) -> bytes:
        params = {"protocolVersion": self.version, "capabilities": {}, "clientInfo": _ABOUT}
        return self.request("initialize", params)[1]

    def request(self, method: str, params: dict[str, Any], *, with_progress: bool = False) -> tuple[int, bytes]:
        """The id and the body of a request."""
        identifier = next(self._ids)
        if with_progress:
            params["_meta"] = {**self._meta, "progressToken": identifier}
        elif self._meta:
            params["_meta"] = self._meta
        body = {"jsonrpc": "2.0", "id": identifier, "method": method, "params": params}
        return identifier, json.dumps(body, separators=(",", ":")).encode()

    def headers(self, method: str = "initialize", name: Optional[str] = None) -> dict[str, str]:
        headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        if self.session_id:
            headers["Mcp-Session-Id"] = self.session_id
        if method != "initialize":
            headers["MCP-Protocol-Version"] = self.version
        if self.stateless:
            headers["Mcp-Method"] = method
            if name is not None:
                headers["Mcp-Name"] = name
        return headers


def text_of(message: dict[str, Any]) -> str:
    text = message["result"]["content"][0]["text"]
    assert isinstance(text, str)
    return text
