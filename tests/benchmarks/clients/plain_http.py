"""Plain HTTP clients: what a POST costs before anybody speaks MCP.

Runs in the process of the client that is measured, on any number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic_core import from_json

from .rpc import INITIALIZED, Rpc, text_of

__all__ = ["Requests", "Urllib3"]

_POOL = 64


class PlainHttp:
    """A session on Streamable HTTP by POSTs alone."""

    def __init__(self, url: str, binding: str) -> None:
        self.url = url
        self.rpc = Rpc(binding)

    def post(self, body: bytes, headers: dict[str, str]) -> tuple[Mapping[str, str], bytes]:
        """The headers and the body of the answer."""
        raise NotImplementedError

    def connect(self) -> None:
        if self.rpc.stateless:
            return
        headers, _ = self.post(self.rpc.initialize(), self.rpc.headers())
        self.rpc.session_id = headers["Mcp-Session-Id"]
        self.post(INITIALIZED, self.rpc.headers("notifications/initialized"))

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        identifier, body = self.rpc.request(method, params)
        headers, raw = self.post(body, self.rpc.headers(method, params.get("name")))
        if headers["Content-Type"] == "text/event-stream":
            raw = raw[raw.find(b"data: ") + 6 : -2]
        message: dict[str, Any] = from_json(raw)
        assert message["id"] == identifier
        return message

    def echo(self, message: str) -> str:
        return text_of(self.request("tools/call", {"name": "echo", "arguments": {"message": message}}))

    def text(self, characters: int) -> int:
        return len(text_of(self.request("tools/call", {"name": "text", "arguments": {"characters": characters}})))

    def count(self, events: int) -> int:
        raise NotImplementedError

    def tools(self) -> int:
        raise NotImplementedError

    def close(self) -> None:
        pass


class Urllib3(PlainHttp):
    """urllib3's pool."""

    def __init__(self, url: str, binding: str) -> None:
        import urllib3

        super().__init__(url, binding)
        parts = urlsplit(url)
        self.path = parts.path
        self.pool = urllib3.HTTPConnectionPool(parts.hostname or "", parts.port, maxsize=_POOL)

    def post(self, body: bytes, headers: dict[str, str]) -> tuple[Mapping[str, str], bytes]:
        answer = self.pool.urlopen("POST", self.path, body=body, headers=headers)
        return answer.headers, answer.data


class Requests(PlainHttp):
    """A session of requests, used the everyday way."""

    def __init__(self, url: str, binding: str) -> None:
        import requests
        from requests.adapters import HTTPAdapter

        super().__init__(url, binding)
        self.session = requests.Session()
        self.session.mount("http://", HTTPAdapter(pool_maxsize=_POOL))

    def post(self, body: bytes, headers: dict[str, str]) -> tuple[Mapping[str, str], bytes]:
        answer = self.session.post(self.url, data=body, headers=headers, timeout=60)
        return answer.headers, answer.content
