"""The tools of the bundled server: what each one takes, says on its way, and returns.

Runs on: the server's event loop. A tool awaits between its steps, so a cancelled call ends at its next step.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, ClassVar, Union

import anyio
from mcp import types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError, NoBackChannelError
from mcp.types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from . import corpus
from .arithmetic import ArithmeticProblem, evaluate

__all__ = ["TOOLS", "Call", "ToolFailure", "listing", "run"]

ToolResult = Union[types.CallToolResult, types.InputRequiredResult]


class ToolFailure(Exception):
    """The tool could not do it. The message becomes the text of an ``isError`` result."""


@dataclass(frozen=True)
class Call:
    """One running ``tools/call``: what a tool may say to its caller while it works."""

    context: ServerRequestContext[Any, Any]
    log: Callable[[types.LoggingLevel, JsonValue], Awaitable[None]]
    answers: Mapping[str, Any]
    """What the caller answered to an earlier round of this call (2026-07-28), by the keys that the tool chose."""

    async def progress(self, done: float, total: float, message: str) -> None:
        """Send ``notifications/progress``, if the caller asked for it by a progress token."""
        await self.context.session.report_progress(done, total, message)


class Arguments(BaseModel):
    """What a tool takes. The docstring of each subclass is the tool's description."""

    model_config = ConfigDict(extra="forbid")
    tool: ClassVar[str]
    title: ClassVar[str]
    # None where the result is plain text or a list: `structuredContent` has to be an object before 2026-07-28.
    output: ClassVar[Any] = None

    async def run(self, call: Call) -> ToolResult:
        raise NotImplementedError


class Echo(Arguments):
    """Return the message unchanged."""

    tool = "echo"
    title = "Echo"
    message: str = Field(description="The text to send back.", max_length=1_000_000)

    async def run(self, call: Call) -> ToolResult:
        return _text(self.message)


class GenerateNumbers(Arguments):
    """Count from 1 to `count`, with a progress notification per number, and return the list."""

    tool = "generate_numbers"
    title = "Generate numbers"
    count: int = Field(description="How many numbers.", ge=0, le=100_000)
    delay: float = Field(0.05, description="Seconds between two numbers.", ge=0, le=10)

    async def run(self, call: Call) -> ToolResult:
        numbers = list(range(1, self.count + 1))
        for number in numbers:
            await anyio.sleep(self.delay)
            await call.progress(number, self.count, str(number))
        return _text(json.dumps(numbers))


class FoundDocument(BaseModel):
    id: str
    title: str
    uri: str
    excerpt: str
    score: int


class SearchResults(BaseModel):
    query: str
    documents: list[FoundDocument]


class SearchDocuments(Arguments):
    """Search the bundled documents. Each hit is a progress message as it is found; the result lists the best first."""

    tool = "search_documents"
    title = "Search documents"
    output = SearchResults
    query: str = Field(description="Words to look for, such as: ocean light.", min_length=1, max_length=1_000)
    delay: float = Field(0.02, description="Seconds that looking at one hit takes.", ge=0, le=10)

    async def run(self, call: Call) -> ToolResult:
        total = len(corpus.documents())
        await call.log("debug", f"searching {total} documents")
        found: list[FoundDocument] = []
        for hit in corpus.search(self.query):
            await anyio.sleep(self.delay)
            document = hit.document
            found.append(
                FoundDocument(
                    id=document.id, title=document.title, uri=document.uri, excerpt=hit.excerpt, score=hit.score
                )
            )
            position = corpus.documents().index(document) + 1
            await call.progress(position, total, found[-1].model_dump_json())
        found.sort(key=lambda hit: -hit.score)
        return _structured(SearchResults(query=self.query, documents=found))


class GenerateText(Arguments):
    """Write a short text about the prompt, token by token: the progress messages joined are the text."""

    tool = "generate_text"
    title = "Generate text"
    prompt: str = Field(description="What to write about.", min_length=1, max_length=10_000)
    max_tokens: int = Field(60, description="Where to stop.", ge=1, le=10_000)
    delay: float = Field(0.03, description="Seconds between two tokens.", ge=0, le=10)

    async def run(self, call: Call) -> ToolResult:
        tokens = _tokens(self.prompt)[: self.max_tokens]
        for position, token in enumerate(tokens, 1):
            await anyio.sleep(self.delay)
            await call.progress(position, len(tokens), token)
        return _text("".join(tokens))


class Calculate(Arguments):
    """Compute an arithmetic expression: numbers, + - * / // % ** and parentheses."""

    tool = "calculate"
    title = "Calculate"
    expression: str = Field(description="Such as: (1 + 2) * 3", min_length=1)

    async def run(self, call: Call) -> ToolResult:
        try:
            return _text(str(evaluate(self.expression)))
        except ArithmeticProblem as problem:
            raise ToolFailure(f"calculate: {problem}") from problem


class Summary(BaseModel):
    rows: int
    chunks: int
    sums: dict[str, int | float]


class ProcessRows(Arguments):
    """Work through rows in chunks, with a progress notification per chunk, and return the totals of its numbers."""

    tool = "process_rows"
    title = "Process rows"
    output = Summary
    rows: list[JsonValue] = Field(description="Objects, or plain numbers.", max_length=100_000)
    chunk_size: int = Field(10, description="Rows in a chunk.", ge=1, le=100_000)
    delay: float = Field(0.05, description="Seconds that a chunk takes.", ge=0, le=10)

    async def run(self, call: Call) -> ToolResult:
        await call.log("info", f"processing {len(self.rows)} rows in chunks of {self.chunk_size}")
        totals: dict[str, float] = {}
        chunks = 0
        for start in range(0, len(self.rows), self.chunk_size):
            chunk = self.rows[start : start + self.chunk_size]
            await anyio.sleep(self.delay)
            sums = _sums(chunk)
            totals = {column: totals.get(column, 0) + sums.get(column, 0) for column in [*totals, *sums]}
            chunks += 1
            summary = {"chunk": chunks, "rows": len(chunk), "sums": sums}
            await call.progress(start + len(chunk), len(self.rows), json.dumps(summary))
        await call.log("info", f"processed {len(self.rows)} rows")
        return _structured(Summary(rows=len(self.rows), chunks=chunks, sums=totals))


