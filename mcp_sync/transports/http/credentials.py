"""What a client shows to be let in: the auth that it was given, or that URL or netrc name; and the cookies it got.

Runs on: ``read_auth`` on the thread that opens a session, cookies on any thread that sends.
"""

from __future__ import annotations

import warnings
from http.cookiejar import Cookie
from typing import Any, Dict, Mapping, Optional, Tuple, cast
from urllib.parse import unquote, urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar, get_cookie_header
from requests.utils import get_netrc_auth
from urllib3.response import HTTPResponse

from ...concurrency.signals import from_signal_handler
from ...config import check_header
from ...errors import MCPClientError, MCPUsageError
from ...escape import excerpt
from ...protocol.urls import public_url

__all__ = ["AsGiven", "Asked", "Cookies", "read_auth", "said"]

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
    """The cookies of one client's requests. Most servers set none, so the jar is made when the first one comes."""

    # Until there is one of the object's own.
    jar: Optional[RequestsCookieJar] = None

    def make_jar(self) -> RequestsCookieJar:
        """The jar, made where there is none yet. Of two threads that come here at once, both get the same."""
        made: RequestsCookieJar = vars(self).setdefault("jar", _Jar())
        return made

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
        auth: whatever requests takes, or a bearer token; None takes what the URL carries, else what netrc has.
        base: the headers of every request.
        headers: what the user gives beside them.
        session: the user's own.
    """
    if auth is None and not (
        _names(base, "authorization")
        or _names(headers, "authorization")
        or (session is not None and session.auth is not None)
    ):
        auth = _user_info(url)
        if auth is None and session is None and trusts_environment:
            auth = get_netrc_auth(url)
    asked: Any = None
    if isinstance(auth, str):
        try:
            check_header("Authorization", auth)
        except ValueError:
            raise MCPUsageError(
                "the bearer token contains a line break, or a character that is not of Latin-1", outcome="not_sent"
            ) from None
        base["Authorization"] = f"Bearer {auth}"
    elif isinstance(auth, tuple) and len(auth) == 2 and all(isinstance(part, str) for part in auth):
        # requests writes Latin-1, as most servers read it, and knows no way to write anything else.
        given = auth if max("".join(auth), default="") <= "\xff" else [part.encode("utf-8", "replace") for part in auth]
        prepared = HTTPBasicAuth(*given)(requests.Request("GET", "http://localhost/").prepare())
        base["Authorization"] = str(prepared.headers["Authorization"])
    elif auth is not None:
        if not callable(auth):
            raise MCPUsageError(
                "auth must be a bearer token, a (user, password) pair or a requests auth object, not "
                f"{type(auth).__name__}",
                outcome="not_sent",
            )
        asked = auth
    parts = urlsplit(url)
    shown = auth is not None or _names(base, "authorization") or _names(headers, "authorization")
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


def _names(headers: object, name: str) -> bool:
    return isinstance(headers, Mapping) and any(isinstance(key, str) and key.lower() == name for key in headers)
