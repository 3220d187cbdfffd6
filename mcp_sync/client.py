"""MCPClient: one short blocking method per MCP operation.

Runs on: the caller's threads, any number at once.
"""

from __future__ import annotations

import _thread  # a collector must not touch the locks that threading.Thread takes
import atexit
import functools
import os
import threading
import warnings
import weakref
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Tuple,
    Type,
    TypeVar,
    Union,
)

from pydantic import ValidationError

from .calling import Request
from .config import MCPClientConfig, make_config
from .connection import Connection
from .deadline import Deadline, check_timeout
from .errors import MCPClientError, MCPClosedError, MCPProtocolError, MCPUsageError
from .handlers import Handlers, event_of
from .link import Call
from .opening import Opener
from .protocol.conversations import Negotiated, list_pages
from .protocol.escape import excerpt
from .server import Command, Server, read_server
from .stream import ToolStream, read_tool_result

if TYPE_CHECKING:
    import concurrent.futures

    import requests

    from .futures import Background, ToolFuture
    from .handlers import ElicitationHandler, LogHandler, NotificationHandler, ProgressHandler, Roots, SamplingHandler
    from .listening import ChangeStream
    from .operations import Operations
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
    from .tools import Tools
    from .transports.http import Headers

    Reference = Union[PromptReference, ResourceTemplateReference, Mapping[str, Any], str]

__all__ = ["MCPClient"]

