"""What the protocol says about URLs: where a server is, which origin is its own, and what may be shown of it.

Runs on: any thread; no state.
"""

from __future__ import annotations

import re
from typing import List, Tuple
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from ..errors import MCPConnectionError, MCPHandshakeError, MCPUsageError
from ..escape import excerpt

__all__ = [
    "candidates",
    "check_url",
    "origin",
    "public_url",
    "resolve_endpoint",
    "resolve_redirect",
    "same_origin",
    "without_user_info",
]

_DEFAULT_PORTS = {"http": 80, "https": 443}
# Each request carries it.
_LONGEST = 8192
_NOT_IN_A_URL = re.compile("[\x00-\x20\x7f-\x9f\\\\]")


def origin(parts: SplitResult) -> Tuple[str, str, int]:
    """The origin of a parsed URL: scheme, host, port (RFC 6454, section 4).

    Raises ValueError where the port is no port.
    """
    host = (parts.hostname or "").lower()
    return parts.scheme.lower(), host, parts.port or _DEFAULT_PORTS.get(parts.scheme.lower(), 0)


def same_origin(one: str, other: str) -> bool:
    """Whether two absolute URLs have the same scheme, host and port."""
    try:
        return origin(urlsplit(one)) == origin(urlsplit(other))
    except ValueError:
        return False


def public_url(url: str) -> str:
    """``url`` as it may be shown: without user info, query and fragment, any of which may be a secret."""
    if "://" not in url:
        return _named(url)
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if ":" in host:
            host = f"[{host}]"
        netloc = host if parts.port is None else f"{host}:{parts.port}"
    except ValueError:
        return "(not a URL)"
    return excerpt(urlunsplit((parts.scheme, netloc, parts.path, "", "")))


def without_user_info(url: str) -> str:
    """``url`` without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def check_url(url: str) -> str:
    """Return ``url`` if it is one that a server can be reached by.

    Raises:
        MCPUsageError: it is not an absolute http or https URL.
    """
    problem = ""
    stripped = url.strip()
    try:
        parts = urlsplit(stripped)
        scheme, host, _ = origin(parts)
        if scheme not in _DEFAULT_PORTS:
            problem = "it must begin with http:// or https://"
        elif not host:
            problem = "it names no host"
        elif _NOT_IN_A_URL.search(stripped):
            problem = "it contains spaces, backslashes or control characters"
    except ValueError as exc:
        problem = str(exc)
    if problem:
        raise MCPUsageError(
            f"{_named(url)!r} is not a URL of an MCP server: {problem}. Write for "
            "example 'http://localhost:8000/mcp', or a list for a command",
            outcome="not_sent",
        )
    return stripped


def _named(url: str) -> str:
    """What may be shown of what is no absolute URL: nothing from where a secret may begin, nor before where it ends."""
    before, *hidden = re.split(r"[?#\s]", url.strip(), maxsplit=1)
    if "@" in url:
        return "..." if hidden else excerpt("...@" + before.rpartition("@")[2])
    return excerpt(before)


def candidates(url: str, connection_path: str) -> List[str]:
    """The URLs at which the server may be: ``url`` itself if it has a path, else below its origin ``connection_path``,
    ``/sse``, and the origin.
    """
    parts = urlsplit(url)
    if not connection_path or parts.path not in ("", "/") or parts.query:
        return [url]
    paths = dict.fromkeys([connection_path if connection_path.startswith("/") else "/" + connection_path, "/sse", "/"])
    return [urlunsplit((parts.scheme, parts.netloc, path, "", "")) for path in paths]


def resolve_endpoint(base: str, endpoint: str) -> str:
    """Where commands go, from the ``endpoint`` event of the stream at ``base`` (2024-11-05, Transports, HTTP with SSE).

    Raises:
        MCPHandshakeError: it is not a URL of the stream's own origin. Nothing is ever sent to another one.
    """
    target, problem = _resolve(base, endpoint)
    if problem:
        raise MCPHandshakeError(
            f"the server names {_shown(target, endpoint)!r} as its endpoint, which {problem}; nothing was sent there",
            outcome="not_sent",
        )
    return target


def resolve_redirect(base: str, location: str) -> str:
    """Where the ``Location`` header of an answer from ``base`` leads (RFC 9110, section 10.2.2).

    Raises:
        MCPConnectionError: to another origin, or nowhere. Credentials and bodies are never sent to another one.
    """
    target, problem = _resolve(base, location)
    if problem:
        raise MCPConnectionError(
            f"the server redirects to {_shown(target, location)!r}, which {problem}; nothing was sent there; "
            f"{_advice(base, target)}",
            outcome="not_sent",
        )
    return target


def _resolve(base: str, reference: str) -> Tuple[str, str]:
    """The URL that ``reference`` means at ``base``, and what is wrong with it, or ""."""
    text = reference.strip(" ")
    target = ""
    try:
        if not text:
            return target, "is empty"
        if len(text) > _LONGEST:
            return target, f"is longer than {_LONGEST} characters"
        if _NOT_IN_A_URL.search(text):
            return target, "contains spaces, backslashes or control characters"
        # The user info of the base is ours to send, as a header, and no part of what the server names.
        target = urljoin(without_user_info(base), text)
        parts = urlsplit(target)
        if parts.username is not None or parts.password is not None or "@" in parts.netloc:
            return target, "carries user info"
        if origin(parts) != origin(urlsplit(base)):
            return target, "is at another origin"
    except ValueError:
        return target, "cannot be parsed"
    return urlunsplit(parts._replace(fragment="")), ""


def _advice(base: str, target: str) -> str:
    """What to do about a redirect that was refused. Never to use http where https was asked for: servers behind a proxy
    that ends TLS know no better.
    """
    if urlsplit(base).scheme == "https" and target.startswith("http:"):
        return f"try {public_url('https' + target[4:])}"
    return "use that URL if you trust it"


def _shown(target: str, reference: str) -> str:
    """What may be shown of a URL that was refused."""
    reference = reference[:_LONGEST]
    return public_url(target) if "@" in reference else excerpt(re.split("[?#]", reference)[0])
