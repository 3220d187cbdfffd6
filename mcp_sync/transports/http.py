"""What the HTTP bindings share: sending a request under a deadline, reading its answer within bounds, and the table of
what can go wrong.

Runs on: the calling thread; ``HTTP.interrupt`` on any.

Two ways lead out. A plain request goes straight to the connection pool of requests' adapter, prepared once: that saves
two thirds of what ``Session.request`` costs, which looks up proxies and netrc anew for each call. A request with an
auth object, or on a session that the user brought, and every long-lived stream, goes through ``requests.Session.send``
with all its hooks. Both end in the same urllib3 response.
"""

from __future__ import annotations

import http.client
import math
import socket
import ssl
import threading
import time
import warnings
from email.utils import parsedate_to_datetime
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Set, Tuple, Type, Union, cast
from urllib.parse import urljoin, urlsplit

import requests
import urllib3.exceptions
from requests.auth import AuthBase, HTTPBasicAuth
from requests.cookies import extract_cookies_to_jar, get_cookie_header
from requests.structures import CaseInsensitiveDict
from requests.utils import get_netrc_auth
from urllib3 import Retry, Timeout
from urllib3.response import HTTPResponse

from .._version import __version__
from ..config import MCPClientConfig, check_header
from ..deadline import Deadline
from ..errors import (
    AuthorizationError,
    HTTPStatusError,
    MCPClientError,
    MCPClosedError,
    MCPConnectionError,
    MCPProtocolError,
    MCPTimeoutError,
    MCPUsageError,
)
from ..protocol.escape import excerpt
from ..protocol.urls import public_url, same_origin
from .connections import Adapter, StoppedBeforeSending
from .exchange import CLOSED, EXPIRED, Exchange, current, watch

__all__ = ["HTTP", "Headers", "Response", "status_error"]

Headers = Union[Mapping[str, str], Callable[[], Mapping[str, str]]]

