"""What client and server agree on before the first call: asked of a stateless server, or negotiated in a handshake.

Runs on: the thread that opens a session.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Generator, Mapping, Optional, TypeVar, cast

from ..concurrency.deadline import Deadline
from ..concurrency.log import Log
from ..errors import (
    AuthorizationError,
    HTTPStatusError,
    MCPClientError,
    MCPClosedError,
    MCPConnectionError,
    MCPHandshakeError,
    MCPProtocolError,
    MCPServerError,
    MCPTimeoutError,
    SessionExpiredError,
    replacing,
)
from ..protocol.conversations import Agree, Ask, Negotiated, Tell, discover, initialize, mutual
from ..protocol.revisions import NEWEST, REVISIONS, Revision
from ..session.connection import Connection
from ..session.pending import ask
from ..session.session import Session

__all__ = ["NO_STREAMABLE_HTTP", "UNSUPPORTED_VERSION", "Asking", "agree_without_handshake", "handshake"]

_log = Log(__name__)
_T = TypeVar("_T")

# Errors that only a server of the stateless kind gives (2026-07-28, Error Codes).
UNSUPPORTED_VERSION = -32022
_MODERN_ERRORS = frozenset({-32020, -32021, UNSUPPORTED_VERSION})
# What a POST is answered with where there is no Streamable HTTP.
NO_STREAMABLE_HTTP = frozenset({400, 404, 405, 406, 410, 415, 422, 501})
# A server that does not answer a probe may be an old one that never will.
_PROBE_SHARE = 0.4
_PROBE_SECONDS = 10.0

# How a request is made: given method and params, returns the result.
Asking = Callable[[str, Optional[Mapping[str, Any]]], Dict[str, Any]]


def agree_without_handshake(
    connection: Connection,
    session: Session,
    deadline: Deadline,
    is_modern: Optional[bool],
    asking: Optional[Asking] = None,
) -> bool:
    """Ask a server of the stateless kind what it speaks.

    False where it is of the other kind, or that is what is wanted.

    Parameters:
        is_modern: whether it is of the stateless kind, where that is known from before.
        asking: how the question is put to a server that may be of either kind.
    """
    version = connection.config.protocol_version
    if version is not None and REVISIONS[version].has_handshake:
        session.because = "protocol_version= says so"
        return False
    if is_modern is False:
        session.because = session.because or "it did so before"
        return False
    must = bool(is_modern) or version is not None
    probe = deadline if must else deadline.sooner(min(_PROBE_SECONDS, deadline.remaining * _PROBE_SHARE))
    question = _Probe(connection, session, probe, None if must else asking)
    negotiated = question.negotiated(must)
    if negotiated is not None:
        session.because = "it answers server/discover"
        session.agree(negotiated)
        _log_agreement(connection, session, negotiated)
        return True
    session.because = question.because
    if version is not None:
        raise MCPHandshakeError(f"the server does not speak protocol revision {version}", outcome="not_sent")
    if deadline.expired:
        raise question.silence or MCPTimeoutError(f"no answer within {deadline.timeout:g} s", outcome="not_sent")
    return False


def handshake(connection: Connection, session: Session, deadline: Deadline, asking: Optional[Asking] = None) -> None:
    """Initialize ``session``.

    Parameters:
        asking: how ``initialize`` is asked, where not as any request.

    Raises:
        MCPHandshakeError: the server does not take it.
    """
    config = connection.config
    conversation = initialize(config.protocol_version, config.client_info, connection.capabilities())
    with replacing(MCPClientError, _as_handshake_error):
        negotiated = _converse(session, conversation, deadline, asking)
    _log_agreement(connection, session, negotiated)


def _converse(
    session: Session, conversation: Generator[Any, Any, _T], deadline: Deadline, asking: Optional[Asking]
) -> _T:
    """Carry a conversation out in ``session``."""
    try:
        step = next(conversation)
        while True:
            answer: Any = None
            if isinstance(step, Tell):
                session.tell(step.method, None, deadline)
            elif isinstance(step, Agree):
                session.agree(step.negotiated)
            else:
                method, params = cast(Ask, step)
                answer = ask(session, method, params, deadline) if asking is None else asking(method, params)
            step = conversation.send(answer)
    except StopIteration as done:
        return cast(_T, done.value)


def _log_agreement(connection: Connection, session: Session, negotiated: Negotiated) -> None:
    _log.debug(
        "%s speaks %s over %s, because %s",
        connection.target.public,
        negotiated.revision.version,
        session.transport.name,
        session.because,
    )


class _Probe:
    """The question to a server whether it is of the stateless kind (2026-07-28, Versioning, Backward Compatibility)."""

    def __init__(self, connection: Connection, session: Session, deadline: Deadline, asking: Optional[Asking]) -> None:
        self._asking = asking
        self._connection = connection
        self._session = session
        self._version = connection.config.protocol_version
        self._deadline = deadline
        # The server did not answer.
        self.silence: Optional[MCPTimeoutError] = None
        # What speaks against the stateless kind.
        self.because = "it speaks no stateless revision that this client does"

    def negotiated(self, must: bool) -> Optional[Negotiated]:
        """What was agreed on, or None where the server is of the other kind.

        Parameters:
            must: the server is known, or demanded, to be of this kind: what goes wrong is an error.
        """
        revision: Optional[Revision] = REVISIONS[self._version] if self._version is not None else NEWEST
        # A server may refuse the first attempt with the very revision that it then takes.
        for _ in range(2):
            if revision is None:
                break
            self._session.speak(revision)
            error: MCPServerError
            try:
                return _converse(self._session, discover(self._version), self._deadline, self._asking)
            except MCPServerError as exc:
                error = exc
            except (HTTPStatusError, MCPProtocolError, MCPTimeoutError) as exc:
                if must or isinstance(exc, AuthorizationError) or not _says_legacy(exc):
                    raise
                self.because = f"server/discover was not answered: {exc.message}"
                if isinstance(exc, MCPTimeoutError):
                    self.silence = exc
                return None
            if error.code != UNSUPPORTED_VERSION:
                if error.code in _MODERN_ERRORS:
                    raise _handshake_error(error)
                # Whatever else it says, a server that knew the method would have answered it.
                self.because = f"it does not know server/discover (code {error.code})"
                return None
            offered = error.data.get("supported") if isinstance(error.data, dict) else None
            revision = mutual(offered, self._version)
        return None


def _says_legacy(error: MCPClientError) -> bool:
    if isinstance(error, HTTPStatusError):
        return error.status in NO_STREAMABLE_HTTP or error.status == 500
    return True


def _as_handshake_error(exc: MCPClientError) -> MCPClientError:
    """What goes wrong in a handshake, named as that."""
    error = exc
    if isinstance(exc, SessionExpiredError):
        error = _handshake_error(exc)  # nothing expired: the endpoint that the server named was never there
    elif isinstance(exc, (HTTPStatusError, MCPHandshakeError, MCPClosedError)):
        pass
    elif not isinstance(exc, MCPConnectionError) or exc.outcome != "not_sent":
        error = _handshake_error(exc)
    # No call was made: a handshake can always be tried again.
    error.outcome = "not_sent"
    return error


def _handshake_error(cause: MCPClientError) -> MCPHandshakeError:
    what = "was not answered" if isinstance(cause, MCPTimeoutError) else "failed"
    text = f"{cause.message} (code {cause.code})" if isinstance(cause, MCPServerError) else cause.message
    error = MCPHandshakeError(f"{cause.method or 'the handshake'} {what}: {text}", outcome="not_sent")
    error.__cause__ = cause
    return error.during(server=cause.server, method=cause.method, request_id=cause.request_id, elapsed=cause.elapsed)
