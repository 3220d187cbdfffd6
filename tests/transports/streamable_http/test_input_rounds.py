"""What a server wants to know before it answers: 2026-07-28, Multi Round-Trip Requests."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPProtocolError, MCPTimeoutError
from tests.support.clock import LONG, within
from tests.support.fault_server import Asked
from tests.transports.streamable_http.modern import ModernServer

Connect = Callable[..., MCPClient]

# What nobody may touch: JSON that is not normal, escapes, spaces, what looks like numbers.
STATE = ' {"b": 1.0,"a":[]}\n\u2028\U0001f600 \\u0041 =?base64?x?= '
FORM = {
    "method": "elicitation/create",
    "params": {
        "mode": "form",
        "message": "Who?",
        "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}},
    },
}
SAMPLE = {
    "method": "sampling/createMessage",
    "params": {"messages": [{"role": "user", "content": {"type": "text", "text": "2 + 2?"}}], "maxTokens": 9},
}
SAMPLED = {"role": "assistant", "content": {"type": "text", "text": "4"}, "model": "abacus"}


def needs(requests: Any, state: Any = None) -> dict[str, Any]:
    result: dict[str, Any] = {"resultType": "input_required"}
    if requests is not None:
        result["inputRequests"] = requests
    if state is not None:
        result["requestState"] = state
    return result


def accept(params: Any) -> Any:
    return {"action": "accept", "content": {"name": "me"}}


@pytest.mark.parametrize("answers", ["json", "sse"])
def test_the_handlers_answer_and_the_request_is_sent_again_under_a_new_id(
    answers: str, modern: ModernServer, join: Connect
) -> None:
    modern.answers = answers

    def work(asked: Asked) -> None:
        if "inputResponses" not in asked.params:
            asked.answer(needs({"__main__:who": FORM, "sum": SAMPLE, "where": {"method": "roots/list"}}, STATE))
        else:
            asked.text("done")

    modern.tools["work"] = work
    client = join(elicitation_handler=accept, sampling_handler=lambda params: SAMPLED, roots=["file:///a"])
    with within():
        assert client.call_tool("work", {"x": 1}, timeout=LONG).text == "done"
    first, second = modern.sent("tools/call")
    assert first["id"] != second["id"]
    assert second["params"]["arguments"] == first["params"]["arguments"] == {"x": 1}
    assert second["params"]["requestState"] == STATE
    assert second["params"]["inputResponses"] == {
        "__main__:who": {"action": "accept", "content": {"name": "me"}},
        "sum": SAMPLED,
        "where": {"roots": [{"uri": "file:///a"}]},
    }
    assert "requestState" not in first["params"]


def test_the_state_of_one_round_is_not_sent_with_the_next(modern: ModernServer, join: Connect) -> None:
    def work(asked: Asked) -> None:
        rounds = modern.tool_calls["work"]
        if rounds == 1:
            asked.answer(needs({"a": FORM}, "first"))
        elif rounds == 2:
            asked.answer(needs({"b": FORM}))
        else:
            asked.text("done")

    modern.tools["work"] = work
    assert join(elicitation_handler=accept).call_tool("work").text == "done"
    _, second, third = (message["params"] for message in modern.sent("tools/call"))
    assert second["requestState"] == "first"
    assert "requestState" not in third
    assert set(third["inputResponses"]) == {"b"}


def test_a_state_without_questions_is_sent_back_at_once(modern: ModernServer, join: Connect) -> None:
    def work(asked: Asked) -> None:
        if "requestState" in asked.params:
            assert "inputResponses" not in asked.params
            asked.text("done")
        else:
            asked.answer(needs(None, STATE))

    modern.tools["work"] = work
    assert join().call_tool("work").text == "done"
    assert modern.sent("tools/call")[1]["params"]["requestState"] == STATE


@pytest.mark.parametrize("operation", ["resources/read", "prompts/get"])
def test_reading_and_prompting_may_take_rounds_too(operation: str, modern: ModernServer, join: Connect) -> None:
    usual = modern.methods[operation]

    def method(asked: Asked) -> None:
        if "inputResponses" in asked.params:
            usual(asked)
        else:
            asked.answer(needs({"a": FORM}, "s"))

    modern.methods[operation] = method
    client = join(elicitation_handler=accept)
    if operation == "resources/read":
        assert client.read_resource("test://one").contents
    else:
        assert client.get_prompt("greet").messages
    assert len(modern.sent(operation)) == 2


def test_a_tools_stream_goes_on_over_the_rounds(modern: ModernServer, join: Connect) -> None:
    def work(asked: Asked) -> None:
        asked.progress(modern.tool_calls["work"])
        if "inputResponses" in asked.params:
            asked.text("done")
        else:
            asked.answer(needs({"a": FORM}))

    modern.tools["work"] = work
    with within(), join(elicitation_handler=accept).stream_tool("work", timeout=LONG) as stream:
        events = list(stream)
    assert [getattr(event, "progress", None) for event in events] == [1, 2, None]
    assert stream.result.text == "done"


def test_the_rounds_are_bounded(modern: ModernServer, join: Connect) -> None:
    modern.tools["work"] = lambda asked: asked.answer(needs({"a": FORM}, "again"))
    with within(), pytest.raises(MCPProtocolError, match="wanted input"):
        join(elicitation_handler=accept).call_tool("work", timeout=LONG)
    assert 2 <= modern.tool_calls["work"] <= 20


@pytest.mark.parametrize(
    "request_", [FORM, SAMPLE, {"method": "x/unknown"}, {"params": {}}, 7], ids=["form", "sample", "x", "none", "7"]
)
def test_what_no_handler_answers_is_a_clear_error(request_: Any, modern: ModernServer, join: Connect) -> None:
    modern.tools["work"] = lambda asked: asked.answer(needs({"a": request_}))
    with within(), pytest.raises(MCPProtocolError, match="wants input") as caught:
        join(roots=["file:///a"]).call_tool("work", timeout=LONG)
    assert caught.value.outcome == "unknown"
    assert modern.tool_calls["work"] == 1


def test_a_round_that_asks_nothing_and_has_no_state_is_an_error(modern: ModernServer, join: Connect) -> None:
    modern.tools["work"] = lambda asked: asked.answer(needs({}))
    with within(), pytest.raises(MCPProtocolError, match="does not say which"):
        join().call_tool("work", timeout=LONG)
    assert modern.tool_calls["work"] == 1


def test_a_handler_that_fails_ends_the_call_without_its_text(modern: ModernServer, join: Connect) -> None:
    def fail(params: Any) -> Any:
        raise RuntimeError("secret")

    modern.tools["work"] = lambda asked: asked.answer(needs({"a": FORM}))
    with within(), pytest.raises(MCPProtocolError) as caught:
        join(elicitation_handler=fail).call_tool("work", timeout=LONG)
    assert "secret" not in str(caught.value)
    assert modern.tool_calls["work"] == 1


def test_all_rounds_share_one_deadline(modern: ModernServer, join: Connect) -> None:
    def work(asked: Asked) -> None:
        if modern.tool_calls["work"] == 1:
            asked.answer(needs({"a": FORM}))
        else:
            asked.wire.hold()

    modern.tools["work"] = work
    with within(), pytest.raises(MCPTimeoutError) as caught:
        join(elicitation_handler=accept).call_tool("work", timeout=0.5)
    assert caught.value.outcome == "unknown"
    assert caught.value.elapsed is not None
    assert caught.value.elapsed < 3
    assert modern.tool_calls["work"] == 2
