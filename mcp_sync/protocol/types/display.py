"""How things are to be shown and to whom: icons and annotations.

Runs on: any thread; models are plain data.
"""

from typing import List, Optional

from .base import Number, WireModel

__all__ = ["Annotations", "Icon"]


class Annotations(WireModel):
    """Whom content is for and how much it matters.

    ``audience`` holds ``"user"`` and ``"assistant"``; ``priority`` goes from 0 (optional) to 1 (required);
    ``last_modified`` is an ISO 8601 time.

    Source: 2026-07-28, schema ``Annotations``, Server > Resources > "Annotations".
    """

    audience: Optional[List[str]] = None
    priority: Optional[Number] = None
    last_modified: Optional[str] = None


class Icon(WireModel):
    """A picture for a tool, resource, prompt or implementation.

    ``src`` is an HTTPS or ``data:`` URI that the server chose: fetch it without credentials, if at all. ``sizes`` are
    written as ``"48x48"`` or ``"any"``; ``theme`` is ``"light"`` or ``"dark"``.

    Source: 2026-07-28, schema ``Icon``, Basic > "icons".
    """

    src: str
    mime_type: Optional[str] = None
    sizes: Optional[List[str]] = None
    theme: Optional[str] = None
