"""What list results and their requests share: cursors, and how long an answer stays fresh.

Runs on: any thread; models are plain data.
"""

from typing import Optional

from .base import RequestParams, Result

__all__ = ["CacheableResult", "PaginatedParams", "PaginatedResult"]


class PaginatedParams(RequestParams):
    """The params of a list request; ``cursor`` is the ``next_cursor`` of the page before.

    Source: 2026-07-28, schema ``PaginatedRequestParams``, Server > Utilities > "Pagination".
    """

    cursor: Optional[str] = None


class CacheableResult(Result):
    """A result that says how long it stays fresh.

    ``ttl_ms`` is in milliseconds; ``cache_scope`` is ``"public"`` or ``"private"`` (shared caches must not keep it).

    Source: 2026-07-28, schema ``CacheableResult``, Server > Utilities > "Caching".
    """

    ttl_ms: Optional[int] = None
    cache_scope: Optional[str] = None


class PaginatedResult(CacheableResult):
    """One page of a list; no ``next_cursor`` means that it is the last.

    Source: 2026-07-28, schema ``PaginatedResult``, Server > Utilities > "Pagination".
    """

    next_cursor: Optional[str] = None
