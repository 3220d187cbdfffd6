"""The lowest versions that setup.cfg allows, as constraints for pip: ``python -m tests.support.lowest > lowest.txt``.

Runs on: the main thread of a process of its own.
"""

from __future__ import annotations

import configparser
import re
import sys
from pathlib import Path

__all__ = ["constraints"]

_SETUP = Path(__file__).resolve().parents[2] / "setup.cfg"


def constraints() -> list[str]:
    """``name==version`` for each requirement of the package itself."""
    setup = configparser.RawConfigParser()
    setup.read(_SETUP, encoding="utf-8")
    lines = setup["options"]["install_requires"].split()
    found = [re.match(r"([\w-]+)>=([\d.]+)", line) for line in lines]
    assert all(found), f"no lowest version: {lines}"
    return [f"{match[1]}=={match[2]}" for match in found if match is not None]


if __name__ == "__main__":
    sys.stdout.write("\n".join(constraints()) + "\n")
