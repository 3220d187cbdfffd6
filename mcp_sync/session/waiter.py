"""What one caller waits for: the answer to its request, and the events that belong to it.

Runs on: made and read by the caller's thread; filled by the thread that routes what arrives.
"""

from __future__ import annotations

import collections
from typing import Callable, Deque, List, Optional

from ..concurrency.deadline import Deadline
from ..concurrency.events import Event
from ..errors import MCPClientError
from ..protocol.messages import Message, RequestId
from ..transports.http.exchange import Exchange

__all__ = ["Failure", "Waiter"]

# Events that one call may leave unread.
_INBOX_SIZE = 10_000
# How long the thread that routes waits, once, for a call that has let its inbox fill up.
_PATIENCE = 0.05

Failure = Callable[[], MCPClientError]


class Waiter:
    """One caller's wait for the answer to one request, and for the events that belong to it.

    Parameters:
        id: of the request; also its progress token.
        wants: None for the answer alone, ``"progress"``, or ``"all"`` for log messages and other notifications too.
    """

    __slots__ = (
        "_behind",
        "_room",
        "answer",
        "dropped",
        "event",
        "exchange",
        "failure",
        "id",
        "inbox",
        "wants",
    )

    def __init__(self, id: RequestId, wants: Optional[str] = None) -> None:
        self.id = id
        self.wants = wants
        self.event = Event()
        self.answer: Optional[Message] = None
        self.failure: Optional[Failure] = None
        # What came for this call and was not read yet. The dispatcher appends, the caller takes.
        self.inbox: Deque[Message] = collections.deque()
        self.dropped = 0
        # The HTTP request that carries the call, to be stopped when the answer comes by another way.
        self.exchange: Optional[Exchange] = None
        self._room: Optional[Event] = None
        self._behind = False

    def under_way(self, exchange: Exchange) -> None:
        self.exchange = exchange

    @property
    def settled(self) -> bool:
        return self.answer is not None or self.failure is not None

    def wait(self, deadline: Deadline) -> bool:
        """Wait until something has come; False when the deadline passed."""
        while not self.event.wait(deadline.remaining):
            if deadline.expired:
                return False
        # Before anybody looks at what has come: what comes after this sets it again.
        self.event.clear()
        return True

    def take(self) -> List[Message]:
        """What is in the inbox."""
        taken = _drained(self.inbox)
        self._behind = False
        room = self._room
        if room is not None:
            room.set()
        return taken

    def deliver(self, message: Message) -> None:
        """Put an event into the inbox.

        A caller who does not read is waited for once, a moment; after that the oldest event makes room: never
        the answer.
        """
        if len(self.inbox) >= _INBOX_SIZE and not self._makes_room():
            self.inbox.popleft()
            self.dropped += 1
        self.inbox.append(message)
        if not self.event.is_set():
            self.event.set()

    def _makes_room(self) -> bool:
        if not self._behind:
            self._room = Event()
            self.event.set()
            if len(self.inbox) >= _INBOX_SIZE:
                self._room.wait(_PATIENCE)
            self._behind = len(self.inbox) >= _INBOX_SIZE
        return not self._behind

    def settle(self, answer: Message) -> None:
        self.answer = answer
        self.event.set()

    def fail(self, failure: Failure) -> None:
        self.failure = failure
        self.event.set()


def _drained(inbox: Deque[Message]) -> List[Message]:
    taken: List[Message] = []
    while True:
        try:
            taken.append(inbox.popleft())
        except IndexError:
            return taken
