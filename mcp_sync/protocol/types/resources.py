"""Reading and listing resources.

Runs on: any thread; models are plain data.
"""

from typing import Any, Dict, List, Optional

from .base import RequestParams, WireModel
from .contents import Resource, ResourceContents, TextResourceContents
from .display import Annotations, Icon
from .paging import CacheableResult, PaginatedResult

__all__ = [
    "ListResourceTemplatesResult",
    "ListResourcesResult",
    "ReadResourceParams",
    "ReadResourceResult",
    "ResourceTemplate",
    "SubscribeParams",
]


class ResourceTemplate(WireModel):
    """A family of resources; ``uri_template`` is an RFC 6570 template.

    Source: 2026-07-28, schema ``ResourceTemplate``, Server > Resources > "Resource Templates".
    """

    name: str
    uri_template: str
    title: Optional[str] = None
    description: Optional[str] = None
    mime_type: Optional[str] = None
    annotations: Optional[Annotations] = None
    icons: Optional[List[Icon]] = None
    meta: Optional[Dict[str, Any]] = None


class ListResourcesResult(PaginatedResult):
    """One page of the server's resources.

    Source: 2026-07-28, schema ``ListResourcesResult``, Server > Resources > "Listing Resources".
    """

    resources: List[Resource]


class ListResourceTemplatesResult(PaginatedResult):
    """One page of the server's resource templates.

    Source: 2026-07-28, schema ``ListResourceTemplatesResult``, Server > Resources > "Resource Templates".
    """

    resource_templates: List[ResourceTemplate]


class ReadResourceParams(RequestParams):
    """The params of ``resources/read``; the last two answer an :class:`InputRequiredResult` (2026-07-28).

    Source: 2026-07-28, schema ``ReadResourceRequestParams``, Server > Resources > "Reading Resources".
    """

    uri: str
    input_responses: Optional[Dict[str, Any]] = None
    request_state: Optional[str] = None


class ReadResourceResult(CacheableResult):
    """What is in a resource: several contents where the URI stands for several, such as a directory.

    Source: 2026-07-28, schema ``ReadResourceResult``, Server > Resources > "Reading Resources".
    """

    contents: List[ResourceContents]

    @property
    def text(self) -> str:
        """The texts of all contents, joined by newlines; ``""`` where all are binary."""
        return "\n".join([part.text for part in self.contents if isinstance(part, TextResourceContents)])


class SubscribeParams(RequestParams):
    """The params of ``resources/subscribe`` and ``resources/unsubscribe`` (until 2025-11-25).

    Source: 2025-11-25, schema ``SubscribeRequestParams``, Server > Resources > "Subscriptions".
    """

    uri: str
