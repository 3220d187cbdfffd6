"""The standalone GET stream of Streamable HTTP: what the server sends outside of any call (2025-03-26 to 2025-11-25).

Runs on: a reader thread for as long as the session has the stream; ``start``, ``interrupt`` and ``join`` on any.

What comes is routed on the reader's own thread: a second one, as the shared stream of HTTP+SSE has, would keep answers
from waiting for notifications, but here no caller waits for an answer.

The reader ends because every wait in it does: an exchange is freed by the interruption of the transport, by the peer or
by TCP keepalive, a pause by ``interrupt``. Nobody waits for it: some servers send no head for minutes.
"""

from __future__ import annotations

import math
import threading
from typing import Callable, Iterator, List, Mapping, Optional

from ..concurrency.attempts import Attempts
from ..concurrency.deadline import Deadline
from ..concurrency.events import Event
from ..concurrency.log import Log
from ..concurrency.threads import in_context, join
from ..config import MCPClientConfig
from ..errors import HTTPStatusError, MCPClientError, MCPConnectionError
from ..protocol.unreadable import Unreadable, decode_or_mark
from .base import Sink
from .http.exchange import Exchange
from .http.response import Response
from .http.sender import HTTPRequest, Sender
from .sse import Framer, ServerSentEvent

__all__ = ["GET_HEADERS", "GetStream", "carries_message", "delay_before", "events_of"]

_log = Log(__name__)

# The one type alone: with application/json beside it, django-mcp-server enters the stream inside its one thread and is
# dead for everybody.
GET_HEADERS = {"Accept": "text/event-stream", "Cache-Control": "no-store"}

# How long the caller that opens the stream waits until the request is on its way.
_DEPARTURE_SECONDS = 0.5
# A server that gives no ``retry`` is asked again after a second.
_DEFAULT_RETRY_MS = 1000


def delay_before(framer: Framer, attempts: Attempts) -> float:
    """Seconds to wait before a stream is asked for again.

    Parameters:
        framer: of the stream so far: it knows what the server asked for.
    """
    return attempts.delay((_DEFAULT_RETRY_MS if framer.retry_ms is None else framer.retry_ms) / 1000)


def events_of(response: Response, framer: Framer) -> Iterator[List[ServerSentEvent]]:
    """The events of a stream, those of one read at a time."""
    for chunk in response.chunks():
        events = framer.feed(chunk)
        if events:
            yield events
        del chunk, events  # an event may be large, and the next one far


def carries_message(event: ServerSentEvent) -> bool:
    """Whether an event is for us: those of other names, such as a ping, are for nobody."""
    return event.event in ("message", "") and bool(event.data)


class GetStream:
    """The stream, opened again for as long as the server has it.

    Parameters:
        headers: gives the headers of the request that goes on where a framer stopped.
    """

    def __init__(
        self,
        sender: Sender,
        url: str,
        config: MCPClientConfig,
        sink: Sink,
        headers: Callable[[Framer], Mapping[str, str]],
    ) -> None:
        self._sender = sender
        self._url = url
        self._config = config
        self._sink = sink
        self._headers = headers
        # Guards the start.
        self._lock = threading.RLock()
        self._reader: Optional[threading.Thread] = None
        # Set by interrupt(): ends every pause.
        self._over = Event()
        # Set when the first request is on its way.
        self._departed = Event()
        # Set when it is clear whether there is such a stream.
        self.settled = Event()
        self.is_open = False

    def start(self, deadline: Deadline) -> None:
        """Open the stream, in the background. Idempotent.

        Its answer is not waited for, but a call that is made next should not overtake it: what the server says to that
        call on this stream would have nowhere to go.
        """
        with self._lock:
            if self._reader is not None or self._over.is_set():
                return
            self._reader = threading.Thread(target=in_context(self._run), name="mcp-sync-reader", daemon=True)
        try:
            self._reader.start()
        except RuntimeError as exc:
            _log.warning("no thread could be started for the server's own messages: %s", exc)
            self._end()
        self._departed.wait(min(_DEPARTURE_SECONDS, deadline.remaining))

    @property
    def is_opening(self) -> bool:
        """Whether it was asked for, and the server has not said yet that it has none."""
        return self._reader is not None and not self.settled.is_set()

    def interrupt(self) -> None:
        """End the pauses; the exchange is interrupted with the transport's others."""
        self._over.set()

    def disown(self) -> None:
        """This process was forked from the one that reads the stream."""
        self._over.set()
        self._end()

    def join(self, deadline: Deadline) -> None:
        reader = self._reader
        if reader is not None and reader is not threading.current_thread():
            join(reader, deadline.remaining)

    # The reader thread

    def _run(self) -> None:
        try:
            self._read()
        except Exception:  # noqa: BLE001  # calls do not depend on this stream
            _log.exception("the reader of the server's own messages failed")
        finally:
            self._end()

    def _end(self) -> None:
        self.is_open = False
        self.settled.set()
        self._departed.set()

    def _read(self) -> None:
        """Read the stream, and the ones that follow it, until the server has none or ``interrupt`` is called."""
        framer = Framer(self._config.max_message_bytes)
        attempts = Attempts(self._config.max_retries > 0)
        while not self._over.is_set():
            attempts.begin()
            progressed = self._read_once(framer)
            if progressed is None or not attempts.may_go_on(progressed):
                return
            framer = framer.continued()
            self._over.wait(delay_before(framer, attempts))

    def _read_once(self, framer: Framer) -> Optional[bool]:
        """One GET, to its end. Returns whether a message came, or None where there is no such stream."""
        progressed = False
        response: Optional[Response] = None
        exchange = Exchange(math.inf)
        exchange.departed = self._departed
        try:
            request = HTTPRequest("GET", self._url, self._headers(framer))
            response = self._sender.send(request, Deadline(math.inf), exchange=exchange, streaming=True)
            if response.status != 200 or response.content_type != "text/event-stream":
                # 405 is the specification's way to say so; 400, 404, 406 and 409 are other servers'.
                _log.debug("the server has no stream of its own (HTTP status %d)", response.status)
                return None
            response.unbound()
            self.is_open = True
            self.settled.set()
            self._departed.set()
            for events in events_of(response, framer):
                progressed = self._route(events) or progressed
                del events
        except MCPConnectionError as exc:
            if isinstance(exc, HTTPStatusError):
                return None
            _log.debug("the server's own stream broke: %s", exc)
        except MCPClientError as exc:
            _log.debug("the server's own stream ended: %s", exc)
            return None
        finally:
            self.is_open = False
            if response is not None:
                response.close()
        return progressed

    def _route(self, events: List[ServerSentEvent]) -> bool:
        """Take messages to whom they are for; returns whether there are any."""
        mask = self._sender.secrets.mask_excerpt
        found = [decode_or_mark(event.data, mask) for event in events if carries_message(event)]
        messages = [message for messages in found for message in messages]
        for message in messages:
            if isinstance(message, Unreadable):
                # The answers to calls come on their own responses: only an id can say that one of them is meant.
                message.may_be_answer = False
        if messages:
            self._sink.route(messages)
        return bool(messages)
