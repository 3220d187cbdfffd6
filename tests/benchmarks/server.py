"""A server that costs far less than any client: one thread, one selector, prepared bytes.

Runs in a process of its own: ``python -m tests.benchmarks.server`` prints its port and serves until its standard
input ends. One port speaks every binding that is measured:

    /sse           HTTP+SSE (2024-11-05): GET, and the POSTs that its endpoint event names
    /mcp           Streamable HTTP (2025-11-25) with a session, answered in JSON
    /mcp/stream    the same, answered in an event stream
    /stateless     2026-07-28, answered in JSON

With the argument ``stdio`` it speaks over its standard input and output instead, and needs nothing beside this file.

Tools: ``echo`` answers its message, ``text`` as many characters as it is asked for, and ``count`` reports progress as
often as it is asked to. ``?tools=N`` after a path lists N tools, a thousand to a page. Each event is one HTTP chunk,
as uvicorn and Node send it. The session id and the headers of 2026-07-28 are checked, so that no client gets away
with leaving them out.
"""

from __future__ import annotations

import itertools
import json
import resource
import selectors
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Optional, Union

__all__ = ["PAGE", "Server", "tool_definitions"]

STATELESS = b"2026-07-28"
PAGE = 1000  # tools to a page
BURST = 512  # progress events that are rendered and written at once
LINE = "Plain text with a line's end, as most results have it: twelve more, 3.14, (b).\n"
_JSON = b"application/json"
_EVENTS = b"text/event-stream"

Message = dict[str, Any]
# What a connection has still to write: bytes, or an iterator that renders them when there is room.
Outgoing = Union[memoryview, Iterator[bytes]]


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


def event(body: bytes, name: bytes = b"message") -> bytes:
    return chunk(b"event: %b\ndata: %b\n\n" % (name, body))


def tool_definitions(count: int) -> list[Message]:
    """So many tools, the three that exist among them."""
    names = itertools.chain(("echo", "text", "count"), (f"tool_{number}" for number in itertools.count()))
    return [
        {
            "name": name,
            "description": f"The tool {name}, described in a sentence of ordinary length for a model to read.",
            "inputSchema": {
                "type": "object",
                "properties": {"message": {"type": "string"}, "count": {"type": "integer", "minimum": 0}},
            },
        }
        for name in itertools.islice(names, count)
    ]


