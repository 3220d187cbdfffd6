"""Completing the arguments of prompts and resource templates.

Runs on: any thread; models are plain data.
"""

from typing import List, Literal, Optional

from .base import Count, Flag, Result, WireModel

__all__ = ["CompleteResult", "Completion", "PromptReference", "ResourceTemplateReference"]


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


class Completion(WireModel):
    """The suggestions, best first, at most 100 of ``total``.

    Source: 2026-07-28, schema ``CompleteResult``, Server > Utilities > Completion > "Completion Results".
    """

    values: List[str]
    total: Count = None
    has_more: Flag = False


class CompleteResult(Result):
    """The answer to ``completion/complete``.

    Source: 2026-07-28, schema ``CompleteResult``, Server > Utilities > Completion > "Completion Results".
    """

    completion: Completion
