"""The Streamable HTTP binding (2025-03-26 to 2026-07-28, Transports, Streamable HTTP): a POST for each message,
answered by JSON or by a stream of its own.

Runs on: ``send`` and the reading of what it returns on the calling thread: no thread starts and nothing is handed over
for a call. The optional GET stream has a thread of its own, in get_stream.py.
"""

from __future__ import annotations

import re
import threading
from typing import Iterator, List, Mapping, Optional, Tuple

from ..concurrency.attempts import Attempts
from ..concurrency.deadline import Deadline
from ..concurrency.events import Event
from ..concurrency.log import Log
from ..config import MCPClientConfig
from ..errors import (
    MCPClientError,
    MCPConnectionError,
    MCPHandshakeError,
    MCPProtocolError,
    MCPTimeoutError,
    SessionExpiredError,
)
from ..escape import excerpt
from ..protocol.forgotten import says_forgotten
from ..protocol.messages import Message, decode, encode
from ..protocol.urls import public_url
from .base import Delivery, Sink
from .get_stream import GET_HEADERS, GetStream, carries_message, delay_before, events_of
from .http.exchange import Exchange
from .http.response import Response, status_error
from .http.sender import HTTPRequest, Sender
from .masking import Secrets
from .sse import Framer, ServerSentEvent

__all__ = ["StreamableHTTPTransport"]

_log = Log(__name__)

_POST_HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
# Visible ASCII (2025-11-25, Streamable HTTP, Session Management).
_SESSION_ID = re.compile(r"[\x21-\x7e]{1,1024}\Z")

_FAREWELL_SECONDS = 2.0
_DRAIN_BYTES = 65536


