"""The exceptions that this package raises, one tree.

Runs on: the thread that a failure is raised on; an exception object is never shared by two callers.

    MCPClientError                       root; picklable; never an exception group
    ├── MCPUsageError                    also ValueError: the call itself cannot be carried out as written
    ├── MCPConnectionError               also ConnectionError: could not reach the server, or lost it
    │   ├── HTTPStatusError              the server answered with an HTTP error status
    │   │   ├── AuthorizationError       401 and 403 that no auth could satisfy
    │   │   ├── RateLimitedError         429: too many requests
    │   │   └── SessionExpiredError      the server forgot the session, and the call could not safely be repeated
    │   └── MCPHandshakeError            reached it, but it does not speak MCP as we do
    ├── MCPTimeoutError                  also TimeoutError
    ├── MCPStreamError                   a stream broke before its result
    ├── MCPProtocolError                 the server broke the protocol
    │   └── MessageTooLargeError         it sent more than ``max_message_bytes``
    ├── MCPServerError                   a JSON-RPC error answer
    ├── ToolError                        the tool itself reported failure
    ├── MCPCancelledError                the caller cancelled the call
    └── MCPClosedError                   the client was closed, or belongs to another process

``StreamLostError`` is both an MCPStreamError and an MCPConnectionError: a stream that broke because its connection did.

A caller who wants to try again asks ``error.outcome``: after ``"not_sent"`` the server has seen nothing and a second
try is safe; after ``"refused"`` it said that it did not run the call; after ``"unknown"`` the tool may have run.

An error is made again from ``args`` with all of this, which is how JSON result backends keep one:
``type(error)(*error.args)``.
"""

from __future__ import annotations

import copy
import errno
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, Tuple, Type, TypeVar, Union

from .escape import escape

if TYPE_CHECKING:
    from .protocol.types import CallToolResult

__all__ = [
    "AuthorizationError",
    "HTTPStatusError",
    "MCPCancelledError",
    "MCPClientError",
    "MCPClosedError",
    "MCPConnectionError",
    "MCPHandshakeError",
    "MCPProtocolError",
    "MCPServerError",
    "MCPStreamError",
    "MCPTimeoutError",
    "MCPUsageError",
    "MessageTooLargeError",
    "RateLimitedError",
    "SessionExpiredError",
    "StreamLostError",
    "ToolError",
    "is_out_of_memory",
    "may_pass",
    "needs_descriptors",
    "replacing",
]

_E = TypeVar("_E", bound="MCPClientError")


class MCPClientError(Exception):
    """The root of everything that mcp_sync raises.

    Attributes:
        server: the server's URL without user info and query, or its command's name; None where unknown.
        method: the JSON-RPC method that was asked for.
        request_id: the JSON-RPC id of the request.
        elapsed: seconds from the call's start to the failure.
        outcome: ``"not_sent"`` (the server has not seen the request), ``"refused"`` (it says that it did not process
            it), ``"unknown"`` (it may have, or nobody can tell), or None where there was an answer.

    Parameters:
        details: what ``args`` of another error gave beside its message.
    """

    # What ``args`` carries beside the message: plain data alone, so that it survives JSON.
    _details: Tuple[str, ...] = ("server", "method", "request_id", "elapsed", "outcome")
    # Whether the call is known to have been answered, so that ``outcome`` need not say whether it ran.
    _answered = False

    def __init__(
        self,
        message: str = "",
        details: object = None,
        *,
        server: Optional[str] = None,
        method: Optional[str] = None,
        request_id: Optional[object] = None,
        elapsed: Optional[float] = None,
        outcome: Optional[str] = None,
    ) -> None:
        super().__init__(message)
        self.server = server
        self.method = method
        self.request_id = request_id
        self.elapsed = elapsed
        self._outcome = outcome
        self._restore(details)

    def _restore(self, details: object) -> None:
        """Take over what ``args`` of another error carries; each class calls it when its own attributes are there."""
        if isinstance(details, Mapping):
            for name in self._details:
                if name in details:
                    setattr(self, name, details[name])

    @property
    def args(self) -> Tuple[Any, ...]:
        """The message, and what else is known, as plain data: the class takes both, and makes the same error of it."""
        known = {name: self._detail(name) for name in self._details}
        details = {name: value for name, value in known.items() if value is not None}
        return (self.message, details) if details else (self.message,)

    @args.setter
    def args(self, given: Tuple[Any, ...]) -> None:
        BaseException.args.__set__(self, given)  # type: ignore[attr-defined]  # a descriptor, which mypy does not know

    def _detail(self, name: str) -> Any:
        return self._outcome if name == "outcome" else getattr(self, name)

    @property
    def message(self) -> str:
        """What happened and what to do, without the context that ``str(error)`` adds."""
        given = super().args
        return str(given[0]) if given else ""

    @property
    def outcome(self) -> Optional[str]:
        return self._outcome if self._outcome is not None or self._answered else "unknown"

    @outcome.setter
    def outcome(self, outcome: Optional[str]) -> None:
        self._outcome = outcome

    @property
    def retryable(self) -> bool:
        """Whether the same call may be made again as it is: it did not run, and what kept it from it may pass.

        Never where the tool may have run. ``retry_after``, where there is one, says when.
        """
        did_not_run = self._outcome in ("not_sent", "refused")
        return did_not_run and (isinstance(self, SessionExpiredError) or may_pass(self))

    def during(
        self: _E,
        *,
        server: Optional[str] = None,
        method: Optional[str] = None,
        request_id: Optional[object] = None,
        elapsed: Optional[float] = None,
        outcome: Optional[str] = None,
    ) -> _E:
        """Fill in what is not known yet, and return the error itself, ready to be raised."""
        self.server = self.server if self.server is not None else server
        self.method = self.method if self.method is not None else method
        self.request_id = self.request_id if self.request_id is not None else request_id
        self.elapsed = self.elapsed if self.elapsed is not None else elapsed
        self._outcome = self._outcome if self._outcome is not None else outcome
        return self

    def again(self: _E) -> _E:
        """A copy for another caller who meets the same failure, chained to the same cause."""
        twin = copy.copy(self)
        twin.__cause__ = self.__cause__ if self.__cause__ is not None else self
        return twin

    def __str__(self) -> str:
        where = " at ".join(part for part in (self.method, self.server) if part)
        notes = [where] if where else []
        if self._outcome is not None:
            notes.append(f"outcome: {self._outcome}")
        text = f"{self.message} [{'; '.join(notes)}]" if notes else self.message
        return escape(text)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class MCPUsageError(MCPClientError, ValueError):
    """The call cannot be carried out as it was written: a URL that is not one, arguments that are not JSON, a negative
    timeout. Nothing was sent.
    """


