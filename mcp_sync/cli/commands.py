"""The commands of ``mcp-sync``, on click.

Runs on: the process's main thread; `asking.ask` on a handler thread of the client.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from .. import MCPClient
from .._version import __version__
from ..errors import MCPClientError, MCPUsageError
from .asking import ask
from .options import Target, pairs_of, talks_to_a_server
from .words import one_line, plain, printed

__all__ = ["run"]

DONE, FAILED, MISUSED, TOOL_FAILED, INTERRUPTED = 0, 1, 2, 3, 130

EPILOG = """\b
SERVER is a URL, such as http://localhost:8000/mcp. To start a stdio server
instead, leave it out and end the line with -- and the server's command:
  mcp-sync tools -- npx -y @modelcontextprotocol/server-everything

\b
Exit status: 0 done, 1 failed, 2 called wrongly, 3 the tool itself
reported failure, 130 interrupted.
"""


class Failure(click.ClickException):
    """Something that ends the command with one line on standard error."""

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(message)
        self.status = status

    def show(self, file: Any | None = None) -> None:
        click.echo(f"error: {one_line(self.message)}", err=True)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; nothing is raised but `SystemExit` on a closed pipe."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a server's text may hold what the terminal cannot show
    words = list(arguments)
    command: list[str] | None = None
    if "--" in words:
        split = words.index("--")
        words, command = words[:split], words[split + 1 :]
    try:
        status = group.main(args=words, prog_name="mcp-sync", standalone_mode=False, obj=command)
        return status if isinstance(status, int) else DONE
    except click.ClickException as error:
        error.show()
        return error.status if isinstance(error, Failure) else error.exit_code
    except click.Abort:  # what click makes of KeyboardInterrupt
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except MCPClientError as error:
        click.echo(f"error: {one_line(str(error))}", err=True)
        return MISUSED if isinstance(error, MCPUsageError) else FAILED


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mcp-sync")
def group() -> None:
    """Talk to MCP servers from the command line, and run one to try."""


@group.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free port.")
@click.option("--stdio", is_flag=True, help="Serve on standard input and output instead.")
@click.option("--until-stdin-closes", is_flag=True, help="End when standard input ends, too.")
@click.option("-v", "--verbose", is_flag=True, help="Log requests on standard error.")
def serve(host: str, port: int, stdio: bool, until_stdin_closes: bool, verbose: bool) -> int:
    """Run the bundled server until Ctrl-C (extra `demo`, Python 3.10+).

    HTTP+SSE and Streamable HTTP are both at /mcp. There is no authentication: stay on loopback.
    """
    try:
        from ..demo.__main__ import main
    except ImportError as error:
        raise Failure(str(error), MISUSED) from error
    flags = [("--stdio", stdio), ("--until-stdin-closes", until_stdin_closes), ("--verbose", verbose)]
    return main(["--host", host, "--port", str(port), *(flag for flag, given in flags if given)])


@group.command()
def demo() -> None:
    """See it work: starts the bundled server, talks to it, and ends it again (extra `demo`, Python 3.10+)."""
    try:
        from ..demo.launcher import DemoServerDied
        from .show import show
    except ImportError as error:
        raise Failure(str(error), MISUSED) from error
    try:
        show()
    except DemoServerDied as error:
        raise Failure(str(error)) from error


@group.command(epilog=EPILOG)
@talks_to_a_server()
def info(target: Target, as_json: bool) -> None:
    """Show what a server is, what it can do, and how it is reached."""
    with target.client() as client:
        server, capabilities = client.server_info, client.server_capabilities
        facts = {
            "name": getattr(server, "name", None),
            "title": getattr(server, "title", None),
            "version": getattr(server, "version", None),
            "protocol_version": client.protocol_version,
            "transport": client.transport,
            "capabilities": {} if capabilities is None else capabilities.to_wire(),
            "instructions": client.instructions,
        }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for name, fact in facts.items():
        if fact not in (None, "", {}):
            text = ", ".join(sorted(fact)) if isinstance(fact, dict) else str(fact)
            click.echo(f"{name.replace('_', ' '):<17} {plain(text)}")


@group.command(epilog=EPILOG)
@talks_to_a_server()
def tools(target: Target, as_json: bool) -> None:
    """List a server's tools, with what they take."""
    with target.client() as client:
        listed = client.list_tools()
    if as_json:
        click.echo(json.dumps([tool.to_wire() for tool in listed], indent=2))
        return
    for tool in listed:
        click.echo(click.style(one_line(tool.name), bold=True) + one_line(f"({_signature(tool.input_schema)})"))
        if tool.description:
            click.echo("    " + plain(tool.description.strip()).replace("\n", "\n    "))


