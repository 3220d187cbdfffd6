"""Prompts: templates of messages that a server offers.

Runs on: any thread; models are plain data.
"""

from typing import Any, Dict, List, Optional

from .base import Flag, RequestParams, Result, WireModel
from .content import ContentBlock
from .display import Icon
from .paging import PaginatedResult

__all__ = ["GetPromptParams", "GetPromptResult", "ListPromptsResult", "Prompt", "PromptArgument", "PromptMessage"]


class PromptArgument(WireModel):
    """One argument of a prompt; its value is always a string.

    Source: 2026-07-28, schema ``PromptArgument``, Server > Prompts > "Prompt".
    """

    name: str
    title: Optional[str] = None
    description: Optional[str] = None
    required: Flag = False


class Prompt(WireModel):
    """A prompt that the server offers; ``arguments`` is None where it takes none.

    Source: 2026-07-28, schema ``Prompt``, Server > Prompts > "Prompt".
    """

    name: str
    title: Optional[str] = None
    description: Optional[str] = None
    arguments: Optional[List[PromptArgument]] = None
    icons: Optional[List[Icon]] = None
    meta: Optional[Dict[str, Any]] = None


class PromptMessage(WireModel):
    """One message of a prompt; ``role`` is ``"user"`` or ``"assistant"``.

    Source: 2026-07-28, schema ``PromptMessage``, Server > Prompts > "PromptMessage".
    """

    role: str
    content: ContentBlock


class ListPromptsResult(PaginatedResult):
    """One page of the server's prompts.

    Source: 2026-07-28, schema ``ListPromptsResult``, Server > Prompts > "Listing Prompts".
    """

    prompts: List[Prompt]


class GetPromptParams(RequestParams):
    """The params of ``prompts/get``; the last two answer an :class:`InputRequiredResult` (2026-07-28).

    Source: 2026-07-28, schema ``GetPromptRequestParams``, Server > Prompts > "Getting a Prompt".
    """

    name: str
    arguments: Optional[Dict[str, str]] = None
    input_responses: Optional[Dict[str, Any]] = None
    request_state: Optional[str] = None


class GetPromptResult(Result):
    """A prompt filled in: the messages to give to a model.

    Source: 2026-07-28, schema ``GetPromptResult``, Server > Prompts > "Getting a Prompt".
    """

    description: Optional[str] = None
    messages: List[PromptMessage]
