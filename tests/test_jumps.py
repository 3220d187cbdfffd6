"""No loop of the package jumps past the handlers around it.

Since Python 3.11 what handles an exception is looked up by the instruction that raises it. The compiler leaves out of
that table the jump back of a loop, or of a comprehension, whose last statement is a condition; the interpreter looks
for signals there. So a KeyboardInterrupt can leave a function past its ``with`` and its ``finally``, and a lock held.
In a function of its own the loop is a call to what is around it, which is in the table.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any, Optional

import pytest

import mcp_sync

PACKAGE = Path(mcp_sync.__file__).parent
NAMES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="it has no table of handlers")


# Where it does not matter.
HARMLESS = {
    # Threads of ours: only the main thread is ever interrupted.
    "AsideStream._read",
    "AsideStream._read_once",
    "PumpedPipes._pump_in",
    "PumpedPipes._pump_out",
    "StdioTransport._drain",
    "Watch._run",
    "Workers._run",
    # They handle errors of ours, or urllib3's, and no others.
    "Request._watch",
    "Request.ask",
    "Response.excerpt",
    "_Pool._put_conn",
    # A view of memory, which goes with the frame.
    "_large_event",
}


def codes_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_in(constant)


def holes_in(code: CodeType) -> Iterator[str]:
    """The jumps back that are outside of handlers which their target is inside of."""
    by_offset = {instruction.offset: instruction for instruction in dis.get_instructions(code)}
    table: Any = dis._parse_exception_table(code)  # type: ignore[attr-defined]  # nothing public tells

    def handler_of(offset: int) -> Optional[int]:
        """Where an exception at ``offset`` is handled, past what only tidies up on the way there."""
        for entry in table:
            if entry.start <= offset < entry.end:
                handles = by_offset[entry.target].opname == "PUSH_EXC_INFO"
                return int(entry.target) if handles else handler_of(entry.target)
        return None

    before = ""
    for offset, instruction in by_offset.items():
        # After CLEANUP_THROW it is what ``yield from`` does with an exception that was thrown in: no loop.
        if instruction.opname == "JUMP_BACKWARD" and before != "CLEANUP_THROW":
            around = handler_of(instruction.argval)
            if around is not None and handler_of(offset) != around:
                yield str(code.co_qualname)  # type: ignore[attr-defined]  # of Python 3.11
        before = instruction.opname


def holes_of(source: str) -> set[str]:
    return {name for code in codes_in(compile(source, "it", "exec")) for name in holes_in(code)}


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(("cli/", "demo/"))])
def test_a_loop_stays_within_the_handlers_around_it(name: str) -> None:
    assert holes_of((PACKAGE / name).read_text(encoding="utf-8")) <= HARMLESS


@pytest.mark.skipif(sys.version_info[:2] not in {(3, 12), (3, 13)}, reason="it is known of these")
def test_what_is_looked_for_can_be_found() -> None:
    loop = "def f(lock, items):\n    with lock:\n        for item in x:\n            if item:\n                g()\n"
    assert holes_of(loop) == {"f"}
    assert holes_of(loop + "            g()\n") == set()
    assert holes_of("def f(lock, items):\n    with lock:\n        return [item for item in items if item]\n") == {"f"}
