"""server-everything: what only it shows, over each of its transports."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import pytest

from mcp_sync import LogMessage, MCPClient, Notification

from .behaviour import take
from .conftest import started
from .real_servers import SERVERS, Running

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module", params=["everything-sse", "everything-http", "everything-stdio"])
def everything(request: pytest.FixtureRequest) -> Iterator[Running]:
    with started(SERVERS[request.param]) as running:
        yield running


@pytest.fixture
def client(everything: Running) -> Iterator[MCPClient]:
    with MCPClient(everything.target, timeout=20) as client:
        yield client


def test_each_kind_of_content_has_its_model(client: MCPClient) -> None:
    image: Any = next(block for block in client.call_tool("get-tiny-image", {}).content if block.type == "image")
    assert image.mime_type == "image/png"
    assert image.decode().startswith(b"\x89PNG")
    links = [block for block in client.call_tool("get-resource-links", {"count": 3}).content if block.type != "text"]
    assert [link.type for link in links] == ["resource_link"] * 3
    annotated: Any = client.call_tool("get-annotated-message", {"messageType": "error", "includeImage": False})
    assert annotated.content[0].annotations.priority == 1.0
    reference = client.call_tool("get-resource-reference", {"resourceType": "Text", "resourceId": 1})
    embedded: Any = next(block for block in reference.content if block.type == "resource")
    assert "Resource 1" in embedded.resource.text


def test_structured_content_agrees_with_its_text(client: MCPClient) -> None:
    result = client.call_tool("get-structured-content", {"location": "Chicago"})
    assert result.structured_content is not None
    assert set(result.structured_content) == {"temperature", "conditions", "humidity"}
    assert result.data == result.structured_content


def test_a_subscriber_is_told_of_simulated_updates(everything: Running) -> None:
    told: queue.Queue[Notification] = queue.Queue()
    with MCPClient(everything.target, timeout=20, notification_handler=told.put) as client:
        uri = everything.server.dialect.note_uri
        client.subscribe_resource(uri)
        client.call_tool("toggle-subscriber-updates", {})
        try:
            while True:
                notification = take(told, 10)
                if notification.method == "notifications/resources/updated":
                    break
            assert notification.params["uri"] == uri
        finally:
            client.call_tool("toggle-subscriber-updates", {})
        client.unsubscribe_resource(uri)


def test_simulated_log_messages_arrive(everything: Running) -> None:
    told: queue.Queue[LogMessage] = queue.Queue()
    with MCPClient(everything.target, timeout=20, log_handler=told.put, log_level="debug") as client:
        client.call_tool("toggle-simulated-logging", {})
        try:
            while "level" not in str(take(told, 10).data):
                pass
        finally:
            client.call_tool("toggle-simulated-logging", {})


def test_a_completion_uses_its_context(client: MCPClient) -> None:
    reference = {"type": "ref/prompt", "name": "completable-prompt"}
    completion = client.complete(reference, "name", "", context={"department": "Sales"}).completion
    assert completion.values == ["David", "Eve", "Frank"]


def test_a_prompt_may_embed_a_resource(client: MCPClient) -> None:
    prompt = client.get_prompt("resource-prompt", {"resourceType": "Text", "resourceId": "3"})
    content: Any = prompt.messages[1].content
    assert content.type == "resource"
    assert "Resource 3" in content.resource.text
