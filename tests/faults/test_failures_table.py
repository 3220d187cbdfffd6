"""docs/failures.md: each row of its table, provoked over each transport, is the error with the outcome that it says.

The README's shorter table must not say otherwise.
"""

from __future__ import annotations

import builtins
import re
import sys
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

import mcp_sync
from mcp_sync import MCPClient, MCPClientConfig, MCPClientError
from tests.support import inside
from tests.support.beds import ALL, Bed
from tests.support.clock import LONG, within
from tests.support.fault_server import ALWAYS, Asked, Request, Wire, hold, status

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
COLUMNS = {"sse": 1, "http-json": 2, "http-sse": 2, "stateless": 2, "stdio": 3}
SHORT = 0.4


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of the table that begins with this column."""
    found = text.partition(f"\n| {heading} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in found.splitlines()[2:]]


def claims(cell: str) -> set[tuple[str, Optional[str]]]:
    """What a cell says: "`Error` `outcome`", several with "or"; an empty set for a dash."""
    found = re.findall(r"`(\w+Error)`(?: `(\w+)`)?", cell)
    assert found or cell == "\u2013", cell
    return {(name, outcome or None) for name, outcome in found}


def html(wire: Wire, request: Request) -> None:
    wire.respond(200, "<html>welcome</html>", {"content-type": "text/html"})


def call(bed: Bed, name: str = "echo", **options: Any) -> Any:
    with bed.make(**{"timeout": LONG, "max_retries": 0, **options}) as client:
        return client.call_tool(name)


def on_call(do: Callable[[Wire, Request], None], **options: Any) -> Callable[[Bed], Any]:
    def provoke(bed: Bed) -> Any:
        bed.server.instead("tools/call", do, ALWAYS)
        return call(bed, **options)

    return provoke


def with_tool(do: Callable[[Bed, Asked], None], **options: Any) -> Callable[[Bed], Any]:
    def provoke(bed: Bed) -> Any:
        bed.tool("it", lambda asked: do(bed, asked))
        return call(bed, "it", **options)

    return provoke


def unreachable(bed: Bed) -> Any:
    if bed.name == "stdio":
        return MCPClient(["no-such-command-anywhere"]).connect()
    bed.server.stop_listening()
    return call(bed)


def something_else(bed: Bed) -> Any:
    if bed.name == "stdio":
        return MCPClient([sys.executable, "-c", "print('usage: me')"], timeout=LONG).connect()
    bed.server.instead(lambda request: True, html, ALWAYS)
    return call(bed)


def silent_from_the_start(bed: Bed) -> Any:
    if bed.name == "stdio":
        return MCPClient([sys.executable, "-c", "import sys; sys.stdin.read()"], timeout=SHORT).connect()
    bed.server.instead(lambda request: True, hold, ALWAYS)
    return call(bed, timeout=SHORT)


def stream_breaks(bed: Bed) -> Any:
    def cut(asked: Asked) -> None:
        asked.progress(1)
        bed.break_off(asked, "cut")

    bed.tool("it", cut)
    with bed.make(timeout=LONG, max_retries=0) as client, client.stream_tool("it") as stream:
        return list(stream)


def too_long(bed: Bed, asked: Asked) -> None:
    asked.text("x" * 100_000)


def not_json(bed: Bed, asked: Asked) -> None:
    if bed.name == "http-json":
        asked.wire.respond(200, b'{"jsonrpc": "2.0", "id"', {"content-type": "application/json"})
        return
    cut = b'{"jsonrpc": "2.0", "id": %d, "result": {"content"' % asked.id
    bed.stream(asked).send(cut + b"\n" if bed.name == "stdio" else b"data: " + cut + b"\n\n")
    if not bed.is_shared:
        bed.stream(asked).end()


def cancelled(bed: Bed) -> Any:
    with bed.make(timeout=LONG) as client, client.stream_tool("it") as stream:
        bed.tool("it", lambda asked: stream.cancel())
        list(stream)
        return stream.result


def closed(bed: Bed) -> Any:
    bed.tool("it", lambda asked: None)
    with bed.make(timeout=LONG) as client:
        future = client.submit("it")
        bed.server.wait_for_call("it")
        client.close()
        return future.result(timeout=LONG)


def elsewhere(wire: Wire, request: Request) -> None:
    wire.respond(307, "", {"location": "http://127.0.0.1:9/"})


def redirected(wire: Wire, request: Request) -> None:
    wire.respond(302, "", {"location": "/"})


def call_nonsense(bed: Bed) -> Any:
    with bed.make(timeout=LONG) as client:
        return client.call_tool("echo", {"x": float("nan")})


SCENARIOS: dict[str, Callable[[Bed], Any]] = {
    "the server cannot be reached, or its command not started": unreachable,
    "something answers, but not as an MCP server": something_else,
    "nothing answers while the client connects": silent_from_the_start,
    "HTTP status 401 or 403": on_call(status(401, "no")),
    "HTTP status 429": on_call(status(429, "no", {"retry-after": "7"})),
    "HTTP status 503": on_call(status(503, "no", {"retry-after": "7"})),
    "another HTTP status 4xx": on_call(status(400, "no")),
    "another HTTP status 5xx": on_call(status(500, "no")),
    "a redirect to another origin": on_call(elsewhere),
    "a redirect that would turn the POST into a GET": on_call(redirected),
    "an answer that is no answer (an HTML page)": on_call(html, timeout=1.0),
    "the server has forgotten the session": on_call(status(404, "gone")),
    "the connection broke, or the process ended, during a call": with_tool(
        lambda bed, asked: bed.break_off(asked, "cut")
    ),
    "… during a stream": stream_breaks,
    "no answer within `timeout`": with_tool(lambda bed, asked: None, timeout=SHORT),
    "the tool failed": with_tool(lambda bed, asked: asked.text("no", isError=True)),
    "the server answered with an error": with_tool(lambda bed, asked: asked.error(-32602, "no")),
    "an answer that is not JSON": with_tool(not_json, timeout=1.0),
    "an answer of a wrong shape": with_tool(lambda bed, asked: asked.answer({"content": 7})),
    "an answer over `max_message_bytes`": with_tool(too_long, max_message_bytes=50_000),
    "the call was cancelled": cancelled,
    "the client was closed meanwhile": closed,
    "the call makes no sense": call_nonsense,
}


def test_every_row_is_provoked_and_nothing_is_provoked_that_has_no_row() -> None:
    assert [row[0] for row in table(PAGE, "what happened")] == list(SCENARIOS)


@pytest.mark.parametrize("bed", ALL, indirect=True)
@pytest.mark.parametrize("row", table(PAGE, "what happened"), ids=lambda row: row[0])
def test_a_row_says_what_happens(row: list[str], bed: Bed) -> None:
    expected = claims(row[COLUMNS[bed.name]])
    if not expected or (bed.name == "stateless" and "session" in row[0]):  # it has no sessions
        pytest.skip("does not happen over this transport")
    with within(), pytest.raises(MCPClientError) as caught:
        SCENARIOS[row[0]](bed)
    assert (type(caught.value).__name__, caught.value.outcome) in expected
    assert bed.server.tool_calls["it"] <= 1


LIMITS: dict[str, object] = {
    "bytes of one message (`max_message_bytes`)": MCPClientConfig().max_message_bytes,
    "identities with a session at once (`max_identities`)": MCPClientConfig().max_identities,
    "bytes of memory for what nobody has read yet (`max_buffered_bytes`)": MCPClientConfig().max_buffered_bytes,
    **inside.limits(),
}


def test_the_limits_are_those_of_the_code() -> None:
    assert {name: float(value) for name, value in table(PAGE, "limit")} == LIMITS


def test_the_readme_says_the_same_of_each_error() -> None:
    """Each error of the long table is in the short one, with each outcome that it can have."""
    short: dict[str, set[str]] = {}
    for row in table(README, "what happened"):
        short.setdefault(re.findall(r"`(\w+)`", row[1])[0], set()).update(re.findall(r"`(\w+)`", row[2]))
    for row in table(PAGE, "what happened"):
        for cell in row[1:4]:
            for name, outcome in claims(cell):
                assert outcome is None or outcome in short[name] or row[0].startswith("a redirect"), (row[0], name)


@pytest.mark.parametrize("text", [PAGE, README, (ROOT / "SECURITY.md").read_text(encoding="utf-8")])
def test_what_they_link_to_is_there(text: str) -> None:
    for link in re.findall(r"\]\(((?!http)[^)#]+)", text):
        assert (ROOT / link).exists() or (ROOT / "docs" / link).exists(), link
    for name in re.findall(r"`(\w+Error)`", text):
        assert name in mcp_sync.__all__ or hasattr(builtins, name), name
