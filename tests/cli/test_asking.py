"""A server's form on a terminal: what it says is shown without harm, and a URL is shown and never opened."""

from __future__ import annotations

import subprocess
import sys
import webbrowser
from typing import Any, NoReturn

import click
import pytest
from click.testing import CliRunner

from mcp_sync.cli.asking import ask
from mcp_sync.protocol.types import ElicitParams

EVIL = "\x1b]0;owned\x07\u202e"


def asked(params: dict[str, Any], typed: str) -> tuple[dict[str, Any], str]:
    """The answer to a form, and what the person saw."""
    answers: list[dict[str, Any]] = []

    @click.command()
    def command() -> None:
        answers.append(ask(ElicitParams.model_validate(params)))

    shown = CliRunner().invoke(command, input=typed, catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    return answers[0], shown.output


def form(**properties: Any) -> dict[str, Any]:
    return {"message": "please", "requestedSchema": {"type": "object", "properties": properties, "required": ["n"]}}


def test_each_field_is_asked_for_in_its_type() -> None:
    schema = form(
        n={"type": "integer"}, b={"type": "boolean", "default": True}, s={"type": "string"}, c={"enum": ["x", "y"]}
    )
    assert asked(schema, "7\n\nhi\ny\n")[0] == {"action": "accept", "content": {"n": 7, "b": True, "s": "hi", "c": "y"}}


def test_what_is_left_empty_is_left_out() -> None:
    assert asked(form(s={"type": "string"}), "\n")[0] == {"action": "accept", "content": {}}


def test_the_end_of_the_input_declines() -> None:
    # In a process of its own: click's runner for tests knew no end of input before 8.2, and asked for ever.
    program = (
        "from mcp_sync.cli.asking import ask; from mcp_sync.protocol.types import ElicitParams; "
        f"print(ask(ElicitParams.model_validate({form(n={'type': 'integer'})!r})))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert ended.stdout.strip() == str({"action": "decline"}), ended.stderr


def test_a_form_cannot_drive_the_terminal() -> None:
    schema = form(
        n={"title": EVIL, "enum": [f"a{EVIL}", "b"], "default": f"a{EVIL}"}, x={"default": EVIL, "title": "x"}
    )
    answer, shown = asked({**schema, "message": EVIL}, "\n\n")
    assert not set(shown) & set(EVIL[0] + EVIL[-1] + "\x07")
    assert "owned" in shown
    assert answer["content"] == {"n": f"a{EVIL}", "x": EVIL}  # the program gets what the server meant


def test_a_url_is_shown_and_neither_opened_nor_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_url(*args: object, **options: object) -> NoReturn:
        raise AssertionError("opened")

    monkeypatch.setattr(webbrowser, "open", open_url)
    params = {"mode": "url", "message": "log in", "url": "https://a.example/" + EVIL, "requestedSchema": {}}
    answer, shown = asked(params, "")
    assert answer == {"action": "decline"}
    assert "https://a.example/" in shown
    assert not set(shown) & set(EVIL[0] + EVIL[-1] + "\x07")
