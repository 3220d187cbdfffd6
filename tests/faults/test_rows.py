"""Each row of the catalogue of faults has its tests, over each transport where the fault can happen."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

import mcp_sync
from tests.faults.rows import ROWS, Row
from tests.support import beds

_TESTS = Path(__file__).resolve().parents[1]
_KINDS = {"sse": "sse", "http": "http", "stdio": "stdio", **dict.fromkeys(beds.OWN, "http")}
# What a fixture says about the transport of a test that has it.
_FIXTURES = {"server": "sse", "client": "sse", "connect": "sse", "http_server": "http", "modern": "http"}
# The same for files that say it once.
_FILES = {"transports/stdio/transport": {"stdio"}, "discovery/stdio_probe": {"stdio"}}


@functools.lru_cache(None)
def _functions(file: str) -> dict[str, ast.FunctionDef]:
    folder, _, stem = file.rpartition("/")
    path = _TESTS / folder / f"test_{stem}.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _transports(reference: str) -> set[str]:
    """The transports that a test runs over: "sse", "http", "stdio"."""
    reference, _, given = reference.partition("@")
    file, _, name = reference.partition("::")
    functions = _functions(file)
    assert f"test_{name}" in functions, f"there is no test {name} in tests/{file}"
    if given:
        return set(given.split(","))
    function = functions[f"test_{name}"]
    fixtures = {argument.arg for argument in function.args.args}
    if "bed" in fixtures:
        return {_KINDS[transport] for transport in _beds(function)}
    if file in _FILES:
        return _FILES[file]
    if file.startswith("transports/streamable_http/"):
        return {"http"}
    words = {
        node.value
        for decorator in function.decorator_list
        for node in ast.walk(decorator)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    told = {_FIXTURES[fixture] for fixture in fixtures if fixture in _FIXTURES} | (words & {"sse", "http", "stdio"})
    if not told and (file.startswith("protocol/") or file == "session/handlers"):
        return set(_KINDS.values())  # what these test is the same for all
    return told or ({"sse"} if file.startswith("faults/") else set())


def _beds(function: ast.FunctionDef) -> tuple[str, ...]:
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "over":
            names: list[str] = []
            for argument in decorator.args:
                if isinstance(argument, ast.Starred) and isinstance(argument.value, ast.Name):
                    names += getattr(beds, argument.value.id)
                elif isinstance(argument, ast.Constant):
                    names.append(str(argument.value))
            return tuple(names)
    return beds.ALL


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.section}: {row.name}")
def test_a_row_is_proved_over_each_transport_where_it_can_happen(row: Row) -> None:
    assert bool(row.tests) != bool(row.absent)
    covered: set[str] = set().union(*map(_transports, row.tests))
    assert covered >= set(row.over), f"nothing proves it over {sorted(set(row.over) - covered)}"


def test_every_rule_and_every_section_is_there() -> None:
    sections = [row.section for row in ROWS]
    assert sections.count("Rules") == 12
    assert len(ROWS) == len({(row.section, row.name) for row in ROWS})
    assert sections.count("Attacks") == 28


def test_what_runs_over_which_transports_is_read_from_the_tests() -> None:
    assert _transports("faults/every_transport::a_batch_is_taken_apart") == {"sse", "http", "stdio"}
    assert _transports("faults/every_transport::one_of_eight_calls_reset_leaves_seven_answers") == {"sse", "http"}
    assert _transports("faults/time::progress_does_not_move_the_deadline") == {"sse"}
    with pytest.raises(AssertionError, match="there is no test"):
        _transports("faults/time::nothing_of_the_kind")


def test_there_is_oauth_when_its_rows_are_to_be_proved() -> None:
    """An excuse must not outlive its reason."""
    assert not (Path(mcp_sync.__file__).parent / "oauth").exists()


def test_nothing_here_makes_html() -> None:
    """What a server says reaches a notebook as text alone: nothing has a rich representation."""
    folder = Path(mcp_sync.__file__).parent
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for name in ("_repr_html_", "_repr_markdown_", "_repr_svg_", "_repr_mimebundle_", "_ipython_display_"):
            assert f"def {name}" not in text, path
