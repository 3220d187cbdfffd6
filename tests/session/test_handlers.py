"""The user's functions: what each gets, what it may return, and what becomes of its mistakes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from mcp_sync import (
    CreateMessageResult,
    ElicitResult,
    LogMessage,
    MCPUsageError,
    Notification,
    Progress,
    Root,
    TextContent,
)
from mcp_sync.session.handlers import Handlers, Refusal, event_of, notification_of

SAMPLE = {"role": "assistant", "content": {"type": "text", "text": "4"}, "model": "abacus"}
SAMPLE_PARAMS = {"messages": [{"role": "user", "content": {"type": "text", "text": "?"}}], "maxTokens": 10}
FORM = {
    "message": "Who?",
    "requestedSchema": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "default": 30}},
        "required": ["name"],
    },
}


def test_nothing_is_declared_and_nothing_answered_without_a_handler() -> None:
    handlers = Handlers()
    assert handlers.capabilities({}) == {}
    for method in ("sampling/createMessage", "elicitation/create", "roots/list", "ping", ""):
        assert not handlers.can_answer(method)
        with pytest.raises(Refusal) as caught:
            handlers.answer(method, {})
        assert caught.value.code == -32601


@pytest.mark.parametrize(
    "given",
    [
        SAMPLE,
        {**SAMPLE, "stopReason": "endTurn"},
        CreateMessageResult(role="assistant", content=TextContent(text="4"), model="abacus"),
    ],
    ids=["a dict", "with more", "a model"],
)
def test_a_sampling_handler_may_return_a_model_or_a_dict(given: Any) -> None:
    handlers = Handlers(sampling=lambda params: given)
    answer = handlers.answer("sampling/createMessage", SAMPLE_PARAMS)
    assert answer["model"] == "abacus"
    assert answer["content"] == {"type": "text", "text": "4"}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"action": "accept", "content": {"name": "me"}}, {"action": "accept", "content": {"name": "me", "age": 30}}),
        (
            {"action": "accept", "content": {"name": "me", "age": 5}},
            {"action": "accept", "content": {"name": "me", "age": 5}},
        ),
        ({"action": "decline", "content": {"name": "me"}}, {"action": "decline"}),
        ({"action": "cancel"}, {"action": "cancel"}),
        (ElicitResult(action="decline"), {"action": "decline"}),
    ],
)
def test_an_elicitation_is_answered_with_its_defaults_filled_in_and_content_only_when_accepted(
    given: Any, sent: dict[str, Any]
) -> None:
    assert Handlers(elicitation=lambda params: given).answer("elicitation/create", FORM) == sent


def test_a_url_elicitation_is_shown_and_has_no_content() -> None:
    seen = []

    def handler(params: Any) -> Any:
        seen.append((params.is_url, params.url))
        return {"action": "accept", "content": {"x": 1}}

    params = {"mode": "url", "message": "Go", "url": "https://a/b", "elicitationId": "1"}
    assert Handlers(elicitation=handler).answer("elicitation/create", params) == {"action": "accept"}
    assert seen == [(True, "https://a/b")]


@pytest.mark.parametrize("bad", [{"action": "agree"}, {}, None, 7])
def test_an_elicitation_answered_otherwise_is_an_internal_error(bad: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL), pytest.raises(Refusal) as caught:
        Handlers(elicitation=lambda params: bad).answer("elicitation/create", FORM)
    assert caught.value.code == -32603


def test_roots_are_uris_paths_or_models(tmp_path: Path) -> None:
    handlers = Handlers(roots=["file:///a", tmp_path, str(tmp_path), Root(uri="file:///b", name="b")])
    listed = handlers.answer("roots/list", {})["roots"]
    assert listed == [
        {"uri": "file:///a"},
        {"uri": tmp_path.as_uri()},
        {"uri": tmp_path.as_uri()},
        {"uri": "file:///b", "name": "b"},
    ]


@pytest.mark.parametrize("failure", [ValueError("secret"), RecursionError("secret")])
def test_what_a_handler_raises_stays_here(failure: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def fail(params: Any) -> Any:
        raise failure

    with caplog.at_level(logging.CRITICAL), pytest.raises(Refusal) as caught:
        Handlers(sampling=fail).answer("sampling/createMessage", SAMPLE_PARAMS)
    assert caught.value.code == -32603
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("failure", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_what_is_no_exception_is_left_to_who_asks(failure: BaseException) -> None:
    def leave(params: Any) -> Any:
        raise failure

    with pytest.raises(type(failure)) as caught:
        Handlers(sampling=leave).answer("sampling/createMessage", SAMPLE_PARAMS)
    assert caught.value is failure


def test_parameters_of_a_wrong_shape_are_refused_before_the_handler() -> None:
    called = []

    def sample(params: Any) -> Any:
        called.append(params)
        return SAMPLE

    handlers = Handlers(sampling=sample)
    with pytest.raises(Refusal) as caught:
        handlers.answer("sampling/createMessage", {"messages": 5})
    assert caught.value.code == -32602
    assert called == []


@pytest.mark.parametrize("name", ["sampling", "elicitation", "log", "progress", "notification"])
def test_a_handler_that_cannot_be_called_is_a_usage_error(name: str) -> None:
    options: dict[str, Any] = {name: 7}
    with pytest.raises(MCPUsageError, match=f"{name}_handler must be a function, not int"):
        Handlers(**options)


# Notifications

LOG = {"method": "notifications/message", "params": {"level": "info", "data": {"a": 1}}}
PROGRESS = {"method": "notifications/progress", "params": {"progressToken": 1, "progress": 2}}
OTHER = {"method": "notifications/x", "params": {"a": 1}}


def tell(handlers: Handlers, message: dict[str, Any]) -> None:
    job = handlers.notified(message)
    if job is not None:
        job()


def test_each_handler_hears_what_is_its_own() -> None:
    logs: list[Any] = []
    progress: list[Any] = []
    others: list[Any] = []
    handlers = Handlers(log=logs.append, progress=progress.append, notification=others.append)
    for message in (LOG, PROGRESS, OTHER):
        tell(handlers, message)
    assert [type(item) for item in logs] == [LogMessage]
    assert [type(item) for item in progress] == [Progress]
    assert [item.method for item in others] == ["notifications/message", "notifications/x"]
    assert {type(item) for item in others} == {Notification}


def test_nobody_is_told_where_nobody_listens() -> None:
    assert Handlers().notified(LOG) is None
    assert Handlers(log=print).notified(PROGRESS) is None
    assert not Handlers().wants_progress
    assert Handlers(progress=print).wants_progress


@pytest.mark.parametrize(
    "bad",
    [
        {"method": "notifications/message"},
        {"method": "notifications/message", "params": []},
        {"method": "notifications/message", "params": {"level": 7}},
        {"method": "notifications/progress", "params": {"progress": "x"}},
        {"method": "notifications/x", "params": [1]},
        {"method": "notifications/x", "params": "text"},
    ],
    ids=str,
)
def test_a_notification_of_a_wrong_shape_harms_nobody(bad: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Any] = []
    with caplog.at_level(logging.CRITICAL):
        tell(Handlers(log=heard.append, progress=heard.append), bad)
    assert heard == []


@pytest.mark.parametrize("failure", [ValueError("x"), SystemExit(1), KeyboardInterrupt()])
def test_a_log_handler_that_raises_does_not_keep_the_notification_handler_from_hearing(
    failure: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(message: Any) -> None:
        raise failure

    heard: list[Any] = []
    with caplog.at_level(logging.CRITICAL):
        tell(Handlers(log=fail, notification=heard.append), LOG)
    assert len(heard) == 1


def test_an_event_is_shown_as_what_it_is() -> None:
    assert isinstance(event_of(LOG), LogMessage)
    assert isinstance(event_of(PROGRESS), Progress)
    assert isinstance(event_of(OTHER), Notification)
    assert isinstance(event_of({"method": "notifications/message", "params": {"level": 7}}), Notification)
    assert notification_of({"method": "notifications/x"}).params == {}
    assert notification_of({"method": "notifications/x", "params": [1, 2]}).params == {}
    assert isinstance(event_of({"method": "notifications/message", "params": [7]}), Notification)
