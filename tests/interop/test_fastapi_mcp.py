"""fastapi-mcp: the operations of a FastAPI app, as tools and as the HTTP service that they are as well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mcp_sync import HTTPStatusError, MCPClient, ToolError

from .conftest import started
from .real_servers import SERVERS, Running

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module", params=["fastapi-sse-mcp", "fastapi-sse", "fastapi-http"])
def shop(request: pytest.FixtureRequest) -> Iterator[Running]:
    with started(SERVERS[request.param]) as running:
        yield running


@pytest.fixture
def client(shop: Running) -> Iterator[MCPClient]:
    with MCPClient(shop.target, timeout=20) as client:
        yield client


def test_an_operation_is_a_tool(client: MCPClient) -> None:
    assert client.call_operation("get_item", {"item_id": 2}) == {"item_id": 2, "name": "Blåbærsyltetøy", "price": 4.5}
    assert client.call_tool("add", {"a": 1.5, "b": 2}).data == {"result": 3.5}


def test_an_operation_that_fails_says_how(client: MCPClient) -> None:
    with pytest.raises(ToolError, match="404") as caught:
        client.call_operation("get_item", {"item_id": 99})
    assert caught.value.result is not None
    assert "Item not found" in caught.value.result.text


def test_arguments_that_do_not_fit_are_the_operations_error(client: MCPClient) -> None:
    with pytest.raises(ToolError):
        client.call_operation("get_item", {"item_id": "not a number"})


def test_a_streaming_operation_is_one_text(client: MCPClient) -> None:
    # The server buffers a StreamingResponse: its lines come together.
    text = client.call_tool("generate_numbers", {"count": 5}).text
    assert [f'"number": {number}' in text for number in range(1, 6)] == [True] * 5


def test_a_streaming_operation_is_iterated(client: MCPClient) -> None:
    events: list[Any] = list(client.call_operation("generate_numbers", {"count": 5}, stream=True))
    assert events
    assert '"number": 5' in str(getattr(events[-1], "text", events[-1]))


def test_the_service_is_called_directly(client: MCPClient) -> None:
    assert client.call_operation("GET:/health") == {"status": "ok"}
    assert client.call_operation("POST:/echo", {"message": "direct"}) == {"message": "direct"}
    with pytest.raises(HTTPStatusError) as caught:
        client.call_operation("GET:/items/99")
    assert caught.value.status == 404


def test_operations_run_side_by_side(client: MCPClient) -> None:
    results = list(client.map("add", [{"a": n, "b": n} for n in range(16)], max_workers=8))
    assert [result.data for result in results] == [{"result": 2.0 * n} for n in range(16)]
