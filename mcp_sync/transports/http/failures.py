"""What can go wrong in an exchange, and which error of ours that is: the one table of it.

Runs on: the thread whose exchange failed.
"""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from traceback import clear_frames
from typing import Any, NoReturn, Optional

import requests
import urllib3.exceptions

from ...concurrency.clock import monotonic
from ...concurrency.deadline import Deadline
from ...concurrency.signals import from_signal_handler
from ...errors import MCPClientError, MCPClosedError, MCPConnectionError, MCPTimeoutError
from ...escape import escape, excerpt
from ...protocol.urls import public_url
from .exchange import CLOSED, EXPIRED, Exchange, StoppedBeforeSending

__all__ = ["raise_translated", "translate"]


def raise_translated(exc: Exception, exchange: Exchange, url: str, deadline: Optional[Deadline] = None) -> NoReturn:
    """Raise, in an ``except`` clause, the error of ours for what a library has raised (``translate``).

    What is one already, and what a signal handler has raised, comes out as it is. The error does not have the library's
    exception as its context, whose text may hold the URL's query. Not a context manager: there are two in each call,
    and that would be six function calls more.
    """
    if isinstance(exc, MCPClientError):
        raise exc
    raised = from_signal_handler(exc)
    if raised is not None:
        raise raised from None
    error = translate(exc, exchange, url, deadline)
    try:
        raise error
    finally:
        error.__context__ = None


def translate(exc: Exception, exchange: Exchange, url: str, deadline: Optional[Deadline]) -> MCPClientError:
    """The error of ours for an exception of requests, urllib3, http.client, ssl or the socket: the one table of it.

    The cause that is chained is the innermost one: the outer ones carry the URL with its query in their text.
    """
    cause = _innermost(exc)
    where = public_url(url)
    outcome = "unknown" if exchange.sent else "not_sent"
    error: MCPClientError
    if exchange.stopped == CLOSED or isinstance(cause, urllib3.exceptions.ClosedPoolError):
        error = MCPClosedError("the client was closed while this call was under way", outcome=outcome)
    elif exchange.stopped == EXPIRED or (
        monotonic() >= exchange.deadline_at and not isinstance(cause, urllib3.exceptions.NewConnectionError)
    ):
        error = MCPTimeoutError(_too_late(exchange, deadline, where), outcome=outcome)
    elif exchange.stopped is not None:
        error = MCPConnectionError(f"the request was given up: {exchange.stopped}", outcome=outcome)
    elif isinstance(cause, (urllib3.exceptions.NameResolutionError, socket.gaierror)):
        error = MCPConnectionError(f"the host of {where} cannot be found; check the name", outcome="not_sent")
    elif isinstance(cause, urllib3.exceptions.ConnectTimeoutError) and not isinstance(
        cause, urllib3.exceptions.NewConnectionError
    ):
        error = MCPConnectionError(
            f"no connection to {where} within the connect_timeout; check that the host is up and no firewall is "
            "between",
            outcome="not_sent",
        )
    elif isinstance(cause, (urllib3.exceptions.NewConnectionError, ConnectionRefusedError)):
        error = MCPConnectionError(
            f"cannot connect to {where}: {_reason(cause)}; check that the server is running there", outcome="not_sent"
        )
    elif isinstance(cause, (urllib3.exceptions.SSLError, ssl.SSLError, ssl.CertificateError)) and not exchange.sent:
        said = str(cause).lower().replace("_", " ")
        speaks_http = any(sign in said for sign in ("wrong version number", "record layer failure", "http request"))
        hint = "the port seems to speak plain http: use http://" if speaks_http else "verify= takes a CA bundle's path"
        error = MCPConnectionError(f"no secure connection to {where}: {_reason(cause)}; {hint}", outcome="not_sent")
    elif _peer_has_vanished(cause):
        error = MCPConnectionError(
            f"the connection to {where} broke: nothing of the peer reaches this machine any more", outcome=outcome
        )
    elif isinstance(cause, (urllib3.exceptions.ReadTimeoutError, socket.timeout)):
        error = MCPTimeoutError(_too_late(exchange, deadline, where), outcome=outcome)
    elif isinstance(cause, urllib3.exceptions.LocationValueError):
        error = MCPConnectionError(
            f"the proxy on the way to {where} is no URL that can be used; check proxies= and the environment",
            outcome="not_sent",
        )
    elif isinstance(cause, urllib3.exceptions.ProxyError):
        error = MCPConnectionError(f"the proxy on the way to {where} refused: {_reason(cause)}", outcome=outcome)
    elif isinstance(
        cause, (urllib3.exceptions.HTTPError, requests.RequestException, http.client.HTTPException, OSError)
    ):
        error = MCPConnectionError(f"the connection to {where} broke: {_reason(cause)}", outcome=outcome)
    elif isinstance(cause, (ValueError, AttributeError)) and exchange.connection is None:
        error = MCPConnectionError(
            f"the request to {where} could not be made: {excerpt(str(cause))}", outcome="not_sent"
        )
    else:
        error = MCPConnectionError(f"the exchange with {where} failed: {type(cause).__name__}", outcome=outcome)
    if isinstance(error, MCPConnectionError):
        error.transient = _may_pass(cause)
    # The latter quotes the whole URL, and its password with it.
    if not isinstance(cause, (StoppedBeforeSending, urllib3.exceptions.LocationValueError)):
        error.__cause__ = _harmless(cause)
    return error


