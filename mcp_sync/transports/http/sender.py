"""What the HTTP bindings share: sending a request under a deadline, reading its answer within bounds, and the table of
what can go wrong.

Runs on: the calling thread; ``HTTP.interrupt`` on any.

Three ways lead out. A plain request goes straight to the connection pool of requests' adapter, prepared once: that
saves two thirds of what ``Session.request`` costs, which looks up proxies and netrc anew for each call. A request with
an auth object, or on a session that the user brought, goes through ``requests.Session.send`` with all its hooks; a
long-lived stream through requests' adapter. All end in the same urllib3 response.

A session of our own is made when the first request goes through it, and a jar for cookies when the first one comes:
most clients need neither, and each session comes with two adapters that are replaced at once.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Callable, Dict, Mapping, Optional, Set, Tuple, TypeVar, Union, cast

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from urllib3 import Timeout
from urllib3.response import HTTPResponse

from ..._version import __version__
from ...concurrency.deadline import Deadline
from ...concurrency.signals import from_signal_handler
from ...config import MCPClientConfig, check_header
from ...errors import (
    MCPClientError,
    MCPClosedError,
    MCPConnectionError,
    MCPTimeoutError,
    MCPUsageError,
)
from ...protocol.urls import public_url, resolve_redirect, without_user_info
from .connections import Adapter, make_interruptible
from .credentials import AsGiven, Cookies, read_auth
from .direct import Route
from .exchange import CLOSED, Exchange, current, watch
from .failures import translate
from .response import Response

__all__ = ["HTTP", "Headers"]

_T = TypeVar("_T")
Headers = Union[Mapping[str, str], Callable[[], Mapping[str, str]]]

_REDIRECTS = 5
_REMEMBERED = 256


class HTTP:
    """Sends requests to one server.

    Parameters:
        config: the client's settings.
        url: the server's URL: what proxies, CA bundle and netrc of the environment are looked up for.
        auth: whatever requests takes, or a bearer token as a string.
        headers: further headers, or a callable that is asked for them before each request.
        session: the user's own session, used as it is.
    """

    # Until there is one of the object's own.
    _own: Optional[requests.Session] = None

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
        # An exchange is in the set from before it is sent until it is finished. No lock: who sends enters it and then
        # looks whether this is closed, and who closes says so and then looks at the set, so one of them sees the other.
        self._under_way: Set[Exchange] = set()
        self._closed = False
        # Same-origin redirects that were followed once, so that they cost one request and not one for each call.
        self._moved: Dict[str, str] = {}
        self._routes: Dict[str, Route] = {}
        self._base: Dict[str, str] = {
            "User-Agent": f"mcp-sync/{__version__}",
            "Accept-Encoding": "identity",
            **config.default_headers,
        }
        self._brought = session
        self._adapter = Adapter() if session is None else None
        self._cookies = Cookies()
        self._auth = read_auth(auth, url, self._base, headers, session, config.trust_env)
        verify, proxies, cert = config.verify, dict(config.proxies), config.cert
        environment = session or _environment(config.trust_env)
        settings = environment.merge_environment_settings(url, proxies, True, verify, cert)
        if isinstance(verify, str) or verify is False:
            settings["verify"] = verify  # the environment's CA bundle would win over it
        self._verify: Any = settings["verify"]
        self._proxies, self._cert = settings["proxies"], settings["cert"]

    def _session(self) -> requests.Session:
        """The user's own session, or ours."""
        session = self._brought if self._brought is not None else self._own
        if session is not None:
            return session
        session = requests.Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, cast(Adapter, self._adapter))
        session.headers.clear()
        session.cookies = self._cookies.jar
        # The environment has been asked already, and must not be asked again for each request.
        session.trust_env = False
        # One step of the interpreter: of two threads that come here at once, both get the same.
        made: requests.Session = vars(self).setdefault("_own", session)
        return made

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
        farewell: bool = False,
    ) -> Response:
        """Send one request and return its response, whose body is still to be read, as soon as its head is there.

        Redirects of the same origin are followed, five at most. The caller closes the response.

        Parameters:
            deadline: bounds the whole exchange, the reading of the body included; lift it with ``Response.unbound``.
            exchange: to be able to stop it from elsewhere; made here if None.
            streaming: a long-lived stream, held with requests.
            farewell: it goes out even after ``interrupt``.

        Raises:
            MCPConnectionError, MCPTimeoutError, MCPClosedError: no response came.
        """
        target = self._moved.get(url, url)
        if "@" in target:
            target = without_user_info(target)  # it was made a header, and requests would make it one in its own way
        for _ in range(_REDIRECTS + 1):
            exchange = Exchange(deadline.at) if exchange is None else exchange
            self._begin(exchange, deadline, farewell)
            response = self._send_once(method, target, headers, body, deadline, exchange, streaming)
            location = response.headers.get("location")
            if response.status not in (301, 302, 303, 307, 308) or not location:
                return response
            response.close()
            there = resolve_redirect(target, location)
            if method != "GET" and response.status not in (307, 308):
                raise MCPConnectionError(
                    f"the server redirects with status {response.status}, which would turn {method} into GET; use the "
                    f"URL it names: {public_url(there)}",
                    outcome="refused",
                )
            target = there
            if response.status in (307, 308):
                _remember(self._moved, url, there)
        raise MCPConnectionError(f"the server redirects in a circle ({_REDIRECTS} times)", outcome="not_sent")

    def _send_once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Optional[bytes],
        deadline: Deadline,
        exchange: Exchange,
        streaming: bool,
    ) -> Response:
        error: Optional[MCPClientError] = None
        # That of a request whose thread a signal handler has interrupted, to send this one.
        outer = current.exchange
        try:
            remaining = deadline.remaining
            if remaining <= 0:
                raise MCPTimeoutError(
                    f"the {deadline.timeout:g} s of this call were over before it was sent", outcome="not_sent"
                )
            merged = _merged(self._base, self._asked_headers(), headers)
            timeouts = (min(remaining, self._config.connect_timeout), remaining)
            current.exchange = exchange
            if self._auth is not None or self._brought is not None:
                raw = self._through_session(method, url, merged, body, timeouts)
            elif streaming:
                raw = self._through_adapter(method, url, merged, body, timeouts)
            else:
                raw = self._through_pool(method, url, merged, body, timeouts)
            exchange.raw = raw
            return Response(exchange, raw, url, merged, self._end)
        except MCPClientError:
            self._end(exchange)
            raise
        except BaseException as exc:
            self._end(exchange)
            raised = from_signal_handler(exc)
            if raised is not None:
                raise raised from None
            if not isinstance(exc, Exception):
                raise
            if self._brought is not None and exchange.connection is None:
                exchange.sent = True  # connections of urllib3's own do not tell, and a call must not go out twice
            error = translate(exc, exchange, url, deadline)
        finally:
            current.exchange = outer
        # Outside of the handler, so that no library's text, which may hold the URL's query, hangs on as the context.
        raise error

    def _through_pool(
        self, method: str, url: str, headers: Dict[str, str], body: Optional[bytes], timeouts: Tuple[float, float]
    ) -> HTTPResponse:
        route = self._routes.get(url) or self._find_route(url)
        self._cookies.add(method, url, headers)
        raw = route.exchange(method, headers, body, timeouts)
        self._cookies.keep(method, url, raw)
        return raw

    def _through_adapter(
        self, method: str, url: str, headers: Dict[str, str], body: Optional[bytes], timeouts: Tuple[float, float]
    ) -> HTTPResponse:
        self._cookies.add(method, url, headers)
        response = cast(Adapter, self._adapter).send(
            requests.Request(method, url, headers=headers, data=body).prepare(),
            stream=True,
            timeout=cast(Any, Timeout(connect=timeouts[0], read=timeouts[1])),
            verify=self._verify,
            cert=self._cert,
            proxies=self._proxies,
        )
        self._cookies.keep(method, url, cast(HTTPResponse, response.raw))
        return cast(HTTPResponse, response.raw)

    def _find_route(self, url: str) -> Route:
        prepared = requests.PreparedRequest()
        prepared.prepare_url(url, None)
        adapter: Any = self._adapter
        pool = adapter.get_connection_with_tls_context(prepared, self._verify, proxies=self._proxies, cert=self._cert)
        adapter.cert_verify(pool, url, self._verify, self._cert)
        found = Route.to(str(prepared.url), pool, adapter.request_url(prepared, self._proxies))
        _remember(self._routes, url, found)
        return found

    def _through_session(
        self, method: str, url: str, headers: Dict[str, str], body: Optional[bytes], timeouts: Tuple[float, float]
    ) -> HTTPResponse:
        auth = self._auth
        if auth is None and (self._brought is None or any(name.lower() == "authorization" for name in headers)):
            auth = AsGiven()
        session = self._session()
        prepared = session.prepare_request(requests.Request(method, url, headers=headers, data=body, auth=auth))
        if self._brought is not None:
            make_interruptible(session.get_adapter(url), prepared, self._verify, self._proxies, self._cert)
        headers.update(cast(Any, prepared.headers))  # what was sent, the auth's own included, is what must not be shown
        response = session.send(
            prepared,
            stream=True,
            timeout=cast(Any, Timeout(connect=timeouts[0], read=timeouts[1])),
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

    def _begin(self, exchange: Exchange, deadline: Deadline, farewell: bool) -> None:
        exchange.deadline_at = deadline.at
        self._under_way.add(exchange)
        if self._closed and not farewell:
            self._under_way.discard(exchange)
            raise MCPClosedError("the client is closed", outcome="not_sent")
        if exchange.deadline_at == math.inf:
            return
        try:
            watch.add(exchange)
        except RuntimeError as exc:
            self._under_way.discard(exchange)
            raise MCPConnectionError(
                f"no thread could be started to watch deadlines: {exc}", outcome="not_sent"
            ) from exc

    def _end(self, exchange: Exchange) -> None:
        watch.discard(exchange)
        connection = exchange.connection
        if connection is not None:
            connection.used()
        exchange.over = True
        exchange.raw = None  # it would keep the pool of a session that the user brought, and its sockets with it
        self._under_way.discard(exchange)

    def interrupt(self) -> None:
        """Stop every exchange under way, and refuse new ones. Any thread."""
        self._closed = True
        # A copy of a set is one step of the interpreter.
        for exchange in self._under_way.copy():
            exchange.stop(CLOSED)

    def disown(self) -> None:
        """This process was forked from the one that sends here: neither its connections nor its exchanges are ours."""
        self._closed = True
        for exchange in self._under_way:
            exchange.connection = exchange.raw = None
        self._under_way.clear()

    @staticmethod
    def forget_connections(session: requests.Session) -> None:
        """In a forked child: leave the parent's connections alone, and begin with none."""
        for adapter in session.adapters.values():
            if isinstance(adapter, HTTPAdapter):
                # Pickling is how requests itself makes an adapter without connections.
                pickled: Any = adapter
                pickled.__setstate__(pickled.__getstate__())
        if isinstance(session.cookies, RequestsCookieJar):
            session.cookies = session.cookies.copy()  # its lock may be held by a thread that is not here

    def close(self) -> None:
        """Close the idle connections. Whoever reads a response closes that one."""
        self.interrupt()
        # Whoever was interrupted before it could read or close is not there any more: nothing else holds those.
        for exchange in self._under_way.copy():
            watch.discard(exchange)
            exchange.connection = exchange.raw = None
        self._under_way.clear()
        if self._adapter is not None:
            self._adapter.close()


def _merged(*layers: Mapping[str, str]) -> Dict[str, str]:
    """The headers of all layers; a name's last value is the one that counts, however each is spelled."""
    merged: Dict[str, str] = {}
    for layer in layers:
        merged.update(layer)
    if len(set(map(str.lower, merged))) == len(merged):
        return merged
    named = {name.lower(): (name, value) for layer in layers for name, value in layer.items()}
    return dict(named.values())


@functools.lru_cache(maxsize=2)
def _environment(trusted: bool) -> requests.Session:
    """What tells the settings of the environment; nothing is ever sent through it."""
    session = requests.Session()
    session.trust_env = trusted
    return session


def _remember(table: Dict[str, _T], url: str, found: _T) -> None:
    """Keep what was found out about a URL. Direct calls have a URL each, so that it is not kept for ever."""
    if len(table) >= _REMEMBERED:
        table.clear()
    table[url] = found
