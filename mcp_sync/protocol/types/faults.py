"""JSON-RPC errors, and the data of those that the protocol defines.

Runs on: any thread; models are plain data.
"""

from typing import Any, ClassVar, FrozenSet, List, Optional

from .base import WireModel
from .elicitation import ElicitParams
from .lifecycle import ClientCapabilities

__all__ = [
    "ErrorObject",
    "MissingClientCapabilityData",
    "URLElicitationRequiredData",
    "UnsupportedProtocolVersionData",
]


class ErrorObject(WireModel):
    """A JSON-RPC error.

    Source: 2026-07-28, schema ``Error``, Basic > "Error Codes".
    """

    _nullable: ClassVar[FrozenSet[str]] = frozenset({"data"})

    code: int
    message: str = ""
    data: Any = None


class UnsupportedProtocolVersionData(WireModel):
    """The data of error -32022: the revisions that the server does speak.

    Source: 2026-07-28, schema ``UnsupportedProtocolVersionError``, Basic > Versioning > "Protocol Version Negotiation".
    """

    supported: List[str]
    requested: Optional[str] = None


class MissingClientCapabilityData(WireModel):
    """The data of error -32021: what the client would have to declare.

    Source: 2026-07-28, schema ``MissingRequiredClientCapabilityError``.
    """

    required_capabilities: ClientCapabilities


class URLElicitationRequiredData(WireModel):
    """The data of error -32042: the URLs that the user must visit before the request can succeed.

    Source: 2025-11-25, schema ``URLElicitationRequiredError``, Client > Elicitation > "URL Elicitation Required Error".
    """

    elicitations: List[ElicitParams]
