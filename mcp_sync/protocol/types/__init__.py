"""The payloads of MCP as pydantic models: one set that reads every revision from 2024-11-05 to 2026-07-28.

Runs on: any thread; models are plain data. Each name is imported from its module when it is first asked for: making a
model class takes 0.4 ms, and there are dozens of them.

A model is here because the package reads or makes it, or because one of those has it as a field. What the client sends,
and the pages of lists, stay plain dicts.
"""

from importlib import import_module
from typing import TYPE_CHECKING, List

from ...concurrency.undisturbed import undisturbed
from ...errors import needs_descriptors

# ruff: noqa: F403  # the modules' own __all__ say which names those are; _MODULES holds them once more, for run time

if TYPE_CHECKING:
    from .base import *
    from .completion import *
    from .content import *
    from .elicitation import *
    from .lifecycle import *
    from .notifications import *
    from .prompts import *
    from .resources import *
    from .roots import *
    from .sampling import *
    from .tasks import *
    from .tools import *

# Each module with its public names: its own __all__, known before it is imported.
_MODULES = {
    "base": ("Annotations", "CacheableResult", "Icon", "NotificationParams", "RequestParams", "Result", "WireModel"),
    "completion": ("CompleteResult", "Completion", "PromptReference", "ResourceTemplateReference"),
    "content": (
        "AudioContent",
        "ContentBlock",
        "EmbeddedResource",
        "ImageContent",
        "ResourceLink",
        "TextContent",
        "UnknownContent",
    ),
    "elicitation": ("ElicitParams", "ElicitResult", "apply_defaults"),
    "lifecycle": (
        "DiscoverResult",
        "Implementation",
        "InitializeResult",
        "PromptsCapability",
        "ResourcesCapability",
        "ServerCapabilities",
        "ToolsCapability",
    ),
    "notifications": ("LogMessage", "Notification", "Progress"),
    "prompts": ("GetPromptResult", "Prompt", "PromptArgument", "PromptMessage"),
    "resources": (
        "BlobResourceContents",
        "ReadResourceResult",
        "Resource",
        "ResourceContents",
        "ResourceTemplate",
        "TextResourceContents",
    ),
    "roots": ("ListRootsResult", "Root"),
    "sampling": (
        "CreateMessageParams",
        "CreateMessageResult",
        "ModelHint",
        "ModelPreferences",
        "SamplingContent",
        "SamplingMessage",
        "ToolChoice",
        "ToolResultContent",
        "ToolUseContent",
    ),
    "tasks": ("ErrorObject", "GetTaskResult", "InputRequest"),
    "tools": ("CallToolResult", "Tool", "ToolAnnotations", "ToolExecution"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [name for names in _MODULES.values() for name in names]


if not TYPE_CHECKING:  # type checkers would take it to mean that there is every name

    def __getattr__(name: str) -> object:
        module = _MODULE_OF.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with needs_descriptors:
            imported = undisturbed(lambda: import_module(f".{module}", __name__))
        value = globals()[name] = getattr(imported, name)
        return value


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
