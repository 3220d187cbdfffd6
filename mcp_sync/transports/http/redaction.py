"""What of a request must not be shown: in what urllib3 logs of it, and in what a server says about it.

Runs on: any thread; no state.
"""

from __future__ import annotations

import logging
import re
from typing import Dict, Mapping, Set
from urllib.parse import parse_qsl, urlsplit

from ...escape import escape
from .exchange import current

__all__ = ["quiet_urllib3", "without_secrets"]

# urllib3 logs the target of each request at DEBUG, and the URL of a response with an odd head at WARNING.
_TALKATIVE = ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry")
_QUERY = re.compile(r"\?[^\s\"'<>)]*")
# A shorter value is a word that a text may well have in it.
_SHORTEST = 6
# What every request carries, and is no secret.
_PUBLIC = {
    "accept",
    "accept-encoding",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "user-agent",
}


class _WithoutQueries(logging.Filter):
    """Takes the queries out of what is logged while a request of ours is sent; others' records stay as they are."""

    def filter(self, record: logging.LogRecord) -> bool:
        if current.exchange is not None:
            record.msg, record.args = escape(_QUERY.sub("?...", record.getMessage())), None
            # The text of the exception would show the URL once more.
            record.exc_info = None
        return True


_FILTER = _WithoutQueries()


def quiet_urllib3() -> None:
    """Keep the queries of our requests out of urllib3's log. Idempotent."""
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(_FILTER)


def without_secrets(text: str, url: str, headers: Mapping[str, str]) -> str:
    """``text``, in which a server may quote the request it got, without that request's credentials.

    Parameters:
        url: of the request.
        headers: of the request.
    """
    secrets: Dict[str, str] = {}
    for name, value in headers.items():
        if name.lower() not in _PUBLIC:
            for part in {value, value.partition(" ")[2]}:
                secrets[part] = name
    query = urlsplit(url).query
    values: Set[str] = {query, *(value for _, value in parse_qsl(query))}
    secrets.update(dict.fromkeys(values, "query"))
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, f"({secrets[secret]})")
    return text