class MCPConnectionError(MCPClientError, ConnectionError):
    """The server could not be reached, or the connection was lost.

    Attributes:
        transient: whether the same call may well succeed a little later: a server that is being restarted refuses
            connections, while a certificate that does not fit will not.

    ``outcome`` says whether the call may have run; the next call reconnects by itself.
    """

    transient: bool = False
    _details = (*MCPClientError._details, "transient")

    def _detail(self, name: str) -> Any:
        # Only what was said of this very error.
        return self.__dict__.get(name) if name == "transient" else super()._detail(name)


class HTTPStatusError(MCPConnectionError):
    """The server answered with an HTTP status that is an error. Other calls on the same client are not affected.

    Attributes:
        status: the HTTP status code.
        headers: the response's headers, without cookies and session ids.
        body: an excerpt of the body, at most 200 characters.
        retry_after: seconds the server asks to wait (429, 503), capped at an hour; None where it does not say.
        data: the JSON-RPC error that came with it: a dict with ``code``, ``message`` and perhaps ``data``; else None.
    """

    data: Any = None
    _details = (*MCPConnectionError._details, "status", "headers", "body", "retry_after", "data")

    def __init__(
        self,
        message: str = "",
        details: object = None,
        *,
        status: int = 0,
        headers: Optional[Mapping[str, str]] = None,
        body: str = "",
        retry_after: Optional[float] = None,
        **context: Any,
    ) -> None:
        super().__init__(message, **context)
        self.status = status
        self.headers: Mapping[str, str] = headers if headers is not None else {}
        self.body = body
        self.retry_after = retry_after
        self._restore(details)

    def _detail(self, name: str) -> Any:
        return dict(self.headers) if name == "headers" else super()._detail(name)


class AuthorizationError(HTTPStatusError):
    """The server wants other credentials: 401 or 403.

    Pass ``auth=`` (a bearer token, or anything that requests takes) or ``headers=``.
    """


class RateLimitedError(HTTPStatusError):
    """The server was asked too often: 429. It did not process the call; try again after ``retry_after`` seconds.

    ``retry=True`` does that by itself, within the call's ``timeout``.
    """


class SessionExpiredError(HTTPStatusError):
    """The server has forgotten the session, so it did not run the call, and the call is not known to be safe to repeat.
    The next call opens a new session.
    """


class MCPHandshakeError(MCPConnectionError):
    """Something answered, but the handshake of MCP did not succeed. The message says how far it came."""


class MCPTimeoutError(MCPClientError, TimeoutError):
    """The call's ``timeout`` passed before its answer came.

    The server was told to cancel; ``outcome`` says whether it may have run.
    """


