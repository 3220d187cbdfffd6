"""Who the server is, what it can do, and how a client finds out.

Runs on: any thread; models are plain data.
"""

from typing import Any, Dict, List, Optional

from pydantic import ValidationError

from .base import CacheableResult, Flag, Icon, Result, WireModel, as_model

__all__ = [
    "DiscoverResult",
    "Implementation",
    "InitializeResult",
    "PromptsCapability",
    "ResourcesCapability",
    "ServerCapabilities",
    "ToolsCapability",
]


_SERVER_INFO = "io.modelcontextprotocol/serverInfo"  # 2026-07-28, Basic > "_meta"


class Implementation(WireModel):
    """The name and version of a client or server.

    Source: 2026-07-28, schema ``Implementation``.
    """

    name: str
    version: str
    title: Optional[str] = None
    description: Optional[str] = None
    icons: Optional[List[Icon]] = None
    website_url: Optional[str] = None


class PromptsCapability(WireModel):
    """The server has prompts; ``list_changed`` says that it tells when the list changes.

    Source: 2026-07-28, schema ``ServerCapabilities``, Server > Prompts > "Capabilities".
    """

    list_changed: Flag = False


class ResourcesCapability(WireModel):
    """The server has resources; ``subscribe`` says that it tells when one changes, ``list_changed`` when the list does.

    Source: 2026-07-28, schema ``ServerCapabilities``, Server > Resources > "Capabilities".
    """

    subscribe: Flag = False
    list_changed: Flag = False


class ToolsCapability(WireModel):
    """The server has tools; ``list_changed`` says that it tells when the list changes.

    Source: 2026-07-28, schema ``ServerCapabilities``, Server > Tools > "Capabilities".
    """

    list_changed: Flag = False


class ServerCapabilities(WireModel):
    """What a server can do; what is absent, it cannot. ``tasks`` is of 2025-11-25 only.

    Source: 2026-07-28, schema ``ServerCapabilities``.
    """

    experimental: Optional[Dict[str, Any]] = None
    logging: Optional[Dict[str, Any]] = None
    completions: Optional[Dict[str, Any]] = None
    prompts: Optional[PromptsCapability] = None
    resources: Optional[ResourcesCapability] = None
    tools: Optional[ToolsCapability] = None
    tasks: Optional[Dict[str, Any]] = None
    extensions: Optional[Dict[str, Any]] = None


class InitializeResult(Result):
    """The answer to ``initialize`` (until 2025-11-25). ``instructions`` tell a model how to use the server.

    Source: 2025-11-25, schema ``InitializeResult``, Basic > Lifecycle > "Initialization".
    """

    protocol_version: str
    capabilities: ServerCapabilities
    server_info: Implementation
    instructions: Optional[str] = None


class DiscoverResult(CacheableResult):
    """The answer to ``server/discover`` (since 2026-07-28): the revisions the server speaks, and what it can do.

    Source: 2026-07-28, schema ``DiscoverResult``, Server > "Discovery".
    """

    supported_versions: List[str]
    capabilities: ServerCapabilities
    instructions: Optional[str] = None

    @property
    def server_info(self) -> Optional[Implementation]:
        """Who the server says it is (in ``meta``), or None where it does not, or not in the form of the schema."""
        try:
            return as_model(Implementation, (self.meta or {})[_SERVER_INFO])
        except (KeyError, ValidationError):
            return None
