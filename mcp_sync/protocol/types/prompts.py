"""Prompts: templates of messages that a server offers.

Runs on: any thread; models are plain data.
"""

from typing import Any, Dict, List, Optional

from .base import Flag, Icon, Result, WireModel
from .content import ContentBlock

__all__ = ["GetPromptResult", "Prompt", "PromptArgument", "PromptMessage"]


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


class GetPromptResult(Result):
    """A prompt filled in: the messages to give to a model.

    Source: 2026-07-28, schema ``GetPromptResult``, Server > Prompts > "Getting a Prompt".
    """

    description: Optional[str] = None
    messages: List[PromptMessage]
