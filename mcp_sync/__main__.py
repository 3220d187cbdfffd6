"""``python -m mcp_sync``: the same as the ``mcp-sync`` command. Runs on: the main thread."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
