"""The talks of more than one step, driven without a server."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from mcp_sync.errors import MCPHandshakeError, MCPProtocolError
from mcp_sync.protocol.conversations import (
    Agree,
    Ask,
    Tell,
    discover,
    initialize,
    list_pages,
)
from mcp_sync.protocol.revisions import REVISIONS

INFO = {"name": "test", "version": "1"}
ANSWER = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "s", "version": "2"},
    "instructions": "be kind",
}


def drive(conversation: Generator[Any, Any, Any], *replies: Any) -> tuple[list[Any], Any]:
    """Send each reply in turn; returns the steps and what came of it."""
    steps = []
    waiting = iter(replies)
    try:
        step = next(conversation)
        while True:
            steps.append(step)
            step = conversation.send(None if isinstance(step, (Tell, Agree)) else next(waiting))
    except StopIteration as done:
        return steps, done.value


def test_initialize_proposes_agrees_and_confirms_in_this_order() -> None:
    steps, negotiated = drive(initialize(None, INFO, {"roots": {}}), ANSWER)
    ask, agree, tell = steps
    assert ask == Ask(
        "initialize", {"protocolVersion": "2025-11-25", "capabilities": {"roots": {}}, "clientInfo": INFO}
    )
    assert isinstance(agree, Agree)
    assert tell == Tell("notifications/initialized")
    assert negotiated is agree.negotiated
    assert negotiated.revision.version == "2025-06-18"
    assert negotiated.server_info.name == "s"
    assert negotiated.instructions == "be kind"


@pytest.mark.parametrize("version", [row.version for row in REVISIONS.values() if row.has_handshake])
def test_every_revision_with_a_handshake_is_accepted_and_can_be_insisted_on(version: str) -> None:
    answer = {**ANSWER, "protocolVersion": version}
    assert drive(initialize(None, INFO, {}), answer)[1].revision.version == version
    steps, negotiated = drive(initialize(version, INFO, {}), answer)
    assert steps[0].params["protocolVersion"] == negotiated.revision.version == version


@pytest.mark.parametrize("version", ["1999-01-01", "2026-07-28", "", "\x1b[2J"])
def test_a_revision_that_cannot_be_spoken_here_fails_the_handshake(version: str) -> None:
    with pytest.raises(MCPHandshakeError, match="speaks protocol revision") as caught:
        drive(initialize(None, INFO, {}), {**ANSWER, "protocolVersion": version})
    assert "\x1b" not in str(caught.value)


def test_another_revision_than_the_one_insisted_on_fails_the_handshake() -> None:
    with pytest.raises(MCPHandshakeError, match="not 2025-11-25 as protocol_version= demands"):
        drive(initialize("2025-11-25", INFO, {}), ANSWER)


@pytest.mark.parametrize(
    "answer",
    [{}, {**ANSWER, "protocolVersion": 3}, {**ANSWER, "capabilities": None}, {**ANSWER, "serverInfo": "me"}],
)
def test_an_answer_of_a_wrong_shape_fails_the_handshake(answer: dict[str, Any]) -> None:
    with pytest.raises(MCPHandshakeError, match="wrong shape"):
        drive(initialize(None, INFO, {}), answer)


def test_unknown_capabilities_and_fields_do_not_matter() -> None:
    answer = {**ANSWER, "capabilities": {"telepathy": {"range": 3}}, "mood": "good"}
    assert drive(initialize(None, INFO, {}), answer)[1].revision.version == "2025-06-18"


def test_discover_takes_the_newest_revision_both_speak() -> None:
    answer = {"supportedVersions": ["2026-07-28", "2025-11-25", "2099-01-01"], "capabilities": {}}
    steps, negotiated = drive(discover(None), answer)
    assert steps[0].method == "server/discover"
    assert negotiated.revision.version == "2026-07-28"


@pytest.mark.parametrize(
    "answer", [{}, {"supportedVersions": ["2025-11-25"], "capabilities": {}}, {"supportedVersions": "2026-07-28"}]
)
def test_discover_finds_nothing_where_nothing_fits(answer: dict[str, Any]) -> None:
    assert drive(discover(None), answer)[1] is None


def test_all_pages_are_read_in_order() -> None:
    steps, items = drive(
        list_pages("tools/list", "tools"),
        {"tools": [1, 2], "nextCursor": "a"},
        {"tools": [], "nextCursor": "b"},
        {"tools": [3]},
    )
    assert items == [1, 2, 3]
    assert [step.params for step in steps] == [None, {"cursor": "a"}, {"cursor": "b"}]


def test_an_empty_cursor_is_a_cursor() -> None:
    steps, items = drive(list_pages("m", "x"), {"x": [1], "nextCursor": ""}, {"x": [2], "nextCursor": None})
    assert items == [1, 2]
    assert steps[1].params == {"cursor": ""}


def test_a_cursor_that_comes_back_ends_the_reading() -> None:
    page = {"x": [1], "nextCursor": "same"}
    with pytest.raises(MCPProtocolError, match="again and again"):
        drive(list_pages("m", "x"), page, page)


def test_pages_without_end_are_stopped() -> None:
    asked = 0

    def pages() -> Generator[dict[str, Any], None, None]:
        nonlocal asked
        while True:
            asked += 1
            yield {"x": [1], "nextCursor": str(asked)}

    with pytest.raises(MCPProtocolError, match="do not end"):
        drive(list_pages("m", "x"), *(page for _, page in zip(range(1000), pages())))
    with pytest.raises(MCPProtocolError, match="do not end"):
        drive(list_pages("m", "x"), *({"x": [1] * 4000, "nextCursor": str(n)} for n in range(5)))


@pytest.mark.parametrize("page", [{}, {"x": None}, {"x": {}}, {"x": "text"}])
def test_a_page_without_a_list_breaks_the_protocol(page: dict[str, Any]) -> None:
    with pytest.raises(MCPProtocolError, match="has no list of x"):
        drive(list_pages("m", "x"), page)