class MCPStreamError(MCPClientError):
    """A stream broke before its result.

    Attributes:
        events_received: how many events came before the break.
    """

    _details = (*MCPClientError._details, "events_received")

    def __init__(self, message: str = "", details: object = None, *, events_received: int = 0, **context: Any) -> None:
        super().__init__(message, **context)
        self.events_received = events_received
        self._restore(details)


class StreamLostError(MCPStreamError, MCPConnectionError):
    """A stream broke before its result because the connection was lost."""

    _details = (*MCPConnectionError._details, "events_received")


class MCPProtocolError(MCPClientError):
    """The server broke the protocol: bad JSON, a wrong shape, a message over ``max_message_bytes``.

    Attributes:
        result: the result that cannot be read, as it came; None where there is none.
    """

    def __init__(self, message: str = "", details: object = None, *, result: Any = None, **context: Any) -> None:
        super().__init__(message, details, **context)
        self.result = result


class MessageTooLargeError(MCPProtocolError):
    """The server sent more than ``max_message_bytes``: ask for less, or raise the limit."""


class MCPServerError(MCPClientError):
    """A JSON-RPC error answer: the server understood, and said no.

    Attributes:
        code: the JSON-RPC error code.
        data: whatever the server added, or None; the whole error, where its text is too long for an exception's.
    """

    _details = (*MCPClientError._details, "code", "data")

    def __init__(
        self, message: str = "", details: object = None, *, code: int = 0, data: Any = None, **context: Any
    ) -> None:
        super().__init__(message, **context)
        self.code = code
        self.data = data
        self._restore(details)
        self._answered = self.code != 0

    def __str__(self) -> str:
        return f"{super().__str__()} (code {self.code})"


class ToolError(MCPClientError):
    """The tool ran and reported failure (``isError``).

    ``raise_on_error=False`` returns the result instead of raising this.

    Attributes:
        result: the whole :class:`CallToolResult`; None where the error was made of ``args``, which hold no content.
    """

    def __init__(
        self, message: str = "", details: object = None, *, result: Optional[CallToolResult] = None, **context: Any
    ) -> None:
        super().__init__(message, details, **context)
        self.result = result
        self._answered = result is not None or isinstance(details, Mapping)


class MCPCancelledError(MCPClientError):
    """The caller cancelled this call; the server was told, and may have run the tool all the same."""


class MCPClosedError(MCPClientError):
    """The client was closed, by this thread or another, before the call could finish."""


# The statuses that a server answers with while it is being restarted.
_PASSING_STATUS = {429, 502, 503, 504}


def may_pass(error: MCPClientError) -> bool:
    """Whether a server that is being restarted, or wants to be asked less often, could be the reason."""
    if isinstance(error, HTTPStatusError):
        return error.status in _PASSING_STATUS
    return (
        isinstance(error, (MCPConnectionError, MCPTimeoutError))
        and not isinstance(error, MCPHandshakeError)
        and error.outcome == "not_sent"
    )


def is_out_of_memory(exc: BaseException) -> bool:
    """Whether ``exc`` says that there is no memory: of pydantic's parser in Rust, that is an exception which no
    ``except Exception`` takes.
    """
    return isinstance(exc, MemoryError) or type(exc).__module__ == "pyo3_runtime"


class replacing:  # noqa: N801  # it reads as a verb in a with statement
    """A context manager: where the block raises an exception of ``kinds``, what ``by`` makes of it is raised instead.

    The new exception does not have the old one as its context: a library's text may hold a URL with its query, and its
    traceback the frames with a request's headers. ``by`` chains what may be shown.

    Parameters:
        kinds: as ``except`` takes them.
        by: returns the exception to raise.
    """

    __slots__ = ("_by", "_kinds")

    def __init__(
        self, kinds: Union[Type[BaseException], Tuple[Type[BaseException], ...]], by: Callable[[Any], BaseException]
    ) -> None:
        self._kinds = kinds
        self._by = by

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        if value is not None and isinstance(value, self._kinds):
            error = self._by(value)
            try:
                raise error
            finally:
                error.__context__ = None


def _not_imported(exc: Exception) -> BaseException:
    if isinstance(exc, OSError):
        return _without_descriptors(exc)
    if sys.is_finalizing():
        return MCPClosedError("the interpreter is at its end", outcome="not_sent")
    return exc


def _without_descriptors(exc: OSError) -> BaseException:
    if exc.errno not in (errno.EMFILE, errno.ENFILE):
        return exc
    error = MCPConnectionError(f"this process can open nothing more: {exc.strerror}", outcome="not_sent")
    error.__cause__ = exc
    return error


# Where something is imported when it is first needed: with no file descriptor left that fails with an OSError.
needs_descriptors = replacing((OSError, ImportError), by=_not_imported)
