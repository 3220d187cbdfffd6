"""How servers say that they do not know the session of a request. The specification's word is status 404 (2025-11-25,
Streamable HTTP, Session Management); libraries have others.

Runs on: any thread; no state.
"""

from __future__ import annotations

import re
from typing import Any, Mapping, Optional

from .messages import INVALID_PARAMS, METHOD_NOT_FOUND

__all__ = ["says_forgotten"]

_SAYS_SO = re.compile(
    r"session[^.\n]{0,60}?\b(not (found|known|valid|active|recogni[sz]ed|initiali[sz]ed)|(does not|doesn't) exist"
    r"|unknown|invalid|expired|terminated|closed|gone|lost|missing|no longer|(could not|cannot) be found)"
    r"|\b(unknown|invalid|expired|stale|no|no such|no valid|no active|unrecogni[sz]ed)( mcp)?[ -]session"
    r"|\b(not found|unknown|invalid|expired|no \w+ found|(could not|cannot|unable to) find)\b[^.\n]{0,30}session"
    r"|\b(not (yet )?|un)initiali[sz]ed",
    re.IGNORECASE,
)
# Errors that are about what was asked for; a server that answers them with status 404 means that.
_ABOUT_THE_CALL = {METHOD_NOT_FOUND, INVALID_PARAMS, -32002}
# They are about who asks, or how often.
_ABOUT_THE_CALLER = {401, 403, 429}
_LONGEST_TEXT = 1000


def says_forgotten(status: int, error: Optional[Mapping[str, Any]], text: str = "") -> bool:
    """Whether the answer to a request that named a session means that the server does not know that session.

    Parameters:
        status: the HTTP status; 200 where the answer is a JSON-RPC error like any other.
        error: the JSON-RPC error, or None where the body holds none.
        text: the beginning of the body.
    """
    code = None if error is None else error.get("code")
    said = text if error is None else str(error.get("message"))
    says_so = _SAYS_SO.search(said[:_LONGEST_TEXT]) is not None
    if status < 400:
        # A tool may have sessions of its own; it answers with other codes, as a rule.
        return says_so and isinstance(code, int) and (-32099 <= code <= -32000 or code == -32600)
    if status == 404:
        return says_so or code not in _ABOUT_THE_CALL
    if status == 400 and error is None:
        return says_so or "session" in said.lower()
    # A server's own failure, but for "not available", says nothing of whether the call has run.
    return says_so and status not in _ABOUT_THE_CALLER and (status < 500 or status == 503 or error is not None)
