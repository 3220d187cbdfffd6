"""What of a request must not be shown in what urllib3 logs of it.

Runs on: any thread; no state.
"""

from __future__ import annotations

import logging
import re
from typing import Any, Callable

from ...concurrency.signals import from_signal_handler
from ...escape import escape

__all__ = ["quiet_urllib3"]

# urllib3 logs the target of each request at DEBUG, and the URL of a response with an odd head at WARNING.
_TALKATIVE = ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry")
_QUERY = re.compile(r"\?[^\s\"'<>)]*")


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