_T = TypeVar("_T")
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
        config = make_config(config, options)
        self._server, config = read_server(server, config)
        if isinstance(server, str):
            config = config.model_copy(update={"base_url": server})
        self._config = config
        self._handlers = Handlers(
            sampling_handler, elicitation_handler, roots, log_handler, progress_handler, notification_handler
        )
        self._opener = Opener(auth, headers, session)
        # Guards what is made lazily below.
        self._lock = threading.Lock()
        self._tools: Optional[Tools] = None
        self._background: Optional[Background] = None
        self._operations: Optional[Operations] = None
        self._holder = _Holder(self._new_connection())
        weakref.finalize(self, _collected, self._holder).atexit = False
        _clients.add(self)

    def _new_connection(self) -> Connection:
        return Connection(self._server, self._config, self._handlers, self._opener)

    def _after_fork(self) -> None:
        """In a forked child the client is as if never connected.

        What the parent's threads held stays untouched: closing it would end the parent's session.
        """
        self._lock = threading.Lock()
        self._background = None
        self._operations = None
        self._holder.renew(self._new_connection())

    # State

    @property
    def config(self) -> MCPClientConfig:
        """The settings, picklable: send these to another process, and make a client of its own there."""
        return self._config

    @property
    def _connection(self) -> Connection:
        return self._holder.connection

    def _last_negotiated(self) -> Optional[Negotiated]:
        link = self._connection.last
        return None if link is None else link.negotiated

    def _negotiated(self) -> Negotiated:
        negotiated = self._last_negotiated()
        if negotiated is None:
            raise MCPClosedError("the client has not connected yet: use it in a with block, or call connect()")
        return negotiated

    @property
    def connected(self) -> bool:
        """Whether a session is open. A call on a client that is not connected opens one."""
        return self._connection.live is not None

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
        negotiated = self._last_negotiated()
        return None if negotiated is None else negotiated.revision.version

    @property
    def transport(self) -> Optional[str]:
        """``"sse"``, ``"http"`` or ``"stdio"``; None before the first session."""
        link = self._connection.last
        return None if link is None else link.transport.name

    @property
    def session_id(self) -> Optional[str]:
        """What the server calls the session; None where it has no name. Treat it as a secret."""
        link = self._connection.live
        return None if link is None else link.transport.session_id

    # Lifecycle

    def connect(self: _C, timeout: Optional[float] = None) -> _C:
        """Open the session now instead of with the first call.

        Harmless where one is open; after ``close()`` it opens the client again.

        Returns:
            The client itself.

        Raises:
            MCPConnectionError: nothing answers there; the subclasses say more.
            MCPTimeoutError: not within ``timeout`` seconds.
        """
        deadline = self._deadline(timeout)
        if self._connection.closed:
            with self._lock:
                if self._connection.closed:
                    self._background = None
                    self._holder.renew(self._new_connection())
        self._connection.link(deadline)
        return self

    def close(self, timeout: Optional[float] = None) -> None:
        """End the session. Calls under way raise ``MCPClosedError``. Idempotent; any thread.

        Parameters:
            timeout: seconds that the goodbye may take; None means ``close_timeout``.
        """
        seconds = self._config.close_timeout if timeout is None else check_timeout(timeout)
        with self._lock:
            background, operations = self._background, self._operations
            self._operations = None
        self._connection.close(Deadline(seconds))
        if background is not None:
            background.close()
        if operations is not None:
            operations.close()

    def __enter__(self: _C) -> _C:
        return self.connect()

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self.close()

    # Operations

    def ping(self, timeout: Optional[float] = None) -> None:
        """Ask the server for a sign of life (2025-11-25, Ping)."""
        self.request("ping", None, timeout)

    def list_tools(self, timeout: Optional[float] = None) -> List[Tool]:
        """All tools of the server, all pages (2025-11-25, Tools, Listing Tools)."""
        return self._list_tools(self._deadline(timeout))

    def _list_tools(self, deadline: Deadline) -> List[Tool]:
        from .protocol.types import Tool

        connection = self._connection
        tools = self._list("tools/list", "tools", Tool, deadline)
        link = connection.link(deadline)
        return connection.catalog.learn(tools, mirrors=not link.is_stateful and link.transport.has_headers)

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

    def call_tool(
        self,
        name: str,
        arguments: Optional[Mapping[str, Any]] = None,
        *,
        timeout: Optional[float] = None,
        on_progress: Optional[Callable[[Progress], object]] = None,
        meta: Optional[Mapping[str, Any]] = None,
        raise_on_error: bool = True,
        retry: bool = False,
    ) -> CallToolResult:
        """Call a tool and wait for its result (2025-11-25, Tools, Calling Tools).

        Parameters:
            name: of the tool.
            arguments: what it takes: JSON.
            timeout: seconds for the whole call; progress does not extend it.
            on_progress: is called with each ``Progress``, on this thread. What it raises ends the call, and cancels the
                tool.
            meta: further ``_meta`` of the request.
            raise_on_error: False returns a result with ``is_error`` instead of raising.
            retry: the call may be sent again after a lost session or stream, although the tool may have run.

        Raises:
            ToolError: the tool reports failure.
            MCPServerError: the server answers with an error, for example that there is no such tool.
            MCPTimeoutError, MCPConnectionError, MCPProtocolError, MCPClosedError: there is no result; ``outcome`` says
            whether the tool may have run.
        """
        deadline = self._deadline(timeout)
        return self._call_tool(
            self._connection,
            name,
            self._tool_params(name, arguments, meta),
            deadline,
            on_progress,
            raise_on_error,
            retry,
            None,
        )

    def _call_tool(
        self,
        connection: Connection,
        name: str,
        params: Dict[str, Any],
        deadline: Deadline,
        on_progress: Optional[Callable[[Progress], object]],
        raise_on_error: bool,
        retry: bool,
        started: Optional[Callable[[Call], None]],
    ) -> CallToolResult:
        request = Request(
            connection,
            deadline,
            wants="progress" if on_progress is not None or self._handlers.wants_progress else None,
            repeatable=connection.catalog.may_run_twice(name),
            resend=retry,
            started=started,
            relist=self._list_tools,
        )
        result: Dict[str, Any] = {}
        if on_progress is None:
            result = request.result("tools/call", params)
        else:
            for batch in request.events("tools/call", params):
                if isinstance(batch, dict):
                    result = batch
                else:
                    for message in batch:
                        on_progress(event_of(message))
        return read_tool_result(result, name, connection.server.public, raise_on_error, self._read)

    def stream_tool(
        self,
        name: str,
        arguments: Optional[Mapping[str, Any]] = None,
        *,
        timeout: Optional[float] = None,
        on_progress: Optional[Callable[[Progress], object]] = None,
        meta: Optional[Mapping[str, Any]] = None,
        raise_on_error: bool = True,
        retry: bool = False,
    ) -> ToolStream:
        """Call a tool and see what it sends while it runs: an iterator of events, the ``CallToolResult`` last.

        Parameters and errors as ``call_tool``.

        Returns:
            A ``ToolStream``; use it in a ``with`` block, so that leaving early cancels the tool.
        """
        seconds = self._timeout(timeout)
        return ToolStream(
            self._connection,
            name,
            self._tool_params(name, arguments, meta),
            seconds,
            raise_on_error=raise_on_error,
            repeatable=self._connection.catalog.may_run_twice(name),
            resend=retry,
            on_progress=on_progress,
            relist=self._list_tools,
            read=self._read,
        )

    def submit(
        self,
        name: str,
        arguments: Optional[Mapping[str, Any]] = None,
        *,
        timeout: Optional[float] = None,
        on_progress: Optional[Callable[[Progress], object]] = None,
        meta: Optional[Mapping[str, Any]] = None,
        raise_on_error: bool = True,
        retry: bool = False,
    ) -> ToolFuture:
        """Call a tool in the background. Parameters as ``call_tool``; the timeout counts from when the call starts.

        Returns:
            A ``concurrent.futures.Future`` of the ``CallToolResult``; its ``cancel()`` stops the tool also while it
            runs.
        """
        seconds = self._timeout(timeout)
        params = self._tool_params(name, arguments, meta)
        connection = self._connection

        def work(started: Callable[[Call], None]) -> CallToolResult:
            return self._call_tool(
                connection, name, params, Deadline(seconds), on_progress, raise_on_error, retry, started
            )

        return self._in_background().submit(work)

    def map(
        self,
        name: str,
        arguments: Iterable[Mapping[str, Any]],
        *,
        max_workers: int = 8,
        executor: Optional[concurrent.futures.Executor] = None,
        timeout: Optional[float] = None,
        raise_on_error: bool = True,
        retry: bool = False,
    ) -> List[CallToolResult]:
        """Call a tool once for each of ``arguments``, several at a time.

        Parameters:
            max_workers: how many calls run at once.
            executor: where they run instead, for example your own ``ThreadPoolExecutor``.
            timeout: seconds for each call.

        Returns:
            The results in the order of ``arguments``.

        Raises:
            MCPClientError: the first failure, in that order. Calls that have not begun by then are not made; those
            under way are cancelled.
        """
        if isinstance(max_workers, bool) or not isinstance(max_workers, int) or max_workers < 1:
            raise MCPUsageError(
                f"max_workers must be a number of threads, 1 or more, not {max_workers!r}", outcome="not_sent"
            )
        from .mapping import map_calls

        todo = [self._tool_params(name, item, None) for item in arguments]
        seconds = self._timeout(timeout)
        connection = self._connection

        def work(params: Dict[str, Any], started: Callable[[Call], None]) -> CallToolResult:
            return self._call_tool(connection, name, params, Deadline(seconds), None, raise_on_error, retry, started)

        return map_calls(work, todo, max_workers, executor)

    @property
    def tools(self) -> Tools:
        """The server's tools as functions: ``client.tools.echo(message="hi")`` returns plain data."""
        with self._lock:
            if self._tools is None:
                from .tools import Tools

                self._tools = Tools(self.list_tools, lambda name, arguments: self.call_tool(name, arguments).data)
            return self._tools

    def call_operation(
        self,
        name: str,
        arguments: Optional[Mapping[str, Any]] = None,
        *,
        stream: bool = False,
        timeout: Optional[float] = None,
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
        from .operations import parse_operation

        operation = parse_operation(name) if isinstance(name, str) else None
        if operation is None:
            return (
                self.stream_tool(name, arguments, timeout=timeout)
                if stream
                else self.call_tool(name, arguments, timeout=timeout).data
            )
        method, path = operation
        given = self._checked_arguments(arguments, name)
        operations = self._direct()
        call = operations.stream if stream else operations.call
        return call(method, path, given, self._deadline(timeout))

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
            timeout: seconds for the subscriptions at the beginning; then ``get(timeout)`` bounds the wait for one event.

        Source: 2025-11-25, Resources, Subscriptions, and List Changed Notification of tools, prompts and resources;
            2026-07-28, Subscriptions.
        """
        from .listening import ChangeStream

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

    # What these share

    def _timeout(self, timeout: Optional[float]) -> float:
        return self._config.timeout if timeout is None else check_timeout(timeout)

    def _deadline(self, timeout: Optional[float]) -> Deadline:
        return Deadline(self._timeout(timeout))

    def _ask(self, method: str, params: Dict[str, Any], model: Type[_T], timeout: Optional[float]) -> _T:
        request = Request(self._connection, self._deadline(timeout), repeatable=True)
        return self._read(model, request.result(method, params), method)

    def _list(self, method: str, field: str, model: Type[_T], deadline: Deadline) -> List[_T]:
        request = Request(self._connection, deadline, repeatable=True)
        pages = list_pages(method, field)
        items: List[Any] = []
        try:
            ask = next(pages)
            while True:
                ask = pages.send(request.result(ask.method, ask.params))
        except StopIteration as done:
            items = done.value
        return [self._read(model, item, method) for item in items]

    def _read(self, model: Type[_T], payload: Any, method: str) -> _T:
        """``payload`` as a model; MCPProtocolError where its shape is wrong."""
        problem = ""
        try:
            return model.model_validate(payload)  # type: ignore[attr-defined, no-any-return]  # a pydantic model
        except ValidationError as exc:
            first = exc.errors(include_input=False, include_url=False)[0]
            problem = f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
        raise MCPProtocolError(
            f"the server's {model.__name__} has a wrong shape ({excerpt(problem)})",
            server=self._server.public,
            method=method,
            outcome="unknown",
        )

    def _tool_params(
        self, name: str, arguments: Optional[Mapping[str, Any]], meta: Optional[Mapping[str, Any]]
    ) -> Dict[str, Any]:
        if not isinstance(name, str) or not name:
            raise MCPUsageError(
                f"the name of a tool must be a string, not {name!r}", method="tools/call", outcome="not_sent"
            )
        params: Dict[str, Any] = {"name": name, "arguments": self._checked_arguments(arguments, name)}
        if meta is not None:
            params["_meta"] = self._checked_arguments(meta, name)
        return params

    def _checked_arguments(self, arguments: Optional[Mapping[str, Any]], name: str) -> Dict[str, Any]:
        if arguments is None:
            return {}
        if not isinstance(arguments, Mapping) or not all(isinstance(key, str) for key in arguments):
            raise MCPUsageError(
                f"the arguments of {excerpt(name)!r} must be a dict with strings as keys, not "
                f"{type(arguments).__name__}",
                server=self._server.public,
                outcome="not_sent",
            )
        return dict(arguments)

    def _in_background(self) -> Background:
        with self._lock:
            if self._background is None:
                from .futures import Background

                self._background = Background()
            return self._background

    def _direct(self) -> Operations:
        if isinstance(self._server, Command):
            raise MCPUsageError("a server that is started as a command has no HTTP paths", outcome="not_sent")
        with self._lock:
            if self._operations is None:
                from .operations import Operations

                base = self._server.urls[0]
                self._operations = Operations(
                    self._opener.http(self._connection, base), base, self._config.max_message_bytes
                )
            return self._operations

    def __repr__(self) -> str:
        state = "closed" if self._connection.closed else "connected" if self.connected else "not connected"
        return f"<MCPClient {self._server.public}, {state}>"

    def __reduce__(self) -> Tuple[Any, ...]:
        raise TypeError("an MCPClient cannot be pickled or copied: send client.config, and make a client from it there")

    def __copy__(self) -> MCPClient:
        raise TypeError("an MCPClient cannot be copied: make another one from client.config")

    def __deepcopy__(self, memo: Dict[int, Any]) -> MCPClient:
        raise TypeError("an MCPClient cannot be copied: make another one from client.config")


class _Holder:
    """The connection of a client, apart from the client: what a finalizer may look at when the client is gone."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.pid = os.getpid()

    def renew(self, connection: Connection) -> None:
        self.connection = connection
        self.pid = os.getpid()


# The clients of this process, for what must be done at its end and after a fork.
_clients: weakref.WeakSet[MCPClient] = weakref.WeakSet()
_EXIT_SECONDS = 1.0


def _collected(holder: _Holder) -> None:
    """A client was dropped without being closed.

    This can run on any thread at any moment, one of ours included, so the closing happens elsewhere.
    """
    connection = holder.connection
    if holder.pid != os.getpid() or connection.closed or connection.last is None:
        return
    _thread.start_new_thread(connection.close, (Deadline(connection.config.close_timeout),))
    warnings.warn(
        f"an MCPClient for {connection.server.public} was not closed; use it in a with block, or call close()",
        ResourceWarning,
        stacklevel=2,
    )


def _at_exit() -> None:
    deadline = Deadline(_EXIT_SECONDS)
    for client in list(_clients):
        if client._holder.pid == os.getpid() and client._connection.last is not None:
            _quietly(functools.partial(client._connection.close, deadline))


def _after_fork_in_child() -> None:
    for client in list(_clients):
        client._after_fork()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _quietly(action: Callable[[], object]) -> None:
    try:
        action()
    except MCPClientError:
        pass  # a goodbye that is not heard is no error


def _uris(resources: Union[bool, str, Iterable[str]]) -> List[str]:
    if isinstance(resources, bool):
        return []
    return [resources] if isinstance(resources, str) else [str(uri) for uri in resources]


def _prompt_argument(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _reference(ref: Reference) -> Dict[str, Any]:
    if isinstance(ref, str):
        return {"type": "ref/resource", "uri": ref} if "://" in ref else {"type": "ref/prompt", "name": ref}
    if isinstance(ref, Mapping):
        return dict(ref)
    return ref.to_wire()
