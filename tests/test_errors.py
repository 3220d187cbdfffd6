"""The exception tree: what each is, what it says, and that it survives the way to another process."""

from __future__ import annotations

import builtins
import copy
import inspect
import pickle
from typing import Any

import pytest

from mcp_sync import CallToolResult, errors
from mcp_sync.errors import (
    AuthorizationError,
    HTTPStatusError,
    MCPClientError,
    MCPClosedError,
    MCPConnectionError,
    MCPHandshakeError,
    MCPProtocolError,
    MCPServerError,
    MCPStreamError,
    MCPTimeoutError,
    MCPUsageError,
    MessageTooLargeError,
    RateLimitedError,
    SessionExpiredError,
    StreamLostError,
    ToolError,
)

EVERY = [
    found
    for name in errors.__all__
    if inspect.isclass(found := getattr(errors, name)) and issubclass(found, MCPClientError)
]
CONTEXT = {
    "server": "http://a/mcp",
    "method": "tools/call",
    "request_id": 7,
    "elapsed": 1.5,
    "outcome": "unknown",
}


@pytest.mark.parametrize(
    ("kind", "parents"),
    [
        (MCPUsageError, (MCPClientError, ValueError)),
        (MCPConnectionError, (MCPClientError, ConnectionError, OSError)),
        (HTTPStatusError, (MCPConnectionError,)),
        (AuthorizationError, (HTTPStatusError,)),
        (RateLimitedError, (HTTPStatusError,)),
        (SessionExpiredError, (HTTPStatusError,)),
        (MCPHandshakeError, (MCPConnectionError,)),
        (MCPTimeoutError, (MCPClientError, TimeoutError)),
        (MCPStreamError, (MCPClientError,)),
        (StreamLostError, (MCPStreamError, MCPConnectionError)),
        (MCPProtocolError, (MCPClientError,)),
        (MessageTooLargeError, (MCPProtocolError,)),
        (MCPServerError, (MCPClientError,)),
        (ToolError, (MCPClientError,)),
        (MCPClosedError, (MCPClientError,)),
    ],
)
def test_each_is_what_a_caller_may_catch(kind: type[Exception], parents: tuple[type[Exception], ...]) -> None:
    for parent in parents:
        assert issubclass(kind, parent)
    assert not issubclass(kind, getattr(builtins, "BaseExceptionGroup", ()))
    assert issubclass(kind, Exception)


def test_a_timeout_is_not_a_lost_connection_and_a_tools_failure_is_neither() -> None:
    assert not issubclass(MCPTimeoutError, MCPConnectionError)
    assert not issubclass(ToolError, (MCPConnectionError, MCPServerError))
    assert not issubclass(MCPServerError, MCPConnectionError)


@pytest.mark.parametrize("kind", EVERY)
def test_each_has_a_docstring_and_a_place_in_the_drawing(kind: type[Exception]) -> None:
    assert inspect.getdoc(kind)
    assert kind.__name__ in (errors.__doc__ or "")


def _made(kind: Any) -> MCPClientError:
    special: dict[str, Any] = {}
    if issubclass(kind, HTTPStatusError):
        special = {"status": 429, "headers": {"a": "b"}, "body": "text", "retry_after": 3.0}
    elif issubclass(kind, MCPStreamError):
        special = {"events_received": 4}
    elif kind is MCPServerError:
        special = {"code": -32601, "data": {"a": [1]}}
    elif kind is ToolError:
        special = {"result": CallToolResult.model_validate({"content": [], "isError": True, "extra": 1})}
    made: MCPClientError = kind("what happened", **CONTEXT, **special)
    return made


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_each_can_be_pickled_with_everything_it_knows(kind: Any, protocol: int) -> None:
    error = _made(kind)
    twin = pickle.loads(pickle.dumps(error, protocol))
    assert type(twin) is kind
    assert twin.__dict__ == error.__dict__
    assert str(twin) == str(error)


@pytest.mark.parametrize("kind", EVERY)
def test_each_can_be_copied_and_made_without_arguments(kind: Any) -> None:
    error = _made(kind)
    assert copy.copy(error).__dict__ == error.__dict__
    assert str(copy.deepcopy(error)) == str(error)
    assert isinstance(str(kind()), str)


@pytest.mark.parametrize("kind", EVERY)
def test_a_copy_for_another_caller_is_chained_to_the_same_cause(kind: Any) -> None:
    error, cause = _made(kind), OSError("down")
    error.__cause__ = cause
    twin = error.again()
    assert twin is not error
    assert type(twin) is kind
    assert twin.__cause__ is cause
    twin.outcome = "refused"
    assert error.outcome == "unknown"


def test_a_copy_of_an_error_without_a_cause_is_chained_to_the_error() -> None:
    error = MCPConnectionError("down")
    assert error.again().__cause__ is error


def test_context_is_filled_in_where_nothing_is_known_yet() -> None:
    error = MCPTimeoutError("late", outcome="not_sent")
    assert error.during(server="s", method="m", request_id=0, elapsed=0.0, outcome="unknown") is error
    assert (error.server, error.method, error.request_id, error.elapsed) == ("s", "m", 0, 0.0)
    assert error.outcome == "not_sent"
    assert error.during(method="other").method == "m"


def test_the_text_says_what_where_and_whether_it_may_have_run() -> None:
    assert str(_made(MCPTimeoutError)) == "what happened [tools/call at http://a/mcp; outcome: unknown]"
    assert str(MCPTimeoutError("late")) == "late"
    assert MCPTimeoutError("late", method="m").message == "late"
    assert str(_made(MCPServerError)).endswith("(code -32601)")
    assert repr(MCPTimeoutError("late")) == "MCPTimeoutError('late')"


@pytest.mark.parametrize("kind", EVERY)
def test_what_a_server_says_cannot_drive_a_terminal(kind: Any) -> None:
    error = kind("\x1b[2J\x9b\u202e\r", server="http://a/\x1b", method="m\x07")
    assert not set("\x1b\x9b\u202e\r\x07") & set(str(error) + repr(error))
