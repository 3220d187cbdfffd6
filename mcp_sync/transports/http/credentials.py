"""What a client shows to be let in: the auth that it was given, or that URL or netrc name; and the cookies it got.

Runs on: ``read_auth`` on the thread that opens a session, cookies on any thread that sends.
"""

from __future__ import annotations

import warnings
from http.cookiejar import Cookie
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Tuple, cast
from urllib.parse import unquote, urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar, get_cookie_header, merge_cookies
from requests.utils import get_netrc_auth
from urllib3.response import HTTPResponse

from ...concurrency.signals import from_signal_handler
from ...credentials import NO_AUTH, Credentials, authorization, check_auth, names
from ...errors import MCPClientError, MCPUsageError
from ...escape import excerpt
from ...protocol.headers import check_header
from ...protocol.urls import public_url
from .pools import Adapter

__all__ = ["AsGiven", "Asked", "Cookies", "Means", "checked", "read_auth"]

_MOST_COOKIES = 180
_LARGEST_COOKIE = 4096
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class AsGiven(AuthBase):
    """Leaves a request alone: it keeps requests from putting a netrc entry in place of an Authorization header that was
    given.
    """

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class _Jar(RequestsCookieJar):
    """As many cookies, and as large ones, as a browser keeps of one host: all of them are sent with each request."""

    def set_cookie(self, cookie: Cookie, *args: Any, **kwargs: Any) -> None:
        if len(cookie.name) + len(cookie.value or "") > _LARGEST_COOKIE:
            return
        super().set_cookie(cookie, *args, **kwargs)
        if len(self) > _MOST_COOKIES:
            oldest = next(iter(self))
            self.clear(oldest.domain, oldest.path, oldest.name)


class Asked(AuthBase):
    """An auth object; what it raises is the caller's, and no failure of the server's."""

    def __init__(self, auth: Any) -> None:
        self._auth = auth

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if not callable(self._auth):
            user, password = self._auth
            return cast(requests.PreparedRequest, HTTPBasicAuth(user, password)(request))
        try:
            signed: requests.PreparedRequest = self._auth(request)
            return signed
        except Exception as exc:
            if from_signal_handler(exc) is not None or isinstance(exc, MCPClientError):
                raise
            raise MCPUsageError(f"auth= raised {said(exc)}", outcome="not_sent") from exc


def said(exc: Exception) -> str:
    return f"{type(exc).__name__}: {excerpt(str(exc))}"


class Cookies:
    """The cookies of one identity's requests. Most servers set none, so the jar is made when the first one comes."""

    # Until there is one of the object's own.
    jar: Optional[RequestsCookieJar] = None
    _session: Optional[requests.Session] = None

    def make_jar(self) -> RequestsCookieJar:
        """The jar, made where there is none yet. Of two threads that come here at once, both get the same."""
        made: RequestsCookieJar = vars(self).setdefault("jar", _Jar())
        return made

    def beside(self, session: requests.Session) -> requests.Session:
        """The user's session as it is, its connections included, but with cookies of one identity's own."""
        if self._session is None:
            own = object.__new__(type(session))
            vars(own).update(vars(session))
            own.cookies = cast(Any, merge_cookies)(RequestsCookieJar(), session.cookies)
            vars(self).setdefault("_session", own)
        return cast(requests.Session, self._session)

    def add(self, method: str, url: str, headers: Dict[str, str]) -> None:
        """Put what is kept for ``url`` into the headers of a request, after the cookies that the caller brought."""
        # requests has no annotations here.
        cookie = cast(Any, get_cookie_header)(self.make_jar(), requests.Request(method, url).prepare())
        if cookie:
            name = next((name for name in headers if name.lower() == "cookie"), "Cookie")
            headers[name] = f"{headers[name]}; {cookie}" if name in headers else cookie

    def keep(self, method: str, url: str, raw: HTTPResponse) -> None:
        """Keep what a response sets: load balancers hold a session at one server by a cookie."""
        cast(Any, extract_cookies_to_jar)(self.make_jar(), requests.Request(method, url).prepare(), raw)


class Means(NamedTuple):
    """What requests are sent with that outlives a session.

    Attributes:
        adapter: the pool of connections of the whole client. None on a session that the user brought.
        cookies: those of one identity.
        latest: gives what the last call of the identity showed, for requests that no call makes; None where that is
            nothing.
    """

    adapter: Optional[Adapter]
    cookies: Cookies
    latest: Optional[Callable[[], Optional[Credentials]]] = None


def checked(headers: Any) -> Mapping[str, str]:
    """``headers``, which the user may have changed since, if they can be sent.

    Raises:
        MCPUsageError: they cannot.
    """
    try:
        for name, value in headers.items():
            check_header(name, value)
    except (ValueError, AttributeError) as exc:
        raise MCPUsageError(f"headers= gave what cannot be sent: {exc}", outcome="not_sent") from None
    return cast(Mapping[str, str], headers)


def read_auth(
    auth: Any,
    url: str,
    base: Dict[str, str],
    headers: object,
    session: Optional[requests.Session],
    trusts_environment: bool,
) -> Any:
    """Put into ``base`` the Authorization header that ``auth`` stands for, or return the auth object that requests is
    to ask for each request.

    Parameters:
        auth: whatever requests takes, or a bearer token; None takes what the URL carries, else what netrc has; NO_AUTH
            where each call shows its own.
        base: the headers of every request.
        headers: what the user gives beside them.
        session: the user's own.
    """
    if auth is None and not (
        names(base, "authorization")
        or names(headers, "authorization")
        or (session is not None and session.auth is not None)
    ):
        auth = _user_info(url)
        if auth is None and session is None and trusts_environment:
            auth = get_netrc_auth(url)
    asked: Any = None
    given = authorization(auth)
    if given is not None:
        base["Authorization"] = given
    elif auth is not None and auth is not NO_AUTH:
        check_auth(auth)
        asked = auth
    parts = urlsplit(url)
    shown = auth is not None or names(base, "authorization") or names(headers, "authorization")
    if shown and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        warnings.warn(
            f"credentials are sent to {public_url(url)} without encryption; use https", UserWarning, stacklevel=5
        )
    return asked


def _user_info(url: str) -> Optional[Tuple[str, str]]:
    """User and password that a URL carries."""
    parts = urlsplit(url)
    if parts.username is None:
        return None
    return unquote(parts.username), unquote(parts.password or "")
