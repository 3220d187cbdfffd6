"""The bundled server: a real MCP server on the official SDK, to try the client on. ``mcp-sync serve`` runs it.

Nothing of the client imports this package, and this is the only one in mcp_sync that may use asyncio: it is a server.
Importing it without what it needs raises an `ImportError` that says what to install.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

NEEDS = "the bundled server needs Python 3.10+ and `pip install 'mcp-sync-client[demo]'`"

__all__ = ["NEEDS"]

if sys.version_info < (3, 10):
    raise ImportError(f"{NEEDS}; this is Python {sys.version_info[0]}.{sys.version_info[1]}")
for _module in ("mcp", "starlette", "uvicorn"):
    if find_spec(_module) is None:
        raise ImportError(f"{NEEDS}; the module {_module!r} is missing", name=_module)
