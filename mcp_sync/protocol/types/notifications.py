"""What a server tells us without being asked, and what we tell it.

Runs on: any thread; models are plain data.
"""

import math
from typing import Any, ClassVar, Dict, FrozenSet, Optional

from pydantic import Field

from .base import Number, Params, ProgressToken, RequestId, WireModel

__all__ = [
    "CancelledParams",
    "ElicitationCompleteParams",
    "LogMessage",
    "Notification",
    "NotificationParams",
    "Progress",
    "ResourceUpdatedParams",
]


class Notification(WireModel):
    """A notification: its method, and its params as plain data (empty where it has none).

    Source: 2026-07-28, schema ``Notification``, Basic > "Notifications".
    """

    method: str
    params: Params = Field(default_factory=dict)


class NotificationParams(WireModel):
    """What the params of every notification carry.

    Source: 2026-07-28, schema ``NotificationParams``.
    """

    meta: Optional[Dict[str, Any]] = None


class Progress(NotificationParams):
    """How far a request has come: ``progress`` of ``total``, in units that the server chooses.

    Source: 2026-07-28, schema ``ProgressNotificationParams``, Basic > Patterns > "Progress".
    """

    progress_token: Optional[ProgressToken] = None
    progress: Number
    total: Optional[Number] = None
    message: Optional[str] = None

    @property
    def fraction(self) -> Optional[float]:
        """``progress`` as a part of ``total``, between 0.0 and 1.0; None where the server names no usable total."""
        if self.total is None or not self.total > 0:
            return None
        try:
            part = float(self.progress / self.total)
        except OverflowError:  # an integer can be larger than any float
            return 1.0 if self.progress >= self.total else 0.0
        # Infinity by infinity, and NaN, which some servers do send.
        return None if math.isnan(part) else min(max(part, 0.0), 1.0)


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


class CancelledParams(NotificationParams):
    """Says that the answer to a request is no longer wanted.

    Source: 2026-07-28, schema ``CancelledNotificationParams``, Basic > Patterns > "Cancellation".
    """

    request_id: Optional[RequestId] = None
    reason: Optional[str] = None


class ResourceUpdatedParams(NotificationParams):
    """Says that a resource changed; ``uri`` may name a part of the one that was subscribed to.

    Source: 2026-07-28, schema ``ResourceUpdatedNotificationParams``, Server > Resources > "Subscriptions".
    """

    uri: str


class ElicitationCompleteParams(NotificationParams):
    """Says that what a URL asked of the user is done (2025-11-25 only).

    Source: 2025-11-25, schema ``ElicitationCompleteNotification``, Client > Elicitation.
    """

    elicitation_id: str
