"""Sending HTTP requests to one server, each under a deadline.

Runs on: the calling thread; ``Sender.interrupt`` on any.

Three ways lead out. A plain request goes straight to the connection pool of requests' adapter, prepared once: that
saves two thirds of what ``Session.request`` costs, which looks up proxies and netrc anew for each call. A request with
an auth object, or on a session that the user brought, goes through ``requests.Session.send`` with all its hooks; a
long-lived stream, and what goes through a proxy, through requests' adapter. All end in the same urllib3 response.

A session of our own is made when the first request goes through it, and a jar for cookies when the first one comes:
most clients need neither, and each session comes with two adapters that are replaced at once.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Dict, Mapping, NamedTuple, Optional, Set, Tuple, TypeVar, cast

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from urllib3 import Timeout
from urllib3.response import HTTPResponse

from ..._version import __version__
from ...concurrency.deadline import Deadline
from ...config import MCPClientConfig
from ...credentials import NO_AUTH, Credentials
from ...errors import MCPClosedError, MCPConnectionError, MCPTimeoutError
from ...protocol.urls import public_url, resolve_redirect, without_user_info
from ..masking import Secrets
from .connections import Route
from .credentials import AsGiven, Asked, Cookies, Means, checked, read_auth
from .exchange import CLOSED, Exchange, current, watch
from .failures import raise_translated
from .pools import Adapter, is_patched, make_interruptible
from .private import raw_of
from .response import Response

__all__ = ["HTTPRequest", "Sender"]

_T = TypeVar("_T")

# Headers that say how a request is framed or where it goes: urllib3 knows what to do about them.
_FRAMING = frozenset({"connection", "content-length", "expect", "host", "transfer-encoding"})
_REDIRECTS = 5
_REMEMBERED = 256
_DEFAULT_AGENT = requests.utils.default_user_agent()


class HTTPRequest(NamedTuple):
    """What is to be sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: Optional[bytes] = None


