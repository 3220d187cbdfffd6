"""Completing the arguments of prompts and resource templates.

Runs on: any thread; models are plain data.
"""

from typing import Annotated, Dict, List, Literal, Optional, Union

from pydantic import Field

from .base import Flag, RequestParams, Result, WireModel

__all__ = [
    "CompleteParams",
    "CompleteResult",
    "Completion",
    "CompletionArgument",
    "CompletionContext",
    "PromptReference",
    "ResourceTemplateReference",
]


class PromptReference(WireModel):
    """Says which prompt an argument belongs to.

    Source: 2026-07-28, schema ``PromptReference``, Server > Utilities > Completion > "Reference Types".
    """

    type: Literal["ref/prompt"] = "ref/prompt"
    name: str
    title: Optional[str] = None


class ResourceTemplateReference(WireModel):
    """Says which resource template an argument belongs to; ``uri`` is the template or a URI.

    Source: 2026-07-28, schema ``ResourceTemplateReference`` (``ResourceReference`` until 2025-03-26),
    Server > Utilities > Completion > "Reference Types".
    """

    type: Literal["ref/resource"] = "ref/resource"
    uri: str


class CompletionArgument(WireModel):
    """The argument to complete, and what has been typed so far.

    Source: 2026-07-28, schema ``CompleteRequestParams``.
    """

    name: str
    value: str


class CompletionContext(WireModel):
    """The arguments that are already known (since 2025-06-18).

    Source: 2026-07-28, schema ``CompleteRequestParams``.
    """

    arguments: Optional[Dict[str, str]] = None


class CompleteParams(RequestParams):
    """The params of ``completion/complete``.

    Source: 2026-07-28, schema ``CompleteRequestParams``, Server > Utilities > Completion > "Requesting Completions".
    """

    ref: Annotated[Union[PromptReference, ResourceTemplateReference], Field(discriminator="type")]
    argument: CompletionArgument
    context: Optional[CompletionContext] = None


class Completion(WireModel):
    """The suggestions, best first, at most 100 of ``total``.

    Source: 2026-07-28, schema ``CompleteResult``, Server > Utilities > Completion > "Completion Results".
    """

    values: List[str]
    total: Optional[int] = None
    has_more: Flag = False


class CompleteResult(Result):
    """The answer to ``completion/complete``.

    Source: 2026-07-28, schema ``CompleteResult``, Server > Utilities > Completion > "Completion Results".
    """

    completion: Completion