class Connection:
    """One socket: what it sent so far, and what it is to be sent."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.received = b""
        self.outgoing: deque[Outgoing] = deque()
        self.waits_for_room = False
        # The session whose stream this is, over HTTP+SSE.
        self.session: Optional[bytes] = None

    def read(self) -> None:
        try:
            data = self.sock.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.server.drop(self)
            return
        received = self.received + data if self.received else data
        while (end := received.find(b"\r\n\r\n")) >= 0:
            head = received[:end]
            size = int(header(head, b"content-length") or 0)
            if len(received) < end + 4 + size:
                break
            body = received[end + 4 : end + 4 + size]
            received = received[end + 4 + size :]
            method, path, _ = head[: head.find(b"\r\n")].split(b" ")
            self.server.request(self, method, path, head, body)
        self.received = received

    def write(self, data: Union[bytes, Iterator[bytes]]) -> None:
        """Send now what there is room for, and the rest when there is more."""
        self.outgoing.append(memoryview(data) if isinstance(data, bytes) else data)
        if not self.waits_for_room:
            self.flush()

    def flush(self) -> None:
        full = False
        while self.outgoing and not full:
            first = self.outgoing[0]
            if not isinstance(first, memoryview):
                block = next(first, None)
                if block is None:
                    self.outgoing.popleft()
                else:
                    self.outgoing.appendleft(memoryview(block))
                continue
            try:
                sent = self.sock.send(first)
            except BlockingIOError:
                full = True
            except OSError:
                self.server.drop(self)
                return
            else:
                if sent == len(first):
                    self.outgoing.popleft()
                else:
                    self.outgoing[0] = first[sent:]
        if full is not self.waits_for_room:
            self.waits_for_room = full
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if full else 0)
            self.server.selector.modify(self.sock, events, self)

    def answer(self, status: bytes, body: bytes = b"", kind: bytes = _JSON, extra: bytes = b"") -> None:
        self.write(
            b"HTTP/1.1 %b\r\nContent-Type: %b\r\n%bContent-Length: %d\r\n\r\n%b"
            % (status, kind, extra, len(body), body)
        )

    def start_stream(self, extra: bytes = b"") -> None:
        self.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nCache-Control: no-cache\r\n%bTransfer-Encoding: chunked\r\n\r\n"
            % (_EVENTS, extra)
        )


def header(head: bytes, name: bytes) -> Optional[bytes]:
    """The value of a header, named in lower case."""
    at = head.lower().find(b"\r\n" + name + b":")
    if at < 0:
        return None
    start = at + len(name) + 3
    end = head.find(b"\r\n", start)
    return (head[start:end] if end >= 0 else head[start:]).strip()


class Server:
    """Listens from the moment it is made; ``serve`` answers."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        self.selector = selectors.DefaultSelector()
        # The stream of each session over HTTP+SSE; None over Streamable HTTP.
        self.sessions: dict[bytes, Optional[Connection]] = {}
        self.numbers = itertools.count(1)
        self.text_literal = (0, b'""')
        self.pages: dict[tuple[int, int], bytes] = {}

    def serve(self, until: socket.socket | int) -> None:
        """Serve until ``until`` has something to read, which its end is too."""
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.selector.register(until, selectors.EVENT_READ, until)
        while True:
            for key, events in self.selector.select():
                if isinstance(key.data, Connection):
                    if events & selectors.EVENT_WRITE:
                        key.data.flush()
                    if events & selectors.EVENT_READ:
                        key.data.read()
                elif key.data is None:
                    self.accept()
                else:
                    return

    def accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(sock, selectors.EVENT_READ, Connection(self, sock))

    def drop(self, connection: Connection) -> None:
        if connection.session is not None:
            self.sessions.pop(connection.session, None)
        connection.outgoing.clear()
        try:
            self.selector.unregister(connection.sock)
        except (KeyError, ValueError):
            return  # dropped before
        connection.sock.close()

    def request(self, connection: Connection, method: bytes, target: bytes, head: bytes, body: bytes) -> None:
        path, _, query = target.partition(b"?")
        if method == b"POST" and path == b"/messages":
            self.post_to_stream(connection, query, body)
        elif method == b"POST" and path in (b"/mcp", b"/mcp/stream"):
            self.post_with_session(connection, head, body, query, streamed=path == b"/mcp/stream")
        elif method == b"POST" and path == b"/stateless":
            self.post_stateless(connection, head, body, query)
        elif method == b"GET" and path == b"/sse":
            self.open_stream(connection, query)
        elif method == b"GET" and path in (b"/mcp", b"/mcp/stream"):
            connection.start_stream()  # the stream of a session, on which nothing ever happens
        elif method == b"DELETE" and path in (b"/mcp", b"/mcp/stream"):
            self.sessions.pop(header(head, b"mcp-session-id") or b"", None)
            connection.answer(b"200 OK")
        else:
            connection.answer(b"405 Method Not Allowed")

    # The bindings.

    def new_session(self, stream: Optional[Connection]) -> bytes:
        session = b"session-%d" % next(self.numbers)
        self.sessions[session] = stream
        return session

    def open_stream(self, connection: Connection, query: bytes) -> None:
        session = connection.session = self.new_session(connection)
        connection.start_stream()
        connection.write(event(b"/messages?session_id=%b&%b" % (session, query), b"endpoint"))

    def post_to_stream(self, connection: Connection, query: bytes, body: bytes) -> None:
        fields = dict(part.partition(b"=")[::2] for part in query.split(b"&"))
        stream = self.sessions.get(fields[b"session_id"])
        if stream is None:
            connection.answer(b"404 Not Found")
            return
        connection.answer(b"202 Accepted", b"Accepted", b"text/plain")
        message = json.loads(body)
        if "id" not in message or "method" not in message:
            return
        if is_count(message):
            stream.write(progress(message))
        else:
            stream.write(event(self.respond(message, tools=int(fields.get(b"tools", 3)))))

    def post_with_session(
        self, connection: Connection, head: bytes, body: bytes, query: bytes, *, streamed: bool
    ) -> None:
        message = json.loads(body)
        method = message.get("method")
        extra = b""
        if method == "initialize":
            extra = b"Mcp-Session-Id: %b\r\n" % self.new_session(None)
        elif (header(head, b"mcp-session-id") or b"") not in self.sessions:
            connection.answer(b"400 Bad Request", b"Missing session ID", b"text/plain")
            return
        if method is None or "id" not in message:
            connection.answer(b"202 Accepted")
        elif is_count(message):
            connection.start_stream()
            connection.write(progress(message, end=b"0\r\n\r\n"))
        elif streamed:
            connection.start_stream(extra)
            connection.write(event(self.respond(message, tools=asked_for(query))) + b"0\r\n\r\n")
        else:
            connection.answer(b"200 OK", self.respond(message, tools=asked_for(query)), extra=extra)

    def post_stateless(self, connection: Connection, head: bytes, body: bytes, query: bytes) -> None:
        message = json.loads(body)
        method = message["method"]
        params = message.get("params") or {}
        if "id" not in message:
            connection.answer(b"202 Accepted")
        elif method == "initialize":
            data = {"supported": [STATELESS.decode()], "requested": params.get("protocolVersion")}
            error = {"code": -32022, "message": "Unsupported protocol version", "data": data}
            connection.answer(b"400 Bad Request", response(message, error=error))
        elif (
            header(head, b"mcp-protocol-version") != STATELESS
            or header(head, b"mcp-method") != method.encode()
            or header(head, b"mcp-name") != (params["name"].encode() if "name" in params else None)
        ):
            error = {"code": -32020, "message": "Header mismatch"}
            connection.answer(b"400 Bad Request", response(message, error=error))
        elif is_count(message):
            connection.start_stream()
            connection.write(progress(message, end=b"0\r\n\r\n", complete=b'"resultType":"complete",'))
        else:
            connection.answer(b"200 OK", self.respond(message, tools=asked_for(query), stateless=True))

    # The answers.

    def respond(self, message: Message, *, tools: int, stateless: bool = False) -> bytes:
        method = message["method"]
        params = message.get("params") or {}
        complete = b'"resultType":"complete",' if stateless else b""
        if method == "tools/call":
            arguments = params["arguments"]
            if params["name"] == "echo":
                text = json.dumps(arguments["message"]).encode()
            else:
                text = self.text(arguments["characters"])
            return tool_result(message, text, complete)
        if method == "tools/list":
            return self.page(message, tools, stateless)
        about = {"name": "benchmark", "version": "1"}
        if method == "initialize":
            version = params["protocolVersion"]
            return response(
                message,
                result={"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about},
            )
        if method == "server/discover" and stateless:
            result = {
                "resultType": "complete",
                "supportedVersions": [STATELESS.decode()],
                "capabilities": {"tools": {}},
                "_meta": {"io.modelcontextprotocol/serverInfo": about},
                "ttlMs": 3600000,
                "cacheScope": "public",
            }
            return response(message, result=result)
        if method == "ping":
            return response(message, result={})
        return response(message, error={"code": -32601, "message": "Method not found"})

    def text(self, characters: int) -> bytes:
        """The JSON string of so many characters; the last one is kept, because rendering 50 MB takes a while."""
        if self.text_literal[0] != characters:
            text = (LINE * (characters // len(LINE) + 1))[:characters]
            self.text_literal = (characters, json.dumps(text).encode())
        return self.text_literal[1]

    def page(self, message: Message, tools: int, stateless: bool) -> bytes:
        start = int((message.get("params") or {}).get("cursor") or 0)
        if (tools, start) not in self.pages:
            end = min(start + PAGE, tools)
            fields: Message = {"tools": tool_definitions(tools)[start:end]}
            if end < tools:
                fields["nextCursor"] = str(end)
            self.pages[tools, start] = json.dumps(fields, separators=(",", ":")).encode()[1:]
        complete = b'"resultType":"complete","ttlMs":0,"cacheScope":"private",' if stateless else b""
        identifier = json.dumps(message["id"]).encode()
        return b'{"jsonrpc":"2.0","id":%b,"result":{%b%b}' % (identifier, complete, self.pages[tools, start])


def asked_for(query: bytes) -> int:
    return int(query.partition(b"tools=")[2] or 3)


def is_count(message: Message) -> bool:
    return message.get("method") == "tools/call" and message["params"]["name"] == "count"


def response(message: Message, **outcome: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": message["id"], **outcome}, separators=(",", ":")).encode()


def tool_result(message: Message, text: bytes, complete: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"result":{%b"content":[{"type":"text","text":%b}],"isError":false}}' % (
        json.dumps(message["id"]).encode(),
        complete,
        text,
    )


def line(body: bytes) -> bytes:
    return body + b"\n"


def progress(
    message: Message, *, end: bytes = b"", complete: bytes = b"", framed: Callable[[bytes], bytes] = event
) -> Iterator[bytes]:
    """What ``count`` sends: its progress, the first event by itself, and its result."""
    params = message["params"]
    total = params["arguments"]["events"]
    token = json.dumps((params.get("_meta") or {}).get("progressToken"))
    before = f'{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":'
    after = f',"total":{total},"message":"counting"}}}}'
    yield framed(f"{before}1{after}".encode())
    for start in range(2, total + 1, BURST):
        numbers = range(start, min(start + BURST, total + 1))
        yield b"".join([framed(f"{before}{number}{after}".encode()) for number in numbers])
    yield framed(tool_result(message, b'"counted"', complete)) + end


def serve_on_stdio() -> None:
    """Serve until the standard input ends."""
    server = Server()
    server.listener.close()
    output = sys.stdout.buffer
    for request in sys.stdin.buffer:
        message = json.loads(request)
        if "id" in message and "method" in message:
            if is_count(message):
                output.writelines(progress(message, framed=line))
            else:
                output.write(line(server.respond(message, tools=3)))
            output.flush()


def main() -> None:
    if sys.argv[1:] == ["stdio"]:
        serve_on_stdio()
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server = Server()
    print(server.port, flush=True)  # noqa: T201  # whoever started it reads its port
    server.serve(until=sys.stdin.fileno())


if __name__ == "__main__":
    main()
