"""Notifications: what a server tells us without being asked.

Runs on: any thread; models are plain data.
"""

from typing import Any, ClassVar, FrozenSet, Optional

from pydantic import Field

from .base import Measure, NotificationParams, Number, Params, ProgressToken, WireModel

__all__ = ["LogMessage", "Notification", "Progress"]


class Notification(WireModel):
    """A notification: its method, and its params as plain data (empty where it has none).

    Source: 2026-07-28, schema ``Notification``, Basic > "Notifications".
    """

    method: str
    params: Params = Field(default_factory=dict)


class Progress(NotificationParams):
    """How far a request has come: ``progress`` of ``total``, in units that the server chooses.

    Source: 2026-07-28, schema ``ProgressNotificationParams``, Basic > Patterns > "Progress".
    """

    progress_token: Optional[ProgressToken] = None
    progress: Number
    total: Measure = None
    message: Optional[str] = None

    @property
    def fraction(self) -> Optional[float]:
        """``progress`` as a part of ``total``, between 0.0 and 1.0; None where the server names no usable total."""
        if self.total is None or not self.total > 0:
            return None
        return min(max(float(self.progress / self.total), 0.0), 1.0)


class LogMessage(NotificationParams):
    """A message from the server's log. ``data`` is any JSON value, often a string.

    ``level`` is one of syslog's: ``"debug"``, ``"info"``, ``"notice"``, ``"warning"``, ``"error"``, ``"critical"``,
    ``"alert"``, ``"emergency"``.

    Source: 2026-07-28, schema ``LoggingMessageNotificationParams``, Server > Utilities > "Logging".
    """

    _nullable: ClassVar[FrozenSet[str]] = frozenset({"data"})

    level: str
    logger: Optional[str] = None
    data: Any = None