_REDIRECTS = 5
_NO_RETRIES = Retry(False)
_PIECE = 65536
_EXCERPT_BYTES = 4096
_LONGEST_RETRY_AFTER = 3600.0
# Never in an error: what a log must not hold.
_SECRET_HEADERS = {"set-cookie", "mcp-session-id", "x-mcp-session-id", "authorization", "proxy-authenticate"}
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class _AsGiven(AuthBase):
    """Leaves a request alone: it keeps requests from putting a netrc entry in place of an Authorization header that was
    given.
    """

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class HTTP:
    """Sends requests to one server.

    Parameters:
        config: the client's settings.
        url: the server's URL: what proxies, CA bundle and netrc of the environment are looked up for.
        auth: whatever requests takes, or a bearer token as a string.
        headers: further headers, or a callable that is asked for them before each request.
        session: the user's own session, used as it is.
    """

    def __init__(
        self,
        config: MCPClientConfig,
        url: str,
        auth: Any = None,
        headers: Optional[Headers] = None,
        session: Optional[requests.Session] = None,
    ) -> None:
        self._config = config
        self._headers = headers
        self._auth: Any = None
        # Guards the set below; an exchange is in it from before it is sent until it is finished.
        self._lock = threading.Lock()
        self._under_way: Set[Exchange] = set()
        self._closed = False
        # Same-origin redirects that were followed once, so that they cost one request and not one for each call.
        self._moved: Dict[str, str] = {}
        self._pools: Dict[str, Tuple[Any, str]] = {}
        self._base: Dict[str, str] = {
            "User-Agent": f"mcp-sync/{__version__}",
            "Accept-Encoding": "identity",
            **config.default_headers,
        }
        self._brought = session
        self._session = session if session is not None else self._make_session(url)
        self._take_auth(url, auth)
        verify, proxies, cert = config.verify, dict(config.proxies), config.cert
        with requests.Session() as environment:
            environment.trust_env = config.trust_env
            settings = (session or environment).merge_environment_settings(url, proxies, True, verify, cert)
        if isinstance(verify, str) or verify is False:
            settings["verify"] = verify  # the environment's CA bundle would win over it
        self._verify, self._proxies, self._cert = settings["verify"], settings["proxies"], settings["cert"]

    @staticmethod
    def _make_session(url: str) -> requests.Session:
        session = requests.Session()
        adapter = Adapter()
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        session.headers.clear()
        # The environment has been asked already, and must not be asked again for each request.
        session.trust_env = False
        return session

    def _take_auth(self, url: str, auth: Any) -> None:
        if isinstance(auth, str):
            try:
                check_header("Authorization", auth)
            except ValueError:
                raise MCPUsageError("the bearer token contains a line break", outcome="not_sent") from None
            self._base["Authorization"] = f"Bearer {auth}"
        elif isinstance(auth, tuple):
            prepared = HTTPBasicAuth(*auth)(requests.Request("GET", url).prepare())
            self._base["Authorization"] = str(prepared.headers["Authorization"])
        elif auth is not None:
            if not callable(auth):
                raise MCPUsageError(
                    "auth must be a bearer token, a (user, password) pair or a requests auth object, not "
                    f"{type(auth).__name__}",
                    outcome="not_sent",
                )
            self._auth = auth
        elif (
            self._brought is None
            and self._config.trust_env
            and not _names(self._base, "authorization")
            and not _names(self._headers, "authorization")
        ):
            found = get_netrc_auth(url)
            if found is not None:
                self._take_auth(url, found)
                return
        parts = urlsplit(url)
        credentials = auth is not None or _names(self._base, "authorization") or _names(self._headers, "authorization")
        if credentials and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            warnings.warn(
                f"credentials are sent to {public_url(url)} without encryption; use https", UserWarning, stacklevel=5
            )

    # Sending

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Optional[bytes],
        deadline: Deadline,
        *,
        exchange: Optional[Exchange] = None,
        streaming: bool = False,
    ) -> Response:
        """Send one request and return its response, whose body is still to be read, as soon as its head is there.

        Redirects of the same origin are followed, five at most. The caller closes the response.

        Parameters:
            deadline: bounds the whole exchange, the reading of the body included; lift it with ``Response.unbound``.
            exchange: to be able to stop it from elsewhere; made here if None.
            streaming: a long-lived stream, held with ``requests.Session``.

        Raises:
            MCPConnectionError, MCPTimeoutError, MCPClosedError: no response came.
        """
        target = self._moved.get(url, url)
        for _ in range(_REDIRECTS + 1):
            response = self._send_once(method, target, headers, body, deadline, exchange, streaming)
            location = response.headers.get("location")
            if response.status not in (301, 302, 303, 307, 308) or not location:
                return response
            response.close()
            if method != "GET" and response.status not in (307, 308):
                raise MCPConnectionError(
                    f"the server redirects with status {response.status}, which would turn {method} into GET; use the "
                    f"URL it names: {public_url(urljoin(target, location))}",
                    outcome="refused",
                )
            there = urljoin(target, location)
            if not same_origin(target, there) or "@" in urlsplit(there).netloc:
                raise MCPConnectionError(
                    f"the server redirects to another origin, {public_url(there)}, where nothing was sent; use that "
                    "URL if you trust it",
                    outcome="not_sent",
                )
            target = there
            if response.status in (307, 308):
                self._moved[url] = there
        raise MCPConnectionError(f"the server redirects in a circle ({_REDIRECTS} times)", outcome="not_sent")

    def _send_once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Optional[bytes],
        deadline: Deadline,
        exchange: Optional[Exchange],
        streaming: bool,
    ) -> Response:
        if exchange is None:
            exchange = Exchange(deadline.at)
        else:
            exchange.deadline_at = deadline.at
        self._begin(exchange)
        error: Optional[MCPClientError] = None
        try:
            remaining = deadline.remaining
            if remaining <= 0:
                raise MCPTimeoutError(
                    f"the {deadline.timeout:g} s of this call were over before it was sent", outcome="not_sent"
                )
            merged = {**self._base, **self._asked_headers(), **headers}
            timeout = Timeout(connect=min(remaining, self._config.connect_timeout), read=remaining)
            current.exchange = exchange
            if streaming or self._auth is not None or self._brought is not None:
                raw = self._through_session(method, url, merged, body, timeout)
            else:
                raw = self._through_pool(method, url, merged, body, timeout)
            exchange.raw = raw
            return Response(self, exchange, raw, url)
        except MCPClientError:
            self._end(exchange)
            raise
        except BaseException as exc:
            self._end(exchange)
            if not isinstance(exc, Exception):
                raise
            error = translate(exc, exchange, url, deadline)
        finally:
            current.exchange = None
        # Outside of the handler, so that no library's text, which may hold the URL's query, hangs on as the context.
        raise error

    def _through_pool(
        self, method: str, url: str, headers: Dict[str, str], body: Optional[bytes], timeout: Timeout
    ) -> HTTPResponse:
        pool, target = self._pools.get(url) or self._find_pool(url)
        cookies = self._session.cookies
        if len(cookies):
            # requests has no annotations here.
            cookie = cast(Any, get_cookie_header)(cookies, requests.Request(method, url).prepare())
            if cookie:
                headers["Cookie"] = cookie
        raw = pool.urlopen(
            method,
            target,
            body=body,
            headers=headers,
            retries=_NO_RETRIES,
            redirect=False,
            timeout=timeout,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
        )
        if "set-cookie" in raw.headers:
            # Load balancers keep a session on one server by a cookie.
            cast(Any, extract_cookies_to_jar)(cookies, requests.Request(method, url).prepare(), raw)
        return cast(HTTPResponse, raw)

    def _find_pool(self, url: str) -> Tuple[Any, str]:
        prepared = requests.Request("POST", url).prepare()
        adapter: Any = self._session.get_adapter(url)
        pool = adapter.get_connection_with_tls_context(prepared, self._verify, proxies=self._proxies, cert=self._cert)
        adapter.cert_verify(pool, url, self._verify, self._cert)
        self._pools[url] = found = (pool, adapter.request_url(prepared, self._proxies))
        return found

    def _through_session(
        self, method: str, url: str, headers: Dict[str, str], body: Optional[bytes], timeout: Timeout
    ) -> HTTPResponse:
        auth = self._auth
        if auth is None and (self._brought is None or any(name.lower() == "authorization" for name in headers)):
            auth = _AsGiven()
        session = self._session
        prepared = session.prepare_request(requests.Request(method, url, headers=headers, data=body, auth=auth))
        response = session.send(
            prepared,
            stream=True,
            timeout=cast(Any, timeout),
            allow_redirects=False,
            verify=self._verify,
            cert=self._cert,
            proxies=self._proxies,
        )
        return cast(HTTPResponse, response.raw)

    def _asked_headers(self) -> Mapping[str, str]:
        given = self._headers
        if given is None:
            return {}
        headers = given() if callable(given) else given
        try:
            for name, value in headers.items():
                check_header(name, value)
        except (ValueError, AttributeError) as exc:
            raise MCPUsageError(f"headers= gave what cannot be sent: {exc}", outcome="not_sent") from None
        return headers

    # The exchanges under way

    def _begin(self, exchange: Exchange) -> None:
        with self._lock:
            if self._closed:
                raise MCPClosedError("the client is closed", outcome="not_sent")
            self._under_way.add(exchange)
        if exchange.deadline_at != math.inf:
            watch.add(exchange)

    def _end(self, exchange: Exchange) -> None:
        watch.discard(exchange)
        connection = exchange.connection
        if connection is not None:
            connection.used()
        with self._lock:
            self._under_way.discard(exchange)

    def interrupt(self) -> None:
        """Stop every exchange under way, and refuse new ones. Any thread."""
        with self._lock:
            self._closed = True
            exchanges = list(self._under_way)
        for exchange in exchanges:
            exchange.stop(CLOSED)

    def close(self) -> None:
        """Close the idle connections. Whoever reads a response closes that one."""
        self.interrupt()
        if self._brought is None:
            self._session.close()


