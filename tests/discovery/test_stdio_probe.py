"""Finding out what a server over stdio speaks: quirks.md, A (2026-07-28, stdio, Backward Compatibility)."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Callable

import pytest

from mcp_sync import MCPClient, MCPConnectionError, MCPHandshakeError, MCPServerError, MCPTimeoutError
from mcp_sync.discovery import stdio_probe as starting
from tests.support.clock import LONG, within

SERVER = Path(__file__).parent.parent / "support" / "stdio_servers" / "newcomer.py"
PROBE, GREETING = "server/discover", "initialize"
MODERN, LEGACY = "2026-07-28", "2025-11-25"


class Newcomer:
    """A server of one kind: how to start it, and what its processes have noted."""

    def __init__(self, folder: Path, plot: str, gate: bool = False) -> None:
        self._diary = folder / "diary"
        self._diary.touch()
        self.gate = folder / "gate"
        self.argv = [sys.executable, "-S", "-E", str(SERVER), str(self._diary), plot]
        if gate:
            self.argv.append(str(self.gate))

    def diary(self) -> list[str]:
        return self._diary.read_text(encoding="utf-8").splitlines()


Meet = Callable[..., Newcomer]


@pytest.fixture
def meet(tmp_path: Path) -> Meet:
    return lambda plot, **options: Newcomer(tmp_path, plot, **options)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe's silence means something soon, unless a test says otherwise."""
    monkeypatch.setattr(starting, "_PATIENCE", 0.05)


def connected(newcomer: Newcomer, **options: object) -> MCPClient:
    options.setdefault("timeout", LONG)
    with within():
        return MCPClient(newcomer.argv, **options).connect()  # type: ignore[arg-type]  # pytest's options are objects


def test_a_server_that_has_not_read_the_probe_is_waited_for(meet: Meet) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells whether a pipe was read")
    slow = meet("serve", gate=True)
    up = threading.Timer(0.5, slow.gate.touch)  # ten times the patience; a fast machine proves less, not something else
    up.start()
    with connected(slow) as client:
        assert client.protocol_version == MODERN
    up.join()
    assert slow.diary() == ["start", PROBE]


def test_a_late_answer_to_the_probe_settles_it(meet: Meet) -> None:
    slow = meet("answers_late")
    with connected(slow) as client:
        assert client.protocol_version == MODERN
        assert client.list_tools() == []
    assert slow.diary() == ["start", PROBE, GREETING, "tools/list"]


def test_a_refused_initialize_does_not_settle_it_before_the_probe_is_answered(meet: Meet) -> None:
    odd = meet("refuses_first")
    with connected(odd) as client:
        assert client.protocol_version == MODERN
    assert odd.diary() == ["start", PROBE, GREETING]


@pytest.mark.parametrize(
    "plot", ["dies_of_it", "dies_of_the_next_line", "ignores_it", "is_mute", "hangs_on_it", "is_upset_by_it"]
)
def test_a_server_that_does_not_answer_the_probe_is_started_again_unprobed(
    plot: str, meet: Meet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "_LAST_CHANCE", 0.2)
    old = meet(plot)
    with connected(old) as client:
        assert client.protocol_version == LEGACY
        assert client.list_tools() == []
    again = old.diary()[1:].index("start") + 1
    assert old.diary()[again:] == ["start", GREETING, "notifications/initialized", "tools/list"]
    assert old.diary()[:2] == ["start", PROBE]
    assert old.diary().count(PROBE) == 1


def test_a_server_that_refuses_the_probe_late_is_initialized_once(meet: Meet) -> None:
    slow = meet("knows_it_late")
    with connected(slow) as client:
        assert client.protocol_version == LEGACY
    assert slow.diary().count(GREETING) == 1
    assert slow.diary().count("start") == 1


def test_a_server_that_never_reads_is_a_timeout_that_says_so(meet: Meet) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells whether a pipe was read")
    stuck = meet("serve", gate=True)
    with within(), pytest.raises(MCPTimeoutError, match="has not read its stdin") as caught:
        MCPClient(stuck.argv, timeout=0.6).connect()
    assert caught.value.outcome == "not_sent"


def test_a_server_that_refuses_initialize_as_well_is_an_error_that_says_why(meet: Meet) -> None:
    with within(), pytest.raises(MCPHandshakeError, match="no room") as caught:
        MCPClient(meet("refuses_all").argv, timeout=LONG).connect()
    assert isinstance(caught.value.__cause__, MCPServerError)


def test_a_pinned_stateless_revision_is_never_initialized(meet: Meet) -> None:
    old = meet("dies_of_it")
    with within(), pytest.raises(MCPConnectionError):
        MCPClient(old.argv, timeout=LONG, protocol_version=MODERN).connect()
    assert old.diary() == ["start", PROBE]


def test_what_was_found_out_is_remembered(meet: Meet) -> None:
    old = meet("dies_of_the_next_line")
    with connected(old):
        pass
    already = len(old.diary())
    with connected(old) as client:
        assert client.protocol_version == LEGACY
    assert old.diary()[already:] == ["start", GREETING, "notifications/initialized"]
