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
    """Ask the person at the terminal for each field of the form; an end of input (Ctrl-D) declines.

    A URL is shown and declined: to open it is for the person to do.
    """
    click.echo(one_line(f"The server asks: {params.message}"), err=True)
    if params.is_url or params.requested_schema is None:
        if params.url is not None:
            click.echo(one_line(f"It wants you to open {params.url} (not opened; declined)"), err=True)
        return {"action": "decline"}
    listed, fields = params.requested_schema.get("required"), params.requested_schema.get("properties")
    required = listed if isinstance(listed, list) else []
    content: dict[str, Any] = {}
    try:
        for name, described in (fields if isinstance(fields, dict) else {}).items():
            answer = _ask_for(name, described if isinstance(described, dict) else {}, name in required)
            if answer != "":
                content[name] = answer
    except click.Abort:
        return {"action": "decline"}
    return {"action": "accept", "content": content}


def _ask_for(name: str, field: Mapping[str, Any], is_required: bool) -> Any:
    """Ask for one field. click shows choices and defaults as they are, so they are shown here instead."""
    text = str(field.get("title") or name)
    listed = field.get("enum")
    choices = {one_line(str(choice)): choice for choice in listed} if isinstance(listed, list) else {}
    default = field.get("default", None if is_required else "")
    if choices:
        text += f" ({', '.join(choices)})"
    if "default" in field:
        text += f" [{default}]"
    answer = click.prompt(
        one_line(text),
        type=click.Choice(list(choices)) if choices else _TYPES.get(str(field.get("type")), str),
        default=one_line(default) if isinstance(default, str) and choices else default,
        show_default=False,
        show_choices=False,
        err=True,
    )
    return choices.get(answer, answer) if choices else answer
