"""The bundled server's answers to every MCP method, on the official SDK's low-level server; nothing here knows of HTTP.

Runs on: the server's event loop, one thread. State is touched only between awaits, so it needs no locks.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, get_args

import anyio
from mcp import types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.session import ServerSession
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    ResourceUpdated,
)
from mcp.shared.exceptions import MCPError
from pydantic import JsonValue

from mcp_sync._version import __version__

from . import corpus, tools

__all__ = ["Demo"]

INSTRUCTIONS = (
    "A small server to try an MCP client on. `echo` answers at once; `generate_numbers`, `generate_text`, "
    "`search_documents` and `process_rows` report progress; `ask_name` asks you back; `fail` fails."
)
CALLS_URI = "demo://calls"
PIXEL_URI = "demo://pixel.png"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PAGE = 10  # resources on a page: small, so that a client has pages to turn
STYLES = ("brief", "detailed", "for children", "in verse")
LEVELS: Sequence[types.LoggingLevel] = get_args(types.LoggingLevel)
MOST_SESSIONS = 1_000  # remembered at once; the oldest are forgotten first

Context = ServerRequestContext[Any, Any]
_T = TypeVar("_T")


class Demo:
    """One server with its state: ``server`` is what a transport runs, ``deliver_updates()`` has to run beside it."""

    def __init__(self) -> None:
        self._calls: dict[str, int] = dict.fromkeys(tools.TOOLS, 0)
        self._levels: OrderedDict[str, types.LoggingLevel] = OrderedDict()
        self._subscribers: OrderedDict[tuple[str, str], ServerSession] = OrderedDict()
        self._called = anyio.Event()
        self._bus = InMemorySubscriptionBus()
        self.listening = ListenHandler(self._bus)
        self.server: Server[Any] = Server(
            "mcp-sync-demo",
            version=__version__,
            title="mcp_sync demo server",
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_resource_templates,
            on_read_resource=self._read_resource,
            on_subscribe_resource=self._subscribe,
            on_unsubscribe_resource=self._unsubscribe,
            on_subscriptions_listen=self.listening,
            on_list_prompts=self._list_prompts,
            on_get_prompt=self._get_prompt,
            on_completion=self._complete,
        )
        # Not an argument of the constructor: there it warns of what 2026-07-28 deprecates, and older clients still use.
        self.server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, self._set_level)

    async def deliver_updates(self) -> None:
        """Tell subscribers that ``demo://calls`` changed, for ever. Calls never wait for a subscriber that is slow."""
        while True:
            await self._called.wait()
            self._called = anyio.Event()
            await self._bus.publish(ResourceUpdated(uri=CALLS_URI))
            async with anyio.create_task_group() as group:
                for key, session in list(self._subscribers.items()):
                    if key[1] == CALLS_URI:
                        group.start_soon(self._tell, key, session)

    async def _tell(self, key: tuple[str, str], session: ServerSession) -> None:
        with anyio.move_on_after(1) as patience:
            try:
                await session.send_resource_updated(key[1])
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                self._subscribers.pop(key, None)
        if patience.cancelled_caught:
            self._subscribers.pop(key, None)

    # Tools

    async def _list_tools(self, context: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=tools.listing())

    async def _call_tool(self, context: Context, params: types.CallToolRequestParams) -> tools.ToolResult:
        call = tools.Call(context, partial(self._log, context), params.input_responses or {})
        result = await tools.run(params.name, params.arguments or {}, call)
        if isinstance(result, types.CallToolResult):  # else the tool asked something, and the call is not over
            self._calls[params.name] += 1
            self._called.set()
        return result

    # Resources

    async def _list_resources(
        self, context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        resources = [
            types.Resource(
                uri=CALLS_URI,
                name="calls",
                title="How often each tool was called",
                description="Changes with every call; subscribe to it.",
                mime_type="application/json",
            ),
            types.Resource(uri=PIXEL_URI, name="pixel.png", title="One pixel", mime_type="image/png"),
            *(
                types.Resource(uri=found.uri, name=found.id, title=found.title, mime_type="text/markdown")
                for found in corpus.documents()
            ),
        ]
        page, cursor = _page(resources, params)
        return types.ListResourcesResult(resources=page, next_cursor=cursor)

    async def _list_resource_templates(
        self, context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(
            resource_templates=[
                types.ResourceTemplate(
                    uri_template="docs://{id}",
                    name="document",
                    title="A document of the corpus",
                    mime_type="text/markdown",
                )
            ]
        )

    async def _read_resource(
        self, context: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        return types.ReadResourceResult(contents=[self._contents(params.uri)])

    def _contents(self, uri: str) -> types.TextResourceContents | types.BlobResourceContents:
        if uri == CALLS_URI:
            return types.TextResourceContents(uri=uri, mime_type="application/json", text=json.dumps(self._calls))
        if uri == PIXEL_URI:
            return types.BlobResourceContents(uri=uri, mime_type="image/png", blob=PIXEL)
        found = corpus.document(uri[len("docs://") :]) if uri.startswith("docs://") else None
        if found is None:
            # 2026-07-28, server/resources, "Error Handling": -32602; it was -32002 before.
            raise MCPError(types.INVALID_PARAMS, f"Resource not found: {uri}", {"uri": uri})
        return types.TextResourceContents(uri=uri, mime_type="text/markdown", text=found.markdown)

    async def _subscribe(self, context: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        self._contents(params.uri)  # raises for what is not there
        _remember(self._subscribers, (_session_key(context), params.uri), context.session)
        return types.EmptyResult()

    async def _unsubscribe(self, context: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        self._subscribers.pop((_session_key(context), params.uri), None)
        return types.EmptyResult()

    # Prompts and completion

    async def _list_prompts(
        self, context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        return types.ListPromptsResult(prompts=list(_PROMPTS.values()))

    async def _get_prompt(self, context: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        prompt, given = _PROMPTS.get(params.name), params.arguments or {}
        if prompt is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name}")
        missing = [
            argument.name for argument in prompt.arguments or () if argument.required and not given.get(argument.name)
        ]
        if missing:
            raise MCPError(types.INVALID_PARAMS, f"The prompt {prompt.name!r} needs: {', '.join(missing)}")
        if prompt.name == "compare":
            contents = [self._contents(f"docs://{given[argument]}") for argument in ("first", "second")]
            request = "Compare these two documents."
        else:
            contents = [self._contents(hit.document.uri) for hit in corpus.search(given["topic"])][:2]
            request = f"Write a summary about {given['topic']}, {given.get('style') or STYLES[0]}."
        blocks: list[types.ContentBlock] = [types.TextContent(type="text", text=request)]
        blocks += [types.EmbeddedResource(type="resource", resource=content) for content in contents]
        messages = [types.PromptMessage(role="user", content=block) for block in blocks]
        return types.GetPromptResult(description=prompt.description, messages=messages)

    async def _complete(self, context: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
        chosen = (params.context.arguments if params.context else None) or {}
        choices = _choices(params.ref, params.argument.name, chosen)
        start = params.argument.value.casefold()
        fitting = [choice for choice in choices if choice.casefold().startswith(start)]
        return types.CompleteResult(
            completion=types.Completion(values=fitting[:100], total=len(fitting), has_more=len(fitting) > 100)
        )

    # Logging

    async def _set_level(self, context: Context, params: types.SetLevelRequestParams) -> types.EmptyResult:
        _remember(self._levels, _session_key(context), params.level)
        return types.EmptyResult()

    async def _log(self, context: Context, level: types.LoggingLevel, data: JsonValue) -> None:
        wanted = self._levels.get(_session_key(context), "info")
        # From 2026-07-28 on the session drops what the request did not opt in to; before, the filter is ours.
        if context.protocol_version in types.version.MODERN_PROTOCOL_VERSIONS or LEVELS.index(level) >= LEVELS.index(
            wanted
        ):
            await context.session.send_log_message(level, data, "demo", context.request_id)


_PROMPTS: Mapping[str, types.Prompt] = {
    prompt.name: prompt
    for prompt in (
        types.Prompt(
            name="summarize",
            title="Summarize a topic",
            description="Ask for a summary of what the corpus says about a topic.",
            arguments=[
                types.PromptArgument(name="topic", description="Such as: ocean.", required=True),
                types.PromptArgument(name="style", description="Such as: brief.", required=False),
            ],
        ),
        types.Prompt(
            name="compare",
            title="Compare two documents",
            description="Ask for a comparison of two documents of the corpus.",
            arguments=[
                types.PromptArgument(name="first", description="A document's id.", required=True),
                types.PromptArgument(name="second", description="Another document's id.", required=True),
            ],
        ),
    )
}


def _choices(
    ref: types.PromptReference | types.ResourceTemplateReference, argument: str, chosen: Mapping[str, str]
) -> Sequence[str]:
    ids = [found.id for found in corpus.documents()]
    if isinstance(ref, types.ResourceTemplateReference):
        if ref.uri != "docs://{id}":
            raise MCPError(types.INVALID_PARAMS, f"Unknown resource template: {ref.uri}")
        return ids if argument == "id" else ()
    if ref.name not in _PROMPTS:
        raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {ref.name}")
    if ref.name == "compare":
        return [each for each in ids if each not in chosen.values()]
    if argument == "style":
        return STYLES
    return sorted({tag for found in corpus.documents() for tag in found.tags}) if argument == "topic" else ()


def _page(items: Sequence[_T], params: types.PaginatedRequestParams | None) -> tuple[list[_T], str | None]:
    cursor = params.cursor if params is not None else None
    if cursor is None:
        start = 0
    elif cursor.isascii() and cursor.isdecimal() and 0 < int(cursor[:9]) < len(items):
        start = int(cursor[:9])
    else:
        raise MCPError(types.INVALID_PARAMS, "This cursor is not one that the server gave out")
    end = start + PAGE
    return list(items[start:end]), str(end) if end < len(items) else None


def _session_key(context: Context) -> str:
    """What names the caller's session across its requests, on each of the transports."""
    request = context.request
    if request is None:
        return "stdio"
    return str(request.headers.get("mcp-session-id") or request.query_params.get("session_id") or "none")


def _remember(memory: OrderedDict[Any, _T], key: object, value: _T) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > MOST_SESSIONS:
        memory.popitem(last=False)
