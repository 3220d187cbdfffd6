"""MCPClient: one short blocking method per MCP operation.

Runs on: the caller's threads, any number at once.
"""

from __future__ import annotations

import functools
import math
import warnings
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple, Type, TypeVar, Union

from .calls.asking import (
    ToolCall,
    ask,
    call_tool,
    checked_arguments,
    checked_method,
    prompt_arguments,
    reference,
    tool_params,
    uris_of,
)
from .calls.operation import READ_ONLY, Operation, Options, list_all, list_tools
from .calls.reading import warn_of_malformed
from .calls.stream import ToolStream
from .concurrency.call_clock import deadline_of
from .concurrency.deadline import Deadline, check_timeout
from .concurrency.undisturbed import load
from .credentials import Callers, Credentials
from .discovery.opener import Opener
from .errors import MCPClosedError, MCPUsageError, needs_descriptors
from .protocol.conversations import Negotiated
from .session.connection import Connection
from .session.handlers import Handlers
from .session.home import Home
from .session.target import Command, Remote, Server, read_server

if TYPE_CHECKING:
    import concurrent.futures

    import requests

    from .calls.changes import ChangeStream
    from .calls.direct_http import DirectHTTP
    from .calls.futures import ToolFuture
    from .calls.many import Recipe
    from .calls.tasks import TaskHandle
    from .calls.tools import Tools
    from .config import MCPClientConfig
    from .credentials import Headers
    from .protocol.types import (
        CallToolResult,
        CompleteResult,
        GetPromptResult,
        Implementation,
        Progress,
        Prompt,
        PromptReference,
        ReadResourceResult,
        Resource,
        ResourceTemplate,
        ResourceTemplateReference,
        ServerCapabilities,
        Tool,
    )
    from .session.catalog import RejectedItem
    from .session.handlers import (
        ElicitationHandler,
        LogHandler,
        NotificationHandler,
        ProgressHandler,
        Roots,
        SamplingHandler,
    )
    from .session.subscriptions import Subscriptions

    Reference = Union[PromptReference, ResourceTemplateReference, Mapping[str, Any], str]

__all__ = ["MCPClient"]

_C = TypeVar("_C", bound="MCPClient")

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


