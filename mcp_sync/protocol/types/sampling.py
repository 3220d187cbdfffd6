"""Sampling: a server asks the client's model.

Runs on: any thread; models are plain data.
"""

from typing import Annotated, Any, ClassVar, Dict, FrozenSet, List, Literal, Optional, Union

from pydantic import AfterValidator, Field

from .base import Flag, Measure, RequestParams, Result, WireModel
from .content import AudioContent, ContentBlock, ImageContent, TextContent, UnknownContent
from .tools import Tool

__all__ = [
    "CreateMessageParams",
    "CreateMessageResult",
    "ModelHint",
    "ModelPreferences",
    "SamplingContent",
    "SamplingMessage",
    "ToolChoice",
    "ToolResultContent",
    "ToolUseContent",
]


class ToolUseContent(WireModel):
    """The model wants a tool to be called (since 2025-11-25).

    Source: 2026-07-28, schema ``ToolUseContent``, Client > Sampling > "Sampling with Tools".
    """

    type: Literal["tool_use"] = "tool_use"
    id: str
    name: str
    input: Dict[str, Any]
    meta: Optional[Dict[str, Any]] = None


class ToolResultContent(WireModel):
    """What the tool answered; ``tool_use_id`` is the ``id`` of the block that asked (since 2025-11-25).

    Source: 2026-07-28, schema ``ToolResultContent``, Client > Sampling > "Sampling with Tools".
    """

    _nullable: ClassVar[FrozenSet[str]] = frozenset({"structured_content"})

    type: Literal["tool_result"] = "tool_result"
    tool_use_id: str
    content: List[ContentBlock]
    structured_content: Any = None
    is_error: Flag = False
    meta: Optional[Dict[str, Any]] = None


_KNOWN_TYPES = frozenset({"text", "image", "audio", "tool_use", "tool_result"})


def _really_unknown(block: UnknownContent) -> UnknownContent:
    # The fallback sees every block that its own model refused; such a block is malformed, not unknown.
    if block.type in _KNOWN_TYPES:
        raise ValueError(f"not a valid {block.type} block")
    return block


SamplingContent = Annotated[
    Union[
        Annotated[
            Union[TextContent, ImageContent, AudioContent, ToolUseContent, ToolResultContent],
            Field(discriminator="type"),
        ],
        Annotated[UnknownContent, AfterValidator(_really_unknown)],
    ],
    Field(union_mode="left_to_right"),
]
# A list of blocks since 2025-11-25.
_Said = Annotated[Union[SamplingContent, List[SamplingContent]], Field(union_mode="left_to_right")]


class SamplingMessage(WireModel):
    """One message of the conversation; ``role`` is ``"user"`` or ``"assistant"``, ``content`` one block or a list.

    Source: 2026-07-28, schema ``SamplingMessage``, Client > Sampling > "Messages".
    """

    role: str
    content: _Said
    meta: Optional[Dict[str, Any]] = None

    @property
    def blocks(self) -> List[SamplingContent]:
        """The content as a list, also where it is a single block."""
        return self.content if isinstance(self.content, list) else [self.content]


class ModelHint(WireModel):
    """Part of the name of a model that would suit.

    Source: 2026-07-28, schema ``ModelHint``, Client > Sampling > "Model Preferences".
    """

    name: Optional[str] = None


class ModelPreferences(WireModel):
    """What matters in choosing a model: ``hints`` in order, and three priorities from 0 to 1.

    Source: 2026-07-28, schema ``ModelPreferences``, Client > Sampling > "Model Preferences".
    """

    hints: Optional[List[ModelHint]] = None
    cost_priority: Measure = None
    speed_priority: Measure = None
    intelligence_priority: Measure = None


class ToolChoice(WireModel):
    """Whether the model may use tools: ``"auto"`` (also when absent), ``"required"`` or ``"none"``.

    Source: 2026-07-28, schema ``ToolChoice``, Client > Sampling > "Tool Choice Modes".
    """

    mode: Optional[str] = None


class CreateMessageParams(RequestParams):
    """The params of ``sampling/createMessage``.

    ``include_context`` is ``"none"`` (also when absent), ``"thisServer"`` or ``"allServers"``; ``task`` is of
    2025-11-25 only.

    Source: 2026-07-28, schema ``CreateMessageRequestParams``, Client > Sampling > "Creating Messages".
    """

    messages: List[SamplingMessage]
    max_tokens: int
    system_prompt: Optional[str] = None
    model_preferences: Optional[ModelPreferences] = None
    temperature: Measure = None
    stop_sequences: Optional[List[str]] = None
    include_context: Optional[str] = None
    tools: Optional[List[Tool]] = None
    tool_choice: Optional[ToolChoice] = None
    metadata: Optional[Dict[str, Any]] = None
    task: Optional[Dict[str, Any]] = None


class CreateMessageResult(Result):
    """What the model said. ``content`` is one block, or a list where the request had tools.

    ``stop_reason`` is ``"endTurn"``, ``"stopSequence"``, ``"maxTokens"``, ``"toolUse"``, or the model's own word.

    Source: 2026-07-28, schema ``CreateMessageResult``, Client > Sampling > "Creating Messages".
    """

    role: str
    content: _Said
    model: str
    stop_reason: Optional[str] = None

    @property
    def blocks(self) -> List[SamplingContent]:
        """The content as a list, also where it is a single block."""
        return self.content if isinstance(self.content, list) else [self.content]
