"""Resources: how a server describes them, and what is in them.

Runs on: any thread; models are plain data.
"""

from typing import Annotated, Any, Dict, List, Optional, Union

from pydantic import Field

from .base import Annotations, CacheableResult, Count, Icon, WireModel
from .binary import Binary

__all__ = [
    "BlobResourceContents",
    "ReadResourceResult",
    "Resource",
    "ResourceContents",
    "ResourceTemplate",
    "TextResourceContents",
]


class Resource(WireModel):
    """A resource that the server can read for us. ``size`` is in bytes, before any encoding.

    Source: 2026-07-28, schema ``Resource``, Server > Resources > "Resource".
    """

    name: str
    uri: str
    title: Optional[str] = None
    description: Optional[str] = None
    mime_type: Optional[str] = None
    size: Count = None
    annotations: Optional[Annotations] = None
    icons: Optional[List[Icon]] = None
    meta: Optional[Dict[str, Any]] = None


class TextResourceContents(WireModel):
    """The contents of a resource that is text.

    Source: 2026-07-28, schema ``TextResourceContents``, Server > Resources > "Resource Contents".
    """

    uri: str
    text: str
    mime_type: Optional[str] = None
    meta: Optional[Dict[str, Any]] = None


class BlobResourceContents(WireModel, Binary):
    """The contents of a resource that is binary; :meth:`decode` gives the bytes of ``blob``.

    Source: 2026-07-28, schema ``BlobResourceContents``, Server > Resources > "Resource Contents".
    """

    uri: str
    blob: str
    mime_type: Optional[str] = None
    meta: Optional[Dict[str, Any]] = None

    def _payload(self) -> str:
        return self.blob


# Told apart by which of text and blob is there, as the schemas do.
ResourceContents = Annotated[Union[TextResourceContents, BlobResourceContents], Field(union_mode="left_to_right")]


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


class ReadResourceResult(CacheableResult):
    """What is in a resource: several contents where the URI stands for several, such as a directory.

    Source: 2026-07-28, schema ``ReadResourceResult``, Server > Resources > "Reading Resources".
    """

    contents: List[ResourceContents]

    @property
    def text(self) -> str:
        """The texts of all contents, joined by newlines; ``""`` where all are binary."""
        return "\n".join([part.text for part in self.contents if isinstance(part, TextResourceContents)])
