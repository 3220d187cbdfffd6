"""Values that would lead a direct HTTP call to another place than its path names: nothing is sent for them."""

from __future__ import annotations

import pickle
from typing import Any, Callable

import pytest

from mcp_sync import HTTPStatusError, MCPClient, MCPUsageError
from tests.support.fault_server import FaultServer, status

Connect = Callable[..., MCPClient]
SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        ".",
        "..",
        "../..",
        "..\\..",
        "a/../b",
        "/..",
        "../",
        "%2e%2e",
        "%252e%2e",
        ".%2E",
        "..;a=b",
        "..\t",
        "..\0",
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_value_that_leaves_its_segment_is_refused(
    value: str, stream: bool, server: FaultServer, client: MCPClient
) -> None:
    client.ping()
    before = len(server.requests)
    with pytest.raises(MCPUsageError, match="another place") as caught:
        list(client.call_operation("DELETE:/tenants/{t}/items/{id}", {"t": value, "id": ".."}, stream=stream) or ())
    assert caught.value.outcome == "not_sent"
    with pytest.raises(MCPUsageError):
        client.call_operation("DELETE:/tenants/{t}/items/{id}", {"t": "1", "id": value})
    assert len(server.requests) == before


@pytest.mark.parametrize("path", ["/files/.{name}", "/files/{name}.", "/files/.{name}/x"])
def test_a_value_that_makes_dots_of_its_segment_is_refused(path: str, client: MCPClient) -> None:
    with pytest.raises(MCPUsageError):
        client.call_operation(f"GET:{path}", {"name": "."})


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("a/b", "a%2Fb"),
        ("a//b", "a%2F%2Fb"),
        ("https://example.com/x", "https%3A%2F%2Fexample.com%2Fx"),
        ("...", "..."),
        (".hidden", ".hidden"),
        ("a..b", "a..b"),
        ("50%", "50%25"),
        (0, "0"),
    ],
)
def test_any_other_value_is_sent_as_it_is(value: object, sent: str, server: FaultServer, client: MCPClient) -> None:
    server.instead(lambda request: request.target.startswith("/items/"), status(200, "1"))
    client.call_operation("GET:/items/{id}/parts?q={q}", {"id": value, "q": ".."})
    assert server.requests[-1].target == f"/items/{sent}/parts?q=.."


def test_the_query_of_a_path_is_in_no_error(server: FaultServer, client: MCPClient) -> None:
    server.instead(lambda request: request.path == "/health", status(500, "no"), times=2)
    name = f"GET:/health?token={SECRET}"
    errors: list[Any] = []
    for call in (
        lambda: client.call_operation(name),
        lambda: list(client.call_operation(name, stream=True)),
        lambda: client.call_operation(f"GET:/x/{{id}}?token={SECRET}"),
        lambda: client.call_operation(f"GET:/x/{{id}}?token={SECRET}", {"id": ".."}),
        lambda: client.call_operation(f"GET://elsewhere/?token={SECRET}"),
    ):
        with pytest.raises((HTTPStatusError, MCPUsageError)) as caught:
            call()
        errors.append(caught.value)
    assert errors[0].method == "GET:/health"
    for error in errors:
        assert SECRET not in str(error) + repr(error) + repr(vars(error)) + repr(pickle.dumps(error))
