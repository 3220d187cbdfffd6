"""What the first argument of MCPClient can be, read into one of two things: URLs to look for a server at, or a command
to start one with.

Runs on: the thread that makes the client.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Sequence, Tuple, Union

from ..errors import MCPUsageError
from ..escape import command_name
from ..protocol.urls import candidates, check_url, public_url

if TYPE_CHECKING:
    from ..config import MCPClientConfig

__all__ = ["Command", "Remote", "read_server"]

Server = Union[str, Sequence[str], Mapping[str, Any], None]


@dataclass(frozen=True)
class Remote:
    """A server that is reached by HTTP, at one of ``urls``."""

    urls: List[str]
    # The server as errors name it; written once, as every call needs it.
    public: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "public", public_url(self.urls[0]))


@dataclass(frozen=True)
class Command:
    """A server that is started as a child process."""

    argv: List[str] = field(repr=False)
    # The server as errors name it; arguments may be secret.
    public: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "public", command_name(self.argv[0]))


def read_server(server: Server, config: MCPClientConfig) -> Tuple[Union[Remote, Command], MCPClientConfig]:
    """Return what ``server`` is, and the config with what an ``mcpServers`` entry adds to it.

    Raises:
        MCPUsageError: it is none of the things that it can be.
    """
    if isinstance(server, Mapping):
        server, config = _read_entry(server, config)
    if server is None:
        server = config.base_url
    if isinstance(server, str) and server.strip():
        return Remote(candidates(check_url(server), config.connection_path)), config
    if (
        isinstance(server, Sequence)
        and not isinstance(server, (str, bytes))
        and server
        and all(isinstance(part, (str, PurePath)) for part in server)
    ):
        return Command([str(part) for part in server]), config
    raise MCPUsageError(
        'MCPClient needs a server: a URL such as "http://localhost:8000/mcp", a command such as ["npx", "-y", '
        '"some-server"], or an entry of an mcpServers mapping',
        outcome="not_sent",
    )


def _read_entry(entry: Mapping[str, Any], config: MCPClientConfig) -> Tuple[Union[str, List[str]], MCPClientConfig]:
    """One entry of the ``mcpServers`` mapping that MCP hosts keep in their settings."""
    from ..config import make_config

    if "mcpServers" in entry:
        raise MCPUsageError(
            'pass one entry of the mcpServers mapping, for example settings["mcpServers"]["weather"]',
            outcome="not_sent",
        )
    options: Dict[str, Any] = {}
    if isinstance(entry.get("headers"), Mapping):
        options["default_headers"] = {**entry["headers"], **config.default_headers}
    if isinstance(entry.get("env"), Mapping):
        options["env"] = {**entry["env"], **config.env}
    if entry.get("cwd") is not None and config.cwd is None:
        options["cwd"] = str(entry["cwd"])
    named = {
        "sse": "sse",
        "http": "http",
        "streamable-http": "http",
        "streamableHttp": "http",
        "streamable_http": "http",
        "stdio": "stdio",
    }
    for name, kind in (("type", str), ("transport", str), ("headers", Mapping), ("env", Mapping)):
        if not isinstance(entry.get(name), (kind, type(None))):
            what = "a string" if kind is str else "an object"
            raise MCPUsageError(
                f'"{name}" of an mcpServers entry must be {what}, not {type(entry[name]).__name__}', outcome="not_sent"
            )
    transport = entry.get("type", entry.get("transport"))
    if transport in named and config.transport == "auto":
        options["transport"] = named[transport]
    url, command = entry.get("url"), entry.get("command")
    if isinstance(url, str):
        return url, make_config(config, options)
    if isinstance(command, str):
        args = entry.get("args") or []
        if isinstance(args, Sequence) and not isinstance(args, str):
            return [command, *map(str, args)], make_config(config, options)
    raise MCPUsageError('an mcpServers entry needs a "url", or a "command" with a list of "args"', outcome="not_sent")
