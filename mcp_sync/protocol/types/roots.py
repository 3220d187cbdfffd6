"""Roots: the places a client lets a server work in.

Runs on: any thread; models are plain data.
"""

from typing import Any, Dict, List, Optional

from .base import Result, WireModel

__all__ = ["ListRootsResult", "Root"]


class Root(WireModel):
    """One root; ``uri`` begins with ``file://``.

    Source: 2026-07-28, schema ``Root``, Client > Roots > "Root".
    """

    uri: str
    name: Optional[str] = None
    meta: Optional[Dict[str, Any]] = None


class ListRootsResult(Result):
    """The answer to ``roots/list``.

    Source: 2026-07-28, schema ``ListRootsResult``, Client > Roots > "Listing Roots".
    """

    roots: List[Root]
