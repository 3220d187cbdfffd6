"""What one caller waits for: the answer to its request, and the events that belong to it.

Runs on: made and read by the caller's thread; filled by the thread that routes what arrives.
"""

from __future__ import annotations

import collections
from typing import Callable, Deque, List, Optional, Tuple

from ..concurrency.budget import Account, Budget
from ..concurrency.call_clock import CallDeadline
from ..concurrency.deadline import Deadline
from ..concurrency.events import Event
from ..errors import MCPClientError
from ..protocol.messages import Message, RequestId, weight_of
from ..transports.http.exchange import Exchange, watch

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
        budget: of the memory that unread events may take.
    """

    __slots__ = (
        "_account",
        "_behind",
        "_in_hand",
        "_room",
        "answer",
        "clock",
        "dropped",
        "event",
        "exchange",
        "failure",
        "id",
        "inbox",
        "wants",
    )

    def __init__(self, id: RequestId, wants: Optional[str] = None, budget: Optional[Budget] = None) -> None:
        self.id = id
        self.wants = wants
        # The call's deadline, if that moves.
        self.clock: Optional[CallDeadline] = None
        self.event = Event()
        self.answer: Optional[Message] = None
        self.failure: Optional[Failure] = None
        # What came for this call and was not read yet, each with its size. The dispatcher appends, the caller takes.
        self.inbox: Deque[Tuple[Message, int]] = collections.deque()
        self._account = None if wants is None else (budget or Budget()).account()
        # The size of what the caller has taken and not done with.
        self._in_hand = 0
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

    def hold(self) -> None:
        """A handler answers what the server wants to know, for this call as far as anybody can tell: its clock stands
        still.
        """
        if self.clock is not None:
            self.clock.hold()
            self._moved(self.clock)

    def release(self) -> None:
        """The handler has answered."""
        if self.clock is not None:
            self.clock.release()
            self._moved(self.clock)
            self.event.set()  # the caller may have less time now than it waits for

    def heard(self) -> None:
        """The server has said something that belongs to this call."""
        if self.clock is not None:
            self.clock.heard()
            self._moved(self.clock)

    def _moved(self, clock: CallDeadline) -> None:
        exchange = self.exchange
        if exchange is not None:
            watch.move(exchange, clock.at)

    def take(self) -> List[Message]:
        """What is in the inbox; ``done`` says that it was read."""
        taken = _drained(self.inbox)
        self._in_hand += sum([size for _, size in taken])
        self._behind = False
        room = self._room
        if room is not None:
            room.set()
        return [message for message, _ in taken]

    def done(self) -> None:
        """The caller has read what it took, and comes for more."""
        size, self._in_hand = self._in_hand, 0
        if self._account is not None and size:
            self._account.give_back(size)

    def close(self) -> None:
        """The caller has read what it wants to."""
        if self._account is not None:
            self._account.close()

    def deliver(self, message: Message) -> None:
        """Put an event into the inbox.

        A caller who does not read is waited for once, a moment; after that the oldest event makes room: never
        the answer.
        """
        account = self._account
        if account is None:
            return
        size = weight_of(message, account.most)
        if not self._has_room(account, size):
            self._wait_for_room()
            while not self._has_room(account, size):
                self.dropped += 1
                account.was_dropped("events of a stream that waits to be read are dropped, the oldest first")
                try:
                    account.give_back(self.inbox.popleft()[1])
                except IndexError:
                    return  # others keep what there is
        self.inbox.append((message, size))
        if not self.event.is_set():
            self.event.set()

    def _has_room(self, account: Account, size: int) -> bool:
        return len(self.inbox) < _INBOX_SIZE and account.take(size)

    def _wait_for_room(self) -> None:
        if not self._behind:
            self._room = Event()
            self.event.set()
            if self.inbox:
                self._room.wait(_PATIENCE)
            self._behind = bool(self.inbox)

    def settle(self, answer: Message) -> None:
        self.answer = answer
        self.event.set()

    def fail(self, failure: Failure) -> None:
        self.failure = failure
        self.event.set()


def _drained(inbox: Deque[Tuple[Message, int]]) -> List[Tuple[Message, int]]:
    taken: List[Tuple[Message, int]] = []
    while True:
        try:
            taken.append(inbox.popleft())
        except IndexError:
            return taken
