"""Direct HTTP calls to the service that an MCP server is part of: ``call_operation("GET:/health")``.

Runs on: the calling thread.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, Iterator, List, Mapping, Optional, Set, Tuple
from urllib.parse import quote, unquote, urlencode, urljoin

from ..concurrency.deadline import Deadline
from ..errors import MCPUsageError, MessageTooLargeError
from ..escape import excerpt
from ..protocol.urls import same_origin
from ..transports.http.response import Response, status_error
from ..transports.http.sender import HTTPRequest, Sender
from ..transports.sse import Framer

__all__ = ["DirectHTTP", "parse_operation"]

_OPERATION = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS):(/.*)\Z", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
# What a server, or a proxy before it, may read as two segments.
_SLASHES = re.compile(r"[/\\]")
_WITHOUT_BODY = {"GET", "HEAD", "DELETE", "OPTIONS"}


def parse_operation(name: str) -> Optional[Tuple[str, str]]:
    """The method and path of a name like ``"GET:/health"``; None where it is a tool's name."""
    match = _OPERATION.match(name)
    return None if match is None else (match[1], match[2])


class DirectHTTP:
    """Calls of the service at one origin.

    Parameters:
        sender: where requests go out.
        base: the URL of the server; paths are below its origin.
        limit: the largest answer in bytes.
    """

    def __init__(self, sender: Sender, base: str, limit: int) -> None:
        self._sender = sender
        self._base = base
        self._limit = limit

    def call(self, method: str, path: str, arguments: Mapping[str, Any], deadline: Deadline) -> Any:
        """Send the request and return its answer as Python data: JSON as what it says, text as a string, nothing as
        None.

        Raises:
            HTTPStatusError: the status is 400 or more.
        """
        response = self._send(method, path, arguments, deadline)
        try:
            return _plain(response, response.read(self._limit))
        finally:
            response.close()

    def stream(self, method: str, path: str, arguments: Mapping[str, Any], deadline: Deadline) -> Iterator[Any]:
        """Send the request and yield its answer as it comes: each event's data of an event stream, each line of
        anything else, as JSON where it is that.
        """
        response = self._send(method, path, arguments, deadline)
        try:
            if response.content_type == "text/event-stream":
                framer = Framer(self._limit)
                for chunk in response.chunks():
                    for event in framer.feed(chunk):
                        yield _value(event.text)
                return
            for line in self._lines(response):
                yield _value(line.decode("utf-8", "replace"))
        finally:
            response.close()

    def close(self) -> None:
        self._sender.close()

    def _lines(self, response: Response) -> Iterator[bytes]:
        parts: List[bytes] = []
        size = 0
        for chunk in response.chunks():
            *whole, last = chunk.split(b"\n")
            for line in whole:
                yield b"".join([*parts, line])
                parts, size = [], 0
            parts.append(last)
            size += len(last)
            if size > self._limit:
                raise MessageTooLargeError(
                    f"the server sent a line over the limit of {self._limit} bytes", outcome="unknown"
                )
        if any(parts):
            yield b"".join(parts)

    def _send(self, method: str, path: str, arguments: Mapping[str, Any], deadline: Deadline) -> Response:
        target, rest = _fill(path, arguments)
        url = urljoin(self._base, target)
        if not same_origin(self._base, url):
            raise MCPUsageError(
                f"the path {_shown(path)!r} leads to another origin than the server's", outcome="not_sent"
            )
        headers = {"Accept": "application/json, text/event-stream;q=0.9, */*;q=0.8"}
        body: Optional[bytes] = None
        if rest and method in _WITHOUT_BODY:
            url += ("&" if "?" in url else "?") + urlencode(
                {name: _query(value) for name, value in rest.items() if value is not None}, doseq=True
            )
        elif method not in _WITHOUT_BODY:
            headers["Content-Type"] = "application/json"
            body = _json(rest)
        response = self._sender.send(HTTPRequest(method, url, headers, body), deadline)
        if response.status >= 400:
            try:
                shown = _shown(path)
                raise status_error(response, f"{method} {shown}").during(method=f"{method}:{shown}")
            finally:
                response.close()
        return response


def _fill(path: str, arguments: Mapping[str, Any]) -> Tuple[str, Dict[str, Any]]:
    """Put arguments into the path's ``{placeholders}``; returns the path and the arguments that are left.

    No value leads out of its place: what is sent has the segments that ``path`` has.
    """
    used: Set[str] = set()

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if arguments.get(name) is None:
            raise MCPUsageError(f"the path {_shown(path)!r} needs the argument {name!r}", outcome="not_sent")
        used.add(name)
        return quote(str(arguments[name]), safe="")

    where, mark, query = path.partition("?")
    segments = []
    for segment in where.split("/"):
        names = _PLACEHOLDER.findall(segment)
        filled = _PLACEHOLDER.sub(value, segment)
        if any(not str(arguments[name]).strip() for name in names) or (names and _leads_away(filled)):
            raise MCPUsageError(
                f"{excerpt(segment)!r} in the path {_shown(path)!r} would be empty, or name another place, as '.' and "
                "'..' do",
                outcome="not_sent",
            )
        segments.append(filled)
    target = "/".join(segments) + mark + _PLACEHOLDER.sub(value, query)
    return target, {name: item for name, item in arguments.items() if name not in used}


def _leads_away(segment: str) -> bool:
    """Whether a server that decodes as often as it can, and leaves out parameters and blanks, finds "." or ".." in a
    segment.
    """
    for _ in range(10):
        decoded = unquote(segment)
        if decoded == segment:
            break
        segment = decoded
    return any(part.partition(";")[0].strip("\0\t\n\r ") in (".", "..") for part in _SLASHES.split(segment))


def _shown(path: str) -> str:
    """``path`` as it may be shown: its query may hold a secret."""
    return excerpt(re.split("[?#]", path)[0])


def _query(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return [_query(item) for item in value]
    return value


def _json(arguments: Mapping[str, Any]) -> bytes:
    problem = ""
    try:
        return json.dumps(dict(arguments), ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as exc:
        problem = str(exc)
    raise MCPUsageError(f"the arguments cannot be sent as JSON: {problem}", outcome="not_sent")


def _plain(response: Response, body: bytes) -> Any:
    if not body:
        return None
    text = body.decode("utf-8-sig", "replace")
    return _value(text) if response.content_type.endswith("json") else text


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