class AskName(Arguments):
    """Ask the person at the client for a name (elicitation), and greet them."""

    tool = "ask_name"
    title = "Ask for a name"

    async def run(self, call: Call) -> ToolResult:
        question = types.ElicitRequestFormParams(
            message="What is your name?",
            requested_schema={
                "type": "object",
                "properties": {"name": {"type": "string", "title": "Name", "minLength": 1, "maxLength": 100}},
                "required": ["name"],
            },
        )
        answer = await _ask(call, "name", question)
        if not isinstance(answer, types.ElicitResult):
            return answer
        if answer.action != "accept":
            return _text("Hello, whoever you are!")
        name = (answer.content or {}).get("name")
        if not isinstance(name, str) or not 0 < len(name) <= 100:
            raise ToolFailure("ask_name: the answer holds no name of 1 to 100 characters")
        return _text(f"Hello, {name}!")


class Fail(Arguments):
    """Always fail, with an `isError` result."""

    tool = "fail"
    title = "Fail"
    message: str = Field("this tool always fails", description="What the error says.", max_length=10_000)

    async def run(self, call: Call) -> ToolResult:
        raise ToolFailure(self.message)


TOOLS: Mapping[str, type[Arguments]] = {
    arguments.tool: arguments
    for arguments in (
        Echo,
        GenerateNumbers,
        SearchDocuments,
        GenerateText,
        Calculate,
        ProcessRows,
        AskName,
        Fail,
    )
}


def listing() -> list[types.Tool]:
    """The tools as ``tools/list`` shows them."""
    return [
        types.Tool(
            name=name,
            title=arguments.title,
            description=arguments.__doc__,
            input_schema=_schema(arguments),
            output_schema=None if arguments.output is None else _schema(arguments.output),
            annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=False),
        )
        for name, arguments in TOOLS.items()
    ]


def validate(name: str, arguments: Mapping[str, Any]) -> Arguments:
    """The arguments of the tool ``name``, checked.

    Raises:
        ToolFailure: they do not fit; the message names each argument that is wrong, and never its value.
        MCPError: there is no such tool.
    """
    if name not in TOOLS:
        # 2025-06-18, server/tools, "Error Handling": an unknown tool is a protocol error.
        raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {name}")
    try:
        return TOOLS[name].model_validate(dict(arguments))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'arguments'}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)[:5]
        )
        raise ToolFailure(f"{name}: {problems}") from error


async def run(name: str, arguments: Mapping[str, Any], call: Call) -> ToolResult:
    """Call a tool; a `ToolFailure` on the way becomes its ``isError`` result."""
    try:
        return await validate(name, arguments).run(call)
    except ToolFailure as failure:
        return types.CallToolResult(content=[types.TextContent(type="text", text=str(failure))], is_error=True)


async def _ask(
    call: Call, key: str, question: types.ElicitRequestFormParams
) -> types.ElicitResult | types.InputRequiredResult:
    """The caller's answer, or the result that sends the question and ends this round (2026-07-28, SEP-2322)."""
    session = call.context.session
    able = types.ClientCapabilities(elicitation=types.ElicitationCapability())
    modern = call.context.protocol_version in MODERN_PROTOCOL_VERSIONS
    if not session.check_client_capability(able):
        if modern:
            data = types.MissingRequiredClientCapabilityErrorData(required_capabilities=able)
            raise MCPError(
                types.MISSING_REQUIRED_CLIENT_CAPABILITY,
                "this tool asks a question, and the client declared no elicitation capability",
                data.model_dump(by_alias=True, mode="json", exclude_none=True),
            )
        raise ToolFailure("this tool asks a question, and the client declared no elicitation capability")
    if not modern:
        try:
            return await session.elicit_form(question.message, question.requested_schema, call.context.request_id)
        except NoBackChannelError as error:
            raise ToolFailure("this tool asks a question, and there is no way back to the client") from error
    answer = call.answers.get(key)
    if isinstance(answer, types.ElicitResult):
        return answer
    return types.InputRequiredResult(input_requests={key: types.ElicitRequest(params=question)})


def _text(text: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


def _structured(value: BaseModel) -> types.CallToolResult:
    # 2025-06-18, server/tools: a tool with structured content SHOULD return it serialized as text as well.
    data = value.model_dump(mode="json")
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=json.dumps(data))], structured_content=data
    )


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    schema.pop("description", None)  # it is the tool's own description already
    return schema


def _sums(rows: Sequence[JsonValue]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for row in rows:
        columns = row if isinstance(row, dict) else {"value": row}
        for column, value in columns.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                sums[column] = sums.get(column, 0) + value
    return sums


def _tokens(prompt: str) -> list[str]:
    """A text for this prompt, always the same one, in pieces that start with their own white space."""
    chosen = [hit.document for hit in corpus.search(prompt)]
    # Seeded with the prompt, so that a test, an example and a reader all see the same text.
    dice = random.Random(prompt)  # nosec B311  # invented text is no secret
    rest = [document for document in corpus.documents() if document not in chosen]
    dice.shuffle(rest)
    topic = " ".join(prompt.split()[:8])
    text = " ".join([f"About {topic}:", *(document.text for document in [*chosen, *rest][:3])])
    return re.findall(r"\s*\S+", text)
