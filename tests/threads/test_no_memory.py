"""Where there is no memory for an answer, its own call fails, with an error of ours."""

from __future__ import annotations

from typing import Any

import pydantic_core
import pytest

from mcp_sync import MCPProtocolError
from tests.support.beds import Bed
from tests.support.clock import LONG, within

# As the parser in Rust raises it: no Exception.
Panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})


@pytest.mark.parametrize("kind", [Panic, MemoryError])
def test_an_answer_for_which_there_is_no_memory_fails_its_own_call(
    bed: Bed, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    bed.tool("large", lambda asked: asked.text("too much"))
    client = bed.connect(timeout=LONG)

    def from_json(text: Any) -> Any:
        if b"too much" in (text.encode() if isinstance(text, str) else text):
            raise kind("memory allocation failed")
        return pydantic_core.from_json(text)

    monkeypatch.setattr("mcp_sync.protocol.messages.from_json", from_json)
    with within(), pytest.raises(MCPProtocolError):
        client.call_tool("large")
    with within():
        assert client.call_tool("echo", {"message": "after"}).text == "after"
