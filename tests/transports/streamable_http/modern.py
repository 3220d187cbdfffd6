"""A server of revision 2026-07-28: the fault server without sessions, and strict about what each request must carry.

Runs on: the fault server's threads.
"""

from __future__ import annotations

from typing import Any

from tests.support.fault_server import Asked, FaultServer, Request, Wire

__all__ = ["META", "VERSION", "ModernServer"]

VERSION = "2026-07-28"
META = "io.modelcontextprotocol/"
_NAMED_BY = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}


class ModernServer(FaultServer):
    """The fault server as a server of the stateless kind.

    Attributes:
        supported: the revisions that it offers.
        violations: what clients sent against the specification.
        result_type: goes with every result that says nothing else; None leaves it out.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__("http", port=port)
        self.mints_sessions = False
        self.standing_stream = False
        self.supported = [VERSION]
        self.violations: list[str] = []
        del self.methods["initialize"]
        for method in ("ping", "resources/subscribe", "resources/unsubscribe", "logging/setLevel"):
            del self.methods[method]
        self.methods["server/discover"] = self._discover

    def _discover(self, asked: Asked) -> None:
        asked.answer(
            {
                "resultType": "complete",
                "supportedVersions": self.supported,
                "capabilities": self.capabilities,
                "_meta": {META + "serverInfo": self.server_info},
                "ttlMs": 0,
                "cacheScope": "private",
            }
        )

    def answer(self, asked: Asked) -> None:
        if str(asked.message["method"]) in self.methods:
            super().answer(asked)
        else:
            error = {"code": -32601, "message": f"Method not found: {asked.message['method']}"}
            asked.wire.respond(404, {"jsonrpc": "2.0", "id": asked.id, "error": error})

    def serve(self, wire: Wire, request: Request) -> None:
        self._check(request)
        super().serve(wire, request)

    def _check(self, request: Request) -> None:
        """What the specification demands of each request (2026-07-28, Streamable HTTP, Request Metadata)."""
        wrong: list[Any] = []
        if request.method != "POST":
            wrong.append(request.method)
        if "mcp-session-id" in request.headers or "last-event-id" in request.headers:
            wrong.append("a header of sessions")
        for message in request.messages:
            params = message.get("params") or {}
            meta = params.get("_meta") or {}
            method = message.get("method")
            if "id" not in message or method is None:
                wrong.append(f"{method} is no request")
                continue
            if request.headers.get("mcp-protocol-version") != meta.get(META + "protocolVersion"):
                wrong.append("MCP-Protocol-Version")
            if not isinstance(meta.get(META + "clientCapabilities"), dict) or not meta.get(META + "clientInfo"):
                wrong.append("_meta")
            if request.headers.get("mcp-method") != method:
                wrong.append("Mcp-Method")
            if (method in _NAMED_BY) != ("mcp-name" in request.headers):
                wrong.append(f"Mcp-Name of {method}")
            if not {"application/json", "text/event-stream"} <= set(request.headers["accept"].split(", ")):
                wrong.append("Accept")
        self.violations += [f"{request.rpc_methods}: {item}" for item in wrong]
