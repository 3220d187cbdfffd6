"""What a client sends to a server of each revision, against the official schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mcp_sync import MCPClient, MCPTimeoutError
from tests.support.fault_server import FaultServer
from tests.transports.streamable_http.modern import ModernServer

from . import schemas
from .schemas import REVISIONS, assert_valid, definitions, needs_spec

pytest.importorskip("jsonschema", reason="jsonschema checks documents against the official schemas")
pytestmark = needs_spec

FORM = {"type": "object", "properties": {"name": {"type": "string"}}}
ASKED: dict[str, dict[str, Any]] = {
    "roots/list": {},
    "sampling/createMessage": {
        "messages": [{"role": "user", "content": {"type": "text", "text": "2 + 2?"}}],
        "maxTokens": 10,
    },
    "elicitation/create": {"message": "?", "requestedSchema": FORM},
}
RESULTS = {
    "roots/list": "ListRootsResult",
    "sampling/createMessage": "CreateMessageResult",
    "elicitation/create": "ElicitResult",
}
# What a client sends at other times, or never.
NOT_HERE = {
    "notifications/progress",
    "notifications/roots/list_changed",
    "notifications/tasks/status",
    "subscriptions/listen",
    "tasks/cancel",
    "tasks/get",
    "tasks/list",
    "tasks/result",
}


@pytest.fixture(params=REVISIONS)
def server(request: pytest.FixtureRequest) -> Iterator[FaultServer]:
    with ModernServer() if request.param == REVISIONS[-1] else FaultServer("http") as server:
        server.protocol_version = request.param
        server.answers = "sse"
        yield server


def definition_of(revision: str, method: str) -> str:
    """The name of the schema's definition of the messages with this method."""
    found = [
        name
        for name, schema in definitions(revision).items()
        if schema.get("properties", {}).get("method", {}).get("const") == method
    ]
    assert len(found) == 1, f"{revision} has {found} for {method}"
    return found[0]


def methods_of_clients(revision: str) -> set[str]:
    """The methods of all that a client may send; some of the definitions are unions, and one is a message itself."""
    named = definitions(revision)
    names = {*schemas.references([named["ClientRequest"], named["ClientNotification"]])}
    found = {named[name].get("properties", {}).get("method", {}).get("const") for name in names} - {None}
    assert len(found) > 8
    return found


def use(client: MCPClient) -> None:
    """Ask for all that every revision has."""
    client.list_tools()
    client.list_prompts()
    client.list_resources()
    client.list_resource_templates()
    client.call_tool("echo")
    client.call_tool("progress", {"count": 1}, on_progress=lambda _: None, meta={"com.example/trace": "t"})
    client.read_resource("test://one")
    client.get_prompt("greet")
    client.get_prompt("greet", {"name": "Ada"})
    client.complete("greet", "name", "o")
    client.complete({"type": "ref/resource", "uri": "file:///{path}"}, "path", "", context={"other": "value"})
    with pytest.raises(MCPTimeoutError):
        client.call_tool("never", timeout=0.2)


def use_session(client: MCPClient, revision: str) -> None:
    """Ask for, and answer, what only revisions with sessions have."""
    client.ping()
    client.set_logging_level("info")
    client.subscribe_resource("test://one")
    client.unsubscribe_resource("test://one")
    for method, params in ASKED.items():
        answer = json.loads(client.call_tool("ask", {"method": method, "params": params}).text)
        definition = RESULTS[method]
        if definition in definitions(revision):
            assert_valid(revision, definition, answer["result"])


def test_each_message_is_what_the_revision_allows(server: FaultServer) -> None:
    revision = str(server.protocol_version)
    with MCPClient(
        server.mcp_url,
        protocol_version=revision,
        sampling_handler=lambda _: {"role": "assistant", "content": {"type": "text", "text": "4"}, "model": "m"},
        elicitation_handler=lambda _: {"action": "accept", "content": {"name": "Ada"}},
        roots=["file:///a"],
    ) as client:
        use(client)
        if revision != REVISIONS[-1]:
            use_session(client, revision)
            server.wait_for_method("notifications/cancelled")
    sent = [message for request in server.requests for message in request.messages if "method" in message]
    for message in sent:
        assert_valid(revision, definition_of(revision, message["method"]), message)
    assert methods_of_clients(revision) - NOT_HERE <= {message["method"] for message in sent}
