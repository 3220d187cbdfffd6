"""The fault server over stdio: a child process passes on every byte between its pipes and a connection to here, so that
a test scripts it as it scripts the others.

Runs on: the fault server's threads, and one child process for each client, which the client starts and ends.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Optional, Union

from tests.support.fault_server import FaultServer, Gone, Message, Request, Stream, Wire

__all__ = ["LineServer"]

_RELAY = Path(__file__).with_name("stdio_servers") / "relay.py"


class _LineStream(Stream):
    """What goes to a child's stdout: lines."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, chunked=False)

    def event(
        self,
        data: Union[str, Message, list[Any], None] = None,
        event: Optional[str] = "message",
        id: Optional[str] = None,
        retry: Optional[int] = None,
    ) -> None:
        self.send(self.wire.server.frame(data))

    def comment(self, text: str = "ping") -> None:
        self.send(b"\n")


class LineServer(FaultServer):
    """A scripted server over stdio; ``command`` starts it."""

    def __init__(self) -> None:
        super().__init__("stdio")

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-S", "-E", str(_RELAY), str(self.port)]

    def _serve(self, wire: Wire) -> None:
        session = self.new_session(_LineStream(wire))
        try:
            while not wire.closed and not self.closing.is_set():
                line = wire.read_line()
                if line is None:
                    return
                request = Request("line", "", {}, line, wire.number)
                self._record(request)
                fault = self._next_fault(request)
                if fault is not None:
                    fault(wire, request)
                else:
                    self.handle(session, wire, request)
        except Gone:
            pass
        finally:
            wire.finish()
            session.gone.set()
            with self._recorded:
                self.sessions.pop(session.id, None)
                self._wires.discard(wire)
                self._recorded.notify_all()
