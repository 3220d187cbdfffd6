"""What must hold for any bytes at all: one function for each thing that reads what others send.

Each takes a fuzzer's bytes and raises AssertionError, or whatever got out that must not, where it does not hold.

Used by the tests here, and by ``python -m tests.fuzz``, on the thread that runs them.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import logging
import math
import re
import socket
import time
import unicodedata
from collections.abc import Mapping
from typing import Any, Callable, Optional, Union, cast
from urllib.parse import urlsplit

import requests
from pydantic import ValidationError
from requests.adapters import HTTPAdapter
from urllib3.util import parse_url

from mcp_sync.calls.tools import ToolFunction
from mcp_sync.concurrency.budget import Budget
from mcp_sync.concurrency.log import Log
from mcp_sync.errors import MCPClientError, MCPConnectionError, MCPHandshakeError, MCPProtocolError, MCPUsageError
from mcp_sync.escape import escape, excerpt
from mcp_sync.protocol.headers import check_header, encode_value, header_paths, mirrored
from mcp_sync.protocol.messages import decode, encode, matching_id, result_of, shown
from mcp_sync.protocol.types import CallToolResult, GetPromptResult, ReadResourceResult, Tool
from mcp_sync.protocol.urls import public_url, resolve_endpoint, resolve_redirect
from mcp_sync.session.dispatcher import Dispatcher
from mcp_sync.session.handlers import Handlers, event_of
from mcp_sync.session.server_requests import Listeners, Pools, ServerRequests
from mcp_sync.session.waiter import Waiter
from mcp_sync.transports.http.chunked import ChunkDecoder
from mcp_sync.transports.http.response import seconds_of_retry_after
from mcp_sync.transports.masking import Secrets
from mcp_sync.transports.sse import Framer
from mcp_sync.transports.stdio.lines import Lines, ServerLog
from tests.support.whatwg import Seen, interpret

from .hostile_targets import HOSTILE
from .source import Source, pieces

__all__ = ["TARGETS"]

_LIMIT = 1 << 20
_SMALL_LIMIT = 24
_BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


# Framing


def _framed(stream: list[bytes], limit: int) -> Union[Seen, str]:
    framer = Framer(limit)
    try:
        events = [event for piece in stream for event in framer.feed(piece)]
    except MCPProtocolError:
        return "over the limit"
    texts = [(e.event, e.data if isinstance(e.data, str) else e.data.decode("utf-8", "replace")) for e in events]
    return Seen([event for event in texts if event[1]], framer.last_event_id, framer.retry_ms)


def sse(data: bytes) -> None:
    """A stream says what the standard says, however it is cut up; and none gets over the limit unnoticed."""
    source = Source(data)
    seed = source.byte() * 256 + source.byte()
    stream = source.rest()
    expected = interpret(stream)
    assert _framed([stream], _LIMIT) == expected
    assert _framed(list(pieces(stream, seed)), _LIMIT) == expected
    position = seed % (len(stream) + 1)
    assert _framed([stream[:position], stream[position:]], _LIMIT) == expected
    for way in ([stream], list(pieces(stream, seed))):
        limited = _framed(way, _SMALL_LIMIT)
        assert limited == expected or (limited == "over the limit" and len(stream) > _SMALL_LIMIT)
        if max((len(text) for _, text in expected.events), default=0) > _SMALL_LIMIT:
            assert limited == "over the limit"


def _unchunked(parts: list[bytes]) -> Union[tuple[bytes, bytes], str]:
    """The payload and what follows the end, or why there is none."""
    decoder, payload = ChunkDecoder(), b""
    for position, part in enumerate(parts):
        try:
            payload += decoder.feed(part)
        except http.client.HTTPException:
            return "no framing"
        if decoder.done:
            return payload, decoder.excess + b"".join(parts[position + 1 :])
    return "not whole"


class _Wire:
    """A socket that a response is read from."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)

    def makefile(self, mode: str) -> io.BytesIO:
        return self.file


