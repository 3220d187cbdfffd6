"""Starting a server as a child process, and finding out what it speaks (2026-07-28, stdio, Backward Compatibility).

Runs on: the thread that opens a session.

An old server answers the probe with silence, and dies of the next line; a new one that is slow to start is silent too.
The clock alone cannot tell them apart, and to kill the slow one would be to start all over:

* A server that has not read the probe is not there yet. It is waited for, as long as there is time.
* One that has read it and is silent gets ``initialize`` too, on the same stream. A new server answers the probe first,
  however late, and that settles it.
* An old one answers ``initialize``, or dies of it, or says nothing to either. Whatever it does, a probe has upset it: a
  fresh one is started, and not probed.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, cast

from ..concurrency.deadline import Deadline
from ..concurrency.events import Event
from ..errors import MCPClientError, MCPConnectionError, MCPHandshakeError, MCPServerError, MCPTimeoutError
from ..protocol.conversations import Ask, initialize
from ..protocol.messages import Message, RequestId, request, result_of, shown
from ..session.connection import Connection
from ..session.session import Link
from ..session.target import Command
from ..session.waiter import Waiter
from ..transports.stdio.transport import StdioTransport
from .handshake import UNSUPPORTED_VERSION, agree_without_handshake, handshake

__all__ = ["start"]

_log = logging.getLogger(__name__)

# How long a server that has read the probe may think about it before it gets ``initialize`` too: that costs nothing
# where the answer comes after all.
_PATIENCE = 2.0
_PATIENCE_SHARE = 0.2
# How long it may then be silent. No old server is known that neither answers nor dies, but something between us and a
# slow one may read for it.
_LAST_CHANCE = 8.0
_LAST_CHANCE_SHARE = 0.4
# How often we look whether it has read.
_TICK = 0.05
# How long the word of a server's end may take to get around.
_NEWS_SECONDS = 1.0


def start(connection: Connection, server: Command, deadline: Deadline, is_modern: Optional[bool]) -> Link:
    """Start ``server``, and agree with it on a revision.

    Parameters:
        is_modern: whether it is of the stateless kind, where that is known from before.

    Raises:
        MCPConnectionError, MCPTimeoutError, MCPClosedError: there is no session.
    """
    link, transport = _launch(connection, server, deadline)
    first = _Talk(connection, link, transport, deadline)
    talk: Optional[_Talk] = first
    died = False
    try:
        if agree_without_handshake(connection, link, deadline, is_modern, first.discover):
            first.end()
            return link
    except MCPConnectionError as exc:
        is_settled = is_modern or connection.config.protocol_version is not None or isinstance(exc, MCPHandshakeError)
        if is_settled or not link.lost.wait(min(_NEWS_SECONDS, deadline.remaining)):
            raise
        _log.debug("%s did not survive server/discover: %s", server.public, exc)
        died = True
    if died or first.probe_is_open or link.lost.is_set():
        connection.discard()
        because = link.because or "it did not survive server/discover"
        link, talk = _launch(connection, server, deadline)[0], None
        link.because = because
    link.stamp = None
    refused: Optional[MCPHandshakeError] = None
    try:
        handshake(connection, link, deadline, None if talk is None else talk.initialize)
    except MCPHandshakeError as exc:
        cause = exc.__cause__
        if not isinstance(cause, MCPServerError) or cause.code != UNSUPPORTED_VERSION:
            raise
        refused = exc
    # It does speak the stateless revisions, whatever became of the probe.
    if refused is not None and not agree_without_handshake(connection, link, deadline, True):
        raise refused
    return link


def _launch(connection: Connection, server: Command, deadline: Deadline) -> Tuple[Link, StdioTransport]:
    made = []

    def make(sink: Any) -> StdioTransport:
        made.append(StdioTransport(server.argv, connection.config, sink))
        return made[0]

    link = connection.new_link(make)
    link.transport.open(deadline)
    return link, made[0]


class _Pending(Waiter):
    """One of several answers that are waited for at once."""

    def __init__(self, id: RequestId, news: Event) -> None:
        super().__init__(id)
        self._news = news

    def settle(self, answer: Message) -> None:
        super().settle(answer)
        self._news.set()

    def fail(self, failure: Callable[[], MCPClientError]) -> None:
        super().fail(failure)
        self._news.set()


class _Talk:
    """The first words with a server of unknown kind.

    Attributes:
        probe_is_open: the probe was never answered.
    """

    def __init__(self, connection: Connection, link: Link, transport: StdioTransport, deadline: Deadline) -> None:
        self._connection = connection
        self._link = link
        self._transport = transport
        self._deadline = deadline
        self._news = Event()
        self._greeting: Optional[_Pending] = None
        self.probe_is_open = False

    def discover(self, method: str, params: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
        """The result of the probe, however late.

        Raises:
            MCPTimeoutError: there will be none: the server has answered ``initialize`` instead, or nothing at all.
            MCPServerError, MCPConnectionError, MCPClosedError: what came instead.
        """
        deadline, stamp = self._deadline, self._link.stamp
        probe = self._send(method, params if stamp is None else stamp.params(params))
        if self._is_read(probe):
            if not self._wait(lambda: probe.settled, min(_PATIENCE, deadline.remaining * _PATIENCE_SHARE)):
                self._greet()
                last_chance = min(_LAST_CHANCE, deadline.remaining * _LAST_CHANCE_SHARE)
                self._wait(lambda: probe.settled or self._is_greeted, last_chance)
            text = f"the server has not answered server/discover for {deadline.elapsed:.1f} s"
        else:
            text = f"the server has not read its stdin for {deadline.elapsed:.1f} s; raise timeout= if it starts slowly"
        if probe.settled:
            return _result(probe)
        self._link.dispatcher.withdraw(probe)
        self.probe_is_open = True
        raise MCPTimeoutError(text, method=method, outcome="not_sent")

    def _greet(self) -> None:
        if self._greeting is None and not self._deadline.expired:
            _log.debug("%s has not answered server/discover: it is sent initialize too", self._link.server)
            config = self._connection.config
            ask = next(initialize(config.protocol_version, config.client_info, self._connection.capabilities()))
            self._greeting = self._send(*cast(Ask, ask))

    @property
    def _is_greeted(self) -> bool:
        """Whether ``initialize`` was answered, in a way that says what kind of server this is.

        A new server may refuse it before it answers the probe.
        """
        greeting = self._greeting
        if greeting is None or not greeting.settled:
            return False
        error = None if greeting.answer is None else greeting.answer.get("error")
        return not isinstance(error, dict) or error.get("code") != UNSUPPORTED_VERSION

    def initialize(self, method: str, params: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
        """The result of ``initialize``, which may be under way already."""
        greeting = self._greeting
        if greeting is None:
            return self._link.call(method, params, self._deadline)
        if not self._wait(lambda: greeting.settled, self._deadline.remaining):
            raise MCPTimeoutError(f"no answer within {self._deadline.timeout:g} s", method=method, outcome="not_sent")
        return _result(greeting)

    def end(self) -> None:
        """The probe was answered: what becomes of ``initialize`` does not matter."""
        if self._greeting is not None:
            self._link.dispatcher.withdraw(self._greeting)

    def _send(self, method: str, params: Optional[Mapping[str, Any]]) -> _Pending:
        pending = _Pending(self._link.new_id(), self._news)
        message = request(pending.id, method, params)
        self._link.dispatcher.expect(pending)
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("sending %s", shown(message))
        sent = False
        try:
            self._link.transport.send(message, self._deadline, pending)
            sent = True
        finally:
            if not sent:
                self._link.dispatcher.withdraw(pending)
        return pending

    def _is_read(self, probe: _Pending) -> bool:
        """Wait until the server has read the probe; False when the time was over before."""
        while not self._transport.has_read and not self._wait(lambda: probe.settled, _TICK):
            if self._deadline.expired:
                return False
        return True

    def _wait(self, done: Callable[[], bool], seconds: float) -> bool:
        """Wait until ``done``, ``seconds`` at most."""
        until = time.monotonic() + min(seconds, self._deadline.remaining)
        while not done():
            left = until - time.monotonic()
            if left <= 0.0:
                return False
            self._news.wait(left)
            self._news.clear()
        return True


def _result(pending: _Pending) -> Dict[str, Any]:
    if pending.answer is not None:
        return result_of(pending.answer)
    raise cast(Any, pending.failure)()  # it is settled