class MCPClient:
    """A client of one MCP server.

    Its methods block, may be called from any number of threads at once, and raise nothing but ``MCPClientError``.

    Every method that waits takes ``timeout=``: seconds for the whole call, retries included; None means the client's
    ``timeout``, ``math.inf`` waits for ever. Every method that sends takes ``headers=`` and ``auth=`` for this call
    alone, which win over the client's and say whose call it is, and ``meta=``, further ``_meta`` of its requests.

    Use it as a context manager, or call ``connect()`` and ``close()`` yourself. Blocks are counted: of several, on one
    thread or more, the last that ends closes the client. A method that needs a session opens
    one. After a lost connection, and in a forked process, the next call opens a new session by itself.

    Parameters:
        server: a URL, a command as a list (``["npx", "-y", "some-server"]``), or one entry of an ``mcpServers``
            mapping. A URL with a path is used as it is;
            a bare origin is searched: ``connection_path`` below it, then ``/sse``, then the origin itself.
        config: the settings; each of its fields is also a keyword option here, and an option wins. See
            ``MCPClientConfig``.
        auth: a bearer token, or whatever requests takes as auth; or a function without arguments that returns one of
            these, and is asked once for each call, on the calling thread.
        headers: HTTP headers: a mapping, or a function that returns one, asked as that of ``auth``.
        session: your own ``requests.Session``, used as it is.
        identity: a function without arguments that says whose call it is: any string. Each identity has a session, a
            cache and cookies of its own. Without it, calls are of one identity that show the same credentials, so give
            it where these are renewed: ``lambda: "service"``.
        sampling_handler: answers ``sampling/createMessage``: gets ``CreateMessageParams``, returns a
            ``CreateMessageResult`` or a dict.
        elicitation_handler: answers ``elicitation/create``: gets ``ElicitParams``, returns an ``ElicitResult`` or a
            dict such as ``{"action": "accept", "content": {...}}``. A form's defaults are filled in for it. Where
            ``params.is_url``, show ``params.url`` to the user: it is never opened here.
        roots: URIs (or paths) that the server may know of, or a function that returns them.
        log_handler: gets each ``LogMessage``.
        progress_handler: gets the ``Progress`` of all calls.
        notification_handler: gets every other ``Notification``, and log messages too.

    Handlers are plain functions; they run on worker threads and may call the client. They see the context variables of
    the call that they belong to, or else of the one that opened the session.

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
        identity: Optional[Callable[[], str]] = None,
        sampling_handler: Optional[SamplingHandler] = None,
        elicitation_handler: Optional[ElicitationHandler] = None,
        roots: Optional[Roots] = None,
        log_handler: Optional[LogHandler] = None,
        progress_handler: Optional[ProgressHandler] = None,
        notification_handler: Optional[NotificationHandler] = None,
        **options: Any,
    ) -> None:
        with needs_descriptors:
            load("config")
            from .config import make_config

        settings = make_config(config, options)
        target, settings = read_server(server, settings)
        if isinstance(server, str):
            settings = settings.model_copy(update={"base_url": server})
        if settings.verify is False:
            warnings.warn(
                "verify=False: anybody on the way to the server can read and change everything",
                UserWarning,
                stacklevel=2,
            )
        handlers = Handlers(
            sampling_handler, elicitation_handler, roots, log_handler, progress_handler, notification_handler
        )
        self._target = target
        self._config = settings
        # For how long the clock of a call may stand still: nobody else makes it.
        self._idle_timeout = None if settings.idle_timeout is None else _silence(settings.idle_timeout)
        self._input_timeout = settings.input_timeout if handlers.answers_anything else 0.0
        self._callers = Callers(auth, headers, identity, sends_headers=isinstance(target, Remote))
        self._opener = Opener(auth, headers, session)
        # Nothing in there refers to the client: a client that is dropped can be collected.
        make_connection = functools.partial(Connection, target, settings, handlers, self._opener)
        self._home = Home(make_connection, self._opener.after_fork, settings)
        self._tools: Optional[Tools] = None
        live = {
            "session": session,
            "sampling_handler": sampling_handler,
            "elicitation_handler": elicitation_handler,
            "roots": roots,
            "log_handler": log_handler,
            "progress_handler": progress_handler,
            "notification_handler": notification_handler,
        }
        self._made_of = server, {"auth": auth, "headers": headers, "identity": identity}, live
        weakref.finalize(self, self._home.collected).atexit = False

    # State

    @property
    def config(self) -> MCPClientConfig:
        """The settings, picklable: send these to another process, and make a client of its own there."""
        return self._config

    @property
    def connected(self) -> bool:
        """Whether a session is open, for the caller's identity, as all that follows. A call without one opens it."""
        return self._connection().live is not None

    @property
    def server_info(self) -> Implementation:
        """Name and version of the server. Raises MCPClosedError before the first session."""
        info: Implementation = self._negotiated().server_info
        return info

    @property
    def server_capabilities(self) -> ServerCapabilities:
        """What the server can do. Raises MCPClosedError before the first session."""
        capabilities: ServerCapabilities = self._negotiated().server_capabilities
        return capabilities

    @property
    def instructions(self) -> Optional[str]:
        """How the server wants to be used, in its own words; None where it says nothing."""
        return self._negotiated().instructions

    @property
    def protocol_version(self) -> Optional[str]:
        """The protocol revision that was agreed on; None before the first session."""
        session = self._connection().last
        return None if session is None or session.negotiated is None else session.negotiated.revision.version

    @property
    def transport(self) -> Optional[str]:
        """``"sse"``, ``"http"`` or ``"stdio"``; None before the first session."""
        session = self._connection().last
        return None if session is None else session.transport.name

    @property
    def session_id(self) -> Optional[str]:
        """What the server calls the session; None where it has no name. Treat it as a secret."""
        session = self._connection().live
        return None if session is None else session.transport.session_id

    def _negotiated(self) -> Negotiated:
        session = self._connection().last
        if session is None or session.negotiated is None:
            raise MCPClosedError("the client has not connected yet: use it in a with block, or call connect()")
        return session.negotiated

    @property
    def rejected(self) -> List[RejectedItem]:
        """What the server listed and could not be read: left out of its tools, resources, resource templates and
        prompts when they were last listed.
        """
        return self._connection().catalog.rejected

    @property
    def dropped(self) -> int:
        """How many messages of the server were dropped, since they were not read in time: see ``max_buffered_bytes``,
        and the limits in docs/failures.md.
        """
        return self._home.connection.pools.budget.dropped

    # Opening and closing

    def connect(
        self: _C, timeout: Optional[float] = None, *, headers: Optional[Headers] = None, auth: Any = None
    ) -> _C:
        """Open the session now instead of with the first call.

        Harmless where one is open; after ``close()`` it opens the client again.

        Returns:
            The client itself.

        Raises:
            MCPConnectionError: nothing answers there; the subclasses say more.
            MCPTimeoutError: not within ``timeout`` seconds.
        """
        self._home.reopen()
        connection, deadline = self._begin(timeout, headers, auth)
        with connection:
            connection.session(deadline)
        return self

    def close(self, timeout: Optional[float] = None) -> None:
        """End the session of each identity. Calls under way raise ``MCPClosedError``. Idempotent; any thread, and from
        any place: a handler, a signal handler, a finalizer. Where it interrupts a call of the same thread it returns
        within half a second, and the rest is done meanwhile.

        Parameters:
            timeout: seconds that it may take; None means ``close_timeout``.
        """
        self._home.close(Deadline(self._config.close_timeout if timeout is None else check_timeout(timeout)))

    def __enter__(self: _C) -> _C:
        self._home.enter()
        try:
            return self.connect()
        except BaseException:
            self._home.leave()
            raise

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        if self._home.leave():
            self.close()

    # Tools

    def list_tools(
        self,
        timeout: Optional[float] = None,
        *,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
    ) -> List[Tool]:
        """All tools of the server, all pages (2025-11-25, Tools, Listing Tools)."""
        connection, deadline = self._begin(timeout, headers, auth)
        with connection:
            return list_tools(connection, deadline, self._meta(meta))

    def call_tool(
        self,
        name: str,
        arguments: Optional[Mapping[str, Any]] = None,
        *,
        timeout: Optional[float] = None,
        idle_timeout: Optional[float] = None,
        on_progress: Optional[Callable[[Progress], object]] = None,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
        raise_on_error: bool = True,
        retry: bool = False,
    ) -> CallToolResult:
        """Call a tool and wait for its result (2025-11-25, Tools, Calling Tools).

        Parameters:
            name: of the tool.
            arguments: what it takes: JSON.
            timeout: seconds for the whole call; progress does not extend it. Its clock stands still while a handler of
                yours answers the server, for ``input_timeout`` at most.
            idle_timeout: seconds that may pass, beside ``timeout``, between two signs of life: progress, and whatever
                else the server sends for this call. None means the client's, ``math.inf`` any.
            on_progress: is called with each ``Progress``, on this thread. What it raises ends the call, and cancels the
                tool.
            headers, auth: of this call alone.
            meta: further ``_meta`` of the request.
            raise_on_error: False returns a result with ``is_error`` instead of raising.
            retry: the call may be sent again after a lost session or stream, although the tool may have run.

        Raises:
            ToolError: the tool reports failure.
            MCPServerError: the server answers with an error, for example that there is no such tool.
            MCPTimeoutError, MCPConnectionError, MCPProtocolError, MCPClosedError: there is no result; ``outcome`` says
            whether the tool may have run.
        """
        seconds = self._config.timeout if timeout is None else check_timeout(timeout)
        silence = self._idle_timeout if idle_timeout is None else _silence(idle_timeout)
        params = tool_params(name, arguments, meta, self._target.public)
        connection, shown = self._whose(headers, auth)
        call = ToolCall(params, seconds, on_progress, raise_on_error, retry, silence, self._input_timeout, None, shown)
        if shown is None:
            return call_tool(connection, call, call.deadline())
        with connection:
            return call_tool(connection, call, call.deadline())

    def stream_tool(
        self,
        name: str,
        arguments: Optional[Mapping[str, Any]] = None,
        *,
        timeout: Optional[float] = None,
        idle_timeout: Optional[float] = None,
        on_progress: Optional[Callable[[Progress], object]] = None,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
        raise_on_error: bool = True,
        retry: bool = False,
    ) -> ToolStream:
        """Call a tool and see what it sends while it runs: an iterator of events, the ``CallToolResult`` last.

        Parameters and errors as ``call_tool``.

        Returns:
            A ``ToolStream``; use it in a ``with`` block, so that leaving early cancels the tool.
        """
        params = tool_params(name, arguments, meta, self._target.public)
        seconds = self._timeout(timeout)
        silence = self._idle_timeout if idle_timeout is None else _silence(idle_timeout)
        connection, shown = self._whose(headers, auth)
        call = ToolCall(params, seconds, on_progress, raise_on_error, retry, silence, self._input_timeout, self, shown)
        return ToolStream(connection, call)

    def submit(
        self,
        name: str,
        arguments: Optional[Mapping[str, Any]] = None,
        *,
        timeout: Optional[float] = None,
        idle_timeout: Optional[float] = None,
        on_progress: Optional[Callable[[Progress], object]] = None,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
        raise_on_error: bool = True,
        retry: bool = False,
    ) -> ToolFuture:
        """Call a tool in the background, in a copy of this thread's context (contextvars). Parameters as ``call_tool``;
        the timeout counts from when the call starts.

        Returns:
            A ``concurrent.futures.Future`` of the ``CallToolResult``; its ``cancel()`` stops the tool also while it
            runs.
        """
        params = tool_params(name, arguments, meta, self._target.public)
        with needs_descriptors:
            load("calls.futures")
            from .calls.futures import Background

        seconds = self._timeout(timeout)
        silence = self._idle_timeout if idle_timeout is None else _silence(idle_timeout)
        connection, shown = self._whose(headers, auth)
        call = ToolCall(params, seconds, on_progress, raise_on_error, retry, silence, self._input_timeout, self, shown)
        return connection.companion(Background, lambda: Background(connection)).submit_call(call)

    def map(
        self,
        name: str,
        arguments: Iterable[Mapping[str, Any]],
        *,
        max_workers: int = 8,
        executor: Optional[concurrent.futures.Executor] = None,
        timeout: Optional[float] = None,
        idle_timeout: Optional[float] = None,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
        raise_on_error: bool = True,
        retry: bool = False,
    ) -> List[CallToolResult]:
        """Call a tool once for each of ``arguments``, several at a time.

        Parameters:
            max_workers: how many calls run at once.
            executor: where they run instead: your own ``ThreadPoolExecutor``; or a ``ProcessPoolExecutor`` or Dask's
                ``get_executor()``, whose processes make clients of their own with the same settings.
            timeout, idle_timeout: seconds for each call, as in ``call_tool``.
            headers, auth, meta: of each call.

        Returns:
            The results in the order of ``arguments``.

        Raises:
            MCPClientError: the first failure, in that order. Calls that have not begun by then are not made; those
            under way are cancelled.
        """
        with needs_descriptors:
            load("calls.many")
            from .calls.many import map_calls

        server, seconds = self._target.public, self._timeout(timeout)
        silence = self._idle_timeout if idle_timeout is None else _silence(idle_timeout)
        asked = [tool_params(name, item, meta, server) for item in arguments]
        connection, shown = self._whose(headers, auth)
        calls = [
            ToolCall(params, seconds, None, raise_on_error, retry, silence, self._input_timeout, None, shown)
            for params in asked
        ]
        with connection:
            return map_calls(connection, calls, max_workers, executor, self._recipe)

    def submit_task(
        self,
        name: str,
        arguments: Optional[Mapping[str, Any]] = None,
        *,
        ttl: Optional[float] = None,
        timeout: Optional[float] = None,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
    ) -> TaskHandle:
        """Have the server work on a tool call while the caller does something else, if it offers that.

        Parameters:
            ttl: seconds that the server should keep the result (2025-11-25; later the server decides).
            timeout: seconds until the task is made.

        Returns:
            A ``TaskHandle``; its ``result()`` waits. A server without tasks has answered already by then.

        Source: 2025-11-25, Tasks; since 2026-07-28 the extension ``io.modelcontextprotocol/tasks`` (SEP-2663).
        """
        with needs_descriptors:
            load("calls.tasks")
            from .calls.tasks import submit_task

        params = tool_params(name, arguments, meta, self._target.public)
        connection, deadline = self._begin(timeout, headers, auth)
        with connection:
            return submit_task(connection, params, ttl, deadline, self)

    def task(
        self, task_id: str, name: str = "task", *, headers: Optional[Headers] = None, auth: Any = None
    ) -> TaskHandle:
        """Find a task again by its id, for example in another process. ``name`` is what errors call it."""
        with needs_descriptors:
            load("calls.tasks")
            from .calls.tasks import TaskHandle

        connection, _ = self._whose(headers, auth)
        return TaskHandle(connection, name, task={"taskId": task_id, "status": "working"}, client=self)

    @property
    def tools(self) -> Tools:
        """The server's tools as functions: ``client.tools.echo(message="hi")`` returns plain data."""
        if self._tools is None:
            with needs_descriptors:
                load("calls.tools")
                from .calls.tools import Tools

            self._tools = Tools(
                self.list_tools,
                lambda name, arguments: self.call_tool(name, arguments).data,
                self._tools_state,
            )
        return self._tools

    def call_operation(
        self,
        name: str,
        arguments: Optional[Mapping[str, Any]] = None,
        *,
        stream: bool = False,
        timeout: Optional[float] = None,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
    ) -> Any:
        """Call an operation of the service: a tool by its name, or ``"METHOD:/path"`` directly by HTTP.

        Parameters:
            arguments: of the tool; or what fills the path's ``{placeholders}``, the rest as the query (GET, HEAD,
                DELETE, OPTIONS) or as the JSON body.
            stream: True returns an iterator: a tool's ``ToolStream``, or the events or lines of the HTTP response.

        Returns:
            Plain Python data: the tool's ``CallToolResult.data``, or the response's JSON or text.

        Raises:
            ToolError, HTTPStatusError, MCPClientError: as ``call_tool``, or as the HTTP status says.
        """
        with needs_descriptors:
            load("calls.direct_http")
            from .calls.direct_http import parse_operation

        operation = parse_operation(name) if isinstance(name, str) else None
        if operation is None and stream:
            return self.stream_tool(name, arguments, timeout=timeout, headers=headers, auth=auth, meta=meta)
        if operation is None:
            return self.call_tool(name, arguments, timeout=timeout, headers=headers, auth=auth, meta=meta).data
        if meta is not None:
            raise MCPUsageError("a direct HTTP call has no _meta; use headers=", outcome="not_sent")
        if isinstance(self._target, Command):
            raise MCPUsageError("a server that is started as a command has no HTTP paths", outcome="not_sent")
        given = checked_arguments(arguments, name, self._target.public)
        connection, deadline = self._begin(timeout, headers, auth)
        direct = self._direct(connection, self._target.urls[0])
        return (direct.stream if stream else direct.call)(*operation, given, deadline)

    # Resources, prompts, completion

    def list_resources(
        self,
        timeout: Optional[float] = None,
        *,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
    ) -> List[Resource]:
        """All resources of the server, all pages (2025-11-25, Resources, Listing Resources)."""
        with needs_descriptors:
            from .protocol.types import Resource

        connection, deadline = self._begin(timeout, headers, auth)
        with connection:
            return list_all(connection, "resources/list", "resources", Resource, deadline, self._meta(meta))

    def list_resource_templates(
        self,
        timeout: Optional[float] = None,
        *,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
    ) -> List[ResourceTemplate]:
        """All resource templates of the server, all pages (2025-11-25, Resources, Resource Templates)."""
        with needs_descriptors:
            from .protocol.types import ResourceTemplate

        method, field = "resources/templates/list", "resourceTemplates"
        connection, deadline = self._begin(timeout, headers, auth)
        with connection:
            return list_all(connection, method, field, ResourceTemplate, deadline, self._meta(meta))

    def list_prompts(
        self,
        timeout: Optional[float] = None,
        *,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
    ) -> List[Prompt]:
        """All prompts of the server, all pages (2025-11-25, Prompts, Listing Prompts)."""
        with needs_descriptors:
            from .protocol.types import Prompt

        connection, deadline = self._begin(timeout, headers, auth)
        with connection:
            return list_all(connection, "prompts/list", "prompts", Prompt, deadline, self._meta(meta))

    def read_resource(
        self,
        uri: str,
        timeout: Optional[float] = None,
        *,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
    ) -> ReadResourceResult:
        """Read a resource (2025-11-25, Resources, Reading Resources)."""
        with needs_descriptors:
            from .protocol.types import ReadResourceResult

        params = self._with_meta({"uri": str(uri)}, meta)
        connection, deadline = self._begin(timeout, headers, auth)
        with connection:
            return ask(connection, "resources/read", params, ReadResourceResult, deadline)

    def get_prompt(
        self,
        name: str,
        arguments: Optional[Mapping[str, Any]] = None,
        timeout: Optional[float] = None,
        *,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
    ) -> GetPromptResult:
        """Get a prompt, filled in (2025-11-25, Prompts, Getting a Prompt).

        Values that are not strings are sent as JSON text.
        """
        with needs_descriptors:
            from .protocol.types import GetPromptResult

        params: Dict[str, Any] = {"name": name}
        if arguments is not None:
            params["arguments"] = prompt_arguments(checked_arguments(arguments, name, self._target.public))
        connection, deadline = self._begin(timeout, headers, auth)
        with connection:
            prompt = ask(connection, "prompts/get", self._with_meta(params, meta), GetPromptResult, deadline)
        warn_of_malformed([message.content for message in prompt.messages], f"the prompt {name!r}")
        return prompt

    def complete(
        self,
        ref: Reference,
        name: str,
        value: str,
        context: Optional[Mapping[str, str]] = None,
        timeout: Optional[float] = None,
        *,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
    ) -> CompleteResult:
        """Ask for completions of an argument (2025-11-25, Completion).

        Parameters:
            ref: the prompt or resource template: a reference, or its name or URI template as a string.
            name: of the argument.
            value: what is typed so far.
            context: arguments that are known already (since 2025-06-18).
        """
        with needs_descriptors:
            from .protocol.types import CompleteResult

        params: Dict[str, Any] = {"ref": reference(ref), "argument": {"name": name, "value": value}}
        if context is not None:
            params["context"] = {"arguments": dict(context)}
        connection, deadline = self._begin(timeout, headers, auth)
        with connection:
            return ask(connection, "completion/complete", self._with_meta(params, meta), CompleteResult, deadline)

    def subscribe_resource(
        self,
        uri: str,
        timeout: Optional[float] = None,
        *,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
    ) -> None:
        """Be told when a resource changes, by the ``notification_handler`` and ``listen()``.

        A new session subscribes again by itself.

        Source: 2025-11-25, Resources, Subscriptions; 2026-07-28, Subscriptions.
        """
        connection, deadline = self._begin(timeout, headers, auth)
        with connection:
            self._subscriptions(connection).add([str(uri)], (), deadline, self._meta(meta))

    def unsubscribe_resource(
        self,
        uri: str,
        timeout: Optional[float] = None,
        *,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
    ) -> None:
        """Take one ``subscribe_resource`` back; the last one ends the subscription."""
        connection, deadline = self._begin(timeout, headers, auth)
        with connection:
            self._subscriptions(connection).remove([str(uri)], (), deadline, self._meta(meta))

    def set_logging_level(
        self,
        level: str,
        timeout: Optional[float] = None,
        *,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
    ) -> None:
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
        connection, deadline = self._begin(timeout, headers, auth)
        with connection:
            if connection.session(deadline).is_stateful:
                params = self._with_meta({"level": level}, meta)
                Operation(connection, deadline, READ_ONLY).result("logging/setLevel", params)
            connection.log_level = level

    def listen(
        self,
        *,
        tools: bool = False,
        prompts: bool = False,
        resources: Union[bool, str, Iterable[str]] = (),
        resource_list: bool = False,
        timeout: Optional[float] = None,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
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
        with needs_descriptors:
            load("calls.changes")
            from .calls.changes import ChangeStream

        chosen = {"tools": tools, "prompts": prompts, "resources": resource_list or resources is True}
        kinds = [kind for kind, wanted in chosen.items() if wanted]
        connection, deadline = self._begin(timeout, headers, auth)
        return ChangeStream(self._subscriptions(connection), kinds, uris_of(resources), deadline, self._meta(meta))

    # Anything else

    def ping(
        self,
        timeout: Optional[float] = None,
        *,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
    ) -> None:
        """Ask the server whether it is there (2025-11-25, Ping; since 2026-07-28 by Discovery)."""
        connection, deadline = self._begin(timeout, headers, auth)
        with connection:
            method = "ping" if connection.session(deadline).is_stateful else "server/discover"
            Operation(connection, deadline, READ_ONLY).result(method, self._with_meta(None, meta))

    def request(
        self,
        method: str,
        params: Optional[Mapping[str, Any]] = None,
        timeout: Optional[float] = None,
        *,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
    ) -> Dict[str, Any]:
        """Send any request, for what has no method of its own.

        Returns:
            The result as it came: a dict.

        Raises:
            MCPServerError: the server answers with an error.
            MCPClientError: there is no answer; ``outcome`` says whether the request may have been processed.
        """
        repeatable = checked_method(method, "request") in _REPEATABLE
        given = None if params is None else checked_arguments(params, method, self._target.public)
        connection, deadline = self._begin(timeout, headers, auth)
        with connection:
            operation = Operation(connection, deadline, Options(repeatable=repeatable))
            return operation.result(method, self._with_meta(given, meta))

    def notify(
        self,
        method: str,
        params: Optional[Mapping[str, Any]] = None,
        timeout: Optional[float] = None,
        *,
        headers: Optional[Headers] = None,
        auth: Any = None,
        meta: Optional[Mapping[str, Any]] = None,
    ) -> None:
        """Send any notification, and wait until the server has accepted it."""
        checked_method(method, "notification")
        given = None if params is None else checked_arguments(params, method, self._target.public)
        connection, deadline = self._begin(timeout, headers, auth)
        with connection:
            connection.session(deadline).tell(method, self._with_meta(given, meta), deadline)

    # What these share

    def _begin(
        self, timeout: Optional[float], headers: Optional[Headers] = None, auth: Any = None
    ) -> Tuple[Connection, Deadline]:
        """The connection of the caller's identity, and the deadline of one call.

        Parameters:
            headers, auth: of this call alone.
        """
        seconds = self._timeout(timeout)
        connection, shown = self._whose(headers, auth)
        return connection, deadline_of(seconds, self._input_timeout, shown)

    def _timeout(self, timeout: Optional[float]) -> float:
        return self._config.timeout if timeout is None else check_timeout(timeout)

    def _whose(self, headers: Optional[Headers], auth: Any) -> Tuple[Connection, Optional[Credentials]]:
        """The connection of the caller's identity, and what the call shows, which may be nothing of its own."""
        if self._callers.are_one and headers is None and auth is None:
            return self._home.connection, None
        shown = self._callers.ask(headers, auth)
        return self._home.identities.of(shown), shown

    def _connection(self) -> Connection:
        """The connection of the caller's identity, to look at."""
        if self._callers.are_one:
            return self._home.connection
        return self._home.identities.find(self._callers.ask().identity)

    def _meta(self, meta: Optional[Mapping[str, Any]]) -> Optional[Dict[str, Any]]:
        return None if meta is None else checked_arguments(meta, "_meta", self._target.public)

    def _with_meta(self, params: Optional[Mapping[str, Any]], meta: Optional[Mapping[str, Any]]) -> Any:
        """``params`` with further ``_meta``."""
        if meta is None:
            return params
        own = (params or {}).get("_meta") or {}
        return {**(params or {}), "_meta": {**own, **checked_arguments(meta, "_meta", self._target.public)}}

    def _tools_state(self) -> object:
        catalog = self._connection().catalog
        return catalog, catalog.changes

    def _subscriptions(self, connection: Connection) -> Subscriptions:
        with needs_descriptors:
            load("session.subscriptions")
            from .session.subscriptions import Subscriptions

        return Subscriptions.of(connection)

    @property
    def _recipe(self) -> Recipe:
        """How another process makes a client like this one."""
        with needs_descriptors:
            load("calls.many")
            from .calls.many import Recipe

        server, shown, live = self._made_of
        options = {name: value for name, value in shown.items() if isinstance(value, (str, Mapping))}
        kept_here = [name for name, value in {**shown, **live}.items() if value is not None and name not in options]
        return Recipe(MCPClient, server, self._config, options, tuple(kept_here))

    def _direct(self, connection: Connection, url: str) -> DirectHTTP:
        with needs_descriptors:
            load("calls.direct_http")
            from .calls.direct_http import DirectHTTP

        limit = self._config.max_message_bytes
        return connection.companion(DirectHTTP, lambda: DirectHTTP(self._opener.http(connection, url), url, limit))

    def __repr__(self) -> str:
        identities = self._home.identities
        state = "closed" if identities.closed else "connected" if identities.are_live else "not connected"
        return f"<MCPClient {self._target.public}, {state}>"

    def __reduce__(self) -> Tuple[Any, ...]:
        raise TypeError("an MCPClient cannot be pickled or copied: send client.config, and make a client from it there")

    def __copy__(self) -> MCPClient:
        raise TypeError("an MCPClient cannot be copied: make another one from client.config")

    def __deepcopy__(self, memo: Dict[int, Any]) -> MCPClient:
        raise TypeError("an MCPClient cannot be copied: make another one from client.config")


def _silence(idle_timeout: float) -> Optional[float]:
    """How long a call may be silent; None for any time."""
    given = check_timeout(idle_timeout, "idle_timeout")
    return None if given == math.inf else given