def _by_http_client(framing: bytes) -> Optional[bytes]:
    wire = _Wire(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framing)
    response = http.client.HTTPResponse(cast(socket.socket, wire))
    try:
        response.begin()
        payload = response.read()
    except (http.client.HTTPException, ValueError, OverflowError, MemoryError):
        return None
    return payload


def chunked(data: bytes) -> None:
    """However chunks are cut up they come to the same, and what is taken is what http.client takes."""
    source = Source(data)
    seed = source.byte()
    framing = source.rest()
    whole = _unchunked([framing])
    assert _unchunked([part for part in pieces(framing, seed) if part]) == whole
    position = seed % (len(framing) + 1)
    assert _unchunked([part for part in (framing[:position], framing[position:]) if part]) == whole
    theirs = _by_http_client(framing)
    if theirs is not None and isinstance(whole, tuple):
        assert whole[0] == theirs
    # What is well made is taken.
    parts = [part for part in pieces(framing, seed) if part]
    made = b"".join(b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\nA: b\r\n\r\n"
    assert _unchunked([made + b"rest"]) == (framing, b"rest")


def lines(data: bytes) -> None:
    """A child's output is cut at its newlines alone, however it arrives."""
    source = Source(data)
    seed = source.byte()
    stream = source.rest()
    expected = stream.split(b"\n")[:-1]
    for way in ([stream], list(pieces(stream, seed)), [bytes([byte]) for byte in stream]):
        cutter = Lines(_LIMIT)
        assert [line for piece in way for line in cutter.feed(piece)] == expected
        cutter, seen = Lines(_SMALL_LIMIT), []
        try:
            for piece in way:
                seen += cutter.feed(piece)
        except MCPProtocolError:
            assert max(map(len, stream.split(b"\n"))) > _SMALL_LIMIT
        else:
            assert seen == expected
            assert max(map(len, stream.split(b"\n"))) <= _SMALL_LIMIT


def stderr(data: bytes) -> None:
    """A value of the child's environment is in no log line and no error, however its output is cut up."""
    source = Source(data)
    seed = source.byte()
    secrets = ("hunter2hunter2", "first line 123\nsecond line 456", "S" * 3000)
    noise = source.rest().replace(b"hunter2", b"").replace(b"S", b"")
    dice = [*pieces(noise, seed)][:12]
    output = b"".join(secrets[index % 3].encode() + piece for index, piece in enumerate(dice))
    records: list[str] = []
    logger = logging.Logger("stderr", logging.DEBUG)  # one that nobody else has
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]  # for this one
    logger.addHandler(handler)
    given = Secrets.of_command([], {"A": secrets[0], "B": secrets[1], "C": secrets[2]})
    log = ServerLog(Log(logger.name, logger), "server", given)
    for piece in pieces(output, seed):
        log.wrote(piece)
    log.flush()
    for text in (*records, log.tail()):
        assert "hunter2" not in text
        assert "line 123" not in text
        assert "line 456" not in text
        assert "SSSSSSSS" not in text
        _assert_harmless(text)


# JSON-RPC


def _reject(text: str) -> None:
    raise ValueError(text)


def jsonrpc(data: bytes) -> None:
    """A frame is messages, as Python's json reads them, or an MCPProtocolError; and what is sent comes back."""
    try:
        messages = decode(data)
    except MCPProtocolError as exc:
        assert len(exc.message) < 1500
        _assert_harmless(str(exc))
        return
    assert messages
    assert all(type(message) is dict for message in messages)
    value = json.loads(data.decode("utf-8", "replace"))
    assert _same(messages, value if isinstance(value, list) else [value])
    for message in messages:
        _assert_harmless(shown(message))
        hash(matching_id(message.get("id")))
        try:
            assert isinstance(result_of(message), dict)
        except MCPClientError as exc:
            _assert_harmless(str(exc))
        try:
            again = encode(message)
        except MCPUsageError:
            continue
        assert b"\n" not in again
        assert _same(decode(again), [message])