def _harmless(cause: BaseException) -> BaseException:
    """A cause as a traceback may print it: http.client quotes a status line as it came, control characters included."""
    cause.args = tuple(escape(arg) if isinstance(arg, str) else arg for arg in cause.args)
    return cause


def _peer_has_vanished(cause: BaseException) -> bool:
    """Whether TCP keepalive or its user timeout gave up.

    Since Python 3.10 that is of the same class as a timeout that was set on the socket, which has no errno.
    """
    return any(isinstance(exc, OSError) and exc.errno == errno.ETIMEDOUT for exc in (cause, cause.__cause__))


def _may_pass(cause: BaseException) -> bool:
    """Whether a server that is being restarted, or a network that hiccups, could be the reason."""
    if isinstance(cause, (urllib3.exceptions.NameResolutionError, urllib3.exceptions.SSLError, ssl.SSLError)):
        return False
    passing = (urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.NewConnectionError, http.client.HTTPException)
    return isinstance(cause, (*passing, urllib3.exceptions.ProtocolError, OSError))


def _too_late(exchange: Exchange, deadline: Optional[Deadline], where: str) -> str:
    deadline = deadline or exchange.deadline
    limit = deadline.limit if deadline is not None else "within the call's timeout"
    setting = deadline.setting if deadline is not None else "timeout="
    return (
        f"no answer from {where} {limit}; raise {setting} if it needs longer"
        if exchange.sent
        else f"no connection to {where} {limit}"
    )


def _innermost(exc: BaseException) -> BaseException:
    """Unwrap what only repeats its cause.

    Who keeps the error must not keep what urllib3 worked with: the pool with its sockets, and the headers with their
    secrets.
    """
    for _ in range(8):
        clear_frames(exc.__traceback__)
        inner: Any = None
        if isinstance(exc, urllib3.exceptions.MaxRetryError):
            inner = exc.reason
        elif isinstance(exc, requests.RequestException) or type(exc) is urllib3.exceptions.ProtocolError:
            inner = next((arg for arg in reversed(exc.args) if isinstance(arg, BaseException)), None)
        if inner is None:
            break
        exc = inner
    exc.__context__ = None
    if isinstance(exc, (requests.RequestException, urllib3.exceptions.HTTPError)):
        # They refer to the request with its headers, or to the pool: neither belongs into a traceback's reach.
        exc.__dict__.pop("request", None)
        exc.__dict__.pop("response", None)
        exc.__dict__.pop("pool", None)
        if "url" in exc.__dict__:
            exc.__dict__["url"] = None  # with its query; pickling looks for the attribute
    return exc


def _reason(cause: BaseException) -> str:
    if isinstance(cause, urllib3.exceptions.NewConnectionError) and cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, OSError) and cause.strerror:
        return excerpt(cause.strerror)
    text = str(cause)
    return excerpt(text) if text and "://" not in text and "url" not in text else type(cause).__name__
