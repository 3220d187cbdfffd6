"""What is shown of a server, of settings and of names: no secret in it, and nothing that a reader cannot see."""

from __future__ import annotations

import base64
import html
import json
import pickle
import re
import sys
import traceback
import unicodedata
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from mcp_sync import MCPClient, MCPClientConfig, MCPClientError, MCPUsageError, Tool
from mcp_sync.calls.tasks import TaskHandle
from mcp_sync.calls.tools import Tools
from mcp_sync.escape import escape, one_line
from mcp_sync.protocol.urls import public_url
from mcp_sync.transports.masking import Secrets

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


# What a server quotes


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


FORMS: dict[str, Any] = {
    "plain": str,
    "in percent": lambda secret: quote(secret, safe=""),
    "in lower percent": lambda secret: re.sub("%..", lambda match: match[0].lower(), quote(secret, safe="")),
    "as a form": quote_plus,
    "in JSON": lambda secret: json.dumps(secret)[1:-1],
    "in PHP's JSON": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "in HTML": html.escape,
    "as Python": repr,
    "in base64": base64_of,
    "in base64 after one": lambda secret: base64_of("a" + secret),
    "in base64 after two": lambda secret: base64_of("ab" + secret + "xy"),
    "in base64 for URLs": lambda secret: base64.urlsafe_b64encode(("user:" + secret).encode()).decode(),
    "in hex": lambda secret: secret.encode().hex(),
}
TOKEN = "to<k>en/with?Sëcrets+\"quotes'"


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_masked_in_each_form(form: str) -> None:
    secrets = Secrets()
    secrets.add_headers({"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
    said = f"application/json: no {FORMS[form](TOKEN)}!"
    masked = secrets.mask(said)
    assert "(Authorization)" in masked
    assert masked.startswith("application/json: no ")
    # At most the last bits of it, where base64 mixes them with what follows.
    assert len(masked) <= len("application/json: no (Authorization)!") + 9
    assert secrets.mask_all({"a": [said, 1, None], said: True}) == {"a": [masked, 1, None], masked: True}


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ({"Authorization": "Basic " + base64_of("user:hunter2hunter2")}, "hunter2hunter2"),
        ({"Authorization": "Basic " + base64_of("user:hunter2hunter2")}, "user:hunter2hunter2"),
        ({"Cookie": "a=first-cookie; b=second-cookie"}, "first-cookie"),
        ({"Cookie": "a=first-cookie; b=second-cookie"}, "second-cookie"),
        ({"X-Api-Key": "key-of-mine"}, "key-of-mine"),
        ({"Authorization": 'AWS4 Credential=a, Signature="0123456789abcdef0"'}, "0123456789abcdef0"),
    ],
)
def test_each_part_of_a_header_is_masked(headers: dict[str, str], secret: str) -> None:
    secrets = Secrets()
    secrets.add_headers(headers)
    assert secret not in secrets.mask(f"<{secret}>")


def test_a_secret_that_is_cut_is_masked_too() -> None:
    secrets = Secrets()
    secrets.add(TOKEN, "(token)")
    for size in range(1, len(TOKEN)):
        assert secrets.mask("said: " + TOKEN[:size], is_cut=True) == "said: "
        assert not secrets.mask(TOKEN[-size:] + " said", is_end=True).startswith(TOKEN[-size:])
    assert secrets.mask("said: " + TOKEN) == "said: (token)"


def test_a_client_whose_tokens_rotate_forgets_the_oldest() -> None:
    secrets = Secrets()
    for number in range(2000):
        secrets.add_headers({"Authorization": f"Bearer token-number-{number}"})
    assert "token-number-1999" not in secrets.mask("token-number-1999")
    assert len(secrets._named) <= 500


@pytest.mark.parametrize("argument", [SECRET, f"--token={SECRET}", f"-p={SECRET}"])
def test_what_a_stdio_server_quotes_of_its_arguments_is_masked(argument: str) -> None:
    program = (
        "import sys; sys.exit('usage: server [--token TOKEN]\\nunrecognized arguments: ' + ' '.join(sys.argv[1:]))"
    )
    with pytest.raises(MCPClientError) as caught:
        MCPClient([sys.executable, "-c", program, "--verbose", argument]).connect()
    text = str(caught.value)
    assert SECRET not in text
    assert "unrecognized arguments: --verbose " in text
    assert "(argument 4)" in text
