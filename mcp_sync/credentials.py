"""Whose call it is: what a call shows to the server, and the identity that this stands for.

Runs on: the calling thread, which alone knows for whom it works.

A client that shows everybody's calls alike needs nothing of this. Where ``headers=`` or ``auth=`` is a function, it is
asked once for each call, and what it returned goes with every request of that call. Two calls are of one identity if
they show the same: then they share a session, its cookies, and the results that are kept.
"""

from __future__ import annotations

import base64
import contextvars
import functools
import inspect
import os
import re
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Union

from .concurrency.log import Log
from .concurrency.signals import from_signal_handler
from .errors import MCPClientError, MCPUsageError
from .escape import excerpt
from .protocol.headers import check_header

__all__ = [
    "EVERYBODY",
    "NO_AUTH",
    "Callers",
    "Credentials",
    "Headers",
    "authorization",
    "check_auth",
    "gives_credentials",
    "names",
]

_log = Log(__name__)

Headers = Union[Mapping[str, str], Callable[[], Mapping[str, str]]]

# The identity of calls that show nothing of their own.
EVERYBODY = ""
# As ``Credentials.auth``: an Authorization header is given, which no auth object may replace.
NO_AUTH = False

# So that an identity tells nothing of the credentials, not even whether two processes have the same.
_SALT = os.urandom(16)
# Headers that tell of one request, and nothing of who makes it. All others may say who calls: an unknown one that was
# left out would give one user's session to another, and one too many costs a session.
_OF_ONE_REQUEST = re.compile(
    r"(?:cache-control|content|date|idempotency|newrelic|user-agent|uber-trace-id)(?:-.*)?"
    r"|(?:.*[-_])?(?:b3|baggage|call[-_]?id|correlation(?:[-_]?id)?|datadog|nonce|request[-_]?(?:id|start|time)|span"
    r"|spanid|timestamp|trace|traceid|traceparent|tracestate)(?:[-_].*)?"
)
_SECRETS = re.compile(r"auth|cookie|jwt|secret|token")


class Credentials(NamedTuple):
    """What one call shows to the server, beside what its client always shows.

    Attributes:
        identity: whose call it is.
        headers: of each HTTP request of the call.
        auth: an auth object of requests; None for the client's own, NO_AUTH for none.
        renew: gives the identity's credentials of now, for what is done without a caller; None: these.
    """

    identity: str
    headers: Mapping[str, str]
    auth: Any = None
    renew: Optional[Callable[[], Credentials]] = None

    def __repr__(self) -> str:
        return f"<Credentials, {len(self.headers)} headers>"

    @property
    def latest(self) -> Credentials:
        """What is shown where nobody calls: on the server's own stream, in a ping, in the DELETE at the end."""
        return self if self.renew is None else self.renew()


class Callers:
    """Says of each call whose it is.

    Parameters:
        auth, headers, identity: as ``MCPClient`` takes them.
        sends_headers: False where the server is a command: nothing of ``auth`` and ``headers`` reaches it.
    """

    def __init__(
        self,
        auth: Any = None,
        headers: Optional[Headers] = None,
        identity: Optional[Callable[[], str]] = None,
        *,
        sends_headers: bool = True,
    ) -> None:
        if identity is not None and not callable(identity):
            raise MCPUsageError(
                f"identity must be a function that returns a string, not {type(identity).__name__}", outcome="not_sent"
            )
        self._sends_headers = sends_headers
        self._auth = auth if sends_headers and gives_credentials(auth) else None
        self._headers = headers if sends_headers and callable(headers) else None
        self._identity = identity
        # Whether all calls are alike, but for what one of them is given.
        self.are_one = self._auth is None and self._headers is None and identity is None

    def ask(self, headers: Optional[Headers] = None, auth: Any = None) -> Credentials:
        """What the call shows that this thread is about to make.

        Parameters:
            headers, auth: what is given for this call alone; it wins.

        Raises:
            MCPUsageError: it cannot be sent, or one of the user's functions raised.
        """
        if not self._sends_headers and (headers is not None or auth is not None):
            raise MCPUsageError(
                "headers= and auth= have no way to a server that is started as a command", outcome="not_sent"
            )
        shown = _asked(self._headers)
        own = _called(self._auth, "auth") if self._auth is not None and auth is None else None
        # A header that is given wins over a token, as it does where both are fixed.
        own = None if isinstance(own, (str, tuple)) and names(shown, "authorization") else _put(own, shown)
        for name, value in _asked(headers).items():
            own = NO_AUTH if name.lower() == "authorization" else own
            _replace(shown, name, value)
        if auth is not None:
            own = _put(_called(auth, "auth") if gives_credentials(auth) else auth, shown)
        if self._identity is None:
            return Credentials(_digest(shown, own), shown, own)
        identity = _called(self._identity, "identity")
        if not isinstance(identity, str):
            raise MCPUsageError(f"identity= must return a string, not {type(identity).__name__}", outcome="not_sent")
        # Apart from the digests, and from everybody's.
        identity = f"named {identity}"
        renew = None
        if headers is None and auth is None:
            renew = functools.partial(self._renew, contextvars.copy_context(), Credentials(identity, shown, own))
        return Credentials(identity, shown, own, renew)

    def _renew(self, context: contextvars.Context, last: Credentials) -> Credentials:
        """What the identity of ``last`` shows now: a token may have been renewed since somebody called.

        Parameters:
            context: of the last call: where the functions look for whom they are asked.
        """
        try:
            fresh = context.copy().run(self.ask)
        except Exception as exc:  # noqa: BLE001  # the user's function, which may need more than its context
            _log.debug("the credentials of the last call are shown, since new ones failed: %s", type(exc).__name__)
            return last
        return fresh if fresh.identity == last.identity else last


