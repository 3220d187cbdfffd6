"""The ``mcp-sync`` command. This module needs nothing but the standard library; the commands need the extra ``cli``.

Runs on: the process's main thread.
"""

from __future__ import annotations

import os
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
    _open_missing_streams()
    try:
        status = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except OSError as exc:  # the disk is full, or the file that standard output is cannot be written
        status = 1
        try:
            print(f"error: {exc.filename or 'the output'} cannot be written: {exc.strerror or exc}", file=sys.stderr)
        except OSError:
            pass  # standard error is no better
    finally:
        _drop_what_cannot_be_written()
    return status


def _open_missing_streams() -> None:
    """A shell can start a command without standard input, output or error (``<&-``), and Python has None for it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # In this order each takes the number that is free, so that no socket gets it.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  # for the process's life


def _drop_what_cannot_be_written() -> None:
    """The interpreter would try again at its end, and show a traceback."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            except (OSError, ValueError):
                pass  # it is closed


def _run(arguments: Sequence[str]) -> int:
    try:
        check_installation()
    except ImportError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    if find_spec("click") is None or find_spec("rich") is None:
        print(NEEDS, file=sys.stderr)
        return 2
    from . import commands

    return commands.run(list(arguments))
