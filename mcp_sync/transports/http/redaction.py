"""What of a request must not be shown: in what urllib3 logs of it, and in what a server says about it.

Runs on: any thread; no state.
"""

from __future__ import annotations

import logging
import re
from typing import Any, Callable, Dict, Mapping, Set
from urllib.parse import parse_qsl, urlsplit

from ...concurrency.signals import from_signal_handler
from ...escape import escape

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
    """Takes the queries out of what is logged while a request of ours is sent, and keeps that request from what the
    program's handlers raise; others' records stay as they are.
    """

    def __init__(self, is_ours: Callable[[], bool]) -> None:
        super().__init__()
        self._is_ours = is_ours

    def filter(self, record: logging.LogRecord) -> bool:
        if not self._is_ours():
            return True
        record.msg, record.args = escape(_QUERY.sub("?...", record.getMessage())), None
        # The text of the exception would show the URL once more.
        record.exc_info = None
        try:
            self._hand_on(record)
        except Exception as exc:  # the program's own code: see concurrency/log.py
            if from_signal_handler(exc) is not None:
                raise
        return False

    def _hand_on(self, record: logging.LogRecord) -> None:
        """What the logger does with a record after this filter."""
        logger = logging.getLogger(record.name)
        for other in logger.filters[logger.filters.index(self) + 1 :]:
            judge: Any = getattr(other, "filter", other)
            if not judge(record):
                return
        logger.callHandlers(record)


def quiet_urllib3(is_ours: Callable[[], bool]) -> None:
    """Keep the queries of our requests out of urllib3's log.

    Parameters:
        is_ours: whether this thread is sending a request of ours.
    """
    hide = _WithoutQueries(is_ours)
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(hide)


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