def authorization(auth: object) -> Optional[str]:
    """The Authorization header that a bearer token or a (user, password) pair stands for; None for anything else.

    Raises:
        MCPUsageError: a header cannot carry the token.
    """
    if isinstance(auth, str):
        try:
            check_header("Authorization", auth)
        except ValueError:
            raise MCPUsageError(
                "the bearer token contains a line break, or a character that is not of Latin-1", outcome="not_sent"
            ) from None
        return f"Bearer {auth}"
    if isinstance(auth, tuple) and len(auth) == 2 and all(isinstance(part, str) for part in auth):
        pair = ":".join(auth)
        # Latin-1 as requests writes it and most servers read it, which has no way to write anything else.
        raw = pair.encode("latin-1" if max(pair) <= "\xff" else "utf-8", "replace")
        return f"Basic {base64.b64encode(raw).decode('ascii')}"
    return None


def check_auth(auth: object) -> None:
    """Raise MCPUsageError unless ``auth`` is an auth object."""
    if not callable(auth):
        raise MCPUsageError(
            "auth must be a bearer token, a (user, password) pair, a requests auth object or a function that returns "
            f"one of these, not {type(auth).__name__}",
            outcome="not_sent",
        )


def gives_credentials(auth: object) -> bool:
    """Whether ``auth`` is a function without arguments, and not an auth object, which takes the request."""
    if not callable(auth):
        return False
    try:
        parameters = inspect.signature(auth).parameters.values()
    except (TypeError, ValueError):
        return inspect.isbuiltin(auth)  # such as ContextVar.get
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return False
    return not any(
        parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters
    )


def names(headers: object, name: str) -> bool:
    """Whether ``headers`` are known, and ``name``, in lower case, is among them."""
    return isinstance(headers, Mapping) and any(isinstance(key, str) and key.lower() == name for key in headers)


def _called(function: Callable[[], Any], name: str) -> Any:
    """What a function of the user's returns; what it raises is no failure of the server's."""
    try:
        return function()
    except Exception as exc:
        if from_signal_handler(exc) is not None or isinstance(exc, MCPClientError):
            raise
        text = f"{name}= raised {type(exc).__name__}: {excerpt(str(exc))}"
        raise MCPUsageError(text, outcome="not_sent") from exc


def _asked(headers: Optional[Headers]) -> Dict[str, str]:
    given = _called(headers, "headers") if callable(headers) else headers
    if headers is None:
        return {}
    problem = "must be a mapping"
    try:
        if isinstance(given, Mapping):
            for name, value in given.items():
                check_header(name, value)
            return dict(given)
    except ValueError as exc:
        problem = str(exc)
    raise MCPUsageError(f"headers= gave what cannot be sent: {problem}", outcome="not_sent")


def _put(auth: Any, headers: Dict[str, str]) -> Any:
    """Put what ``auth`` stands for into ``headers``, or return the auth object."""
    given = authorization(auth)
    if given is None:
        if auth is not None:
            check_auth(auth)
        return auth
    _replace(headers, "Authorization", given)
    return NO_AUTH


def _replace(headers: Dict[str, str], name: str, value: str) -> None:
    for other in [other for other in headers if other.lower() == name.lower()]:
        del headers[other]
    headers[name] = value


def _digest(headers: Mapping[str, str], auth: Any) -> str:
    """What stands for all that says who calls, and cannot be read back."""
    shown = sorted((name.lower(), value) for name, value in headers.items() if _may_say_who(name.lower()))
    has_auth = auth is not None and auth is not NO_AUTH
    if not shown and not has_auth:
        return EVERYBODY
    import hashlib

    # An auth object is one identity, whatever it signs with. Its number is its own for as long as it is known here.
    text = repr((shown, id(auth) if has_auth else None))
    return hashlib.sha256(_SALT + text.encode("utf-8", "surrogatepass")).hexdigest()


def _may_say_who(name: str) -> bool:
    return _SECRETS.search(name) is not None or _OF_ONE_REQUEST.fullmatch(name) is None