def _same(one: Any, other: Any) -> bool:
    """Equality to which NaN is itself, and 1 is not True."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other) or (isinstance(one, float) and math.isnan(one) and math.isnan(other))


class _AtOnce:
    """Workers that do each job at once, on the thread that brings it."""

    def submit(self, job: Callable[[], None], size: int = 0) -> bool:
        job()
        return True


class _Pools:
    """The worker threads of a client, without the threads."""

    def __init__(self) -> None:
        self.handlers = self.notices = self.errands = self.pings = self.refusals = _AtOnce()
        self.budget = Budget()


_METHODS = (
    "ping",
    "sampling/createMessage",
    "elicitation/create",
    "roots/list",
    "notifications/progress",
    "notifications/message",
    "notifications/cancelled",
    "notifications/tools/list_changed",
    "notifications/resources/updated",
    "tools/call",
)
_NAMES = """
    jsonrpc id method params result error code message data progressToken progress total requestId _meta level logger
    uri messages mode requestedSchema url properties default type required role content text
""".split()  # noqa: SIM905  # shorter than a list of literals


def _message(source: Source) -> dict[str, Any]:
    """A message that is nearly right."""
    message: dict[str, Any] = {"jsonrpc": "2.0"}
    for name in ("id", "method", "params", "result", "error", "jsonrpc"):
        choice = source.byte() % 4
        if choice == 0:
            message[name] = source.value(_NAMES)
        elif choice == 1:
            message[name] = {"id": 1 + source.byte() % 4, "method": source.pick(_METHODS)}.get(
                name, {"progressToken": 1 + source.byte() % 4, "progress": 1}
            )
    return message


def routing(data: bytes) -> None:
    """No message, whatever it holds, ends the dispatcher; each waiter gets the answer to its own id, and no other."""
    source = Source(data)
    replies: list[Any] = []

    def reply(message: Any) -> None:
        replies.append(json.loads(encode(message)))

    answer = source.pick(({"role": "assistant"}, {"action": "accept", "content": {}}, None, 3, {"x": "\ud800"}))
    handlers = Handlers(
        sampling=lambda params: cast(Any, answer),
        elicitation=lambda params: cast(Any, answer),
        roots=["file:///a"],
        log=repr,
        progress=repr,
        notification=repr,
    )
    requests = ServerRequests(handlers, cast(Pools, _Pools()), Listeners(), reply)
    dispatcher = Dispatcher(requests, lambda error: None, lambda error: None)
    waiters = [Waiter(id, wants) for id, wants in enumerate(("all", "progress", None, "all"), 1)]
    for waiter in waiters:
        dispatcher.expect(waiter)
    answered: dict[int, Any] = {}
    logger = logging.getLogger("mcp_sync")
    level = logger.level
    logger.setLevel(source.pick((logging.DEBUG, logging.WARNING)))
    with _Unrouted() as unrouted:
        for _ in range(12):
            if source.spent:
                break
            via = source.pick((None, None, *waiters))
            message = _message(source)
            dispatcher.route([message], via)
            target = _addressee(message, via)
            if target is not None and target not in answered and (via is None or via.id == target):
                answered[target] = message
    logger.setLevel(level)
    assert unrouted.count == 0
    for waiter in waiters:
        assert (waiter.answer is not None) == (waiter.id in answered)
        if waiter.answer is None:
            own: dict[str, Any] = {"jsonrpc": "2.0", "id": waiter.id, "result": {}}
            dispatcher.route([own])
            assert waiter.answer is own
        else:
            assert waiter.answer is answered[cast(int, waiter.id)]
        assert waiter.failure is None
        assert waiter.event.is_set()
        for event in waiter.take():
            _assert_harmless(repr(event_of(event)))
    assert dispatcher.waiting == 0
    for answer in replies:
        assert ("result" in answer) != ("error" in answer)


class _Unrouted(logging.Handler):
    """Counts the messages that could not be routed, and what is shown of others that is not harmless."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self._logger = logging.getLogger("mcp_sync")

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.count += "could not be routed" in text
        _assert_harmless(text)

    def __enter__(self) -> _Unrouted:
        self._logger.addHandler(self)
        return self

    def __exit__(self, *problem: object) -> None:
        self._logger.removeHandler(self)


