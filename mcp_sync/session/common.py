"""What the connections of one client have in common, and what lives as long as a connection or all of them.

Runs on: any of the client's threads.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Type, TypeVar, cast

from ..concurrency.budget import Budget
from .cache import ResultCache

if TYPE_CHECKING:
    from ..config import MCPClientConfig

__all__ = ["Common", "Companions"]

_T = TypeVar("_T")


class Companions:
    """Objects that are made when they are first wanted, one of each class, and closed together."""

    def __init__(self) -> None:
        # Guards what follows.
        self._lock = threading.RLock()
        self._made: Dict[type, Any] = {}
        self._closed = False

    def get(self, kind: Type[_T], make: Callable[[], _T]) -> _T:
        """The one of this class."""
        made = self._made.get(kind)
        if made is None:
            with self._lock:
                made = self._made.get(kind)
                if made is None:
                    made = self._made[kind] = make()
                    if self._closed:
                        _close(made)
        return cast(_T, made)

    def close(self) -> None:
        """Close those that can be."""
        with self._lock:
            self._closed = True
            made = list(self._made.values())
        for companion in made:
            _close(companion)


class Common:
    """What the connections of one client share, each of which belongs to another identity.

    Attributes:
        companions: live as long as the client is open.
        budget: of memory for what a server sent.
        public: results that are the same for everybody (2026-07-28, Caching).
        opening: is told of each connection that is about to open a session.
    """

    def __init__(self, config: MCPClientConfig, opening: Optional[Callable[[Any], None]] = None) -> None:
        self.companions = Companions()
        self.budget = Budget(config.max_buffered_bytes)
        self.public = ResultCache(self.budget)
        self.opening = opening


def _close(companion: Any) -> None:
    close = getattr(companion, "close", None)
    if close is not None:
        close()
