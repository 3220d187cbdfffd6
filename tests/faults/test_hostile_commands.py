"""The command line against a server whose schemas are none, and with credentials that nobody else may see."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcp_sync import MCPClient, MCPUsageError
from mcp_sync.cli import main
from tests.support.fault_server import FaultServer

pytest.importorskip("click")
pytest.importorskip("rich")

Run = Callable[..., "tuple[int, str, str]"]
TOKEN = "hunter2hunter2"


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def run_command(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        output, complaint = capfd.readouterr()
        return status, output, complaint

    return run_command


@pytest.fixture
def server() -> Any:
    with FaultServer("http") as server:
        yield server


SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "required": 5},
    {"type": "object", "required": True, "properties": {"message": {}}},
    {"type": "object", "required": [["message"], {}], "properties": {"message": {}}},
    {"type": "object", "properties": ["message"]},
    {"type": "object", "properties": 7, "required": "message"},
    {"type": "object", "properties": {"message": 3}},
    {"type": "object", "properties": {"message": {"type": ["string", "null"]}}},
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_schema_that_is_none_is_no_traceback(schema: dict[str, Any], server: FaultServer, run: Run) -> None:
    server.methods["tools/list"] = lambda asked: asked.answer({"tools": [{"name": "echo", "inputSchema": schema}]})
    status, output, complaint = run("tools", server.mcp_url)
    assert (status, complaint) == (0, "")
    assert output.startswith("echo(")
    status, output, complaint = run("call", server.mcp_url, "echo", "--arg", "message=hi")
    assert (status, output, complaint) == (0, "hi\n", "")
    with MCPClient(server.mcp_url, transport="http") as client:
        assert client.tools.echo(message="hi") == "hi"


def test_a_tools_name_forges_no_other_tool(server: FaultServer, run: Run) -> None:
    schema = {"type": "object", "properties": {"a)\nother(": {}}}
    tool = {"name": "echo\nsafe_tool", "description": "1\n2", "inputSchema": schema}
    server.methods["tools/list"] = lambda asked: asked.answer({"tools": [tool]})
    _, output, _ = run("tools", server.mcp_url)
    assert [line for line in output.splitlines() if not line.startswith("    ")] == ["echo safe_tool(a) other(?)"]


@pytest.mark.parametrize(
    "entry",
    [
        {"url": "http://127.0.0.1:1/mcp", "type": ["http"]},
        {"url": "http://127.0.0.1:1/mcp", "transport": {"http": 1}},
        {"url": "http://127.0.0.1:1/mcp", "headers": ["Authorization: x"]},
        {"command": "server", "env": ["A=b"]},
    ],
)
def test_an_entry_of_a_wrong_shape_is_a_clear_error(entry: dict[str, Any]) -> None:
    with pytest.raises(MCPUsageError, match=r'"(type|transport|headers|env)" of an mcpServers entry must be an? '):
        MCPClient(entry)


def test_a_token_comes_from_the_environment(server: FaultServer, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", TOKEN)
    assert run("info", server.mcp_url, "--token-env", "SOME_TOKEN")[0] == 0
    assert server.requests[-1].headers["authorization"] == f"Bearer {TOKEN}"
    status, _, complaint = run("info", server.mcp_url, "--token-env", "NO_SUCH_TOKEN")
    assert status == 2
    assert "NO_SUCH_TOKEN is not set" in complaint


def test_headers_come_from_a_file_or_standard_input(
    server: FaultServer, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "headers"
    file.write_text(f"Authorization: Bearer {TOKEN}\n\nX-Team: blue\n", encoding="utf-8")
    assert run("info", server.mcp_url, "-H", f"@{file}", "-H", "X-More: 1")[0] == 0
    headers = server.requests[-1].headers
    assert (headers["authorization"], headers["x-team"], headers["x-more"]) == (f"Bearer {TOKEN}", "blue", "1")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"X-Api-Key: from stdin\n")))
    assert run("info", server.mcp_url, "--header", "@-")[0] == 0
    assert server.requests[-1].headers["x-api-key"] == "from stdin"


def test_what_is_wrong_with_a_header_is_said_without_it(server: FaultServer, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text(TOKEN, encoding="utf-8")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe" + TOKEN.encode())
    for given in (TOKEN, f"@{file}", f"@{binary}", f"@{tmp_path / 'nothing'}", f"@{tmp_path}", ": x"):
        status, output, complaint = run("info", server.mcp_url, "-H", given)
        assert status == 2
        assert "Error: Invalid value for '-H' / '--header': " in complaint
        assert TOKEN not in output + complaint
    assert server.requests == []


def test_the_help_says_that_others_can_see_words(run: Run) -> None:
    _, output, _ = run("tools", "--help")
    assert "can see a command's words" in " ".join(output.split())
