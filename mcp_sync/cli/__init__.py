"""The ``mcp-sync`` command. This module needs nothing but the standard library; the commands need the extra ``cli``.

Runs on: the process's main thread.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

from .. import check_installation

__all__ = ["main"]

NEEDS = "mcp-sync's command line needs its extra: pip install 'mcp-sync-client[cli]'"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what follows the command's name; None takes it from ``sys.argv``.

    Returns:
        The exit status: 0 done, 1 it failed, 2 it was called wrongly or something is not installed, 3 the tool reported
        failure, 130 Ctrl-C.
    """
    try:
        check_installation()
    except ImportError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    if find_spec("click") is None or find_spec("rich") is None:
        print(NEEDS, file=sys.stderr)
        return 2
    from . import commands

    return commands.run(list(sys.argv[1:] if arguments is None else arguments))