class StreamableHTTPTransport:
    """Streamable HTTP to one server.

    Parameters:
        sender: where requests go out.
        url: of the endpoint.
        sink: where what arrives on the GET stream goes.
    """

    name = "http"
    shares_stream = False
    closing_cancels = False
    has_headers = True
    heard_at: Optional[float] = None

    def __init__(self, sender: Sender, url: str, config: MCPClientConfig, sink: Sink) -> None:
        self._sender = sender
        self.secrets = sender.secrets
        self._url = url
        self._config = config
        self._sink = sink
        # Guards the session's id, and the making of the GET stream.
        self._lock = threading.RLock()
        self._session_id: Optional[str] = None
        self._expired = False
        # Whether the server may open a session, and streams can be resumed: the revision says.
        self._stateful = True
        # Headers of every request once a revision is agreed on.
        self._agreed_headers: Mapping[str, str] = {}
        # Made when it is first wanted: a stateless server has none.
        self._get_stream: Optional[GetStream] = None
        # Set by interrupt(): ends every pause.
        self._over = Event()

    @property
    def session_id(self) -> Optional[str]:
        return self._session_id

    def open(self, deadline: Deadline) -> None:
        """Nothing to do: the first message connects."""

    def agree(self, headers: Mapping[str, str], *, stateful: bool) -> None:
        self._agreed_headers = headers
        self._stateful = stateful
        self.closing_cancels = not stateful
        if not stateful:
            # Some servers name one all the same; it means nothing (2026-07-28, Earlier Streamable HTTP Revisions).
            self._session_id = None

    # Sending

    def send(
        self,
        message: Message,
        deadline: Deadline,
        delivery: Optional[Delivery] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> Iterator[List[Message]]:
        """Post one message.

        What comes back is read by iterating, on the calling thread; the iteration ends with the response,
        resumed as often as the server allows.

        Raises:
            SessionExpiredError: the server does not know the session any more.
            HTTPStatusError, MCPConnectionError, MCPTimeoutError, MCPClosedError: it was not accepted.
        """
        body = encode(message)
        exchange = Exchange(deadline.at)
        if delivery is not None:
            delivery.under_way(exchange)
        session_id = self._session_id
        sent = {**_POST_HEADERS, **self._agreed_headers, **(headers or {})}
        if session_id is not None:
            sent["Mcp-Session-Id"] = session_id
        response = self._sender.send(HTTPRequest("POST", self._url, sent, body), deadline, exchange=exchange)
        expects_answer = "id" in message and "method" in message
        try:
            if response.status == 202 or (response.status < 300 and not expects_answer):
                self._accept(response, expects_answer)
                return iter(())
            if response.status >= 300:
                return iter((self._refused(response, message, session_id),))
            if session_id is None and self._stateful:
                self._take_session_id(response)
        except BaseException:
            response.close()
            raise
        if response.content_type == "text/event-stream":
            return self._stream(response, deadline, delivery)
        return self._json(response)

    def _common(self, session_id: Optional[str]) -> Mapping[str, str]:
        return self._agreed_headers if session_id is None else {**self._agreed_headers, "Mcp-Session-Id": session_id}

    def _take_session_id(self, response: Response) -> None:
        given = response.headers.get("mcp-session-id", "").strip(" \t")
        if not given:
            return
        if not _SESSION_ID.match(given):
            raise MCPHandshakeError(
                "the server's session id contains characters that a header cannot carry", outcome="unknown"
            )
        with self._lock:
            if self._session_id is None:
                self._session_id = given

    def _accept(self, response: Response, expects_answer: bool) -> None:
        """A notification, or an answer of ours, was taken; what else the response says does not matter."""
        if expects_answer:
            response.close()
            raise MCPProtocolError(
                "the server accepted the request but will not answer it (HTTP status 202)", outcome="unknown"
            )
        try:
            if response.content_type != "text/event-stream":
                response.read(_DRAIN_BYTES)
        except MCPClientError:
            pass  # it was accepted; the connection is closed instead of kept
        finally:
            response.close()

    def _refused(self, response: Response, message: Message, session_id: Optional[str]) -> List[Message]:
        """A response with an error status: the JSON-RPC answer in it, if it is the answer to this message, else an
        error.
        """
        try:
            answer = self._error_in(response)
            said = None if answer is None else answer["error"]
            forgotten = said is not None and session_id is not None and says_forgotten(response.status, said)
            is_plain = not forgotten and not _says_enough(response.status)
            if answer is not None and is_plain and self._is_to(message, answer):
                return [answer]
            error = status_error(response, f"posting to {public_url(response.url)}")
            error.data = said
        finally:
            response.close()
        if said is None and session_id is not None:
            forgotten = says_forgotten(error.status, None, error.body)
        if forgotten:
            self._expired = True
            error = SessionExpiredError(
                f"the server has forgotten the session (HTTP status {response.status})",
                status=error.status,
                headers=error.headers,
                body=error.body,
                outcome="refused",
                server=error.server,
            )
        raise error

    def _error_in(self, response: Response) -> Optional[Message]:
        """The JSON-RPC error that a response with an error status holds."""
        if response.content_type != "application/json":
            return None
        if response.status != 400:
            response.hurry()
        try:
            body = response.read(self._config.max_message_bytes)
            response.remember(body)
            answer = decode(body)[0]
        except MCPClientError:
            return None
        return answer if isinstance(answer.get("error"), dict) else None

    def _is_to(self, message: Message, answer: Message) -> bool:
        # Legacy servers refuse whole requests under ids such as "server-error": those are statuses, not answers.
        id = answer.get("id")
        return "id" in message and (id == message["id"] or (not self._stateful and id is None))

    # Reading

    def _json(self, response: Response) -> Iterator[List[Message]]:
        try:
            if response.content_type != "application/json":
                raise MCPProtocolError(
                    f"{public_url(self._url)} answered with {excerpt(response.content_type) or 'no content type'} "
                    "instead of "
                    f"JSON or an event stream; it begins {response.excerpt()!r}",
                    outcome="unknown",
                )
            body = response.read(self._config.max_message_bytes)
        finally:
            response.close()
        if not body.strip():
            raise MCPProtocolError("the server answered with an empty body", outcome="unknown")
        messages = decode(body, self.secrets.mask_excerpt)
        del body
        yield messages

    def _stream(self, response: Response, deadline: Deadline, delivery: Optional[Delivery]) -> Iterator[List[Message]]:
        """The messages of one request's own stream.

        It is resumed when it ends early and its events carried ids (2025-11-25, Resumability and Redelivery).
        """
        framer = Framer(self._config.max_message_bytes)
        attempts = Attempts(self._config.max_retries > 0)
        while True:
            progressed = answered = False
            ending: MCPClientError
            try:
                for events in events_of(response, framer):
                    messages, problem = _messages_in(events, self.secrets)
                    if messages:
                        progressed = True
                        yield messages
                    if problem is not None and not (delivery is not None and delivery.settled):
                        raise problem
                    if delivery is not None and delivery.settled:
                        answered = True
                        response.hasten()  # the rest of the stream is not waited for long
                ending = MCPConnectionError("the server ended the stream before its answer", outcome="unknown")
            except (MCPConnectionError, MCPTimeoutError) as exc:
                if not answered and (response.exchange.stopped is not None or isinstance(exc, MCPTimeoutError)):
                    raise
                ending = exc
            finally:
                response.close()
            if answered:
                return
            if not self._stateful or not framer.last_event_id or not attempts.may_go_on(progressed):
                raise ending
            # As long as the server asks for, and not at all where the session ends meanwhile.
            if self._over.wait(min(delay_before(framer, attempts), deadline.remaining)) or (
                delivery is not None and delivery.settled
            ):
                raise ending
            attempts.begin()
            response, framer = self._resume(framer, deadline, delivery, ending)

    def _resume(
        self, framer: Framer, deadline: Deadline, delivery: Optional[Delivery], ending: MCPClientError
    ) -> tuple[Response, Framer]:
        exchange = Exchange(deadline.at)
        if delivery is not None:
            delivery.under_way(exchange)
        _log.debug("a stream ended early and is resumed")
        try:
            response = self._sender.send(
                HTTPRequest("GET", self._url, self._resumption(framer)), deadline, exchange=exchange
            )
        except MCPClientError as exc:
            # Of the GET it may be true that it was never sent; the request was.
            exc.outcome = "unknown"
            raise
        if response.status == 200 and response.content_type == "text/event-stream":
            return response, framer.continued()
        try:
            error = status_error(response, "resuming the stream")
        finally:
            response.close()
        raise MCPConnectionError(
            f"{ending.message}, and it cannot be resumed (HTTP status {error.status})", outcome="unknown"
        ) from ending

    def _resumption(self, framer: Framer) -> Mapping[str, str]:
        headers = {**GET_HEADERS, **self._common(self._session_id)}
        if framer.last_event_id:
            # As UTF-8 (WHATWG HTML, 9.2.3); http.client writes each character as a byte.
            headers["Last-Event-ID"] = framer.last_event_id.encode("utf-8").decode("latin-1")
        return headers

    def open_get_stream(self, deadline: Deadline) -> None:
        """Open the GET stream in the background, for what the server sends outside of any call. Idempotent."""
        with self._lock:
            if self._get_stream is None:
                self._get_stream = GetStream(self._sender, self._url, self._config, self._sink, self._resumption)
            stream = self._get_stream
        if self._over.is_set():
            stream.interrupt()  # interrupt() may have found none
        stream.start(deadline)

    def wait_for_get_stream(self, deadline: Deadline) -> bool:
        stream = self._get_stream
        return stream is None or stream.settled.wait(deadline.remaining)

    @property
    def get_stream_is_open(self) -> bool:
        stream = self._get_stream
        return stream is not None and (stream.is_open or stream.is_opening)

    # Ending

    def disown(self) -> None:
        """This process was forked from the one that has the session."""
        self._over.set()

    def remark(self) -> str:
        return ""

    def interrupt(self) -> None:
        self._over.set()
        stream = self._get_stream
        if stream is not None:
            stream.interrupt()
        self._sender.interrupt()

    def close(self, deadline: Deadline) -> None:
        """End the session with DELETE, whose answer does not matter (2025-11-25, Session Management), and leave nothing
        behind.
        """
        self.interrupt()
        session_id = self._session_id
        if session_id is not None and not self._expired and deadline.remaining > 0:
            try:
                self._sender.send(
                    HTTPRequest("DELETE", self._url, self._common(session_id)),
                    deadline.sooner(_FAREWELL_SECONDS),
                    is_last=True,
                ).close()
            except MCPClientError as exc:
                _log.debug("the server could not be told of the end: %s", exc)
        self._sender.close()
        if self._get_stream is not None:
            self._get_stream.join(deadline)


def _messages_in(events: List[ServerSentEvent], secrets: Secrets) -> Tuple[List[Message], Optional[MCPProtocolError]]:
    """The messages of some events, up to one that cannot be decoded, and why."""
    messages: List[Message] = []
    for event in events:
        if carries_message(event):
            try:
                messages += decode(event.data, secrets.mask_excerpt)
            except MCPProtocolError as exc:
                return messages, exc
    return messages, None


def _says_enough(status: int) -> bool:
    """Whether a status means the same whatever JSON-RPC error comes with it."""
    return status in (401, 403, 429) or status >= 500
