"""Content blocks: what tools, prompts and models say.

Runs on: any thread; models are plain data.
"""

from typing import TYPE_CHECKING, Annotated, Any, Dict, List, Literal, Optional, Type, Union

from pydantic import AfterValidator, BaseModel, Field, PrivateAttr, ValidationError

from .base import Annotations, WireModel, as_model
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
    """A block of a type that we do not know, or a malformed one: ``type``, and the rest in ``model_extra``, as it came.

    ``problem`` says what is wrong with a malformed block; it is "" where the type is unknown. The type of a block that
    gives none is "", and what is no object at all is in ``data``.

    Source: none; a later revision may add a type, as 2025-03-26 did with audio and 2025-06-18 with links.
    """

    type: str
    _problem: str = PrivateAttr("")

    @property
    def problem(self) -> str:
        return self._problem


_MODELS: Dict[str, Type[WireModel]] = {
    "text": TextContent,
    "image": ImageContent,
    "audio": AudioContent,
    "resource_link": ResourceLink,
    "resource": EmbeddedResource,
}


def _as_it_came(block: Any) -> WireModel:
    """A block that no model took. One bad block must not cost the others, which a tool may have worked for."""
    if isinstance(block, BaseModel):
        if isinstance(block, UnknownContent):
            return block
        raise ValueError("not a content block")
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(kind, str):
        unknown = UnknownContent.model_validate({**(block if isinstance(block, dict) else {"data": block}), "type": ""})
        unknown._problem = "it has no type"
        return unknown
    problem = ""
    if kind in _MODELS:
        try:
            return as_model(_MODELS[kind], block)
        except ValidationError as exc:
            first = exc.errors(include_input=False, include_url=False)[0]
            problem = f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
    unknown = UnknownContent.model_validate(block)
    unknown._problem = problem
    return unknown


def _no_blocks(_: None) -> List[Any]:
    return []


if TYPE_CHECKING:
    ContentBlock = Union[TextContent, ImageContent, AudioContent, ResourceLink, EmbeddedResource, UnknownContent]
    ContentBlocks = List[ContentBlock]
else:
    # The tag picks the model in pydantic's core; Python runs for unknown types and malformed blocks only. A callable
    # discriminator is slower by 0.5 to 2 us a block.
    ContentBlock = Annotated[
        Union[
            Annotated[
                Union[TextContent, ImageContent, AudioContent, ResourceLink, EmbeddedResource],
                Field(discriminator="type"),
            ],
            Annotated[Any, AfterValidator(_as_it_came)],
        ],
        Field(union_mode="left_to_right"),
    ]
    # Empty when absent or null.
    ContentBlocks = Annotated[
        Union[List[ContentBlock], Annotated[None, AfterValidator(_no_blocks)]], Field(union_mode="left_to_right")
    ]
