"""Elicitation on a terminal: the form that a server sends, asked field by field.

Runs on: a handler thread of the client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from .words import one_line

__all__ = ["ask"]

_TYPES: Mapping[str, Any] = {"integer": int, "number": float, "boolean": bool}


def ask(params: Any) -> dict[str, Any]:
    """Ask the person at the terminal for each field of the form; an end of input (Ctrl-D) declines."""
    click.echo(one_line(f"The server asks: {params.message}"), err=True)
    if params.requested_schema is None:  # to open a URL is more than this command should do
        return {"action": "decline"}
    required = params.requested_schema.get("required") or ()
    content: dict[str, Any] = {}
    try:
        for name, described in (params.requested_schema.get("properties") or {}).items():
            field = described if isinstance(described, dict) else {}
            choices = [str(choice) for choice in field.get("enum") or ()]
            answer = click.prompt(
                one_line(str(field.get("title") or name)),
                type=click.Choice(choices) if choices else _TYPES.get(str(field.get("type")), str),
                default=field.get("default", None if name in required else ""),
                show_default="default" in field,
                err=True,
            )
            if answer != "":
                content[name] = answer
    except click.Abort:
        return {"action": "decline"}
    return {"action": "accept", "content": content}