class Response:
    """An HTTP response whose body is read on the thread that sent the request, under the deadline of its exchange."""

    __slots__ = ("_http", "_raw", "exchange", "headers", "status", "url")

    def __init__(self, http: HTTP, exchange: Exchange, raw: HTTPResponse, url: str) -> None:
        self._http = http
        self._raw = raw
        self.exchange = exchange
        self.headers = raw.headers
        self.status = raw.status
        self.url = url

    @property
    def content_type(self) -> str:
        """The media type alone, in lower case; "" where there is none."""
        return self.headers.get("content-type", "").split(";")[0].strip().lower()

    def unbound(self) -> None:
        """Lift the deadline: from now on the stream may be silent for as long as it likes."""
        watch.discard(self.exchange)
        self.exchange.deadline_at = math.inf
        connection: Any = self.exchange.connection or self._raw.connection
        sock = getattr(connection, "wire", None) or getattr(connection, "sock", None)
        if sock is not None:
            sock.settimeout(None)

    def read(self, limit: int) -> bytes:
        """The whole body, decompressed.

        Raises:
            MCPProtocolError: it is longer than ``limit`` bytes.
            MCPConnectionError, MCPTimeoutError, MCPClosedError: it did not come whole.
        """
        raw = self._raw
        error: Optional[MCPClientError] = None
        try:
            length = raw.length_remaining
            if length is not None and length <= limit and "content-encoding" not in self.headers:
                return raw.read(decode_content=False)
            parts, size = [], 0
            for part in self._pieces():
                size += len(part)
                if size > limit:
                    raise MCPProtocolError(
                        f"the server's answer is over the limit of {limit} bytes (max_message_bytes)", outcome="unknown"
                    )
                parts.append(part)
            return b"".join(parts)
        except MCPClientError:
            raise
        except Exception as exc:  # noqa: BLE001  # translate() knows what to make of it
            error = translate(exc, self.exchange, self.url, None)
        raise error

    def chunks(self) -> Iterator[bytes]:
        """The body piece by piece, each as soon as it is there.

        Ends where the body ends; a connection that breaks raises MCPConnectionError.
        """
        error: Optional[MCPClientError] = None
        try:
            yield from self._pieces()
        except MCPClientError:
            raise
        except Exception as exc:  # noqa: BLE001  # translate() knows what to make of it
            error = translate(exc, self.exchange, self.url, None)
        if error is not None:
            raise error

    def _pieces(self) -> Iterator[bytes]:
        raw = self._raw
        encoded = "content-encoding" in self.headers
        if raw.chunked and not encoded:
            # Half the cost of read1, but on other bodies it would wait for the piece to fill.
            yield from raw.read_chunked(_PIECE, decode_content=False)
        else:
            while True:
                piece = raw.read1(_PIECE, decode_content=encoded)
                if not piece:
                    return
                yield piece

    def excerpt(self) -> str:
        """The beginning of the body, escaped, at most 200 characters; "" where it cannot be read."""
        parts, size = [], 0
        try:
            for part in self.chunks():
                parts.append(part)
                size += len(part)
                if size >= _EXCERPT_BYTES:
                    break
        except MCPClientError:
            pass  # the status says more than this does
        return excerpt(b"".join(parts)[:_EXCERPT_BYTES].decode("utf-8", "replace").strip())

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else close it.

        Idempotent; the thread that reads calls it.
        """
        raw = self._raw
        if raw.connection is not None and raw.length_remaining == 0:
            # No body: reading nothing returns the connection to the pool.
            try:
                raw.read(decode_content=False)
            except Exception:  # noqa: BLE001, S110  # it is closed below all the same
                pass
        if raw.connection is not None:
            raw.close()
        raw.release_conn()
        self._http._end(self.exchange)


def translate(exc: Exception, exchange: Exchange, url: str, deadline: Optional[Deadline]) -> MCPClientError:
    """What an exception of requests, urllib3, http.client, ssl or the socket means to our caller: the one table of it.

    The cause that is chained is the innermost one: the outer ones carry the URL with its query in their text.
    """
    cause = _innermost(exc)
    where = public_url(url)
    outcome = "unknown" if exchange.sent else "not_sent"
    error: MCPClientError
    if exchange.stopped == CLOSED or isinstance(cause, urllib3.exceptions.ClosedPoolError):
        error = MCPClosedError("the client was closed while this call was under way", outcome=outcome)
    elif exchange.stopped == EXPIRED or (
        time.monotonic() >= exchange.deadline_at and not isinstance(cause, urllib3.exceptions.NewConnectionError)
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
        error = MCPConnectionError(
            f"no secure connection to {where}: {_reason(cause)}; verify= takes the path of a CA bundle",
            outcome="not_sent",
        )
    elif isinstance(cause, (urllib3.exceptions.ReadTimeoutError, socket.timeout)):
        error = MCPTimeoutError(_too_late(exchange, deadline, where), outcome=outcome)
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
    if not isinstance(cause, StoppedBeforeSending):
        error.__cause__ = cause
    return error


def _too_late(exchange: Exchange, deadline: Optional[Deadline], where: str) -> str:
    limit = f"within {deadline.timeout:g} s" if deadline is not None else "within the call's timeout"
    return (
        f"no answer from {where} {limit}; raise timeout= if it needs longer"
        if exchange.sent
        else f"no connection to {where} {limit}"
    )


def _innermost(exc: BaseException) -> BaseException:
    """Unwrap what only repeats its cause."""
    for _ in range(8):
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
    return exc


def _reason(cause: BaseException) -> str:
    if isinstance(cause, urllib3.exceptions.NewConnectionError) and cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, OSError) and cause.strerror:
        return excerpt(cause.strerror)
    text = str(cause)
    return excerpt(text) if text and "://" not in text and "url" not in text else type(cause).__name__


def status_error(response: Response, what: str, kind: Optional[Type[HTTPStatusError]] = None) -> HTTPStatusError:
    """The error for a response with an error status; reads an excerpt of its body.

    Parameters:
        what: what was asked, as the beginning of the message: "opening the stream".
        kind: the class to raise instead of the one that the status calls for.
    """
    status = response.status
    body = response.excerpt()
    hint = _HINTS.get(status, "")
    if kind is None:
        kind = AuthorizationError if status in (401, 403) else HTTPStatusError
    outcome = "refused" if status < 500 or status == 503 else "unknown"
    headers = {name: value for name, value in response.headers.items() if name.lower() not in _SECRET_HEADERS}
    return kind(
        f"{what} was answered with HTTP status {status}"
        + (f"; {hint}" if hint else "")
        + (f": {body!r}" if body else ""),
        status=status,
        headers=CaseInsensitiveDict(headers),
        body=body,
        retry_after=_retry_after(response.headers.get("retry-after")),
        outcome=outcome,
        server=public_url(response.url),
    )


_HINTS = {
    400: "the server does not take this request",
    401: "the server wants credentials: pass auth=",
    403: "the server does not allow this: check the credentials and the host name",
    404: "nothing is there: check the path of the URL",
    405: "the server does not take this method there: check the path of the URL",
    429: "the server asks to slow down",
    503: "the server is not available right now",
}


def _retry_after(value: Optional[str]) -> Optional[float]:
    """Seconds from a Retry-After header, a number or a date (RFC 9110, section 10.2.3), between 0 and an hour."""
    if value is None:
        return None
    text = value.strip()
    try:
        seconds = (
            float(text) if text.isascii() and text.isdigit() else parsedate_to_datetime(text).timestamp() - time.time()
        )
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)


def _names(headers: object, name: str) -> bool:
    return isinstance(headers, Mapping) and any(isinstance(key, str) and key.lower() == name for key in headers)
