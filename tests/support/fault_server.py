"""A server that misbehaves on demand: raw sockets, so that every byte and every reset is in the test's hands.

Runs on: one thread that accepts, one per connection, and over HTTP+SSE one per request under way; all of them end with
the block. It binds loopback only.

    with FaultServer() as server:                       # well-behaved, over HTTP+SSE ...
        server.instead("tools/call", reset)             # ... but the next tools/call meets a reset
        with MCPClient(server.sse_url, transport="sse") as client:
            ...
        assert server.tool_calls["echo"] == 1           # counted as they arrive, whatever is done to them

Where a test can take over, from the outside in:

* ``instead(when, do)``: the next connection, HTTP request or JSON-RPC message of a kind goes to ``do(wire, request)``;
* ``serve_get``, ``serve_post``, ``serve_delete``: the three HTTP methods, to delegate to or to replace;
* ``greet(session)``: what an HTTP+SSE stream begins with;
* ``methods[name]`` and ``tools[name]``: what answers a JSON-RPC request, and a tool call, given an ``Asked``.

``FaultServer(binding="http")`` speaks Streamable HTTP at ``mcp_url`` instead; ``answers`` says whether its POSTs are
answered as ``"json"`` or as ``"sse"``, ``standing_stream`` whether it has a GET stream.
"""

from __future__ import annotations

import functools
import gzip
import itertools
import json
import math
import os
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Callable, Optional, Union
from urllib.parse import parse_qs, urlsplit

__all__ = [
    "Asked",
    "Behaviour",
    "FaultServer",
    "Request",
    "Session",
    "Stream",
    "Wire",
    "black_hole",
    "finish",
    "hold",
    "raw",
    "reset",
    "sse",
    "status",
]

Message = dict[str, Any]
# How long anything in here waits before the test is taken for stuck.
PATIENCE = 20.0

_REASONS = {
    200: "OK",
    202: "Accepted",
    301: "Moved",
    302: "Found",
    303: "See Other",
    307: "Temporary",
    308: "Permanent",
}


class Gone(Exception):
    """The peer, or this server, has closed the connection."""