@group.command(epilog=EPILOG)
@click.option("-a", "--arg", "pairs", multiple=True, callback=pairs_of, help="An argument, name=value; repeatable.")
@click.option(
    "--progress/--no-progress", default=None, help="Show progress on standard error (default: on a terminal)."
)
@talks_to_a_server("TOOL", "[JSON]")
def call(
    target: Target,
    tool: str,
    given: str | None,
    pairs: dict[str, str],
    progress: bool | None,
    as_json: bool,
) -> int:
    """Call a tool. Its arguments are one JSON object, or --arg name=value for each.

    The value of an --arg is text where the tool's schema says so; elsewhere it is read as JSON, if it is any.
    """
    handlers: dict[str, Any] = {}
    if sys.stdin.isatty() and sys.stderr.isatty():
        handlers["elicitation_handler"] = ask  # without it the client does not declare elicitation
    if progress is None:
        progress = sys.stderr.isatty()
    arguments = _json_object(given)
    with target.client(**handlers) as client:
        if pairs:
            arguments.update(_typed(pairs, tool, client))
        result = client.call_tool(
            tool, arguments, on_progress=_show_progress if progress else None, raise_on_error=False
        )
    if as_json:
        click.echo(json.dumps(result.to_wire(), indent=2))
    else:
        blocks = [printed(block.to_wire()) for block in result.content]
        if not blocks and result.structured_content is not None:
            blocks = [json.dumps(result.structured_content, indent=2)]
        for block in blocks:
            click.echo(block, err=result.is_error)
    return TOOL_FAILED if result.is_error else DONE


@group.command(epilog=EPILOG)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the bytes to a file.")
@talks_to_a_server("URI")
def read(target: Target, uri: str, output: Path | None, as_json: bool) -> None:
    """Read a resource. Text is printed with its control characters escaped; -o writes it, or binary data, as it is."""
    with target.client() as client:
        result = client.read_resource(uri)
    contents = [item.to_wire() for item in result.contents]
    if output is not None:
        from ..protocol.types import BlobResourceContents

        parts = [
            item.decode() if isinstance(item, BlobResourceContents) else str(getattr(item, "text", "")).encode()
            for item in result.contents
        ]
        output.write_bytes(b"".join(parts))
    elif as_json:
        click.echo(json.dumps(contents, indent=2))
    else:
        for item in contents:
            click.echo(printed({"type": "resource", "resource": item}))


@group.command(epilog=EPILOG)
@click.option("-a", "--arg", "pairs", multiple=True, callback=pairs_of, help="An argument, name=value; repeatable.")
@talks_to_a_server("NAME")
def prompt(target: Target, name: str, pairs: dict[str, str], as_json: bool) -> None:
    """Get a prompt, filled in."""
    with target.client() as client:
        result = client.get_prompt(name, pairs)
    if as_json:
        click.echo(json.dumps(result.to_wire(), indent=2))
        return
    for message in result.messages:
        click.echo(f"{plain(message.role)}: {printed(message.content.to_wire())}")


def _signature(schema: Mapping[str, Any]) -> str:
    listed = schema.get("required")
    required = {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()
    return ", ".join(name if name in required else f"{name}?" for name in _properties(schema))


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a schema says of the fields of an object; a server's schema may be anything."""
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _json_object(given: str | None) -> dict[str, Any]:
    if given is None:
        return {}
    try:
        value = json.loads(given)
    except ValueError as error:
        raise click.UsageError(
            f"The arguments are not JSON: {error}. A single one is easier as --arg name=value."
        ) from error
    if not isinstance(value, dict):
        raise click.UsageError('The arguments have to be a JSON object, such as \'{"message": "hi"}\'.')
    return value


def _typed(pairs: Mapping[str, str], name: str, client: MCPClient) -> dict[str, Any]:
    """The values of ``--arg``, each in the type that the tool's schema asks for."""
    listed = client.list_tools()
    schema = next((tool.input_schema for tool in listed if tool.name == name), None)
    if schema is None:
        raise Failure(f"the server has no tool {name!r}; it has {', '.join(tool.name for tool in listed) or 'none'}")
    properties = _properties(schema)
    return {argument: _value(text, properties.get(argument)) for argument, text in pairs.items()}


def _value(text: str, schema: Any) -> Any:
    if isinstance(schema, dict) and schema.get("type") == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _show_progress(progress: Any) -> None:
    total = "" if progress.total is None else f"/{progress.total:g}"
    try:
        click.echo(one_line(f"{progress.progress:g}{total} {progress.message or ''}"), err=True)
    except OSError:
        pass  # the tool's result is worth more than its progress
