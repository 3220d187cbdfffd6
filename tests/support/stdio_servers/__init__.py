"""Servers over stdio that misbehave on demand: small scripts, each a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["PUPPET", "puppet"]

PUPPET = Path(__file__).with_name("puppet.py")


def puppet(*arguments: str) -> list[str]:
    """The command that starts the puppet."""
    return [sys.executable, "-S", "-E", str(PUPPET), *arguments]
