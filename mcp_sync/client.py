"""MCPClient: one short blocking method per MCP operation.

Runs on: the caller's threads, any number at once.
"""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Mapping, Optional, Union

from .calls.operation import Request
from .discovery.opener import Opener
from .errors import MCPUsageError
from .session.handlers import Handlers
from .session.target import Server, read_server
from .tool_calls import ToolCalls

if TYPE_CHECKING:
    import requests

    from .calls.changes import ChangeStream
    from .config import MCPClientConfig
    from .protocol.types import (
        CompleteResult,
        GetPromptResult,
        Prompt,
        PromptReference,
        ReadResourceResult,
        Resource,
        ResourceTemplate,
        ResourceTemplateReference,
    )
    from .session.handlers import (
        ElicitationHandler,
        LogHandler,
        NotificationHandler,
        ProgressHandler,
        Roots,
        SamplingHandler,
    )
    from .transports.http.sender import Headers

    Reference = Union[PromptReference, ResourceTemplateReference, Mapping[str, Any], str]

__all__ = ["MCPClient"]

# Methods that only read: they may be sent again when the server says that it did not process them.
_REPEATABLE = frozenset(
    {
        "ping",
        "tools/list",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "prompts/list",
        "prompts/get",
        "completion/complete",
        "logging/setLevel",
    }
)
_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


