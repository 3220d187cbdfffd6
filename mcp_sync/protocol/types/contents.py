"""Resources and what is in them.

Runs on: any thread; models are plain data.
"""

from typing import Annotated, Any, Dict, List, Optional, Union

from pydantic import Field

from .base import WireModel
from .binary import Binary
from .display import Annotations, Icon

__all__ = ["BlobResourceContents", "Resource", "ResourceContents", "TextResourceContents"]


class Resource(WireModel):
    """A resource that the server can read for us. ``size`` is in bytes, before any encoding.

    Source: 2026-07-28, schema ``Resource``, Server > Resources > "Resource".
    """

    name: str
    uri: str
    title: Optional[str] = None
    description: Optional[str] = None
    mime_type: Optional[str] = None
    size: Optional[int] = None
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