def _addressee(message: Mapping[str, Any], via: Optional[Waiter]) -> Optional[int]:
    """Whose answer a message is: nobody's if it has a method, in whatever form."""
    if message.get("method") is not None:
        return None
    id = message.get("id")
    if id is None and "error" in message and via is not None:
        return cast(int, via.id)
    if isinstance(id, bool):
        return None
    if isinstance(id, float) and not id.is_integer():
        return None
    if isinstance(id, str) and not re.fullmatch("[1-9][0-9]{0,18}", id):
        return None
    if isinstance(id, (int, float, str)):
        try:
            number = int(id)
        except (ValueError, OverflowError):
            return None
        return number if 1 <= number <= 4 else None
    return None


# Payloads

_PAYLOAD_NAMES = """
    content structuredContent isError _meta type text data mimeType resource uri blob name title description
    inputSchema outputSchema annotations readOnlyHint properties required default x-mcp-header resultType messages
    role contents audience icons src $ref $defs items enum additionalProperties execution taskSupport
""".split()  # noqa: SIM905  # shorter than a list of literals


def payloads(data: bytes) -> None:
    """A result is read or refused by a ValidationError; what was read shows itself without harm, and goes back."""
    source = Source(data)
    model: Any = source.pick((CallToolResult, ReadResourceResult, GetPromptResult, Tool))
    value = source.value(_PAYLOAD_NAMES)
    if isinstance(value, dict) and source.byte() % 2:
        if model is Tool:
            value = {"name": "a", "inputSchema": value, **value}
        else:
            value = {"content": [{"type": "text", "text": source.text(20)}, value], **value}
    try:
        read: Any = model.model_validate(value)
    except ValidationError:
        return
    _assert_harmless(repr(read))
    _assert_harmless(str(read))
    assert _same(model.model_validate(read.to_wire()).to_wire(), read.to_wire())
    if isinstance(read, CallToolResult):
        assert isinstance(read.text, str)
        _ = read.data
    for block in read.content if isinstance(read, CallToolResult) else ():
        if hasattr(block, "decode"):
            try:
                block.decode()
            except MCPProtocolError as exc:
                _assert_harmless(str(exc))
    if isinstance(read, Tool):
        function = ToolFunction(read, lambda name, arguments: arguments)
        _assert_harmless(repr(function))
        _assert_harmless(function.__doc__ or "")


# HTTP


def _meaning(header: str) -> str:
    """What a server makes of a header's value (2026-07-28, Value Encoding)."""
    if header.startswith("=?base64?") and header.endswith("?="):
        return base64.b64decode(header[9:-2], validate=True).decode("utf-8")
    return header.strip(" \t")


def headers(data: bytes) -> None:
    """Whatever is mirrored into headers can be sent, says the same there, and adds no header of its own."""
    source = Source(data)
    text = source.text(source.byte() % 32)
    schema = source.value(_PAYLOAD_NAMES)
    arguments = source.value(_PAYLOAD_NAMES)
    try:
        paths = header_paths(schema if isinstance(schema, dict) else {})
    except ValueError as exc:
        _assert_harmless(excerpt(str(exc)))
        paths = {}
    paths = {**paths, "Own": ("text",)}
    arguments = {**arguments, "text": text} if isinstance(arguments, dict) else {"text": text}
    message = {"method": source.pick(("tools/call", "tasks/get")), "params": {"name": text, "arguments": arguments}}
    try:
        made = mirrored(message, paths)
    except MCPUsageError:
        assert re.search("[\ud800-\udfff]", json.dumps(message, ensure_ascii=False))
        return
    for name, value in made.items():
        check_header(name, value)
        assert re.fullmatch("[\x20-\x7e]*", value)
        assert value == value.strip()
        prepared = requests.Request("POST", "http://127.0.0.1/", headers={name: value}).prepare()
        assert prepared.headers[name] == value
        assert _meaning(encode_value(_meaning(value))) == _meaning(value)
    if not re.search("[\ud800-\udfff]", text):
        assert _meaning(made["Mcp-Param-Own"]) == text