class MCPClient(ToolCalls):
    """A client of one MCP server.

    Its methods block, may be called from any number of threads at once, and raise nothing but ``MCPClientError``.

    Every method that waits takes ``timeout=``: seconds for the whole call, retries included; None means the client's
    ``timeout``, ``math.inf`` waits for ever.

    Use it as a context manager, or call ``connect()`` and ``close()`` yourself. A method that needs a session opens
    one. After a lost connection, and in a forked process, the next call opens a new session by itself.

    Parameters:
        server: a URL, a command as a list (``["npx", "-y", "some-server"]``), or one entry of an ``mcpServers``
            mapping. A URL with a path is used as it is;
            a bare origin is searched: ``connection_path`` below it, then ``/sse``, then the origin itself.
        config: the settings; each of its fields is also a keyword option here, and an option wins. See
            ``MCPClientConfig``.
        auth: a bearer token, or whatever requests takes as auth.
        headers: HTTP headers: a mapping, or a function without arguments that is asked before each request.
        session: your own ``requests.Session``, used as it is.
        sampling_handler: answers ``sampling/createMessage``: gets ``CreateMessageParams``, returns a
            ``CreateMessageResult`` or a dict.
        elicitation_handler: answers ``elicitation/create``: gets ``ElicitParams``, returns an ``ElicitResult`` or a
            dict such as ``{"action": "accept", "content": {...}}``. A form's defaults are filled in for it. Where
            ``params.is_url``, show ``params.url`` to the user: it is never opened here.
        roots: URIs (or paths) that the server may know of, or a function that returns them.
        log_handler: gets each ``LogMessage``.
        progress_handler: gets the ``Progress`` of all calls.
        notification_handler: gets every other ``Notification``, and log messages too.

    Handlers are plain functions; they run on worker threads and may call the client.

    Raises:
        MCPUsageError: the server or an option makes no sense. Nothing is sent before the first call or ``connect()``.

    Source: 2025-11-25, Architecture, and Lifecycle; 2024-11-05, Transports.
    """

    def __init__(
        self,
        server: Server = None,
        config: Optional[MCPClientConfig] = None,
        *,
        auth: Any = None,
        headers: Optional[Headers] = None,
        session: Optional[requests.Session] = None,
        sampling_handler: Optional[SamplingHandler] = None,
        elicitation_handler: Optional[ElicitationHandler] = None,
        roots: Optional[Roots] = None,
        log_handler: Optional[LogHandler] = None,
        progress_handler: Optional[ProgressHandler] = None,
        notification_handler: Optional[NotificationHandler] = None,
        **options: Any,
    ) -> None:
        from .config import make_config

        settings = make_config(config, options)
        reachable, settings = read_server(server, settings)
        if isinstance(server, str):
            settings = settings.model_copy(update={"base_url": server})
        if settings.verify is False:
            warnings.warn(
                "verify=False: whoever is on the way to the server can read and change everything",
                UserWarning,
                stacklevel=2,
            )
        handlers = Handlers(
            sampling_handler, elicitation_handler, roots, log_handler, progress_handler, notification_handler
        )
        super().__init__(reachable, settings, handlers, Opener(auth, headers, session))

    # Operations

    def ping(self, timeout: Optional[float] = None) -> None:
        """Ask the server for a sign of life (2025-11-25, Ping; since 2026-07-28 by Discovery)."""
        deadline = self._deadline(timeout)
        method = "ping" if self._connection.link(deadline).is_stateful else "server/discover"
        Request(self._connection, deadline, repeatable=True).result(method, None)

    def list_resources(self, timeout: Optional[float] = None) -> List[Resource]:
        """All resources of the server, all pages (2025-11-25, Resources, Listing Resources)."""
        from .protocol.types import Resource

        return self._list("resources/list", "resources", Resource, self._deadline(timeout))

    def list_resource_templates(self, timeout: Optional[float] = None) -> List[ResourceTemplate]:
        """All resource templates of the server, all pages (2025-11-25, Resources, Resource Templates)."""
        from .protocol.types import ResourceTemplate

        return self._list("resources/templates/list", "resourceTemplates", ResourceTemplate, self._deadline(timeout))

    def list_prompts(self, timeout: Optional[float] = None) -> List[Prompt]:
        """All prompts of the server, all pages (2025-11-25, Prompts, Listing Prompts)."""
        from .protocol.types import Prompt

        return self._list("prompts/list", "prompts", Prompt, self._deadline(timeout))

    def read_resource(self, uri: str, timeout: Optional[float] = None) -> ReadResourceResult:
        """Read a resource (2025-11-25, Resources, Reading Resources)."""
        from .protocol.types import ReadResourceResult

        return self._ask("resources/read", {"uri": str(uri)}, ReadResourceResult, timeout)

    def get_prompt(
        self, name: str, arguments: Optional[Mapping[str, Any]] = None, timeout: Optional[float] = None
    ) -> GetPromptResult:
        """Get a prompt, filled in (2025-11-25, Prompts, Getting a Prompt).

        Values that are not strings are sent as JSON text.
        """
        from .protocol.types import GetPromptResult

        params: Dict[str, Any] = {"name": name}
        if arguments is not None:
            params["arguments"] = {
                key: _prompt_argument(value) for key, value in self._checked_arguments(arguments, name).items()
            }
        return self._ask("prompts/get", params, GetPromptResult, timeout)

    def complete(
        self,
        ref: Reference,
        name: str,
        value: str,
        context: Optional[Mapping[str, str]] = None,
        timeout: Optional[float] = None,
    ) -> CompleteResult:
        """Ask for completions of an argument (2025-11-25, Completion).

        Parameters:
            ref: the prompt or resource template: a reference, or its name or URI template as a string.
            name: of the argument.
            value: what is typed so far.
            context: arguments that are known already (since 2025-06-18).
        """
        from .protocol.types import CompleteResult

        params: Dict[str, Any] = {"ref": _reference(ref), "argument": {"name": name, "value": value}}
        if context is not None:
            params["context"] = {"arguments": dict(context)}
        return self._ask("completion/complete", params, CompleteResult, timeout)

    def subscribe_resource(self, uri: str, timeout: Optional[float] = None) -> None:
        """Be told when a resource changes, by the ``notification_handler`` and ``listen()``.

        A new session subscribes again by itself.

        Source: 2025-11-25, Resources, Subscriptions; 2026-07-28, Subscriptions.
        """
        self._connection.subscriptions.add([str(uri)], (), self._deadline(timeout))

    def unsubscribe_resource(self, uri: str, timeout: Optional[float] = None) -> None:
        """Take one ``subscribe_resource`` back; the last one ends the subscription."""
        self._connection.subscriptions.remove([str(uri)], (), self._deadline(timeout))

    def set_logging_level(self, level: str, timeout: Optional[float] = None) -> None:
        """Choose which log messages the server sends: from ``level`` up. A new session is told again by itself.

        Parameters:
            level: ``debug``, ``info``, ``notice``, ``warning``, ``error``, ``critical``, ``alert`` or ``emergency``.

        Source: 2025-11-25, Logging; 2026-07-28, Logging, where each request carries the level.
        """
        if level not in _LEVELS:
            levels = ", ".join(_LEVELS)
            raise MCPUsageError(
                f"{level!r} is not a log level; there are {levels}", method="logging/setLevel", outcome="not_sent"
            )
        deadline = self._deadline(timeout)
        if self._connection.link(deadline).is_stateful:
            Request(self._connection, deadline, repeatable=True).result("logging/setLevel", {"level": level})
        self._connection.log_level = level

    def listen(
        self,
        *,
        tools: bool = False,
        prompts: bool = False,
        resources: Union[bool, str, Iterable[str]] = (),
        resource_list: bool = False,
        timeout: Optional[float] = None,
    ) -> ChangeStream:
        """Listen for changes: an iterator of ``Notification`` that goes on until it is closed.

        Parameters:
            tools, prompts: the list of tools, or of prompts, changes.
            resources: URIs whose content changes; True stands for ``resource_list``.
            resource_list: the list of resources changes.
            timeout: seconds for the subscriptions at the beginning; then ``get(timeout)`` bounds the wait for one
                event.

        Source: 2025-11-25, Resources, Subscriptions, and List Changed Notification of tools, prompts and resources;
            2026-07-28, Subscriptions.
        """
        from .calls.changes import ChangeStream

        chosen = {"tools": tools, "prompts": prompts, "resources": resource_list or resources is True}
        kinds = [kind for kind, wanted in chosen.items() if wanted]
        return ChangeStream(self._connection, kinds, _uris(resources), self._deadline(timeout))

    def request(
        self, method: str, params: Optional[Mapping[str, Any]] = None, timeout: Optional[float] = None
    ) -> Dict[str, Any]:
        """Send any request, for what has no method of its own.

        Returns:
            The result as it came: a dict.

        Raises:
            MCPServerError: the server answers with an error.
            MCPClientError: there is no answer; ``outcome`` says whether the request may have been processed.
        """
        if not isinstance(method, str) or not method:
            raise MCPUsageError(f"the method of a request must be a string, not {method!r}", outcome="not_sent")
        given = None if params is None else self._checked_arguments(params, method)
        request = Request(self._connection, self._deadline(timeout), repeatable=method in _REPEATABLE)
        return request.result(method, given)

    def notify(self, method: str, params: Optional[Mapping[str, Any]] = None, timeout: Optional[float] = None) -> None:
        """Send any notification, and wait until the server has accepted it."""
        if not isinstance(method, str) or not method:
            raise MCPUsageError(f"the method of a notification must be a string, not {method!r}", outcome="not_sent")
        self._connection.tell(
            method, None if params is None else self._checked_arguments(params, method), self._deadline(timeout)
        )


def _uris(resources: Union[bool, str, Iterable[str]]) -> List[str]:
    if isinstance(resources, bool):
        return []
    return [resources] if isinstance(resources, str) else [str(uri) for uri in resources]


def _prompt_argument(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _reference(ref: Reference) -> Dict[str, Any]:
    if isinstance(ref, str):
        return {"type": "ref/resource", "uri": ref} if "://" in ref else {"type": "ref/prompt", "name": ref}
    if isinstance(ref, Mapping):
        return dict(ref)
    return ref.to_wire()
