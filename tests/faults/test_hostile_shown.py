"""What is shown of a server, of settings and of names: no secret in it, and nothing that a reader cannot see."""

from __future__ import annotations

import pickle
import traceback
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from mcp_sync import MCPClient, MCPClientConfig, MCPClientError, MCPUsageError, Tool
from mcp_sync.calls.tasks import TaskHandle
from mcp_sync.calls.tools import Tools
from mcp_sync.escape import escape, one_line
from mcp_sync.protocol.urls import public_url

SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    "settings",
    [
        {"proxies": {"http": f"user:{SECRET}@proxy:3128"}},
        {"proxies": {"https": f"socks5h://user:{SECRET}@proxy:3128"}},
        {"proxies": {f"http://user:{SECRET}@host": "proxy:3128"}},
        {"base_url": f"example.com/mcp?token={SECRET}"},
        {"base_url": f"user:{SECRET}@example.com/mcp"},
        {"base_url": f"//user:{SECRET}@example.com/mcp"},
        {"base_url": f"example.com/mcp?a=b@{SECRET}"},
        {"base_url": f"http:user:{SECRET}@example.com"},
        {"connection_path": f"/mcp?token={SECRET}"},
        {"messages_path": f"/messages/?token={SECRET}"},
    ],
)
def test_the_repr_of_a_config_has_no_secret(settings: dict[str, Any]) -> None:
    assert SECRET not in repr(MCPClientConfig(**settings))


@pytest.mark.parametrize(
    "server",
    [
        f"example.com/mcp?token={SECRET}",
        f"user:{SECRET}@example.com/mcp",
        f"server --token {SECRET}",
        f"ftp://user:{SECRET}@example.com",
        f"http://a b@{SECRET}",
    ],
)
def test_what_is_no_url_is_named_without_its_secret(server: str) -> None:
    with pytest.raises(MCPUsageError) as caught:
        MCPClient(server)
    assert SECRET not in str(caught.value)


def test_a_url_without_a_secret_is_shown() -> None:
    assert public_url("proxy:3128") == "proxy:3128"
    assert public_url("user:word@proxy:3128") == "...@proxy:3128"
    assert public_url("http://user:word@[::1]:80/mcp?q#f") == "http://[::1]:80/mcp"


@pytest.mark.parametrize("command", [f"server --token {SECRET}", f"/opt/a/server {SECRET}", f"server\t{SECRET}/x"])
def test_a_command_line_in_one_string_is_named_by_its_first_word(command: str) -> None:
    client = MCPClient([command])
    assert repr(client) == "<MCPClient server, not connected>"
    with pytest.raises(MCPClientError) as caught:
        client.connect()
    error = caught.value
    assert error.server == "server"
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert SECRET not in shown + repr(vars(error)) + repr(pickle.dumps(error))


def test_a_program_with_a_blank_in_its_name_keeps_it(tmp_path: Path) -> None:
    program = tmp_path / "my server"
    program.touch()
    assert repr(MCPClient([str(program)])) == "<MCPClient my server, not connected>"


@pytest.mark.parametrize(
    "character",
    [chr(code) for code in (*range(0x200B, 0x2010), *range(0x2060, 0x2070), 0xFEFF, 0xAD, 0x180E, 0x115F, 0x3164)]
    + [chr(code) for code in (0xFFF9, 0xFFFA, 0xFFFB, 0xE0001, *range(0xE0020, 0xE0080), 0xE0100, 0x202E)],
)
def test_what_cannot_be_seen_is_written_out(character: str) -> None:
    shown = escape(f"a{character}b")
    assert character not in shown
    assert shown.isascii()


def test_what_can_be_seen_stays() -> None:
    text = "grün, 日本語, ❤️, עברית, हिन्दी, tab\t, line\n"
    assert escape(text) == text
    assert not [
        each
        for each in escape("".join(map(chr, range(0x110000))))
        if unicodedata.category(each) == "Cf" and ord(each) not in _OF_A_SCRIPT
    ]


# Format characters that scripts are written with: each has a width, or joins what is beside it.
_OF_A_SCRIPT = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13440),
                *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B)}  # fmt: skip


def test_a_name_with_line_breaks_forges_no_entry() -> None:
    name = "a\nb, delete_everything"
    tool = Tool(name=name, input_schema={"type": "object", "properties": {"x\n    y": {"description": "1\n    z: 2"}}})
    tools = Tools(lambda: [tool], lambda *_: None)
    (function,) = tools
    assert "\n" not in repr(tools) + repr(function)
    with pytest.raises(AttributeError) as missing:
        tools.nothing  # noqa: B018  # that it is looked up is what counts
    assert "\n" not in str(missing.value)
    assert "\n    z:" not in str(function.__doc__)
    assert "\n    y" not in str(function.__doc__)
    assert one_line(name) == "a\\nb, delete_everything"


def test_a_tasks_id_cannot_drive_a_terminal() -> None:
    connection: Any = None  # which a repr does not look at
    handle = TaskHandle(connection, "report", task={"taskId": "1\x1b[2J\u202e\n"})
    assert repr(handle) == "<TaskHandle 'report', 1\\x1b[2J\\u202e\\n>"
