"""What a wire binding offers to the connection above it, and which threads may ask for it.

A transport moves messages. It knows no method names and makes no decisions about the protocol: what arrives goes,
decoded, to the sink it was given.

Threading contract: ``open`` is called once, by one thread. ``send`` is called by any number of threads at once.
``interrupt`` is called by any thread at any time, never blocks, and frees everybody who is blocked inside the
transport. ``close`` is called once, after ``interrupt``, and joins the transport's own threads unless it runs on one of
them. Only the thread that opened a socket closes it.
"""

from __future__ import annotations

from typing import Any, Iterator, List, Mapping, Optional, Protocol

from ..concurrency.deadline import Deadline
from ..errors import MCPClientError
from ..protocol.messages import Message
from .masking import Secrets

__all__ = ["Delivery", "Sink", "Transport"]


class Sink(Protocol):
    """Where a transport's own threads put what arrives."""

    def arrived(self, messages: List[Message]) -> None:
        """Messages came on the shared stream.

        May block for a moment when the consumer is behind: that is the back pressure.
        """

    def route(self, messages: List[Message]) -> None:
        """Messages came beside the calls; they are taken to whom they are for on the thread that brings them."""

    def lost(self, error: MCPClientError) -> None:
        """The shared stream is gone, because of ``error``; nothing will arrive any more."""


class Delivery(Protocol):
    """How a request is under way. The transport fills in what its caller needs to wait and to stop."""

    @property
    def settled(self) -> bool:
        """Whether the wait is over: the answer came by another way, or will not come."""

    def under_way(self, exchange: Any) -> None:
        """``exchange`` carries the request: the thread that settles the waiter from elsewhere may stop it."""


class Transport(Protocol):
    """One wire binding, connected to one server."""

    # "sse", "http" or "stdio": what ``client.transport`` says.
    name: str
    # Whether answers come on a stream that all requests share, for which there is a dispatcher thread.
    shares_stream: bool
    # Whether leaving a request's response tells the server that the answer is not wanted any more.
    closing_cancels: bool
    # Whether what a request is about is mirrored into headers.
    has_headers: bool
    # When something last came in on the shared stream, by ``clock.monotonic``; None where nothing follows from silence
    # there: each response has its own connection, or the system tells that the process has ended.
    heard_at: Optional[float]

    # What was sent and must not be shown: masked in what the server says.
    secrets: Secrets

    @property
    def get_stream_is_open(self) -> bool:
        """Whether something may come in beside the response that a caller is reading."""

    @property
    def session_id(self) -> Optional[str]:
        """What the server calls this session, or None."""

    def open(self, deadline: Deadline) -> None:
        """Connect, up to where messages can be sent."""

    def agree(self, headers: Mapping[str, str], *, stateful: bool) -> None:
        """A revision was agreed on: ``headers`` go with every request, and ``stateful`` says whether there are sessions
        and streams to resume. Bindings without either ignore it."""

    def open_get_stream(self, deadline: Deadline) -> None:
        """Have a stream for what belongs to no request, where the binding does not have one anyway.

        Waits a moment, until the request for it is on its way, but not for an answer.
        """

    def wait_for_get_stream(self, deadline: Deadline) -> bool:
        """Wait until it is clear whether there is a stream for what belongs to no request, and return whether it is.

        Where none was asked for it is clear at once.
        """

    def send(
        self,
        message: Message,
        deadline: Deadline,
        delivery: Optional[Delivery] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> Optional[Iterator[List[Message]]]:
        """Send one message.

        Parameters:
            delivery: the wait for the answer, where there is one.
            headers: what the protocol mirrors into headers; bindings without headers ignore it.

        Returns:
            None where the answer will come on the shared stream; else an iterator of the messages that come back on
            this exchange, read on the caller's thread. The caller closes it.
        """

    def remark(self) -> str:
        """What came that may explain why an answer did not, for the text of an error; "" where nothing did."""

    def interrupt(self) -> None:
        """Free everybody who is blocked in here; nothing can be sent any more."""

    def close(self, deadline: Deadline) -> None:
        """End the session and leave nothing behind."""
