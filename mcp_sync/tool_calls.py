"""Calling tools: one at a time, as a stream, in the background, many at once, as functions, as tasks.

Runs on: the caller's threads, any number at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Mapping, Optional

from .calls.operation import Request
from .calls.stream import ToolStream, read_tool_result
from .concurrency.deadline import Deadline
from .errors import MCPUsageError
from .lifecycle import Lifecycle
from .protocol.rounds import is_complete, task_in
from .session.connection import Connection
from .session.handlers import event_of
from .session.pending import Call
from .session.target import Command

if TYPE_CHECKING:
    import concurrent.futures

    from .calls.direct_http import Operations
    from .calls.futures import Background, ToolFuture
    from .calls.tasks import TaskHandle
    from .calls.tools import Tools
    from .protocol.types import CallToolResult, Progress, Tool

__all__ = ["ToolCalls"]


class ToolCalls(Lifecycle):
    """The part of a client that calls tools."""

    _tools: Optional[Tools] = None

    def list_tools(self, timeout: Optional[float] = None) -> List[Tool]:
        """All tools of the server, all pages (2025-11-25, Tools, Listing Tools)."""
        return self._list_tools(self._deadline(timeout))

    def _list_tools(self, deadline: Deadline) -> List[Tool]:
        from .protocol.types import Tool

        connection = self._connection
        tools = self._list("tools/list", "tools", Tool, deadline)
        link = connection.link(deadline)
        return connection.catalog.learn(tools, mirrors=not link.is_stateful and link.transport.has_headers)

    def _relist(self, deadline: Deadline) -> None:
        """Read the list anew: what we know of a tool is out of date."""
        cache = self._connection.cache
        if cache is not None:
            cache.forget("tools/list")
        self._list_tools(deadline)

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
            relist=self._relist,
        )
        result: Dict[str, Any] = {}
        params = self._as_demanded(connection, params, deadline)
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
        connection = self._connection
        return ToolStream(
            connection,
            name,
            self._tool_params(name, arguments, meta),
            seconds,
            raise_on_error=raise_on_error,
            repeatable=connection.catalog.may_run_twice(name),
            resend=retry,
            on_progress=on_progress,
            relist=self._relist,
            read=self._read,
            prepare=lambda params, deadline: self._as_demanded(connection, params, deadline),
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
        from .calls.mapping import map_calls

        todo = [self._tool_params(name, item, None) for item in arguments]
        seconds = self._timeout(timeout)
        connection = self._connection

        def work(params: Dict[str, Any], started: Callable[[Call], None]) -> CallToolResult:
            return self._call_tool(connection, name, params, Deadline(seconds), None, raise_on_error, retry, started)

        return map_calls(work, todo, max_workers, executor)

    def submit_task(
        self,
        name: str,
        arguments: Optional[Mapping[str, Any]] = None,
        *,
        ttl: Optional[float] = None,
        timeout: Optional[float] = None,
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
        from .calls.tasks import TaskHandle

        deadline = self._deadline(timeout)
        connection = self._connection
        params = self._as_task(connection, self._tool_params(name, arguments, meta), ttl, deadline)
        request = Request(connection, deadline, relist=self._relist)
        first = request.ask("tools/call", params)
        task = task_in(first)
        if task is not None:
            return TaskHandle(connection, name, self._deadline, self._read, task=task)
        if not is_complete(first):
            for step in request.events("tools/call", params, first):
                first = step if isinstance(step, dict) else first
        return TaskHandle(connection, name, self._deadline, self._read, result=first)

    def task(self, task_id: str, name: str = "task") -> TaskHandle:
        """Find a task again by its id, for example in another process. ``name`` is what errors call it."""
        from .calls.tasks import TaskHandle

        return TaskHandle(
            self._connection, name, self._deadline, self._read, task={"taskId": task_id, "status": "working"}
        )

    def _as_task(
        self, connection: Connection, params: Dict[str, Any], ttl: Optional[float], deadline: Deadline
    ) -> Dict[str, Any]:
        """The params of a call that asks for a task, where the revision has the caller ask and the server can."""
        if not self._offers_tasks(connection, deadline):
            return params
        if connection.catalog.task_support(params["name"]) is None:
            self._list_tools(deadline)
        if connection.catalog.task_support(params["name"]) is None:
            return params
        return {**params, "task": {} if ttl is None else {"ttl": int(ttl * 1000)}}

    def _as_demanded(self, connection: Connection, params: Dict[str, Any], deadline: Deadline) -> Dict[str, Any]:
        """The params of a call, which asks for a task where the tool cannot be called in any other way."""
        if not self._offers_tasks(connection, deadline):
            return params
        if not connection.catalog.is_known:
            self._list_tools(deadline)
        demanded = connection.catalog.task_support(params["name"]) == "required"
        return {**params, "task": {}} if demanded else params

    @staticmethod
    def _offers_tasks(connection: Connection, deadline: Deadline) -> bool:
        """Whether the server takes calls that ask for a task (2025-11-25, Tasks, Capability Negotiation)."""
        link = connection.link(deadline)
        if not link.is_stateful or link.negotiated is None:
            return False
        offered = (link.negotiated.server_capabilities.tasks or {}).get("requests")
        calls = offered.get("tools") if isinstance(offered, dict) else None
        return isinstance(calls, dict) and "call" in calls

    @property
    def tools(self) -> Tools:
        """The server's tools as functions: ``client.tools.echo(message="hi")`` returns plain data."""
        with self._lock:
            if self._tools is None:
                from .calls.tools import Tools

                self._tools = Tools(
                    self.list_tools,
                    lambda name, arguments: self.call_tool(name, arguments).data,
                    lambda: (self._connection.catalog, self._connection.catalog.changes),
                )
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
        from .calls.direct_http import parse_operation

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

    # What these share

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

    def _in_background(self) -> Background:
        with self._lock:
            if self._background is None:
                from .calls.futures import Background

                self._background = Background()
            return self._background

    def _direct(self) -> Operations:
        if isinstance(self._server, Command):
            raise MCPUsageError("a server that is started as a command has no HTTP paths", outcome="not_sent")
        with self._lock:
            if self._operations is None:
                from .calls.direct_http import Operations

                base = self._server.urls[0]
                self._operations = Operations(
                    self._opener.http(self._connection, base), base, self._config.max_message_bytes
                )
            return self._operations
