"""The protocol's revisions, one row of named traits each; nothing elsewhere compares dates.

Runs on: any thread; no state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional

__all__ = ["NEWEST", "NEWEST_WITH_HANDSHAKE", "REVISIONS", "Revision"]


@dataclass(frozen=True)
class Revision:
    """What a client does differently under one revision of the protocol."""

    version: str
    # initialize and notifications/initialized open a session (up to 2025-11-25); else every request carries its
    # own metadata.
    has_handshake: bool
    # HTTP requests after the handshake say MCP-Protocol-Version (since 2025-06-18).
    has_version_header: bool
    # Tasks are an extension that both sides declare (since 2026-07-28).
    has_tasks_extension: bool


def _row(version: str, **traits: bool) -> Revision:
    names = [name for name in Revision.__dataclass_fields__ if name != "version"]
    return Revision(version, **{name: traits.get(name, False) for name in names})


_2024_11_05 = _row("2024-11-05", has_handshake=True)
_2025_03_26 = _row("2025-03-26", has_handshake=True)
_2025_06_18 = _row(
    "2025-06-18",
    has_handshake=True,
    has_version_header=True,
)
_2025_11_25 = _row(
    "2025-11-25",
    has_handshake=True,
    has_version_header=True,
)
_2026_07_28 = _row(
    "2026-07-28",
    has_tasks_extension=True,
    has_version_header=True,
)

# Oldest first.
REVISIONS: Dict[str, Revision] = {
    row.version: row for row in (_2024_11_05, _2025_03_26, _2025_06_18, _2025_11_25, _2026_07_28)
}
NEWEST = _2026_07_28
NEWEST_WITH_HANDSHAKE = _2025_11_25


def with_handshake(version: Optional[str]) -> Revision:
    """The revision to propose in ``initialize``: the one asked for, else the newest that has a handshake."""
    return REVISIONS[version] if version is not None else NEWEST_WITH_HANDSHAKE
