"""What is known of a server's tools."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from mcp_sync import Tool
from mcp_sync.session.catalog import Catalog


def tool(name: str, schema: Any = None, **more: Any) -> Tool:
    return Tool.model_validate({"name": name, "inputSchema": schema or {"type": "object"}, **more})


MIRRORED = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
IMPOSSIBLE = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "a b"}}}


def test_tools_that_say_so_may_run_twice() -> None:
    catalog = Catalog()
    catalog.learn(
        [
            tool("reads", annotations={"readOnlyHint": True}),
            tool("sets", annotations={"idempotentHint": True}),
            tool("destroys", annotations={"destructiveHint": True, "readOnlyHint": False}),
            tool("says nothing"),
        ],
        mirrors=False,
    )
    names = ("reads", "sets", "destroys", "says nothing", "unknown")
    assert [(name in catalog.repeatable) for name in names] == [True, True, False, False, False]


def test_a_new_list_replaces_the_old_one() -> None:
    assert not Catalog().is_known
    catalog = Catalog()
    catalog.learn(
        [tool("a", MIRRORED, annotations={"readOnlyHint": True}, execution={"taskSupport": "required"})], mirrors=True
    )
    assert catalog.is_known
    assert catalog.paths_of("a") == {"Region": ("region",)}
    assert catalog.task_support("a") == "required"
    catalog.learn([tool("a")], mirrors=True)
    assert catalog.paths_of("a") is None
    assert catalog.task_support("a") is None
    assert "a" not in catalog.repeatable


def test_impossible_headers_leave_a_tool_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    catalog = Catalog()
    with caplog.at_level(logging.WARNING):
        usable = catalog.learn([tool("\x1b[31mbad", IMPOSSIBLE), tool("good", MIRRORED)], mirrors=True)
    assert [item.name for item in usable] == ["good"]
    (record,) = caplog.records
    assert "bad" in record.getMessage()
    assert "\x1b" not in record.getMessage()


def test_where_nothing_is_mirrored_annotations_do_not_matter(caplog: pytest.LogCaptureFixture) -> None:
    catalog = Catalog()
    assert len(catalog.learn([tool("bad", IMPOSSIBLE), tool("good", MIRRORED)], mirrors=False)) == 2
    assert catalog.paths_of("good") is None
    assert not caplog.records


@pytest.mark.parametrize(
    ("said", "known"),
    [("required", "required"), ("optional", "optional"), ("forbidden", None), ("sometimes", None), (None, None)],
)
def test_task_support_is_what_the_tool_says(said: Any, known: Any) -> None:
    catalog = Catalog()
    catalog.learn([tool("a", **({} if said is None else {"execution": {"taskSupport": said}}))], mirrors=False)
    assert catalog.task_support("a") == known
    assert catalog.task_support("unknown") is None
