"""The HTTP+SSE binding (2024-11-05, Transports, HTTP with SSE): one long GET that brings everything, and a POST for
each message.

Runs on: one reader thread per transport, which opens the GET, reads it and closes it; ``send`` on any number of calling
threads.

The reader thread ends because every wait in it does: connecting, and the wait for the head, have the deadline of
``open``; the reading after that is freed by ``interrupt``, by the peer, or by TCP keepalive when the peer has vanished.
"""

from __future__ import annotations

import json
import re
import threading
import traceback
from typing import List, Mapping, Optional
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from ..concurrency.clock import monotonic
from ..concurrency.deadline import Deadline
from ..concurrency.events import Event
from ..concurrency.log import Log, Sparing
from ..concurrency.threads import in_context, join
from ..config import MCPClientConfig
from ..errors import (
    MCPClientError,
    MCPConnectionError,
    MCPHandshakeError,
    MCPTimeoutError,
    SessionExpiredError,
)
from ..escape import excerpt
from ..protocol.forgotten import says_forgotten
from ..protocol.messages import Message, encode
from ..protocol.unreadable import decode_or_mark
from ..protocol.urls import public_url, resolve_endpoint
from .base import Delivery, Sink
from .get_stream import GET_HEADERS, carries_message
from .http.exchange import ANSWERED, EXPIRED, Exchange, watch
from .http.response import Response, status_error
from .http.sender import HTTPRequest, Sender
from .sse import Framer, ServerSentEvent

__all__ = ["HTTPSSETransport"]

_log = Log(__name__)

_POST_HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
_BARE_SESSION = re.compile(r"session_?id=([^\s&]{1,512})\Z", re.IGNORECASE)
# A server that names the session in a header may still send an endpoint event: wait this long for it.
_ENDPOINT_GRACE = 0.5
# The body of a 202 tells nothing; it is read only to keep the connection.
_DRAIN_SECONDS = 1.0
_DRAIN_BYTES = 65536