@dataclass
class Request:
    """One HTTP request as it reached the server."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    # Which connection it came by, counted from 1, and when (monotonic).
    connection: int = 0
    at: float = field(default_factory=time.monotonic)

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def messages(self) -> list[Message]:
        """The JSON-RPC messages of the body; none where it is not JSON."""
        try:
            value = json.loads(self.body) if self.body else []
        except ValueError:
            return []
        return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]

    @property
    def rpc_methods(self) -> list[str]:
        return [str(message["method"]) for message in self.messages if "method" in message]


class Wire:
    """The server's end of one connection."""

    def __init__(self, server: FaultServer, sock: socket.socket, number: int) -> None:
        self.server = server
        self.sock = sock
        self.number = number
        self._lock = threading.Lock()  # guards the flag, and keeps writers from mixing
        self.closed = False
        self._unread = b""

    # Reading

    def read_request(self) -> Optional[Request]:
        """The next request, or None at the end of the connection."""
        head = self._read_until(b"\r\n\r\n")
        if head is None:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        body = b""
        length = int(headers.get("content-length", 0))
        while len(self._unread) < length:
            piece = self._receive()
            if not piece:
                return None
            self._unread += piece
        body, self._unread = self._unread[:length], self._unread[length:]
        return Request(method, target, headers, body, self.number)

    def read_line(self) -> Optional[bytes]:
        """Over stdio: the next line, or None at the end."""
        return self._read_until(b"\n")

    def _read_until(self, mark: bytes) -> Optional[bytes]:
        while mark not in self._unread:
            piece = self._receive()
            if not piece:
                return None
            self._unread += piece
        head, _, self._unread = self._unread.partition(mark)
        return head

    def _receive(self) -> bytes:
        try:
            return self.sock.recv(65536)
        except (OSError, ValueError):
            return b""

    # Writing

    def send(self, data: bytes) -> None:
        with self._lock:
            if self.closed:
                raise Gone
            try:
                self.sock.sendall(data)
            except (OSError, ValueError) as exc:
                raise Gone from exc

    def drip(self, data: bytes, size: int = 1, pause: float = 0.0) -> None:
        """Send ``data`` in pieces of ``size`` bytes, each in a packet of its own."""
        for start in range(0, len(data), size):
            self.send(data[start : start + size])
            if pause and self.server.closing.wait(pause):
                raise Gone

    def head(self, code: int, headers: Mapping[str, str]) -> bytes:
        lines = [f"HTTP/1.1 {code} {_REASONS.get(code, 'Status')}", *(f"{k}: {v}" for k, v in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def respond(
        self,
        code: int = 200,
        body: Union[bytes, str, Mapping[str, Any], Sequence[Any]] = b"",
        headers: Optional[Mapping[str, str]] = None,
    ) -> None:
        """A whole response with its length."""
        given = {"content-length": "", **{name.lower(): value for name, value in (headers or {}).items()}}
        if isinstance(body, str):
            body = body.encode()
        elif not isinstance(body, bytes):
            body = json.dumps(body).encode()
            given.setdefault("content-type", "application/json")
        given["content-length"] = given["content-length"] or str(len(body))
        self.send(self.head(code, given) + body)

    def stream(
        self,
        *,
        code: int = 200,
        headers: Optional[Mapping[str, str]] = None,
        chunked: bool = True,
        content_type: str = "text/event-stream",
    ) -> Stream:
        """Begin a response that goes on: chunked, or delimited by the end of the connection."""
        given = {"content-type": content_type, "cache-control": "no-store"}
        given.update({"transfer-encoding": "chunked"} if chunked else {"connection": "close"})
        given.update({name.lower(): value for name, value in (headers or {}).items()})
        self.send(self.head(code, given))
        return Stream(self, chunked)

    # Ending

    def finish(self) -> None:
        """End the connection in order (FIN)."""
        with self._lock:
            if not self.closed:
                self.closed = True
                self._shut(socket.SHUT_RDWR)
                self.sock.close()

    def reset(self) -> None:
        """Tear the connection down (RST)."""
        with self._lock:
            if not self.closed:
                self.closed = True
                try:
                    self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                except OSError:
                    pass
                # Wakes a thread of ours that reads: the kernel resets only when nobody holds the socket.
                self._shut(socket.SHUT_RD)
                self.sock.close()

    def _shut(self, how: int) -> None:
        try:
            socket.socket.shutdown(self.sock, how)
        except OSError:
            pass

    def interrupt(self) -> None:
        """Wake whoever reads or writes here (called at the server's end)."""
        self._shut(socket.SHUT_RDWR)

    def hold(self) -> None:
        """Keep the connection open and silent until the peer, or the server, ends it."""
        while self._receive():
            pass
        raise Gone


class Stream:
    """A response under way: events, or any bytes."""

    def __init__(self, wire: Wire, chunked: bool) -> None:
        self.wire = wire
        self.chunked = chunked
        self.line_end = wire.server.line_end

    def send(self, data: Union[bytes, str]) -> None:
        """Bytes of the body, as one chunk."""
        data = data.encode() if isinstance(data, str) else data
        if data:
            self.wire.send(b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data)

    def drip(self, data: Union[bytes, str], size: int = 1, pause: float = 0.0) -> None:
        """The same in pieces of ``size`` bytes, each a chunk and a packet of its own."""
        data = data.encode() if isinstance(data, str) else data
        for start in range(0, len(data), size):
            self.send(data[start : start + size])
            if pause and self.wire.server.closing.wait(pause):
                raise Gone

    def event(
        self,
        data: Union[str, Message, list[Any], None] = None,
        event: Optional[str] = "message",
        id: Optional[str] = None,
        retry: Optional[int] = None,
    ) -> None:
        self.send(sse(data, event, id, retry, self.line_end))

    def message(self, message: Union[Message, list[Any]]) -> None:
        self.event(message)

    def comment(self, text: str = "ping") -> None:
        self.send(f": {text}{self.line_end}{self.line_end}")

    def end(self) -> None:
        """End the body in order; a connection with chunks stays usable."""
        if self.chunked:
            self.wire.send(b"0\r\n\r\n")
        else:
            self.wire.finish()

    def cut(self) -> None:
        """FIN without the last chunk."""
        self.wire.finish()

    def reset(self) -> None:
        self.wire.reset()

    def hold(self) -> None:
        self.wire.hold()


class Session:
    """One client's session, with what goes to it by its stream."""

    def __init__(self, id: str, stream: Optional[Stream]) -> None:
        self.id = id
        self.stream = stream
        self._ids = itertools.count(1)
        self._lock = threading.Lock()  # guards the table
        self._waiting: dict[object, tuple[threading.Event, list[Message]]] = {}
        # Set when the GET stream, and over HTTP+SSE the session with it, is over.
        self.gone = threading.Event()

    def send(self, message: Union[Message, list[Any]]) -> None:
        """A message on the shared stream."""
        assert self.stream is not None
        self.stream.message(message)

    def notify(self, method: str, params: Optional[Mapping[str, Any]] = None) -> None:
        message: Message = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message["params"] = dict(params)
        self.send(message)

    def ask(
        self,
        method: str,
        params: Optional[Mapping[str, Any]] = None,
        *,
        id: Optional[object] = None,
        via: Optional[Callable[[Message], None]] = None,
        wait: bool = True,
    ) -> Message:
        """Send a request to the client, and wait for its answer (or leave that to ``answer_to``)."""
        if id is None:
            id = f"srv-{next(self._ids)}"
        with self._lock:
            self._waiting[id] = (threading.Event(), [])
        (via or self.send)({"jsonrpc": "2.0", "id": id, "method": method, "params": dict(params or {})})
        return self.answer_to(id) if wait else {}

    def answer_to(self, id: object, seconds: float = PATIENCE) -> Message:
        event, answers = self._waiting[id]
        assert event.wait(seconds), f"the client did not answer {id!r}"
        return answers[0]

    def answered(self, message: Message) -> None:
        with self._lock:
            waiting = self._waiting.get(message.get("id"))
        if waiting is not None:
            waiting[1].append(message)
            waiting[0].set()


class Asked:
    """One JSON-RPC request under way, and how to answer it."""

    def __init__(self, server: FaultServer, session: Session, message: Message, request: Request, wire: Wire) -> None:
        self.server = server
        self.session = session
        self.message = message
        self.request = request
        self.wire = wire
        # Over Streamable HTTP: the POST's own stream, once there is one.
        self.stream: Optional[Stream] = None

    @property
    def id(self) -> Any:
        return self.message.get("id")

    @property
    def params(self) -> dict[str, Any]:
        return self.message.get("params") or {}

    @property
    def arguments(self) -> dict[str, Any]:
        return self.params.get("arguments") or {}

    @property
    def token(self) -> Any:
        """The progress token that the client gave, or None."""
        return (self.params.get("_meta") or {}).get("progressToken")

    def send(self, message: Union[Message, list[Any]]) -> None:
        """Any message by the way that the answer takes, as an event."""
        if self.server.has_shared_stream:
            self.session.send(message)
        else:
            self.own_stream().message(message)

    def own_stream(self) -> Stream:
        """Over Streamable HTTP: the POST's response as an event stream, begun here if need be."""
        if self.stream is None:
            self.stream = self.wire.stream(headers=self.server.session_headers(self.session, self.message))
        return self.stream

    def reply(self, message: Message) -> None:
        """A whole answer."""
        if self.server.has_shared_stream or self.stream is not None or self.server.answers == "sse":
            self.send(message)
            if self.stream is not None:
                self.stream.end()
        else:
            self.wire.respond(200, message, self.server.session_headers(self.session, self.message))

    def answer(self, result: Mapping[str, Any]) -> None:
        self.reply({"jsonrpc": "2.0", "id": self.id, "result": dict(result)})

    def error(self, code: int, text: str, data: object = None) -> None:
        error: Message = {"code": code, "message": text}
        if data is not None:
            error["data"] = data
        self.reply({"jsonrpc": "2.0", "id": self.id, "error": error})

    def text(self, text: str, **more: Any) -> None:
        """The result of a tool: one block of text."""
        self.answer({"content": [{"type": "text", "text": text}], **more})

    def progress(self, progress: float, total: Optional[float] = None, message: Optional[str] = None) -> None:
        params: Message = {"progressToken": self.token, "progress": progress}
        if total is not None:
            params["total"] = total
        if message is not None:
            params["message"] = message
        self.send({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})

    def log(self, data: object, level: str = "info") -> None:
        self.send({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": level, "data": data}})

    def ask(self, method: str, params: Optional[Mapping[str, Any]] = None) -> Message:
        """Ask the client something by the way that the answer takes, and wait for what it says."""
        return self.session.ask(method, params, via=self.send)

    def wait(self, gate: threading.Event) -> None:
        """Wait for a test's gate; end quietly with the server."""
        self.server.wait(gate)


Behaviour = Callable[[Wire, Request], None]


# Behaviours for ``instead``


def reset(wire: Wire, request: Request) -> None:
    """RST."""
    wire.reset()


def finish(wire: Wire, request: Request) -> None:
    """FIN without a byte."""
    wire.finish()


def hold(wire: Wire, request: Request) -> None:
    """Silence for as long as the peer bears it."""
    wire.hold()


def status(
    code: int,
    body: Union[bytes, str, Mapping[str, Any]] = b"",
    headers: Optional[Mapping[str, str]] = None,
) -> Behaviour:
    """A whole response."""

    def do(wire: Wire, request: Request) -> None:
        wire.respond(code, body, headers)

    return do


def raw(data: bytes, then: Behaviour = finish) -> Behaviour:
    """These bytes as the response, and then FIN, or something else."""

    def do(wire: Wire, request: Request) -> None:
        wire.send(data)
        then(wire, request)

    return do


def sse(
    data: Union[str, Message, list[Any], None] = None,
    event: Optional[str] = "message",
    id: Optional[str] = None,
    retry: Optional[int] = None,
    line_end: str = "\r\n",
) -> bytes:
    """One event as bytes."""
    lines = []
    if event is not None:
        lines.append(f"event: {event}")
    if id is not None:
        lines.append(f"id: {id}")
    if retry is not None:
        lines.append(f"retry: {retry}")
    if data is not None:
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        lines += [f"data: {line}" for line in text.split("\n")]
    return (line_end.join(lines) + line_end * 2).encode()


@dataclass
class _Fault:
    when: Union[str, Callable[[Request], bool]]
    do: Behaviour
    left: float

    def fits(self, request: Request) -> bool:
        if callable(self.when):
            return self.when(request)
        return self.when == request.method or self.when in request.rpc_methods


class FaultServer:
    """A scripted MCP server on a free loopback port.

    Parameters:
        binding: ``"sse"`` (HTTP+SSE at ``sse_url``), ``"http"`` (Streamable HTTP at ``mcp_url``), or ``"stdio"``, for
            which see stdio_server.py.
        tls: the server's TLS context, for https.
        host: a loopback address, or a name that the URL carries instead.
        port: 0 takes a free one.

    Attributes:
        requests: every request that came whole, in order.
        tool_calls: how often each tool was called, counted on arrival.
        connections: how many connections were accepted.
        handshake_failures: how many of them failed in TLS.
        gate: what the tool ``slow`` waits for.
        closing: set when the server ends.
        sessions: by id.
    """

    def __init__(
        self,
        binding: str = "sse",
        tls: Optional[ssl.SSLContext] = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.binding = binding
        self._tls = tls
        self.line_end = "\r\n"
        self.protocol_version: Optional[str] = None
        self.capabilities: Message = {
            "tools": {"listChanged": True},
            "resources": {"subscribe": True, "listChanged": True},
            "prompts": {},
            "logging": {},
            "completions": {},
        }
        self.server_info: Message = {"name": "fault-server", "version": "1.0"}
        self.instructions: Optional[str] = None
        # HTTP+SSE
        self.sse_path = "/sse"
        self.messages_path = "/messages/"
        self.stream_options: dict[str, Any] = {}
        self.greet: Callable[[Session], None] = self.send_endpoint
        # Streamable HTTP
        self.mcp_path = "/mcp"
        self.answers = "json"
        self.standing_stream = True
        self.mints_sessions = True

        self.gate = threading.Event()
        self.closing = threading.Event()
        # Guards what was recorded, and wakes who waits for it.
        self._recorded = threading.Condition(threading.Lock())
        self.requests: list[Request] = []
        self.tool_calls: Counter[str] = Counter()
        self.connections = 0
        self.handshake_failures = 0
        self.sessions: dict[str, Session] = {}
        self.errors: list[BaseException] = []
        self._faults: list[_Fault] = []
        self._wires: set[Wire] = set()
        self._threads: list[threading.Thread] = []

        self.methods: dict[str, Callable[[Asked], None]] = _methods(self)
        self.tools: dict[str, Callable[[Asked], None]] = _tools(self)
        self.tool_list: list[Message] = [_describe(name) for name in self.tools]

        family = socket.AF_INET6 if host == "::1" else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("::1" if host == "::1" else "127.0.0.1", port))
        self._listener.listen(128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def has_shared_stream(self) -> bool:
        """Whether all answers of a session come by one stream."""
        return self.binding != "http"

    @property
    def sse_url(self) -> str:
        return self.url + self.sse_path

    @property
    def mcp_url(self) -> str:
        return self.url + self.mcp_path

    # What a test asks

    def instead(self, when: Union[str, Callable[[Request], bool]], do: Behaviour, times: float = 1) -> None:
        """For the next ``times`` connections or requests of this kind, ``do`` this instead of the usual.

        Parameters:
            when: ``"connect"``, an HTTP method, a JSON-RPC method, or a predicate of the request.
            times: ``math.inf`` for always.
        """
        self._faults.append(_Fault(when, do, times))

    def wait_until(self, condition: Callable[[], bool], what: str = "", seconds: float = PATIENCE) -> None:
        """Wait until something that this server records has come about; fail the test when it does not."""
        with self._recorded:
            assert self._recorded.wait_for(condition, seconds), f"it did not come about: {what or condition}"

    def wait_for_call(self, name: str, count: int = 1) -> None:
        """Wait until a tool was called."""
        self.wait_until(lambda: self.tool_calls[name] >= count, f"{count} calls of {name}")

    def wait_for_method(self, method: str, count: int = 1) -> list[Message]:
        """Wait until messages of a JSON-RPC method have come, and return them."""
        self.wait_until(lambda: len(self._sent(method)) >= count, f"{count} times {method}")
        return self.sent(method)

    def sent(self, method: str) -> list[Message]:
        """The messages of one JSON-RPC method that came so far."""
        with self._recorded:
            return self._sent(method)

    def _sent(self, method: str) -> list[Message]:
        return [message for request in self.requests for message in request.messages if message.get("method") == method]

    def count(self, method: str) -> int:
        """How many requests of one HTTP method came so far."""
        with self._recorded:
            return sum(request.method == method for request in self.requests)

    def times(self, method: str) -> list[float]:
        """When requests of one HTTP method came."""
        with self._recorded:
            return [request.at for request in self.requests if request.method == method]

    @property
    def session(self) -> Session:
        """The newest session."""
        return list(self.sessions.values())[-1]

    @property
    def open_connections(self) -> int:
        with self._recorded:
            return len(self._wires)

    def wait(self, gate: threading.Event) -> None:
        """Wait for a gate of the test, or end with the server."""
        at = time.monotonic() + PATIENCE
        while not gate.wait(0.02):
            if self.closing.is_set() or time.monotonic() > at:
                raise Gone

    # Running

    def __enter__(self) -> FaultServer:
        self._accepting = self._start(self._accept, "fault-server-accept")
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], value: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self.close()
        if self.errors and kind is None:
            raise self.errors[0]

    def close(self) -> None:
        """End every connection and every thread."""
        self.closing.set()
        self.gate.set()
        self.stop_listening()
        at = time.monotonic() + 5.0
        self._accepting.join(5.0)  # first: it may be about to start a thread for a connection that came just now
        self.drop_connections()
        for thread in self._threads:
            thread.join(max(0.0, at - time.monotonic()))
        left = [thread.name for thread in self._threads if thread.is_alive()]
        assert not left, f"the fault server's own threads are stuck: {left}"

    def stop_listening(self) -> None:
        """Refuse connections from now on; those that are open stay."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()

    def drop_connections(self, do: str = "interrupt") -> None:
        """End every open connection at once: ``"interrupt"`` by FIN, ``"reset"`` by RST."""
        with self._recorded:
            wires = list(self._wires)
        for wire in wires:
            getattr(wire, do)()

    def _start(self, run: Callable[[], None], name: str) -> threading.Thread:
        def guarded() -> None:
            try:
                run()
            except Gone:
                pass
            except BaseException as exc:  # noqa: BLE001  # a test's assertion in here must fail the test
                self.errors.append(exc)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        with self._recorded:
            self._threads = [old for old in self._threads if old.is_alive() or old.ident is None]
            self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._recorded:
                self.connections += 1
                wire = Wire(self, sock, self.connections)
                self._wires.add(wire)
                self._recorded.notify_all()
            self._start(lambda wire=wire: self._serve(wire), "fault-server-connection")  # type: ignore[misc]

    def _serve(self, wire: Wire) -> None:
        try:
            try:
                wire.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:
                return  # a test has ended it already
            arrival = Request("connect", "", {}, connection=wire.number)
            fault = self._next_fault(arrival)
            if fault is not None:
                fault(wire, arrival)
                return
            if self._tls is not None and not self._wrap(wire):
                return
            while not wire.closed and not self.closing.is_set():
                request = wire.read_request()
                if request is None:
                    return
                self._record(request)
                (self._next_fault(request) or self.serve)(wire, request)
        finally:
            wire.finish()
            with self._recorded:
                self._wires.discard(wire)
                self._recorded.notify_all()

    def _wrap(self, wire: Wire) -> bool:
        assert self._tls is not None
        try:
            wire.sock = self._tls.wrap_socket(wire.sock, server_side=True)
            return True
        except (OSError, ValueError):
            with self._recorded:
                self.handshake_failures += 1
                self._recorded.notify_all()
            return False

    def _record(self, request: Request) -> None:
        with self._recorded:
            self.requests.append(request)
            for message in request.messages:
                if message.get("method") == "tools/call":
                    self.tool_calls[str((message.get("params") or {}).get("name"))] += 1
            self._recorded.notify_all()

    def _next_fault(self, request: Request) -> Optional[Behaviour]:
        with self._recorded:
            for fault in self._faults:
                if fault.left > 0 and fault.fits(request):
                    fault.left -= 1
                    return fault.do
        return None

    # HTTP

    def serve(self, wire: Wire, request: Request) -> None:
        """What is done with a request that nothing else is done with."""
        serve = {"GET": self.serve_get, "POST": self.serve_post, "DELETE": self.serve_delete}.get(request.method)
        if serve is None:
            wire.respond(405, "Method Not Allowed")
        else:
            serve(wire, request)

    def serve_get(self, wire: Wire, request: Request) -> None:
        if self.binding == "sse" and request.path == self.sse_path:
            self._serve_session(wire)
        elif self.binding == "http" and request.path == self.mcp_path:
            self._serve_standing_stream(wire, request)
        else:
            wire.respond(404, "Not Found", {"content-type": "text/plain"})

    def serve_post(self, wire: Wire, request: Request) -> None:
        if self.binding == "sse":
            self._take_message(wire, request)
        elif request.path == self.mcp_path:
            self._answer_post(wire, request)
        else:
            wire.respond(404, "Not Found", {"content-type": "text/plain"})

    def serve_delete(self, wire: Wire, request: Request) -> None:
        session = self.sessions.pop(request.headers.get("mcp-session-id", ""), None)
        wire.respond(200 if session is not None else 404)
        if session is not None and session.stream is not None:
            session.stream.end()

    # HTTP+SSE

    def new_session(self, stream: Optional[Stream]) -> Session:
        session = Session(os.urandom(16).hex(), stream)
        with self._recorded:
            self.sessions[session.id] = session
            self._recorded.notify_all()
        return session

    def forget_sessions(self) -> None:
        """As after a restart: POSTs to them are answered with 404; open streams stay open."""
        with self._recorded:
            self.sessions.clear()

    def frame(self, data: Union[str, Message, list[Any], None]) -> bytes:
        """One message as this binding frames it: an event, or over stdio a line."""
        if self.binding != "stdio":
            return sse(data)
        return (data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)).encode() + b"\n"

    def send_endpoint(self, session: Session) -> None:
        """Name the endpoint, as most servers do."""
        assert session.stream is not None
        session.stream.event(f"{self.messages_path}?session_id={session.id}", event="endpoint")

    def _serve_session(self, wire: Wire) -> None:
        session = self.new_session(wire.stream(**self.stream_options))
        try:
            self.greet(session)
            wire.hold()
        finally:
            session.gone.set()
            with self._recorded:
                self.sessions.pop(session.id, None)
                self._recorded.notify_all()

    def _take_message(self, wire: Wire, request: Request) -> None:
        id = request.query.get("session_id") or request.query.get("sessionId") or ""
        session = self.sessions.get(id)
        if request.path != self.messages_path or session is None:
            wire.respond(404, "Could not find session", {"content-type": "text/plain"})
            return
        wire.respond(202, "Accepted")
        self.handle(session, wire, request)

    def handle(self, session: Session, wire: Wire, request: Request) -> None:
        """Over HTTP+SSE: answer the messages of a POST on the session's stream, each on a thread of its own."""
        for message in request.messages:
            if "method" not in message:
                session.answered(message)
            elif "id" in message:
                asked = Asked(self, session, message, request, wire)
                self._start(lambda asked=asked: self.answer(asked), "fault-server-call")  # type: ignore[misc]

    # Streamable HTTP

    def session_headers(self, session: Session, message: Message) -> dict[str, str]:
        """The headers of an answer: initialize names the session."""
        return {"mcp-session-id": session.id} if self.mints_sessions and message.get("method") == "initialize" else {}

    def _serve_standing_stream(self, wire: Wire, request: Request) -> None:
        session = self.sessions.get(request.headers.get("mcp-session-id", ""))
        if not self.standing_stream or session is None:
            wire.respond(405 if session is not None or not self.mints_sessions else 400, "no stream here")
            return
        session.stream = wire.stream(**self.stream_options)
        with self._recorded:
            self._recorded.notify_all()
        try:
            wire.hold()
        finally:
            session.gone.set()

    def _answer_post(self, wire: Wire, request: Request) -> None:
        id = request.headers.get("mcp-session-id", "")
        session = self.sessions.get(id)
        if "initialize" in request.rpc_methods:
            session = self.new_session(None)
        elif session is None and not self.mints_sessions:
            session = Session("", None)
        if session is None:
            wire.respond(404 if id else 400, "no such session")
            return
        asked = [message for message in request.messages if "method" in message and "id" in message]
        for message in request.messages:
            if "method" not in message:
                session.answered(message)
        if not asked:
            wire.respond(202)
        for message in asked:
            self.answer(Asked(self, session, message, request, wire))

    # MCP

    def answer(self, asked: Asked) -> None:
        """Answer one JSON-RPC request."""
        method = self.methods.get(str(asked.message["method"]))
        if method is None:
            asked.error(-32601, f"Method not found: {asked.message['method']}")
        else:
            method(asked)


def _methods(server: FaultServer) -> dict[str, Callable[[Asked], None]]:
    def initialize(asked: Asked) -> None:
        result: Message = {
            "protocolVersion": server.protocol_version or asked.params["protocolVersion"],
            "capabilities": server.capabilities,
            "serverInfo": server.server_info,
        }
        if server.instructions is not None:
            result["instructions"] = server.instructions
        asked.answer(result)

    def call_tool(asked: Asked) -> None:
        tool = server.tools.get(str(asked.params.get("name")))
        if tool is None:
            asked.error(-32602, f"Unknown tool: {asked.params.get('name')}")
        else:
            tool(asked)

    def read(asked: Asked) -> None:
        asked.answer({"contents": [{"uri": asked.params["uri"], "mimeType": "text/plain", "text": "content"}]})

    return {
        "initialize": initialize,
        "ping": lambda asked: asked.answer({}),
        "tools/list": lambda asked: asked.answer({"tools": server.tool_list}),
        "tools/call": call_tool,
        "resources/list": lambda asked: asked.answer({"resources": [{"uri": "test://one", "name": "one"}]}),
        "resources/templates/list": lambda asked: asked.answer({"resourceTemplates": []}),
        "resources/read": read,
        "resources/subscribe": lambda asked: asked.answer({}),
        "resources/unsubscribe": lambda asked: asked.answer({}),
        "prompts/list": lambda asked: asked.answer({"prompts": [{"name": "greet"}]}),
        "prompts/get": lambda asked: asked.answer(
            {"messages": [{"role": "user", "content": {"type": "text", "text": "hello"}}]}
        ),
        "logging/setLevel": lambda asked: asked.answer({}),
        "completion/complete": lambda asked: asked.answer({"completion": {"values": ["one", "two"]}}),
    }


def _tools(server: FaultServer) -> dict[str, Callable[[Asked], None]]:
    def slow(asked: Asked) -> None:
        asked.wait(server.gate)
        asked.text("slow")

    def progress(asked: Asked) -> None:
        count = int(asked.arguments.get("count", 3))
        for number in range(1, count + 1):
            asked.progress(number, count, f"step {number}")
        asked.text(f"{count} steps")

    def ask(asked: Asked) -> None:
        answer = asked.ask(
            str(asked.arguments.get("method", "sampling/createMessage")),
            asked.arguments.get(
                "params",
                {"messages": [{"role": "user", "content": {"type": "text", "text": "2 + 2?"}}], "maxTokens": 10},
            ),
        )
        asked.text(json.dumps(answer))

    return {
        "echo": lambda asked: asked.text(str(asked.arguments.get("message", ""))),
        "slow": slow,
        "progress": progress,
        "fail": lambda asked: asked.text("it failed", isError=True),
        "ask": ask,
        # A tool that never answers.
        "never": lambda asked: None,
    }


def _describe(name: str) -> Message:
    properties: Message = {"message": {"type": "string"}} if name == "echo" else {}
    return {
        "name": name,
        "description": f"The tool {name}.",
        "inputSchema": {"type": "object", "properties": properties, "required": list(properties)},
    }


@contextmanager
def black_hole() -> Iterator[str]:
    """The URL of a loopback port whose SYNs are never answered: its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = []
        try:
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(address)
                fillers.append(filler)
            yield f"http://127.0.0.1:{address[1]}/sse"
        finally:
            for filler in fillers:
                filler.close()


@functools.lru_cache
def gzip_bomb(size: int) -> bytes:
    """``size`` zero bytes, compressed to about a thousandth."""
    return gzip.compress(bytes(size))


ALWAYS = math.inf
