"""The synchronous, threaded client for MCP (Model Context Protocol) servers.

    from mcp_sync import MCPClient

    with MCPClient("http://localhost:8000/mcp") as client:
        print([tool.name for tool in client.list_tools()])
        print(client.call_tool("echo", {"message": "hi"}).text)

It blocks, it is thread-safe, it never waits without a bound, and there is no event loop in it.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, List

from ._version import __version__

if TYPE_CHECKING:
    from .calls.changes import ChangeStream
    from .calls.stream import ToolStream
    from .calls.tasks import TaskHandle
    from .client import MCPClient
    from .config import MCPClientConfig
    from .errors import (
        AuthorizationError,
        HTTPStatusError,
        MCPCancelledError,
        MCPClientError,
        MCPClosedError,
        MCPConnectionError,
        MCPHandshakeError,
        MCPProtocolError,
        MCPServerError,
        MCPStreamError,
        MCPTimeoutError,
        MCPUsageError,
        MessageTooLargeError,
        RateLimitedError,
        SessionExpiredError,
        StreamLostError,
        ToolError,
    )
    from .protocol.types import (
        AudioContent,
        BlobResourceContents,
        CallToolResult,
        CompleteResult,
        CreateMessageParams,
        CreateMessageResult,
        ElicitParams,
        ElicitResult,
        EmbeddedResource,
        GetPromptResult,
        ImageContent,
        Implementation,
        LogMessage,
        Notification,
        Progress,
        Prompt,
        PromptMessage,
        PromptReference,
        ReadResourceResult,
        Resource,
        ResourceLink,
        ResourceTemplate,
        ResourceTemplateReference,
        Root,
        SamplingMessage,
        ServerCapabilities,
        TextContent,
        TextResourceContents,
        Tool,
        ToolAnnotations,
        ToolResultContent,
        ToolUseContent,
        UnknownContent,
    )

__all__ = [
    "AudioContent",
    "AuthorizationError",
    "BlobResourceContents",
    "CallToolResult",
    "ChangeStream",
    "CompleteResult",
    "CreateMessageParams",
    "CreateMessageResult",
    "ElicitParams",
    "ElicitResult",
    "EmbeddedResource",
    "GetPromptResult",
    "HTTPStatusError",
    "ImageContent",
    "Implementation",
    "LogMessage",
    "MCPCancelledError",
    "MCPClient",
    "MCPClientConfig",
    "MCPClientError",
    "MCPClosedError",
    "MCPConnectionError",
    "MCPHandshakeError",
    "MCPProtocolError",
    "MCPServerError",
    "MCPStreamError",
    "MCPTimeoutError",
    "MCPUsageError",
    "MessageTooLargeError",
    "Notification",
    "Progress",
    "Prompt",
    "PromptMessage",
    "PromptReference",
    "RateLimitedError",
    "ReadResourceResult",
    "RejectedItem",
    "Resource",
    "ResourceLink",
    "ResourceTemplate",
    "ResourceTemplateReference",
    "Root",
    "SamplingMessage",
    "ServerCapabilities",
    "SessionExpiredError",
    "StreamLostError",
    "TaskHandle",
    "TextContent",
    "TextResourceContents",
    "Tool",
    "ToolAnnotations",
    "ToolError",
    "ToolResultContent",
    "ToolStream",
    "ToolUseContent",
    "UnknownContent",
    "__version__",
]

# Where a name comes from, unless it is an error or a model: each is imported when it is first asked for.
_HOMES = {
    "MCPClient": "client",
    "MCPClientConfig": "config",
    "RejectedItem": "session.catalog",
    "ToolStream": "calls.stream",
    "ChangeStream": "calls.changes",
    "TaskHandle": "calls.tasks",
}


# Files of the other program on PyPI that has this package's import name, and no file of ours.
_OF_ANOTHER = ("sync.py", "main.py", os.path.join("config", "__init__.py"))


def check_installation() -> None:
    """Raise ImportError where the distribution ``mcp-sync``, another program with the same import name, was installed
    over or beside this package: its modules stand in place of ours then.
    """
    here = os.path.dirname(__file__)
    found = [name for name in _OF_ANOTHER if os.path.exists(os.path.join(here, name))]
    if found:
        raise ImportError(
            f"in {here} are files of another program, the distribution 'mcp-sync' ({', '.join(found)}), which has the "
            "same import name as this one, 'mcp-sync-client'. Uninstall both (pip uninstall mcp-sync mcp-sync-client), "
            "and install this one again (pip install mcp-sync-client)"
        )


if not TYPE_CHECKING:  # type checkers would take it to mean that there is every name

    def __getattr__(name: str) -> object:
        if name in __all__:
            check_installation()
            home = _HOMES.get(name) or ("errors" if name.endswith("Error") else "protocol.types")
            value = globals()[name] = getattr(import_module(f".{home}", __name__), name)
            return value
        if not name.startswith("_"):
            try:
                return import_module(f".{name}", __name__)
            except ModuleNotFoundError as exc:
                if exc.name != f"{__name__}.{name}":
                    raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
