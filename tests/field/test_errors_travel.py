"""An error on its way to another program: through pickle, copies, and JSON result backends, which keep a class and its
``args``.
"""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from importlib.util import find_spec
from typing import Any, Callable

import pytest

from mcp_sync import (
    CallToolResult,
    HTTPStatusError,
    MCPClient,
    MCPClientError,
    MCPClosedError,
    MCPConnectionError,
    MCPHandshakeError,
    MCPServerError,
    MCPTimeoutError,
    MCPUsageError,
    RateLimitedError,
    SessionExpiredError,
    StreamLostError,
    ToolError,
    errors,
)
from tests.support.fault_server import FaultServer, reset, status

EVERY = [found for name in errors.__all__ if inspect.isclass(found := getattr(errors, name)) and name.endswith("Error")]
KEPT = ("server", "method", "request_id", "elapsed", "outcome", "retryable", "message")
MORE = ("status", "body", "retry_after", "transient", "events_received", "code", "data")


def through_json(error: Any) -> Any:
    return type(error)(*json.loads(json.dumps(error.args)))


def through_celery(error: Any) -> Any:
    celery = pytest.importorskip("celery", reason="celery is not installed")
    from celery.backends.base import Backend

    backend = Backend(celery.Celery("tests", broker="memory://"), serializer="json")
    return backend.exception_to_python(backend.decode(backend.encode(backend.prepare_exception(error))))


WAYS: list[Any] = [
    pytest.param(lambda error: pickle.loads(pickle.dumps(error)), id="pickle"),
    pytest.param(copy.copy, id="copy"),
    pytest.param(copy.deepcopy, id="deepcopy"),
    pytest.param(lambda error: type(error)(*error.args), id="args"),
    pytest.param(through_json, id="json"),
    pytest.param(
        through_celery,
        id="celery",
        marks=pytest.mark.skipif(find_spec("celery") is None, reason="celery is not installed"),
    ),
    pytest.param(lambda error: through_json(pickle.loads(pickle.dumps(through_json(error)))), id="several"),
]


def known(error: MCPClientError) -> dict[str, Any]:
    return {name: getattr(error, name) for name in (*KEPT, *MORE) if hasattr(error, name)}


def make(kind: Any) -> MCPClientError:
    special: dict[str, Any] = {}
    if issubclass(kind, HTTPStatusError):
        special = {"status": 429, "headers": {"Retry-After": "3"}, "body": "text", "retry_after": 3.0}
    elif issubclass(kind, errors.MCPStreamError):
        special = {"events_received": 4}
    elif kind is MCPServerError:
        special = {"code": -32601, "data": {"a": [1]}}
    context = {"server": "http://a/mcp", "method": "tools/call", "request_id": 7, "elapsed": 1.5}
    made: MCPClientError = kind("what happened", outcome="not_sent", **context, **special)
    return made


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", EVERY)
def test_what_an_error_knows_it_knows_at_the_other_end(kind: Any, way: Callable[[Any], Any]) -> None:
    error = make(kind)
    twin = way(error)
    assert type(twin) is kind
    assert known(twin) == known(error)
    assert str(twin) == str(error)


@pytest.mark.parametrize("way", WAYS)
def test_what_becomes_known_later_goes_along(way: Callable[[Any], Any]) -> None:
    error = MCPConnectionError("down")
    error.during(server="s", method="m", elapsed=2.0)
    error.outcome = "refused"
    assert known(way(error)) == known(error)


@pytest.mark.parametrize("kind", EVERY)
def test_an_error_that_cannot_know_says_unknown(kind: Any) -> None:
    for made in (kind(), kind("what happened"), kind("what happened", "what a backend made of the details")):
        assert made.outcome == "unknown"
        assert not made.retryable


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_stays_an_answer(way: Callable[[Any], Any]) -> None:
    """Whether the tool ran is no question then."""
    for error in (
        ToolError("no", result=CallToolResult(content=[]), method="tools/call"),
        MCPServerError("no", code=-32602),
    ):
        assert error.outcome is None
        assert way(error).outcome is None
        assert not way(error).retryable


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("outcome", ["unknown", None])
def test_what_may_have_run_is_never_retryable(kind: Any, outcome: Any) -> None:
    error = make(kind)
    error.outcome = outcome
    assert not error.retryable


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MCPConnectionError("refused", outcome="not_sent"), True),
        (MCPTimeoutError("late", outcome="not_sent"), True),
        (RateLimitedError("slow", status=429, outcome="refused"), True),
        (HTTPStatusError("away", status=503, outcome="not_sent"), True),
        (SessionExpiredError("gone", status=404, outcome="refused"), True),
        (HTTPStatusError("bad", status=400, outcome="refused"), False),
        (errors.AuthorizationError("who", status=401, outcome="refused"), False),
        (MCPUsageError("no", outcome="not_sent"), False),
        (MCPHandshakeError("html", outcome="not_sent"), False),
        (MCPClosedError("closed", outcome="not_sent"), False),
        (StreamLostError("broke", outcome="unknown"), False),
    ],
)
def test_retryable_is_what_did_not_run_and_may_go_well_next_time(error: MCPClientError, expected: bool) -> None:
    assert error.retryable is expected


@pytest.mark.parametrize("way", WAYS)
def test_errors_of_real_calls_travel(
    way: Callable[[Any], Any], http_server: FaultServer, make_client: Callable[..., MCPClient]
) -> None:
    client = make_client(http_server.mcp_url, transport="http", max_retries=0)
    client.connect()
    for do, outcome in ((reset, "unknown"), (status(429, headers={"Retry-After": "7"}), "refused")):
        http_server.instead("tools/call", do)
        with pytest.raises(MCPConnectionError) as caught:
            client.call_tool("echo")
        assert caught.value.outcome == outcome
        assert caught.value.retryable is (outcome == "refused")
        assert known(way(caught.value)) == known(caught.value)
    assert getattr(caught.value, "retry_after", None) == 7
    assert isinstance(caught.value, RateLimitedError)
    with pytest.raises(ToolError) as failed:
        client.call_tool("fail")
    assert known(way(failed.value)) == known(failed.value)
