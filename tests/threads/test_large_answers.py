"""A large answer is decoded by who waits for it: the thread that reads everybody's answers goes on."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mcp_sync import MCPProtocolError, MCPServerError
from mcp_sync.protocol import messages
from mcp_sync.protocol.messages import decode_small, result_of, weight_of
from tests.support.beds import SHARED, Bed, over
from tests.support.clock import LONG, within

LARGE = "x" * 200_000
RESULT = {"content": [{"type": "text", "text": LARGE}]}


@over(*SHARED)
def test_others_get_their_answers_while_a_large_one_is_decoded(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    bed.tool("large", lambda asked: asked.text(LARGE))
    client = bed.connect(timeout=LONG)
    begun, gate = threading.Event(), threading.Event()
    decode = messages.decode

    def gated(text: Any, *mask: Any) -> Any:
        if len(text) > len(LARGE):
            begun.set()
            assert gate.wait(LONG)
        return decode(text, *mask)

    monkeypatch.setattr(messages, "decode", gated)
    with ThreadPoolExecutor() as pool:
        large = pool.submit(client.call_tool, "large")
        assert begun.wait(10)
        try:
            with within():
                for _ in range(3):
                    assert client.call_tool("echo", {"message": "small"}).text == "small"
        finally:
            gate.set()
        assert large.result(10).text == LARGE


@pytest.mark.parametrize("id", [7, "seven", 2**52])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("order", ["jir", "ijr", "irj", "jri", "rij", "rji"])
def test_of_a_large_answer_the_id_alone_is_read(id: object, indent: Any, order: str) -> None:
    fields = {"j": ("jsonrpc", "2.0"), "i": ("id", id), "r": ("result", RESULT)}
    text = json.dumps(dict(fields[key] for key in order), indent=indent).encode()
    (message,) = decode_small(text)
    assert message["id"] == id
    assert isinstance(message["result"], messages.Unread)
    assert weight_of(message) > len(LARGE)
    assert result_of(message) == RESULT


def test_an_id_inside_of_a_result_is_not_the_answers() -> None:
    inner = {"jsonrpc": "2.0", "result": {}, "id": 1}
    for result in ({"a": LARGE, "b": inner}, {"a": LARGE + json.dumps(inner)}, {"a": LARGE, "b": [inner]}):
        for message in ({"result": result, "jsonrpc": "2.0", "id": 2}, {"jsonrpc": "2.0", "id": 2, "result": result}):
            (read,) = decode_small(json.dumps(message).encode())
            assert read["id"] == 2
            assert result_of(read) == result
    # What is no answer, or a batch of them, is decoded at once.
    for other in ({"jsonrpc": "2.0", "method": "x", "params": RESULT}, [{"jsonrpc": "2.0", "id": 1, "result": RESULT}]):
        assert decode_small(json.dumps(other).encode()) == (other if isinstance(other, list) else [other])


def test_one_that_says_two_things_is_an_error_of_its_call() -> None:
    start = '{"jsonrpc": "2.0", "id": 1, "result": {"a": "' + LARGE + '"}'
    for end, kind in (
        (', "id": 2}', MCPProtocolError),
        (', "method": "x"}', MCPProtocolError),
        (', "error": {"code": 1, "message": "no"}}', MCPServerError),
        (", }", MCPProtocolError),
    ):
        (message,) = decode_small((start + end).encode())
        with pytest.raises(kind):
            result_of(message)
