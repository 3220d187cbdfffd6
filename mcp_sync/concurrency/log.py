"""The package's loggers: what a program does with a log line cannot stop the thread that logs it.

Runs on: any thread.

A handler or a filter of the program's may raise, and so does Python's own handler where stderr was closed. On a reader
that would leave its callers waiting until their deadlines, and a child process behind.
"""

from __future__ import annotations

import logging
import threading
from typing import Dict, List, Optional

from .clock import monotonic
from .signals import from_signal_handler

__all__ = ["Log", "Sparing"]

# What every thread of the package is called.
_OURS = "mcp-sync-"
_MINUTE = 60.0
# Kinds that one ``Sparing`` tells apart; they may hold a server's words.
_MOST_KINDS = 64


class Log:
    """A logger of ``logging``, by its name, whose methods do not raise: neither what a filter or a handler raises, nor,
    on a thread of the package, SystemExit.
    """

    def __init__(self, name: str, logger: Optional[logging.Logger] = None) -> None:
        self._logger = logging.getLogger(name) if logger is None else logger
        # The logger's own: every message asks, and it does not raise.
        self.isEnabledFor = self._logger.isEnabledFor

    def hasHandlers(self) -> bool:  # noqa: N802  # as in logging
        return self._logger.hasHandlers()

    def debug(self, text: str, *args: object) -> None:
        if self._logger.isEnabledFor(logging.DEBUG):
            self._write(logging.DEBUG, text, args)

    def info(self, text: str, *args: object) -> None:
        self._write(logging.INFO, text, args)

    def warning(self, text: str, *args: object) -> None:
        self._write(logging.WARNING, text, args)

    def exception(self, text: str, *args: object) -> None:
        """At ERROR, with the exception that is being handled."""
        self._write(logging.ERROR, text, args, with_exception=True)

    def log(self, level: int, text: str, *args: object) -> None:
        self._write(level, text, args)

    def _write(self, level: int, text: str, args: tuple[object, ...], *, with_exception: bool = False) -> None:
        try:
            # The line that a formatter shows is that of the caller's caller.
            self._logger.log(level, text, *args, exc_info=with_exception, stacklevel=3)
        except Exception as exc:  # the program's own code: see the module's docstring
            if from_signal_handler(exc) is not None:
                raise
        except BaseException:
            if not threading.current_thread().name.startswith(_OURS):
                raise


class Sparing:
    """Warnings that a server can cause as often as it likes: each kind is logged once a minute, with how often it came
    meanwhile.

    It belongs to one stream or client, whose threads may use it at once; a count may then be one too low.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        # Kind -> when it may be logged again, and how many were not.
        self._kinds: Dict[str, List[float]] = {}

    def warning(self, kind: str, text: str, *args: object) -> None:
        """Log a warning of a kind, unless one was logged in the last minute."""
        at = monotonic()
        known = self._kinds.get(kind)
        if known is not None and at < known[0]:
            known[1] += 1
            return
        if known is None and len(self._kinds) >= _MOST_KINDS:
            return
        self._kinds[kind] = [at + _MINUTE, 0]
        if known is None or not known[1]:
            self._log.warning(text, *args)
        else:
            self._log.warning(text + " (and %d more like it since the last one that was logged)", *args, int(known[1]))

    def tell_rest(self) -> None:
        """Log what was only counted: nothing more will come."""
        for kind, known in list(self._kinds.items()):
            count, known[1] = int(known[1]), 0
            if count:
                self._log.warning("%s: %d more were not logged one by one", kind, count)
