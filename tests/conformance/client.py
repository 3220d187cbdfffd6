"""The program that the official conformance suite starts: one routine per scenario, written as a user would write it.

    python client.py http://localhost:PORT/mcp      # with MCP_CONFORMANCE_SCENARIO set

Runs on the main thread, with nothing but the public API of mcp_sync. The suite watches from the other side: what a
routine asserts here is only what the suite cannot see. An error of mcp_sync ends the program with exit code 3, which
is what some scenarios want; whatever else goes wrong ends it with another.
"""

from __future__ import annotations

import faulthandler
import hashlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Optional

from mcp_sync import ElicitParams, MCPClient, MCPClientError, MCPServerError, TextResourceContents, Tool, ToolError

# The suite's own time limit ends the shell around us and then waits for us all the same.
WATCHDOG_SECONDS = 25.0
# The exit code that says: mcp_sync would not, or could not.
REFUSED = 3

Handler = Callable[[MCPClient], object]

URL = sys.argv[-1]
SCENARIO = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
# The revision that the mock server speaks. Suite 0.1.16 does not say, and `run.py` may not want us to know: then the
# client finds out.
REVISION = None if os.environ.get("MCP_SYNC_FIND_OUT") else os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION")
CONTEXT: Mapping[str, Any] = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")

SKILL = "skill://pdf-processing/SKILL.md"


def list_tools(client: MCPClient) -> None:
    client.list_tools()


def add_numbers(client: MCPClient) -> None:
    client.list_tools()
    client.call_tool("add_numbers", {"a": 5, "b": 3})


def call(name: str) -> Handler:
    """The routine that lists the tools and calls the one named `name`."""

    def listed_and_called(client: MCPClient) -> None:
        assert name in [tool.name for tool in client.list_tools()]
        assert client.call_tool(name).text

    return listed_and_called


def ask_for_everything(client: MCPClient) -> None:
    client.list_tools()
    client.call_tool("test_headers")
    client.read_resource(client.list_resources()[0].uri)
    client.list_prompts()
    client.get_prompt("test_prompt")


def replay(client: MCPClient) -> None:
    """Call what the suite's context says, as it says it: nulls, line breaks and all."""
    client.list_tools()
    for wanted in CONTEXT["toolCalls"]:
        client.call_tool(wanted["name"], wanted["arguments"])


def call_every_tool(client: MCPClient) -> None:
    for tool in client.list_tools():
        try:
            client.call_tool(tool.name, stub_arguments(tool))
        except (MCPServerError, ToolError):
            pass  # the suite only looks at which tools are called


def stub_arguments(tool: Tool) -> dict[str, Any]:
    stubs = {"string": "x", "integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
    properties = tool.input_schema.get("properties", {})
    return {name: stubs.get(properties[name]["type"]) for name in tool.input_schema.get("required", [])}


def give_input(client: MCPClient) -> None:
    for name in ("echo_state", "unrelated", "no_state", "no_result_type"):
        client.call_tool(f"test_mrtr_{name}")


def echo_schema(client: MCPClient) -> None:
    tools = {tool.name: tool for tool in client.list_tools()}
    client.call_tool("json_schema_echo", {"schema": tools["json_schema_2020_12_tool"].input_schema})


def list_skills(client: MCPClient) -> None:
    assert client.request("skills/list")["skills"]


def load_skill(client: MCPClient) -> None:
    """Read a skill and what belongs to it, unless a file is not what the list says it is (SEP-2640, Integrity)."""
    skill = next(entry for entry in client.request("skills/list")["skills"] if entry["uri"] == SKILL)
    # SKILL.md comes first: what it says decides whether anything else is read.
    for resource in sorted(skill["resources"], key=lambda entry: entry["uri"] != SKILL):
        read = client.read_resource(resource["uri"]).contents[0]
        assert isinstance(read, TextResourceContents)
        content = read.text.encode()
        is_as_listed = (
            len(content) == resource["size"]
            and f"sha256:{hashlib.sha256(content).hexdigest()}" == resource["digest"]
            and (resource["uri"] != SKILL or frontmatter(read.text) == skill["frontmatter"])
        )
        if not is_as_listed:
            return
    raise AssertionError("every file is as listed, in a scenario where one is not")


def frontmatter(text: str) -> dict[str, str]:
    """The lines between the two ``---`` of a SKILL.md, which are plain ``key: value`` in the suite's."""
    _, head, _ = text.split("---\n", 2)
    return dict(line.split(": ", 1) for line in head.splitlines())


HANDLERS: dict[str, Handler] = {
    "initialize": list_tools,
    "tools_call": add_numbers,
    "elicitation-sep1034-client-defaults": call("test_client_elicitation_defaults"),
    "sse-retry": call("test_reconnection"),
    "request-metadata": add_numbers,
    "http-standard-headers": ask_for_everything,
    "http-custom-headers": replay,
    "http-invalid-tool-headers": call_every_tool,
    "json-schema-ref-no-deref": list_tools,
    "json-schema-2020-12-preservation": echo_schema,
    "sep-2322-client-request-state": give_input,
    "sep-2640-client-no-prefetch": list_skills,
    "sep-2640-client-verify-digest": load_skill,
    "sep-2640-client-verify-size": load_skill,
    "sep-2640-client-verify-frontmatter": load_skill,
}


def accept_defaults(asked: ElicitParams) -> dict[str, Any]:
    """Accept; a form's defaults are filled in for us."""
    return {"action": "accept", "content": {}}


def confirm(asked: ElicitParams) -> dict[str, Any]:
    return {"action": "accept", "content": {"confirmed": True}}


def refuse(asked: object) -> dict[str, Any]:
    raise AssertionError("nobody should ask this")


# What a client is made with, beside its URL; where it says nothing, it can do nothing for a server.
OPTIONS: dict[str, dict[str, Any]] = {
    "elicitation-sep1034-client-defaults": {"elicitation_handler": accept_defaults},
    "request-metadata": {"elicitation_handler": refuse, "sampling_handler": refuse, "roots": ["file:///work"]},
    "sep-2322-client-request-state": {"elicitation_handler": confirm},
}


def main() -> None:
    faulthandler.dump_traceback_later(WATCHDOG_SECONDS, exit=True)
    handler: Optional[Handler] = HANDLERS.get(SCENARIO)
    if handler is None:
        raise SystemExit(f"there is no routine for the scenario {SCENARIO!r}")
    options = OPTIONS.get(SCENARIO, {})
    try:
        # Exactly this URL: some of the mock servers are at the bare origin.
        with MCPClient(URL, connection_path="", protocol_version=REVISION, timeout=20, **options) as client:
            handler(client)
    except MCPClientError:
        traceback.print_exc()
        sys.exit(REFUSED)


if __name__ == "__main__":
    main()
