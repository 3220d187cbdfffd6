"""Who is talking, what each side can do, and how they find out.

Runs on: any thread; models are plain data.
"""

from typing import Any, Dict, List, Optional

from pydantic import ValidationError

from .base import Flag, RequestParams, Result, WireModel
from .display import Icon
from .paging import CacheableResult

__all__ = [
    "ClientCapabilities",
    "DiscoverResult",
    "ElicitationCapability",
    "Implementation",
    "InitializeParams",
    "InitializeResult",
    "PromptsCapability",
    "ResourcesCapability",
    "RootsCapability",
    "SamplingCapability",
    "ServerCapabilities",
    "SetLevelParams",
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


class RootsCapability(WireModel):
    """The client has roots; ``list_changed`` says that it tells when they change (until 2025-11-25).

    Source: 2025-11-25, schema ``ClientCapabilities``, Client > Roots > "Capabilities".
    """

    list_changed: Flag = False


class SamplingCapability(WireModel):
    """The client can ask a model; ``context`` and ``tools`` say what such a request may use (since 2025-11-25).

    Source: 2026-07-28, schema ``ClientCapabilities``, Client > Sampling > "Capabilities".
    """

    context: Optional[Dict[str, Any]] = None
    tools: Optional[Dict[str, Any]] = None


class ElicitationCapability(WireModel):
    """The client can ask its user, in a form or at a URL (since 2025-11-25). An empty object means forms only.

    Source: 2026-07-28, schema ``ClientCapabilities``, Client > Elicitation > "Capabilities".
    """

    form: Optional[Dict[str, Any]] = None
    url: Optional[Dict[str, Any]] = None


class ClientCapabilities(WireModel):
    """What a client can do; what is absent, it cannot. ``tasks`` is of 2025-11-25 only.

    Source: 2026-07-28, schema ``ClientCapabilities``, Basic > "_meta".
    """

    experimental: Optional[Dict[str, Any]] = None
    roots: Optional[RootsCapability] = None
    sampling: Optional[SamplingCapability] = None
    elicitation: Optional[ElicitationCapability] = None
    tasks: Optional[Dict[str, Any]] = None
    extensions: Optional[Dict[str, Any]] = None


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


class InitializeParams(RequestParams):
    """The params of ``initialize`` (until 2025-11-25).

    Source: 2025-11-25, schema ``InitializeRequestParams``, Basic > Lifecycle > "Initialization".
    """

    protocol_version: str
    capabilities: ClientCapabilities
    client_info: Implementation


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
            return Implementation.model_validate((self.meta or {})[_SERVER_INFO])
        except (KeyError, ValidationError):
            return None


class SetLevelParams(RequestParams):
    """The params of ``logging/setLevel`` (until 2025-11-25).

    Source: 2025-11-25, schema ``SetLevelRequestParams``, Server > Utilities > "Logging".
    """

    level: str