_BASES = (
    "http://127.0.0.1:8000/sse",
    "http://127.0.0.1/sse?token=x",
    "https://example.com/a/b/sse",
    "https://example.com:8443/sse",
    "http://[::1]:8000/sse",
)
_ADAPTER = HTTPAdapter()


def _real_target(url: str) -> tuple[Any, ...]:
    """Where requests and urllib3 would connect to, and what they would ask for."""
    prepared = requests.Request("POST", url).prepare()
    address, _ = _ADAPTER.build_connection_pool_key_attributes(prepared, verify=True)
    asked = _ADAPTER.request_url(prepared, {})
    assert asked.startswith("/")
    assert re.fullmatch("[\x21-\x7e]+", asked)
    by_urllib3 = parse_url(prepared.url or "")
    assert (by_urllib3.scheme, by_urllib3.host) == (address["scheme"], by_urllib3.host)
    assert by_urllib3.auth is None
    port = address["port"] or {"http": 80, "https": 443}[address["scheme"]]
    return address["scheme"], (by_urllib3.host or "").strip("[]"), port


def endpoint(data: bytes) -> None:
    """A URL that a server names is refused, or leads where the stream came from: as requests and urllib3 read it."""
    source = Source(data)
    base = source.pick(_BASES)
    decide = source.pick((resolve_endpoint, resolve_redirect))
    text = source.rest().decode("utf-8", "surrogatepass" if source.byte() else "replace")
    try:
        target = decide(base, text)
    except MCPConnectionError as exc:
        assert isinstance(exc, MCPHandshakeError) or decide is resolve_redirect
        assert exc.outcome == "not_sent"
        _assert_harmless(str(exc))
        assert "hunter2" not in str(exc) or "hunter2" not in text.partition("?")[2]
        return
    assert "#" not in target
    try:
        there = _real_target(target)
    except requests.RequestException:
        return  # nothing can be sent there at all
    assert there == _real_target(base)
    assert urlsplit(target).scheme in ("http", "https")
    _assert_harmless(public_url(target))


def retry_after(data: bytes) -> None:
    """A Retry-After is a time between now and an hour, or nothing."""
    seconds = seconds_of_retry_after(data.decode("latin-1"))
    assert seconds is None or 0.0 <= seconds <= 3600.0


# Terminals


def _assert_harmless(text: str) -> None:
    for char in text:
        if ord(char) < 0x20 or ord(char) > 0x7E:
            assert char in "\t\n" or unicodedata.category(char) not in ("Cc", "Zl", "Zp", "Cs"), ascii(text)
            assert unicodedata.bidirectional(char) not in _BIDI, ascii(text)
            assert char not in "\u200e\u200f\u061c", ascii(text)


def terminal(data: bytes) -> None:
    """Nothing of what is shown drives a terminal or turns the reading around, and to escape twice changes nothing."""
    try:
        text = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    _assert_harmless(escape(text))
    assert escape(escape(text)) == escape(text)
    line = excerpt(text, 50)
    _assert_harmless(line)
    assert "\n" not in line
    assert len(line) <= 50 * 10
    _assert_harmless(public_url(text))
    started = time.perf_counter()
    error = MCPConnectionError(text, server=text, method=text)
    _assert_harmless(str(error))
    _assert_harmless(repr(error))
    assert time.perf_counter() - started < 10.0  # a hang guard: nothing here is more than linear


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        sse,
        chunked,
        lines,
        stderr,
        jsonrpc,
        routing,
        payloads,
        headers,
        endpoint,
        retry_after,
        terminal,
        *HOSTILE,
    )
}
