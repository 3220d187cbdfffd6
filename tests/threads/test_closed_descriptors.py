"""A program that becomes a daemon closes every descriptor above 2: the next use of a client begins anew, and what has
got those numbers since is left alone.
"""

from __future__ import annotations

import json

import pytest

from tests.support.beds import Bed
from tests.support.scripts import run_script

_SCRIPT = """
import json, os, sys
from mcp_sync import MCPClient, MCPClientError

address, transport, reuses = json.loads(sys.argv[1])
client = MCPClient(address, transport=transport, timeout=20, retry_delay=0.1).connect()
assert client.call_tool("echo", {"message": "before"}).text == "before"
os.closerange(3, 256)
files = []
if reuses:
    path = sys.argv[2]
    files = [open(path, "r+b", buffering=0) for _ in range(60)]
texts = []
for number in range(10):
    try:
        texts.append(client.call_tool("echo", {"message": "after"}).text)
    except MCPClientError as exc:
        texts.append(type(exc).__name__)
client.close()
for file in files:
    os.fstat(file.fileno())
print(json.dumps(texts))
"""


@pytest.mark.parametrize("reuses", [False, True])
def test_after_all_descriptors_were_closed_the_next_use_begins_anew(bed: Bed, reuses: bool, tmp_path: object) -> None:
    if reuses and bed.name != "stdio":
        pytest.skip("a socket of Python's is closed by its number, whatever that stands for")
    path = f"{tmp_path}/file"
    with open(path, "wb") as file:
        file.write(b"untouched" * 10_000)
    transport = {"http-json": "http", "http-sse": "http", "stateless": "http"}.get(bed.name, bed.name)
    done = run_script(_SCRIPT, json.dumps([bed.address, transport, reuses]), path, timeout=60.0)
    assert done.code == 0, done
    assert done.report[-1] == "after", done
    assert all(text == "after" or text.startswith("MCP") for text in done.report), done
    if bed.name == "stdio":
        with open(path, "rb") as file:
            assert file.read() == b"untouched" * 10_000
