"""The options and words of the commands that talk to a server.

Runs on: the process's main thread.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Tuple

import click

from .. import MCPClient

__all__ = ["Target", "pairs_of", "talks_to_a_server"]


@dataclass(frozen=True)
class Target:
    """The server that a command talks to, and how."""

    server: str | list[str]
    options: Mapping[str, Any] = field(repr=False)

    def client(self, **handlers: Any) -> MCPClient:
        return MCPClient(self.server, **self.options, **handlers)


def _header(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    headers = {}
    for position, value in enumerate(values, start=1):
        for line in _lines_of(value[1:], context, parameter) if value.startswith("@") else [value]:
            name, colon, content = line.partition(":")
            if not colon or not name.strip():
                where = f"a line of {value[1:]!r}" if value.startswith("@") else f"number {position}"
                # What it says instead may be the secret itself.
                raise click.BadParameter(f"{where} is not of the form 'Name: value'", context, parameter)
            headers[name.strip()] = content.strip()
    return headers


def _lines_of(path: str, context: click.Context, parameter: click.Parameter) -> list[str]:
    """The lines of a file with something in them; ``-`` is standard input."""
    try:
        with click.open_file(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, ValueError) as error:
        problem = (error.strerror if isinstance(error, OSError) else None) or "not text in UTF-8"
        raise click.BadParameter(f"{path!r} cannot be read: {problem}", context, parameter) from None
    return [line for line in lines if line.strip()]


def _token(context: click.Context, parameter: click.Parameter, name: str | None) -> str | None:
    if name is None:
        return None
    token = os.environ.get(name, "").strip()
    if not token:
        raise click.BadParameter(f"the environment variable {name} is not set, or empty", context, parameter)
    return token


def pairs_of(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, equals, content = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{value!r} is not of the form name=value", context, parameter)
        pairs[name] = content
    return pairs


Command = Callable[..., Optional[int]]


def talks_to_a_server(*expected: str) -> Callable[[Command], Command]:
    """Give a command the options of a connection, and call it with the `Target` and the words after the server's URL.

    Args:
        expected: what these words are, for the help; one in brackets may be left out, and is None then.
    """

    def decorate(command: Command) -> Command:
        @click.argument("words", nargs=-1, metavar=" ".join(("[SERVER]", *expected)))
        @click.option(
            "--timeout", default=30.0, show_default=True, type=click.FloatRange(0), help="Seconds a call takes."
        )
        @click.option(
            "-H",
            "--header",
            "headers",
            multiple=True,
            callback=_header,
            help="'Name: value', or @FILE with such lines (@- is standard input); repeatable. Others on this machine "
            "can see a command's words: give secrets by @FILE or --token-env.",
        )
        @click.option(
            "--token-env",
            "token",
            metavar="NAME",
            callback=_token,
            help="Send the bearer token in this environment variable.",
        )
        @click.option("--transport", default="auto", show_default=True, type=click.Choice(["auto", "sse", "http"]))
        @click.option("--protocol-version", help="Insist on one revision, such as 2025-06-18.")
        @click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
        @click.option("-v", "--verbose", is_flag=True, help="Log frames on standard error.")
        def outer(
            words: Tuple[str, ...],
            headers: Dict[str, str],
            token: Optional[str],
            verbose: bool,
            **rest: Any,
        ) -> Optional[int]:
            if verbose:
                logging.basicConfig(stream=sys.stderr, format="%(name)s: %(message)s")
                logging.getLogger("mcp_sync").setLevel(logging.DEBUG)
            options = {name: rest.pop(name) for name in ("timeout", "transport", "protocol_version")}
            if headers:
                options["default_headers"] = headers
            if token is not None:
                options["auth"] = token
            target, own = _target(words, options)
            return command(target, *_own_words(own, expected), **rest)

        functools.update_wrapper(outer, command)  # click takes the command's name and help from it
        return outer

    return decorate


def _target(words: Tuple[str, ...], options: Dict[str, Any]) -> Tuple[Target, Tuple[str, ...]]:
    command_line: Optional[List[str]] = click.get_current_context().obj
    if command_line is None:
        if not words:
            raise click.UsageError("Missing the server's URL (or -- and a stdio server's command).")
        return Target(words[0], options), words[1:]
    if not command_line:
        raise click.UsageError("Missing the stdio server's command after --.")
    return Target(command_line, {**options, "transport": "stdio"}), words


def _own_words(words: Tuple[str, ...], expected: Sequence[str]) -> Tuple[Optional[str], ...]:
    if len(words) > len(expected):
        raise click.UsageError(f"Unexpected word {words[len(expected)]!r}.")
    missing = expected[len(words) :]
    for word in missing:
        if not word.startswith("["):
            raise click.UsageError(f"Missing {word}.")
    return (*words, *(None for _ in missing))
