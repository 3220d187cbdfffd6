"""Results kept for as long as the server says that they stay fresh (2026-07-28, Caching).

Runs on: any thread.
"""

from __future__ import annotations

import json
import threading
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..concurrency.budget import Budget
from ..concurrency.clock import monotonic
from ..protocol.messages import Message, weight_of
from ..protocol.numbers import read_number

__all__ = ["ResultCache"]

_CACHEABLE = frozenset({"tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"})
# What a notification makes stale: the methods whose results it is about.
_STALE = {
    "notifications/tools/list_changed": ("tools/list",),
    "notifications/prompts/list_changed": ("prompts/list",),
    "notifications/resources/list_changed": ("resources/list", "resources/templates/list"),
    "notifications/resources/updated": ("resources/read",),
}
_MOST_ENTRIES = 256
_LONGEST_SECONDS = 24 * 3600.0

# Of the budget.
_SHARE = 0.125

_Key = Tuple[str, str]


class _Entry(NamedTuple):
    stale_at: float
    result: Dict[str, Any]
    size: int


class ResultCache:
    """The results of one identity.

    Parameters:
        budget: of memory.
        public: where those are that are the same for everybody; None keeps them here.
    """

    def __init__(self, budget: Optional[Budget] = None, public: Optional[ResultCache] = None) -> None:
        self._public = public
        # Guards the entries.
        self._lock = threading.RLock()
        self._entries: Dict[_Key, _Entry] = {}
        self._account = (budget or Budget()).account(_SHARE)
        self._changes = 0

    @property
    def changes(self) -> int:
        """How often something was forgotten: what was asked for before that may be stale already when it comes."""
        return self._changes + (0 if self._public is None else self._public.changes)

    def get(self, method: str, params: Optional[Mapping[str, Any]]) -> Optional[Dict[str, Any]]:
        """A fresh result, or None."""
        if method not in _CACHEABLE:
            return None
        with self._lock:
            entry = self._entries.get(_key(method, params))
        if entry is not None and monotonic() < entry.stale_at:
            return entry.result
        return None if self._public is None else self._public.get(method, params)

    def put(
        self,
        method: str,
        params: Optional[Mapping[str, Any]],
        result: Dict[str, Any],
        changes: Optional[int] = None,
    ) -> None:
        """Keep a result if it says that it stays fresh.

        Parameters:
            changes: what ``changes`` was when it was asked for; None keeps it whatever has changed.
        """
        ttl_ms = read_number(result.get("ttlMs"), "ttlMs", 0, 1000 * _LONGEST_SECONDS)
        if method not in _CACHEABLE or not ttl_ms:
            return
        if self._public is not None and result.get("cacheScope") == "public":
            self._public.put(method, params, result, None if changes is None else changes - self._changes)
            return
        stale_at = monotonic() + ttl_ms / 1000
        with self._lock:
            if changes is not None and self.changes != changes:
                return
            key, size = _key(method, params), weight_of(result, self._account.most)
            self._drop([key] if key in self._entries else [])
            if size > self._account.limit:
                return
            now = monotonic()
            if len(self._entries) >= _MOST_ENTRIES:
                self._drop([key for key, entry in self._entries.items() if entry.stale_at <= now])
            # Then the oldest; what finds no room is asked for again.
            while len(self._entries) >= _MOST_ENTRIES or not self._account.take(size):
                if not self._entries:
                    return
                self._drop([next(iter(self._entries))])
            self._entries[key] = _Entry(stale_at, result, size)

    def _drop(self, keys: List[_Key]) -> None:
        for key in keys:
            self._account.give_back(self._entries.pop(key).size)

    def forget(self, *methods: str) -> bool:
        """Drop the results of ``methods``. Returns whether there were any."""
        with self._lock:
            self._changes += 1
            gone = [key for key in self._entries if key[0] in methods]
            self._drop(gone)
        had = bool(gone)
        if self._public is not None:
            had = self._public.forget(*methods) or had
        return had

    def notified(self, message: Message) -> None:
        """A change notification makes what it is about stale."""
        methods = _STALE.get(message["method"])
        if methods is not None:
            self.forget(*methods)

    def session_ended(self) -> None:
        """What is fresh stays so: the server said for how long."""


def _key(method: str, params: Optional[Mapping[str, Any]]) -> _Key:
    return method, json.dumps(params or {}, sort_keys=True, default=repr)
