"""README.md: its code runs, its tables are complete, and what it shows of the wire is what passes there."""

from __future__ import annotations

import ast
import itertools
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests

import mcp_sync
from mcp_sync import MCPClient, MCPClientConfig, Progress
from mcp_sync.protocol.revisions import REVISIONS
from tests.support.demo_server import STDIO_ARGV

from .running import ROOT, WAIT

README = (ROOT / "README.md").read_text(encoding="utf-8")
LOCAL = "http://localhost:8000"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table that begins with this column."""
    table = README.partition(f"\n| {heading} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()[2:]]


class _Promises(ast.NodeTransformer):
    """Turns ``expression  # -> value`` into a check that the expression has this value."""

    def __init__(self, source: str) -> None:
        self._lines = source.splitlines()

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        _, arrow, value = self._lines[node.lineno - 1].partition("  # -> ")
        if arrow:
            node.value = ast.Call(ast.Name("promise", ast.Load()), [node.value, ast.Constant(value)], [])
        return ast.fix_missing_locations(node)


def run(source: str, url: str, names: dict[str, Any]) -> list[str]:
    """Run a block against the server at `url`; returns the values that it promised and had."""
    kept: list[str] = []

    def promise(value: object, text: str) -> None:
        assert repr(value) == text
        kept.append(text)

    source = source.replace(f"{LOCAL}/mcp", url)
    tree = _Promises(source).visit(ast.parse(source))
    exec(compile(tree, "README.md", "exec"), {**names, "promise": promise})
    assert len(kept) == source.count("  # -> ")
    return kept


def test_the_quickstart_is_ten_lines_and_shows_what_it_should(
    demo_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    quickstart = blocks("python")[0]
    assert len(quickstart.splitlines()) == 10
    run(quickstart, demo_url, {})
    lines = capsys.readouterr().out.splitlines()
    assert "'echo', 'generate_numbers'" in lines[0]
    assert lines[1:] == ["hi", *(f"{n} of 5: {n}" for n in range(1, 6)), "[1, 2, 3, 4, 5]"]


@pytest.mark.parametrize("source", blocks("python")[1:], ids=lambda source: source.splitlines()[0])
def test_a_block_does_what_its_comments_promise(source: str, demo_url: str) -> None:
    with MCPClient(demo_url) as client:
        run(source, demo_url, {"MCPClient": MCPClient, "Progress": Progress, "client": client})


def test_the_two_commands_are_there_to_be_copied() -> None:
    assert "python -m pip install '.[demo]' && mcp-sync demo\n" in blocks("console")
    assert "python -m pip install -e '.[test]' && python -m pytest\n" in blocks("console")


def test_curl_shows_these_frames(demo_url: str) -> None:
    """The three blocks of "On the wire", with requests in the place of curl."""
    asked, posted, answered = (block for block in blocks("console") if "&&" not in block and "pip" not in block)
    session = re.search("session_id=([0-9a-f]+)", asked)
    assert session is not None
    with requests.get(demo_url, stream=True, timeout=WAIT) as stream:
        received = stream.iter_content(1)

        def frame() -> str:
            text = b""
            while not text.endswith(b"\r\n\r\n"):
                text += next(received)
            return text.decode().replace("\r\n", "\n")

        first = frame()
        own = re.search("session_id=([0-9a-f]+)", first)
        assert own is not None
        assert f"$ curl -N {LOCAL}/mcp\n" + first.replace(own[1], session[1]) == asked

        command = re.fullmatch(
            r"\$ curl -X POST '(\S+)' \\\n    -H '(\S+): (\S+)' -d '(.*)'\n(.*)\n", posted.replace(session[1], own[1])
        )
        assert command is not None
        url, header, value, body, answer = command.groups()
        url = url.replace(f"{LOCAL}/mcp", demo_url)
        assert requests.post(url, body, headers={header: value}, timeout=WAIT).text == answer
        assert frame() == answered


def test_the_table_of_settings_is_that_of_the_config() -> None:
    documented: dict[str, str] = {}
    for names, defaults, _ in rows("setting"):
        values = defaults.split(", ") if ", " in names and ", " in defaults else itertools.repeat(defaults)
        documented.update(zip((name.strip("`") for name in names.split(", ")), values))
    assert set(documented) == set(MCPClientConfig.model_fields)
    config = MCPClientConfig()
    for name, shown in documented.items():
        if "…" not in shown:
            value = math.inf if shown == "`math.inf`" else ast.literal_eval(shown.strip("`"))
            assert value == getattr(config, name), name


def test_every_error_is_explained() -> None:
    errors = {name for name in mcp_sync.__all__ if name.endswith("Error")}
    in_table = {name for row in rows("what happened") for name in re.findall(r"`(\w+Error)`", row[1])}
    # The two that are only ever raised as one of the others.
    assert in_table == errors - {"MCPClientError", "MCPStreamError"}
    assert "`MCPClientError`" in README
    assert "`MCPStreamError`" in README


def matrix() -> Iterator[tuple[str, str]]:
    """The transports and revisions that the first table says go together."""
    known = list(REVISIONS)
    for transport, _, revisions in rows("transport"):
        name = transport.split("`")[1].strip('"')
        for span in revisions.split(", "):
            first, _, last = span.partition(" to ")
            for revision in known[known.index(first) : known.index(last or first) + 1]:
                yield name, revision


@pytest.mark.parametrize(("transport", "revision"), matrix())
def test_the_transports_carry_these_revisions(transport: str, revision: str, demo_url: str) -> None:
    server = STDIO_ARGV if transport == "stdio" else demo_url
    with MCPClient(server, transport=transport, protocol_version=revision, timeout=WAIT) as client:
        assert (client.transport, client.protocol_version) == (transport, revision)
        assert client.call_tool("echo", {"message": revision}).text == revision


@pytest.mark.parametrize("link", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_a_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
