"""Content blocks: what tools, prompts and models say.

Runs on: any thread; models are plain data.
"""

from typing import Annotated, Any, Dict, Literal, Optional, Union

from pydantic import AfterValidator, Field

from .base import Annotations, WireModel
from .binary import Binary
from .resources import Resource, ResourceContents, TextResourceContents

__all__ = [
    "AudioContent",
    "ContentBlock",
    "EmbeddedResource",
    "ImageContent",
    "ResourceLink",
    "TextContent",
    "UnknownContent",
]


class TextContent(WireModel):
    """Text.

    Source: 2026-07-28, schema ``TextContent``, Server > Tools > "Text Content".
    """

    type: Literal["text"] = "text"
    text: str
    annotations: Optional[Annotations] = None
    meta: Optional[Dict[str, Any]] = None


class ImageContent(WireModel, Binary):
    """A picture; :meth:`decode` gives the bytes of ``data``.

    Source: 2026-07-28, schema ``ImageContent``, Server > Tools > "Image Content".
    """

    type: Literal["image"] = "image"
    data: str
    mime_type: str
    annotations: Optional[Annotations] = None
    meta: Optional[Dict[str, Any]] = None

    def _payload(self) -> str:
        return self.data


class AudioContent(WireModel, Binary):
    """Sound; :meth:`decode` gives the bytes of ``data``.

    Source: 2026-07-28, schema ``AudioContent``, Server > Tools > "Audio Content".
    """

    type: Literal["audio"] = "audio"
    data: str
    mime_type: str
    annotations: Optional[Annotations] = None
    meta: Optional[Dict[str, Any]] = None

    def _payload(self) -> str:
        return self.data


class ResourceLink(Resource):
    """A resource to be read, or not; it need not be in the server's list.

    Source: 2026-07-28, schema ``ResourceLink``, Server > Tools > "Resource Links".
    """

    type: Literal["resource_link"] = "resource_link"


class EmbeddedResource(WireModel):
    """A resource with its contents.

    Source: 2026-07-28, schema ``EmbeddedResource``, Server > Tools > "Embedded Resources".
    """

    type: Literal["resource"] = "resource"
    resource: ResourceContents
    annotations: Optional[Annotations] = None
    meta: Optional[Dict[str, Any]] = None

    @property
    def text(self) -> Optional[str]:
        """The text of the resource, or None where it is binary."""
        return self.resource.text if isinstance(self.resource, TextResourceContents) else None


class UnknownContent(WireModel):
    """A block of a type that we do not know: ``type``, and the rest in ``model_extra``, as the server sent it.

    Source: none; a later revision may add a type, as 2025-03-26 did with audio and 2025-06-18 with links.
    """

    type: str


_KNOWN_TYPES = frozenset({"text", "image", "audio", "resource_link", "resource"})


def _really_unknown(block: UnknownContent) -> UnknownContent:
    # The fallback sees every block that its own model refused; such a block is malformed, not unknown.
    if block.type in _KNOWN_TYPES:
        raise ValueError(f"not a valid {block.type} block")
    return block


# The tag picks the model in pydantic's core; Python runs for unknown types only. A callable discriminator is slower by
# 0.5 to 2 us a block.
ContentBlock = Annotated[
    Union[
        Annotated[
            Union[TextContent, ImageContent, AudioContent, ResourceLink, EmbeddedResource],
            Field(discriminator="type"),
        ],
        Annotated[UnknownContent, AfterValidator(_really_unknown)],
    ],
    Field(union_mode="left_to_right"),
]
