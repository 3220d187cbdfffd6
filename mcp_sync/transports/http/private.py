"""The private names of other libraries that this package touches: all of them, so that a new version is checked here.

Runs on: whichever thread uses what it gives.

Seen in: sseclient-py 1.8 and 1.9. tests/transports/http/test_private.py fails where a version has one no more.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sseclient import SSEClient

__all__ = ["silence"]

_SILENT = logging.Logger("sseclient", logging.CRITICAL)


def silence(client: SSEClient) -> None:
    """sseclient-py logs each event, and what it does not understand as it came: a server's text, unescaped."""
    parser: Any = client
    parser._logger = _SILENT
