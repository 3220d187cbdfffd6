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
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, cast

from ..concurrency.clock import monotonic
from ..concurrency.deadline import Deadline
from ..concurrency.events import Event
from ..concurrency.log import Log
from ..errors import MCPClientError, MCPConnectionError, MCPHandshakeError, MCPServerError, MCPTimeoutError
from ..protocol.conversations import Ask, initialize
from ..protocol.messages import Message, RequestId, request, result_of, shown
from ..session.connection import Connection
from ..session.pending import ask
from ..session.session import Session
from ..session.target import Command
from ..session.waiter import Waiter
from ..transports.stdio.transport import StdioTransport
from .handshake import UNSUPPORTED_VERSION, agree_without_handshake, handshake

__all__ = ["start_server"]

_log = Log(__name__)

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
# How long it may take until the end of a server is known everywhere.
_LOST_SECONDS = 1.0


def start_server(connection: Connection, server: Command, deadline: Deadline, is_modern: Optional[bool]) -> Session:
    """Start ``server``, and agree with it on a revision.

    Parameters:
        is_modern: whether it is of the stateless kind, where that is known from before.

    Raises:
        MCPConnectionError, MCPTimeoutError, MCPClosedError: there is no session.
    """
    session, transport = _launch(connection, server, deadline)
    first = _FirstExchange(connection, session, transport, deadline)
    exchange: Optional[_FirstExchange] = first
    died = False
    try:
        if agree_without_handshake(connection, session, deadline, is_modern, first.discover):
            first.end()
            return session
    except MCPConnectionError as exc:
        is_settled = is_modern or connection.config.protocol_version is not None or isinstance(exc, MCPHandshakeError)
        if is_settled or not session.lost.wait(min(_LOST_SECONDS, deadline.remaining)):
            raise
        _log.debug("%s did not survive server/discover: %s", server.public, exc)
        died = True
    if died or first.probe_is_open or session.lost.is_set():
        connection.discard()
        because = session.because or "it did not survive server/discover"
        session, exchange = _launch(connection, server, deadline)[0], None
        session.because = because
    session.stamp = None
    refused: Optional[MCPHandshakeError] = None
    try:
        handshake(connection, session, deadline, None if exchange is None else exchange.initialize)
    except MCPHandshakeError as exc:
        cause = exc.__cause__
        if not isinstance(cause, MCPServerError) or cause.code != UNSUPPORTED_VERSION:
            raise
        refused = exc
    # It does speak the stateless revisions, whatever became of the probe.
    if refused is not None and not agree_without_handshake(connection, session, deadline, True):
        raise refused
    return session


def _launch(connection: Connection, server: Command, deadline: Deadline) -> Tuple[Session, StdioTransport]:
    made = []

    def make(sink: Any) -> StdioTransport:
        made.append(StdioTransport(server.argv, connection.config, sink))
        return made[0]

    session = connection.new_session(make)
    session.open(deadline)
    return session, made[0]


class _Pending(Waiter):
    """One of several answers that are waited for at once."""

    def __init__(self, id: RequestId, changed: Event) -> None:
        super().__init__(id)
        self._changed = changed

    def settle(self, answer: Message) -> None:
        super().settle(answer)
        self._changed.set()

    def fail(self, failure: Callable[[], MCPClientError]) -> None:
        super().fail(failure)
        self._changed.set()


class _FirstExchange:
    """The first requests to a server of unknown kind: the probe, and ``initialize`` where the probe is not answered.

    Attributes:
        probe_is_open: the probe was never answered.
    """

    def __init__(self, connection: Connection, session: Session, transport: StdioTransport, deadline: Deadline) -> None:
        self._connection = connection
        self._session = session
        self._transport = transport
        self._deadline = deadline
        self._changed = Event()
        self._initialize: Optional[_Pending] = None
        self.probe_is_open = False

    def discover(self, method: str, params: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
        """The result of the probe, however late.

        Raises:
            MCPTimeoutError: there will be none: the server has answered ``initialize`` instead, or nothing at all.
            MCPServerError, MCPConnectionError, MCPClosedError: what came instead.
        """
        deadline, stamp = self._deadline, self._session.stamp
        probe = self._send(method, params if stamp is None else stamp.params(params))
        if self._is_read(probe):
            if not self._wait(lambda: probe.settled, min(_PATIENCE, deadline.remaining * _PATIENCE_SHARE)):
                self._send_initialize()
                last_chance = min(_LAST_CHANCE, deadline.remaining * _LAST_CHANCE_SHARE)
                self._wait(lambda: probe.settled or self._initialize_settles_it, last_chance)
            text = f"the server has not answered server/discover for {deadline.elapsed:.1f} s"
        else:
            text = f"the server has not read its stdin for {deadline.elapsed:.1f} s; raise timeout= if it starts slowly"
        if probe.settled:
            return _result(probe)
        self._session.dispatcher.withdraw(probe)
        self.probe_is_open = True
        raise MCPTimeoutError(text, method=method, outcome="not_sent")

    def _send_initialize(self) -> None:
        if self._initialize is None and not self._deadline.expired:
            _log.debug("%s has not answered server/discover: it is sent initialize too", self._session.server)
            config = self._connection.config
            conversation = initialize(config.protocol_version, config.client_info, self._connection.capabilities())
            self._initialize = self._send(*cast(Ask, next(conversation)))

    @property
    def _initialize_settles_it(self) -> bool:
        """Whether ``initialize`` was answered, in a way that says what kind of server this is.

        A new server may refuse it before it answers the probe.
        """
        pending = self._initialize
        if pending is None or not pending.settled:
            return False
        error = None if pending.answer is None else pending.answer.get("error")
        return not isinstance(error, dict) or error.get("code") != UNSUPPORTED_VERSION

    def initialize(self, method: str, params: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
        """The result of ``initialize``, which may be under way already."""
        pending = self._initialize
        if pending is None:
            return ask(self._session, method, params, self._deadline)
        if not self._wait(lambda: pending.settled, self._deadline.remaining):
            raise MCPTimeoutError(f"no answer within {self._deadline.timeout:g} s", method=method, outcome="not_sent")
        return _result(pending)

    def end(self) -> None:
        """The probe was answered, and ``initialize`` does not matter any more."""
        if self._initialize is not None:
            self._session.dispatcher.withdraw(self._initialize)

    def _send(self, method: str, params: Optional[Mapping[str, Any]]) -> _Pending:
        pending = _Pending(self._session.new_id(), self._changed)
        message = request(pending.id, method, params)
        self._session.dispatcher.expect(pending)
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("sending %s", shown(message))
        sent = False
        try:
            self._session.transport.send(message, self._deadline, pending)
            sent = True
        finally:
            if not sent:
                self._session.dispatcher.withdraw(pending)
        return pending

    def _is_read(self, probe: _Pending) -> bool:
        """Wait until the server has read the probe; False when the time was over before."""
        while not self._transport.has_read and not self._wait(lambda: probe.settled, _TICK):
            if self._deadline.expired:
                return False
        return True

    def _wait(self, done: Callable[[], bool], seconds: float) -> bool:
        """Wait until ``done``, ``seconds`` at most."""
        until = monotonic() + min(seconds, self._deadline.remaining)
        while not done():
            left = until - monotonic()
            if left <= 0.0:
                return False
            self._changed.wait(left)
            self._changed.clear()
        return True


def _result(pending: _Pending) -> Dict[str, Any]:
    if pending.answer is not None:
        return result_of(pending.answer)
    raise cast(Any, pending.failure)()  # it is settled
