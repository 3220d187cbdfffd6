"""An interrupt during the very first call, while modules are imported and models are built: that call ends, and the
next one works.
"""

from __future__ import annotations

import json

import pytest

from tests.support.beds import Bed, over
from tests.support.scripts import run_script

# An import hook and a look at pydantic's work, which send the main thread an interrupt at the n-th module that is
# imported, or the n-th model that is built, by a call: while that is under way, wherever it is.
_SCRIPT = """
import json, signal, sys, threading
from mcp_sync import MCPClient, MCPClientError
from pydantic import BaseModel

address, transport, kind, first, step = json.loads(sys.argv[1])
main = threading.main_thread().ident
left = first

def happened():
    global left
    left -= 1
    if left == 0:
        signal.pthread_kill(main, signal.SIGINT)

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if kind == "import":
            happened()
        return None

rebuild = BaseModel.model_rebuild.__func__

def model_rebuild(cls, **options):
    if kind == "model":
        happened()
    return rebuild(cls, **options)

BaseModel.model_rebuild = classmethod(model_rebuild)
sys.meta_path.insert(0, Finder)

def work():
    with MCPClient(address, transport=transport, timeout=60) as client:
        client.call_tool("echo", {"message": "x"})
        client.list_tools()
        client.list_resources()
        with client.stream_tool("echo", {"message": "x"}) as stream:
            list(stream)
        client.submit("echo", {"message": "x"}).result(60)
        return client.call_tool("echo", {"message": "done"}).text

interrupts = 0
while True:
    try:
        assert work() == "done"
    except KeyboardInterrupt:
        interrupts += 1
        left = step
        continue
    break
print(json.dumps(interrupts))
"""


@pytest.mark.parametrize("kind", ["import", "model"])
@over("sse", "http-json", "stdio")
def test_an_interrupted_first_call_can_be_made_again(bed: Bed, kind: str) -> None:
    transport = {"http-json": "http"}.get(bed.name, bed.name)
    for first in (1, 2):
        step = 40 if kind == "import" else 2
        done = run_script(_SCRIPT, json.dumps([bed.address, transport, kind, first, step]), timeout=60)
        assert done.code == 0, done
        assert done.report > 0, done
        assert "Error" not in done.err, done