class HTTPSSETransport:
    """HTTP+SSE to one server.

    Parameters:
        sender: where requests go out.
        url: of the stream.
        sink: where what arrives goes.
    """

    name = "sse"
    shares_stream = True
    closing_cancels = False
    has_headers = False
    get_stream_is_open = False

    def __init__(self, sender: Sender, url: str, config: MCPClientConfig, sink: Sink) -> None:
        self._sender = sender
        self.secrets = sender.secrets
        self._url = url
        self._config = config
        self._sink = sink
        self._sparing = Sparing(_log)
        self._exchange = Exchange(0.0)
        self._reader: Optional[threading.Thread] = None
        # How far the reader came: it runs; the stream's head is there.
        self._began = False
        self._opened = False
        # Guards the three below: the first endpoint is the one that stays.
        self._lock = threading.RLock()
        self._endpoint: Optional[str] = None
        self._header_session: Optional[str] = None
        self._failure: Optional[MCPClientError] = None
        # Set when the endpoint is known or never will be; and when the head has named a session.
        self._located = Event()
        self.heard_at: Optional[float] = 0.0
        self._head_seen = Event()

    @property
    def session_id(self) -> Optional[str]:
        """The session as the endpoint's query names it."""
        if self._endpoint is None:
            return None
        query = parse_qs(urlsplit(self._endpoint).query)
        return next((values[0] for name, values in query.items() if name.lower().replace("_", "") == "sessionid"), None)

    # Opening

    def open(self, deadline: Deadline) -> None:
        """Start the reader and wait until it knows where commands go.

        Raises:
            MCPHandshakeError: what answers is no HTTP+SSE server.
            MCPConnectionError, MCPTimeoutError: nothing answers.
        """
        reader = threading.Thread(target=in_context(lambda: self._read(deadline)), name="mcp-sync-reader", daemon=True)
        self._reader = reader
        try:
            reader.start()
        except RuntimeError as exc:
            error = MCPConnectionError(f"no thread could be started for the stream: {exc}", outcome="not_sent")
            self._sink.lost(error)
            raise error from exc
        self._head_seen.wait(deadline.remaining)
        if self._header_session is not None:
            self._located.wait(min(_ENDPOINT_GRACE, deadline.remaining))
            with self._lock:
                if self._endpoint is None and self._failure is None:
                    self._endpoint = self._messages_url(self._header_session)
                    self._located.set()
        if not self._located.wait(deadline.remaining) and self._fail(self._never_located(deadline)):
            self._exchange.stop(EXPIRED)
        with self._lock:
            if self._endpoint is None:
                raise self._failure or MCPHandshakeError("the stream opened without an endpoint", outcome="not_sent")

    def _never_located(self, deadline: Deadline) -> MCPClientError:
        where = public_url(self._url)
        if not self._began:
            return MCPHandshakeError(
                f"the thread that reads the stream did not run within {deadline.timeout:g} s; uWSGI lets threads run "
                "only with enable-threads",
                outcome="not_sent",
            )
        if not self._opened:
            return MCPTimeoutError(
                f"no answer from {where} within {deadline.timeout:g} s; it accepts connections but does not open a "
                "stream",
                outcome="not_sent",
            )
        return MCPHandshakeError(
            f"{where} opened a stream but sent no endpoint event within {deadline.timeout:g} s; is this the URL of "
            "its SSE endpoint?",
            outcome="not_sent",
        )

    def _fail(self, error: MCPClientError) -> bool:
        """Note why there is no endpoint. Returns False where there is one after all."""
        with self._lock:
            if self._endpoint is not None:
                return False
            if self._failure is None:
                self._failure = error
        self._located.set()
        self._head_seen.set()
        return True

    # The reader thread

    def _read(self, deadline: Deadline) -> None:
        response: Optional[Response] = None
        error: MCPClientError
        self._began = True
        try:
            request = HTTPRequest("GET", self._url, GET_HEADERS)
            response = self._sender.send(request, deadline, exchange=self._exchange, streaming=True)
            self._opened = True
            self._check_head(response)
            self._pump(response, Framer(self._config.max_message_bytes))
            error = MCPConnectionError("the server ended the stream", outcome="unknown")
            if self._endpoint is None:
                error = MCPHandshakeError("the stream ended before the endpoint event", outcome="not_sent")
        except MCPClientError as exc:
            error = exc
            if isinstance(exc, MCPTimeoutError) and self._endpoint is None and self._opened:
                error = self._never_located(deadline)
        except BaseException as exc:  # noqa: BLE001  # whatever it is, those who wait must hear of it
            _log.exception("the reader of %s failed", public_url(self._url))
            error = MCPConnectionError(f"the reader failed: {type(exc).__name__}", outcome="unknown")
            error.__cause__ = exc
        if response is not None:
            try:
                response.close()
            except Exception:  # noqa: BLE001  # the stream is over in any case
                _log.exception("the stream of %s could not be closed", public_url(self._url))
            response = None
        # The error is kept for those who ask later; what the frames of its traceback hold must not be.
        for kept in (error, error.__cause__):
            if kept is not None:
                traceback.clear_frames(kept.__traceback__)
        self._fail(error)
        self._sink.lost(error)

    def _check_head(self, response: Response) -> None:
        if response.status != 200:
            raise status_error(response, "opening the stream").during(outcome="not_sent")
        if response.content_type != "text/event-stream":
            kind = response.content_type or "no content type"
            raise MCPHandshakeError(
                f"{public_url(self._url)} answered with {excerpt(kind)} instead of text/event-stream; is this the URL "
                f"of an SSE endpoint? It begins {response.excerpt()!r}",
                outcome="not_sent",
            )
        self._header_session = response.headers.get("x-mcp-session-id", "").strip(" \t") or None
        if self._header_session is not None:
            response.unbound()
            self._head_seen.set()

    def _pump(self, response: Response, framer: Framer) -> None:
        for chunk in response.chunks():
            self.heard_at = monotonic()
            events = framer.feed(chunk)
            if not self._located.is_set():
                events = self._locate(events, framer)
                if not self._located.is_set():
                    continue
                response.unbound()
            messages = [message for event in events for message in self._decode(event)]
            if messages:
                self._sink.arrived(messages)
            del events, messages  # an answer may be large, and the next chunk far

    def _decode(self, event: ServerSentEvent) -> List[Message]:
        if event.event == "endpoint":
            self._sparing.warning("endpoint", "the server sent a second endpoint, which is ignored")
        return decode_or_mark(event.data, self.secrets.mask_excerpt) if carries_message(event) else []

    # The handshake's dialects

    def _locate(self, events: List[ServerSentEvent], framer: Framer) -> List[ServerSentEvent]:
        """Look for the endpoint in the stream's first events; returns those that come after it."""
        for position, event in enumerate(events):
            endpoint = self._endpoint_in(event)
            if endpoint is not None:
                self._settle_endpoint(endpoint)
                return events[position + 1 :]
        if framer.last_event_id:
            self._settle_endpoint(self._messages_url(framer.last_event_id))
            return [event for event in events if '"jsonrpc"' in event.text]
        return events if self._endpoint is not None else []

    def _endpoint_in(self, event: ServerSentEvent) -> Optional[str]:
        data = event.text
        if event.event == "endpoint":
            return resolve_endpoint(self._url, data)
        bare = _BARE_SESSION.match(data.strip())
        if bare is not None:
            return self._messages_url(bare[1])
        if data.lstrip().startswith("{"):
            try:
                frame = json.loads(data)
            except (ValueError, RecursionError):
                return None
            session = frame.get("session_id", frame.get("sessionId"))
            if "jsonrpc" not in frame and isinstance(session, str) and session:
                return self._messages_url(session)
        return None

    def _messages_url(self, session_id: str) -> str:
        joint = "&" if "?" in self._config.messages_path else "?"
        return resolve_endpoint(
            self._url, urljoin(self._url, self._config.messages_path) + joint + urlencode({"session_id": session_id})
        )

    def _settle_endpoint(self, endpoint: str) -> None:
        with self._lock:
            if self._endpoint is None and self._failure is None:
                self._endpoint = endpoint
        _log.debug("commands go to %s", public_url(endpoint))
        self._located.set()
        self._head_seen.set()

    # Sending

    def agree(self, headers: Mapping[str, str], *, stateful: bool) -> None:
        """Nothing changes: this binding is older than such headers."""

    def open_get_stream(self, deadline: Deadline) -> None:
        """Nothing to do: everything comes on the one stream."""

    def wait_for_get_stream(self, deadline: Deadline) -> bool:
        """Nothing to wait for: ``open`` has done so."""
        return True

    def send(
        self,
        message: Message,
        deadline: Deadline,
        delivery: Optional[Delivery] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Post one message; the answer, if there is one, comes on the stream.

        Raises:
            SessionExpiredError: the server does not know the session any more.
            HTTPStatusError, MCPConnectionError, MCPTimeoutError, MCPClosedError: it was not accepted.
        """
        body = encode(message)
        endpoint = self._endpoint or ""
        exchange = Exchange(deadline.at)
        if delivery is not None:
            delivery.under_way(exchange)
        try:
            response = self._sender.send(
                HTTPRequest("POST", endpoint, _POST_HEADERS, body), deadline, exchange=exchange
            )
        except MCPClientError:
            if exchange.stopped == ANSWERED:
                return  # the answer came on the stream, and nothing more is expected of this POST
            raise
        try:
            if not 200 <= response.status < 300:
                raise self._refusal(response)
            self._drain(response)
        finally:
            response.close()

    def _refusal(self, response: Response) -> MCPClientError:
        error = status_error(response, f"posting to {public_url(response.url)}")
        if not says_forgotten(error.status, None, error.body):
            return error
        return SessionExpiredError(
            f"the endpoint {public_url(response.url)} that the server named does not know the session any more "
            f"(HTTP status {error.status})",
            status=error.status,
            headers=error.headers,
            body=error.body,
            outcome="refused",
            server=error.server,
        )

    def _drain(self, response: Response) -> None:
        watch.hurry(response.exchange, _DRAIN_SECONDS)
        try:
            response.read(_DRAIN_BYTES)
        except MCPClientError:
            pass  # it was accepted; the connection is closed instead of kept

    # Ending

    def remark(self) -> str:
        return ""

    def interrupt(self) -> None:
        self._sender.interrupt()

    def close(self, deadline: Deadline) -> None:
        self.interrupt()
        self._sender.close()
        reader = self._reader
        if reader is not None and reader is not threading.current_thread():
            join(reader, deadline.remaining)
