"""Subscriptions: one long request that says which changes we want to hear of (since 2026-07-28).

Runs on: any thread; models are plain data.
"""

from typing import List, Optional

from .base import Flag, RequestParams, Result, WireModel
from .notifications import NotificationParams

__all__ = [
    "SubscriptionFilter",
    "SubscriptionsAcknowledgedParams",
    "SubscriptionsListenParams",
    "SubscriptionsListenResult",
]


class SubscriptionFilter(WireModel):
    """The kinds of changes to hear of; ``task_ids`` belongs to the extension tasks.

    Source: 2026-07-28, schema ``SubscriptionFilter``, Basic > Patterns > "Subscriptions".
    """

    tools_list_changed: Flag = False
    prompts_list_changed: Flag = False
    resources_list_changed: Flag = False
    resource_subscriptions: Optional[List[str]] = None
    task_ids: Optional[List[str]] = None


class SubscriptionsListenParams(RequestParams):
    """The params of ``subscriptions/listen``.

    Source: 2026-07-28, schema ``SubscriptionsListenRequestParams``, Basic > Patterns > "Subscriptions".
    """

    notifications: SubscriptionFilter


class SubscriptionsAcknowledgedParams(NotificationParams):
    """Says which of the wanted changes the server will really tell; always the first message of a subscription.

    Source: 2026-07-28, schema ``SubscriptionsAcknowledgedNotificationParams``, Basic > Patterns > "Subscriptions".
    """

    notifications: SubscriptionFilter


class SubscriptionsListenResult(Result):
    """The end of a subscription, told by the server.

    Source: 2026-07-28, schema ``SubscriptionsListenResult``, Basic > Patterns > "Subscriptions".
    """
