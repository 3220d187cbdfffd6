"""The examples that are scripts, run as their first lines say."""

from __future__ import annotations

import ast
import json
import signal
import sys
from pathlib import Path

import pytest

from mcp_sync import MCPClient

from .conftest import RunExample
from .running import EXAMPLES, python, running
from .watching import finished_calls

SOURCES = sorted(EXAMPLES.rglob("*.py"))
RUN_BY = {
    "chat.py": "test_scripts",
    "content_generation.py": "test_scripts",
    "data_pipeline.py": "test_scripts",
    "django_app.py": "test_web",
    "document_search.py": "test_scripts",
    "fastapi_mcp/client.py": "test_fastapi_mcp",
    "fastapi_mcp/server.py": "test_fastapi_mcp",
    "flask_app.py": "test_web",
    "interruptions.py": "test_interruptions",
    "notebook.ipynb": "test_notebook",
    "quickstart.py": "test_scripts",
}

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a single child")


def test_each_example_is_run_by_a_test() -> None:
    present = {path.relative_to(EXAMPLES).as_posix() for path in [*SOURCES, *EXAMPLES.rglob("*.ipynb")]}
    assert present == set(RUN_BY)
    for module in set(RUN_BY.values()):
        assert EXAMPLES.parent.joinpath("tests", "examples", f"{module}.py").exists()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(EXAMPLES).as_posix())
def test_each_example_says_what_it_shows_and_does_without_asyncio(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    tree = ast.parse(text)
    docstring = ast.get_docstring(tree)
    assert docstring is not None
    assert text.startswith(f'"""{docstring.splitlines()[0]}')
    assert not any(isinstance(node, (ast.AsyncFunctionDef, ast.Await)) for node in ast.walk(tree))
    assert "asyncio" not in text


def test_quickstart(run_example: RunExample) -> None:
    lines = run_example("quickstart.py").splitlines()
    assert lines[0].startswith("connected to mcp-sync-demo, MCP 20")
    assert "  echo: Return the message unchanged." in lines
    assert lines[-8:] == [
        "echo says: hello",
        "(1 + 2) * 3 = 9",
        *(f"number {n} ({n} of 5)" for n in range(1, 6)),
        "all of them: [1, 2, 3, 4, 5]",
    ]


def test_document_search_shows_the_hits_in_the_order_they_are_found_and_the_best_in_full(
    run_example: RunExample,
) -> None:
    found, _, best = run_example("document_search.py", "ocean", "light").partition("\n\n")
    *hits, summary = found.splitlines()
    shares = [int(hit.partition("%")[0]) for hit in hits]
    assert shares == sorted(shares)
    assert summary == f"{len(hits)} documents about 'ocean light'"
    assert best.startswith("# How a lighthouse is recognised\n")


def test_document_search_that_finds_nothing(run_example: RunExample) -> None:
    assert run_example("document_search.py", "qwertyuiop") == "0 documents about 'qwertyuiop'\n"


def test_content_generation_ends_with_a_full_bar_and_the_text(run_example: RunExample) -> None:
    pytest.importorskip("rich")
    bar, _, article = run_example("content_generation.py").partition("\n")
    assert "writing" in bar
    assert "100%" in bar
    assert article.startswith("About the ocean at night: ")


def test_content_generation_says_why_a_tool_fails(demo_url: str) -> None:
    pytest.importorskip("rich")
    with running(python(EXAMPLES / "content_generation.py", demo_url, "x" * 20_000)) as example:
        example.expect("the tool could not write that: .*prompt")
        assert example.finish() == 1


def test_data_pipeline_stores_each_chunk_when_it_is_done(run_example: RunExample) -> None:
    chunks = [json.loads(line) for line in run_example("data_pipeline.py").splitlines()]
    assert [chunk["rows_done"] for chunk in chunks] == [7, 14, 21, 28, 31]
    assert sum(chunk["sums"]["orders"] for chunk in chunks) == sum(10 + day % 7 for day in range(31))


def test_a_chat_answers_every_line_and_ends_with_its_input(run_example: RunExample) -> None:
    turns = run_example("chat.py", input="the ocean\n\nlight\n").split("you> ")
    assert [turn.partition(":")[0] for turn in turns] == ["", "About the ocean", "", "About light", "\n"]


@needs_signals
def test_ctrl_c_stops_one_answer_of_a_chat_and_then_the_chat(demo_url: str) -> None:
    with MCPClient(demo_url) as watcher, running(python(EXAMPLES / "chat.py", demo_url)) as chat:
        before = finished_calls(watcher)
        chat.expect("you> ")
        chat.say("the ocean\n")
        chat.expect("About the")
        chat.process.send_signal(signal.SIGINT)
        chat.expect(r"\[stopped\]\nyou> ")
        chat.say("light\n")
        # As long as the first, and begun later: when it is over, the first would be, too, had nobody stopped it.
        chat.expect("About light: .*\nyou> ")
        chat.process.send_signal(signal.SIGINT)
        assert chat.finish() == 0
        assert "Traceback" not in chat.printed
        assert finished_calls(watcher)["generate_text"] == before["generate_text"] + 1
