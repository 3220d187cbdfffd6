"""The notebook, executed cell by cell in a kernel of this interpreter, as Jupyter does it."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest

from .running import EXAMPLES, ROOT, WAIT, python

pytest.importorskip("ipykernel")
pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
NOTEBOOK = EXAMPLES / "notebook.ipynb"


def in_kernel(task: str, url: str = "", what: object = NOTEBOOK) -> str:
    ended = subprocess.run(
        python("-m", "tests.examples.in_kernel", task, what),
        cwd=ROOT,
        env={**os.environ, "MCP_URL": url},
        stdout=subprocess.PIPE,
        timeout=3 * WAIT,
        check=True,
        encoding="utf-8",
    )
    return ended.stdout


def shown(cell: Any) -> str:
    """What a cell shows: its standard output and its value. Warnings and errors would be outputs of other kinds."""
    text = ""
    for output in cell.outputs:
        assert output.output_type == "execute_result" or output.get("name") == "stdout", output
        text += output.text if output.output_type == "stream" else output.data["text/plain"]
    return text


def test_it_is_stored_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


def test_every_cell_does_what_it_says(demo_url: str) -> None:
    notebook = nbformat.reads(in_kernel("execute", demo_url), as_version=4)
    cells = {cell.id: shown(cell) for cell in notebook.cells if cell.cell_type == "code"}
    assert cells["connect"].startswith("('mcp_sync demo server', '20")
    assert "'echo': 'Return the message unchanged.'" in cells["list"]
    assert cells["call"] == "9"
    assert cells["stream"].startswith("About the ocean: ")
    assert cells["result"] == "30"
    assert cells["map"] == str([number**2 for number in range(10)])
    assert cells["close"] == ""


def test_interrupting_the_kernel_stops_the_call_and_nothing_else(demo_url: str) -> None:
    assert in_kernel("interrupt", demo_url).splitlines() == ["ok", *["KeyboardInterrupt", "ok"] * 5, "ok"]


# A server that writes to stderr, an escape included, and ends; first as it comes, then with logging.
_SAYS = r"""
import logging, sys
from mcp_sync import MCPClient, MCPClientError
server = [sys.executable, "-c", r"import sys; sys.stderr.write('I cannot\x1b[31m start\n')"]
def start():
    try:
        MCPClient(server, timeout=20, protocol_version="2025-11-25").connect()
    except MCPClientError as exc:
        print("ended")
start()
# %%
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
start()
"""


def test_what_a_server_writes_to_stderr_is_shown_once_below_the_cell() -> None:
    shows = in_kernel("show", what=_SAYS)
    assert shows.count("ended") == 2
    assert shows.count(r"I cannot\x1b[31m start") == 2
    assert "\x1b" not in shows
    assert shows.count("INFO:mcp_sync.transports.stdio:") == 1