class Sender:
    """Sends requests to one server.

    Parameters:
        config: the client's settings.
        url: the server's URL: what proxies, CA bundle and netrc of the environment are looked up for.
        auth: whatever requests takes, or a bearer token as a string.
        headers: further headers.
        session: the user's own session, used as it is.
        means: what outlives a session; None makes it.
    """

    # Until there is one of the object's own.
    _own: Optional[requests.Session] = None

    def __init__(
        self,
        config: MCPClientConfig,
        url: str,
        auth: Any = None,
        headers: Optional[Mapping[str, str]] = None,
        session: Optional[requests.Session] = None,
        means: Optional[Means] = None,
    ) -> None:
        self._config = config
        self._headers = headers
        # An exchange is in the set from before it is sent until it is finished. No lock: ``send`` enters it and then
        # looks whether this is closed, ``interrupt`` closes it and then looks at the set: one of them sees the other.
        self._under_way: Set[Exchange] = set()
        self._closed = False
        # Permanent redirects within the origin, so that they cost one request and not one for each call.
        self._moved: Dict[str, str] = {}
        self._routes: Dict[str, Route] = {}
        self._base: Dict[str, str] = {
            "User-Agent": f"mcp-sync/{__version__}",
            "Accept-Encoding": "identity",
            **config.default_headers,
        }
        self._brought = session
        self._is_owner = means is None
        if means is None:
            means = Means(Adapter() if session is None else None, Cookies())
        self._adapter, self._cookies, self._latest = means
        self._auth = read_auth(auth, url, self._base, headers, session, config.trust_env)
        verify, proxies, cert = config.verify, dict(config.proxies), config.cert
        environment = session or _environment(config.trust_env)
        settings = environment.merge_environment_settings(url, proxies, True, verify, cert)
        if isinstance(verify, str) or verify is False:
            settings["verify"] = verify  # the environment's CA bundle would win over it
        self._verify: Any = settings["verify"]
        self._proxies, self._cert = settings["proxies"], settings["cert"]
        self.secrets = Secrets()
        # The values of headers that were looked at for secrets: those of most requests are the same.
        self._noted: Set[str] = set()
        for known in (url, *self._proxies.values()):
            self.secrets.add_url(known)

    def _session(self) -> requests.Session:
        """The user's own session, or ours."""
        session = self._brought if self._brought is not None else self._own
        if session is not None:
            return session
        session = requests.Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, cast(Adapter, self._adapter))
        session.headers.clear()
        session.cookies = self._cookies.make_jar()
        # The environment has been asked already, and must not be asked again for each request.
        session.trust_env = False
        # One step of the interpreter: of two threads that come here at once, both get the same.
        made: requests.Session = vars(self).setdefault("_own", session)
        return made

    # Sending

    def send(
        self,
        request: HTTPRequest,
        deadline: Deadline,
        *,
        exchange: Optional[Exchange] = None,
        streaming: bool = False,
        is_last: bool = False,
    ) -> Response:
        """Send one request and return its response, whose body is still to be read, as soon as its head is there.

        Redirects of the same origin are followed, five at most. The caller closes the response.

        Parameters:
            deadline: bounds the whole exchange, the reading of the body included; lift it with ``Response.unbound``.
            exchange: to be able to stop it from elsewhere; made here if None.
            streaming: a long-lived stream, held with requests.
            is_last: it goes out even after ``interrupt``.

        Raises:
            MCPConnectionError, MCPTimeoutError, MCPClosedError: no response came.
        """
        asked = request.url
        url = self._moved.get(asked, asked)
        if "@" in url:
            url = without_user_info(url)  # it was made a header, and requests would make it one in its own way
        exchange = Exchange(deadline.at) if exchange is None else exchange
        is_permanent = True
        for _ in range(_REDIRECTS + 1):
            if url != request.url:
                request = request._replace(url=url)
            self._begin(exchange, deadline, is_last)
            response = None
            try:
                response = self._attempt(request, deadline, exchange, streaming)
            finally:
                if self._moved and (response is None or response.status >= 400):
                    self._moved.pop(asked, None)  # what moved once may have moved back
            location = response.headers.get("location")
            if response.status not in (301, 302, 303, 307, 308) or not location:
                return response
            response.close()
            url = resolve_redirect(url, location)
            if request.method != "GET" and response.status not in (307, 308):
                raise MCPConnectionError(
                    f"the server redirects with status {response.status}, which would turn {request.method} into GET; "
                    f"use the URL it names: {public_url(url)}",
                    outcome="refused",
                )
            # RFC 9110, sections 15.4.8 and 15.4.9: 307 says nothing of the next request.
            is_permanent = is_permanent and response.status == 308
            if is_permanent:
                _remember(self._moved, asked, url)
        raise MCPConnectionError(f"the server redirects in a circle ({_REDIRECTS} times)", outcome="not_sent")

    def _attempt(self, request: HTTPRequest, deadline: Deadline, exchange: Exchange, streaming: bool) -> Response:
        """Send the request once, to where it says."""
        response: Optional[Response] = None
        # That of a request whose thread a signal handler has interrupted, to send this one.
        outer = current.exchange
        method, url, headers, body = request
        try:
            remaining = deadline.remaining
            if remaining <= 0:
                raise MCPTimeoutError(
                    f"the {deadline.timeout:g} s of this call were over before it was sent", outcome="not_sent"
                )
            shown = deadline.credentials
            if shown is None and self._latest is not None:
                shown = self._latest()
            if shown is None and self._headers is None:
                merged, auth = _merged(self._base, headers), self._auth
            else:
                merged, auth = self._shown(shown, headers)
            # Of a deadline that moves, the latest that it may become: at its time the watch ends the exchange.
            timeouts = (min(remaining, self._config.connect_timeout), deadline.longest if deadline.moves else remaining)
            if not self._noted.issuperset(merged.values()) or "?" in url:
                self._note(url, merged)
            current.exchange = exchange
            if auth is not None or self._brought is not None or is_patched():
                raw = self._through_session(method, url, merged, body, timeouts, auth)
            else:
                if self._cookies.jar is not None:
                    self._cookies.add(method, url, merged)
                route = None if streaming else self._routes.get(url) or self._find_route(url)
                if route is None or not _FRAMING.isdisjoint(map(str.lower, merged)):
                    raw = self._through_adapter(method, url, merged, body, timeouts)
                else:
                    raw = route.pool.take().transact(route, method, merged, body, timeouts)
                if "set-cookie" in raw.headers:
                    self._cookies.keep(method, url, raw)
            exchange.raw = raw
            response = Response(exchange, raw, url, self.secrets, self._end)
            return response
        except Exception as exc:  # noqa: BLE001  # whatever it is, there is an error for it
            raise_translated(exc, exchange, url, deadline)
        finally:
            current.exchange = outer
            if response is None:
                self._end(exchange)

    def _note(self, url: str, headers: Mapping[str, str]) -> None:
        """Remember what of a request must not be shown."""
        if len(self._noted) > _REMEMBERED:
            self._noted.clear()
        self._noted.update(headers.values())
        self.secrets.add_headers(headers)
        self.secrets.add_url(url)

    def _through_adapter(
        self, method: str, url: str, headers: Dict[str, str], body: Optional[bytes], timeouts: Tuple[float, float]
    ) -> HTTPResponse:
        try:
            response = cast(Adapter, self._adapter).send(
                requests.Request(method, url, headers=headers, data=body).prepare(),
                stream=True,
                timeout=cast(Any, Timeout(connect=timeouts[0], read=timeouts[1])),
                verify=self._verify,
                cert=self._cert,
                proxies=self._proxies,
            )
        except Exception:
            exchange = current.exchange
            if exchange is not None and exchange.connection is None:
                exchange.sent = True  # connections through SOCKS do not tell
            raise
        return cast(HTTPResponse, response.raw)

    def _find_route(self, url: str) -> Optional[Route]:
        prepared = requests.PreparedRequest()
        prepared.prepare_url(url, None)
        adapter: Any = self._adapter
        pool = adapter.get_connection_with_tls_context(prepared, self._verify, proxies=self._proxies, cert=self._cert)
        adapter.cert_verify(pool, url, self._verify, self._cert)
        found: Optional[Route] = adapter.route(str(prepared.url), adapter.request_url(prepared, self._proxies), pool)
        if found is not None:
            _remember(self._routes, url, found)
        return found

    def _through_session(
        self,
        method: str,
        url: str,
        headers: Dict[str, str],
        body: Optional[bytes],
        timeouts: Tuple[float, float],
        auth: Any,
    ) -> HTTPResponse:
        if auth is None and (self._brought is None or any(name.lower() == "authorization" for name in headers)):
            auth = AsGiven()
        session = self._session()
        given = auth if auth is None else Asked(auth)
        options: Dict[str, Any] = {"stream": True, "allow_redirects": False}
        options.update(verify=self._verify, cert=self._cert, proxies=self._proxies, timeout=timeouts)
        try:
            if self._brought is None:
                bare = requests.Request(method, url, headers=headers, data=body, auth=given)
                prepared = session.prepare_request(bare)
                self.secrets.add_headers(cast(Any, prepared.headers))  # what the auth adds included
                response = session.send(prepared, **options)
            else:
                # Sessions of requests-oauthlib, Authlib and google-auth add their token in ``request``.
                plain = requests.Request(method, url).prepare()
                make_interruptible(session.get_adapter(url), plain, self._verify, self._proxies, self._cert)
                if session.headers.get("User-Agent", _DEFAULT_AGENT) != _DEFAULT_AGENT:
                    headers.pop("User-Agent", None)
                response = session.request(method, url, headers=headers, data=body, auth=given, **options)
        except requests.HTTPError as exc:
            if exc.response is None:
                raise
            response = exc.response  # a hook of the session's has called raise_for_status()
        except Exception:
            exchange = current.exchange
            if exchange is not None and exchange.connection is None:
                exchange.sent = True  # connections of urllib3's own do not tell, and a call must not go out twice
            raise
        if response.request:
            self.secrets.add_headers(cast(Any, response.request.headers))
        return raw_of(response)

    def _shown(self, shown: Optional[Credentials], headers: Mapping[str, str]) -> Tuple[Dict[str, str], Any]:
        """The headers of a request, and the auth object that is asked to sign it.

        Parameters:
            shown: what the call shows, or the last call of the same identity did.
        """
        always = self._base if self._headers is None else _merged(self._base, checked(self._headers))
        if shown is None:
            return _merged(always, headers), self._auth
        if shown.auth is None or shown.auth is NO_AUTH:
            return _merged(always, shown.headers, headers), self._auth if shown.auth is None else None
        # Whatever it adds: the client's own must not go out with a call that was given another.
        always = {name: value for name, value in always.items() if name.lower() != "authorization"}
        return _merged(always, shown.headers, headers), shown.auth

    # The exchanges under way

    def _begin(self, exchange: Exchange, deadline: Deadline, is_last: bool) -> None:
        exchange.deadline, exchange.deadline_at = deadline, deadline.at
        self._under_way.add(exchange)
        if self._closed and not is_last:
            self._under_way.discard(exchange)
            raise MCPClosedError("the client is closed", outcome="not_sent")
        if exchange.deadline_at == math.inf and not deadline.moves:
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
        """Close the idle connections. The thread that reads a response closes that one."""
        self.interrupt()
        # A caller that was interrupted before it could read or close is not there any more: nothing else holds those.
        for exchange in self._under_way.copy():
            watch.discard(exchange)
            exchange.connection = exchange.raw = None
        self._under_way.clear()
        if self._adapter is not None:
            (self._adapter.close if self._is_owner else self._adapter.close_idle)()


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
