"""Opening a session: one thread tries, the others who need it wait for that.

Runs on: any thread.
"""

from __future__ import annotations

from typing import Callable, Optional

from ..concurrency.deadline import Deadline
from ..concurrency.events import Event
from ..errors import MCPClientError, MCPConnectionError, MCPTimeoutError

__all__ = ["Attempt"]

# How often who waits looks whether the attempt is still under way.
_LOOK_SECONDS = 1.0


class Attempt:
    """One thread's attempt to open a session.

    Parameters:
        server: as errors name it.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self.done = Event()
        self._error: Optional[MCPClientError] = None
        # The error is that thread's own: its deadline passed, or it was interrupted. The others try themselves.
        self._is_personal = False

    def failed(self, error: MCPClientError, *, is_personal: bool) -> None:
        """``error`` is what came of it, for the others too unless ``is_personal``."""
        self._error, self._is_personal = error, is_personal

    def given_up(self) -> None:
        """The thread was interrupted."""
        error = MCPConnectionError(
            "the thread that was opening the session gave up", server=self._server, outcome="not_sent"
        )
        self.failed(error, is_personal=True)

    def wait(self, deadline: Deadline, is_under_way: Callable[[], bool]) -> None:
        """Wait until the session is open, or the caller may try.

        Raises:
            MCPTimeoutError: the deadline passed.
            MCPClientError: why there is no session.
        """
        while not self.done.wait(min(_LOOK_SECONDS, deadline.remaining)) and is_under_way():
            if deadline.expired:
                raise MCPTimeoutError(
                    f"no session with the server within {deadline.timeout:g} s", server=self._server, outcome="not_sent"
                )
        if self._error is not None and not (self._is_personal and not deadline.expired):
            raise self._error.again()
