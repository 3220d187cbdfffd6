"""What every request of a stateless revision carries beside its own params: the client's metadata, and headers.

Runs on: any thread; nothing but the log level changes once the revision is agreed on.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional

from .headers import HeaderPaths, mirrored
from .messages import Message
from .revisions import Revision

__all__ = ["Stamp"]

_PREFIX = "io.modelcontextprotocol/"


class Stamp:
    """Adds to requests the version, the client's name and its capabilities (2026-07-28, Basic, ``_meta``).

    Parameters:
        log_level: returns the lowest level of the log messages that are wanted, or None for none.
        paths_of: returns which arguments of a tool are mirrored into headers.
    """

    def __init__(
        self,
        revision: Revision,
        client_info: Mapping[str, Any],
        capabilities: Mapping[str, Any],
        log_level: Callable[[], Optional[str]],
        paths_of: Callable[[str], Optional[HeaderPaths]],
    ) -> None:
        self._meta = {
            f"{_PREFIX}protocolVersion": revision.version,
            f"{_PREFIX}clientInfo": dict(client_info),
            f"{_PREFIX}clientCapabilities": dict(capabilities),
        }
        self._log_level = log_level
        self._paths_of = paths_of

    def params(self, params: Optional[Mapping[str, Any]]) -> Mapping[str, Any]:
        """The params as they are sent."""
        meta: Dict[str, Any] = self._meta
        level = self._log_level()
        if level is not None:
            meta = {**meta, f"{_PREFIX}logLevel": level}
        if params is None:
            return {"_meta": meta}
        own = params.get("_meta")
        return {**params, "_meta": {**meta, **own} if own else meta}

    def headers(self, message: Message) -> Mapping[str, str]:
        """The headers of one request."""
        paths = self._paths_of(message["params"]["name"]) if message["method"] == "tools/call" else None
        return mirrored(message, paths)
