"""Which caller waits for which answer: the queue's only consumer, and the table of waiters.

Runs on: one dispatcher thread per session that has a shared stream; and any thread that brings in the answer to a
request of its own.

    reader --arrived()--> queue.Queue --> dispatcher thread --route()--> Waiter --Event--> caller
                                    caller with its own response --route()--^

The table has no lock: to enter a waiter, to take one out and to list them is one step of the interpreter each. So a
caller whom a signal handler interrupts, to make another call, never keeps the reader from that call's answer. The
thread that takes a waiter out settles it, so it is settled once. Nothing here runs user code: what the server asks goes
to the handlers, whose threads do.

The dispatcher thread ends because the transport's reader ends, and says so with ``lost`` as the last thing it does.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import Callable, Dict, List, Optional, Protocol, Sequence, Tuple, Union

from ..concurrency.budget import Budget
from ..concurrency.deadline import Deadline
from ..concurrency.events import Event
from ..concurrency.forks import inherited
from ..concurrency.log import Log, Sparing
from ..concurrency.threads import in_context, join
from ..errors import MCPClientError
from ..protocol.messages import Message, RequestId, matching_id, shown, weight_of
from ..protocol.unreadable import Unreadable
from ..transports.http.exchange import ANSWERED, CLOSED, watch
from .waiter import Failure, Waiter

__all__ = ["Dispatcher", "Recipient"]

_log = Log(__name__)

# Batches, each of one read of at most 64 KiB: when they fill up, the reader waits, and the server with it.
_QUEUE_SIZE = 1000
# Of the budget.
_QUEUE_SHARE = 0.25
# How often a reader that waits for room looks whether the session is over.
_LOOK_SECONDS = 1.0
# An answer that comes by the stream ends the POST that carried its request, but not before that had time to end by
# itself.
_POST_GRACE = 1.0


class Recipient(Protocol):
    """Gets what the server sends on its own. Nothing here may block."""

    @property
    def wants_progress(self) -> bool:
        """Whether ``notified`` gets progress too."""

    def asked(self, message: Message, calls: Sequence[Waiter]) -> None:
        """The server has sent a request, for one of these calls as far as anybody can tell."""

    def notified(self, message: Message) -> None:
        """The server has sent a notification."""


class Dispatcher:
    """Routes what arrives in one session.

    Parameters:
        recipient: of what belongs to no call.
        on_ending: is told once, by the reader, while what came by the stream is still being routed.
        on_lost: is told once, before all waiters, that the shared stream is gone.
        budget: of the memory for what the server sent and was not routed yet; of that nothing is dropped.
    """

    def __init__(
        self,
        recipient: Recipient,
        on_ending: Callable[[MCPClientError], None],
        on_lost: Callable[[MCPClientError], None],
        budget: Optional[Budget] = None,
    ) -> None:
        self._recipient = recipient
        self._sparing = Sparing(_log)
        self._on_ending = on_ending
        self._on_lost = on_lost
        # Batches, each with its size in memory.
        self._queue: queue.Queue[Union[Tuple[List[Message], int], MCPClientError]] = queue.Queue(_QUEUE_SIZE)
        self._account = (budget or Budget()).account(_QUEUE_SHARE)
        # Set when a batch was routed.
        self._routed = Event()
        # Guards the two below: close() may come while the session is being opened.
        self._lock = threading.RLock()
        self._thread: Optional[threading.Thread] = None
        self._may_start = True
        self._waiters: Dict[RequestId, Waiter] = {}
        # Why nothing can be expected any more.
        self._over: Optional[Failure] = None
        # Whether the last item is in the queue.
        self._ending = False

    def start(self) -> None:
        """Start the dispatcher thread, for a session that has a shared stream; not where that is lost already.

        Raises:
            RuntimeError: the system has no thread to give.
        """
        with self._lock:
            if self._may_start:
                # Before it is started: where an interrupt comes meanwhile, it must still be known, to be ended.
                self._thread = threading.Thread(target=in_context(self._run), name="mcp-sync-dispatcher", daemon=True)
                self._thread.start()

    # The table

    def expect(self, waiter: Waiter) -> None:
        """Enter ``waiter``. It must be in before its request leaves: the answer can be faster than the POST's.

        Raises:
            MCPClientError: the session is over.
        """
        # First in, then a look: what ends the session does it the other way round, so one of the two sees the other.
        self._waiters[waiter.id] = waiter
        over = self._over
        if over is not None:
            self.withdraw(waiter)
            error = over()
            error.outcome = "not_sent"
            raise error

    def withdraw(self, waiter: Waiter) -> bool:
        """Take ``waiter`` out; an answer that comes later is dropped. Returns whether it was still in."""
        return self._waiters.pop(waiter.id, None) is not None

    def abandon(self, failure: Failure) -> None:
        """Fail every waiter, each with an exception of its own, and refuse new ones."""
        if self._over is None:
            self._over = failure
        waiters = list(self._waiters.values())
        for waiter in waiters:
            # Before the table is empty: then the transport may be interrupted, and each must know the true reason.
            waiter.failure = failure
        for waiter in waiters:
            was_in = self.withdraw(waiter)
            waiter.fail(failure)  # a thread that took it out meanwhile may have left it to this
            if was_in and waiter.exchange is not None:
                waiter.exchange.stop(CLOSED)

    @property
    def waiting(self) -> int:
        """How many calls wait for an answer."""
        return len(self._waiters)

    # What arrives

    def arrived(self, messages: List[Message]) -> None:
        """Messages came on the shared stream. The transport's reader calls this, and waits while the queue is full."""
        size = sum([weight_of(message, self._account.most) for message in messages])
        while not self._account.take(size, at_any_rate=not self._queue.unfinished_tasks):
            self._routed.clear()
            if self._ending or self._over is not None:
                return
            if self._queue.unfinished_tasks:
                self._routed.wait(_LOOK_SECONDS)
        self._queue.put((messages, size))

    def lost(self, error: MCPClientError) -> None:
        """The shared stream is gone (the last call of the transport's reader). Only the first call counts."""
        if not self._ending:
            self._on_ending(error)
            with self._lock:
                self._may_start = False
                thread = self._thread
            if thread is not None:
                self._queue.put(error)
            if thread is None or thread.ident is None:
                self._end(error)  # its start was interrupted: it may run in a moment, or never
            self._ending = True  # last: where an interrupt comes before, the next call says it again

    def lost_if_idle(self, error: MCPClientError) -> bool:
        """The stream is dead, although its reader has not said so. Does not block.

        Returns:
            Whether it is over now: not so while a call waits, or something is still on its way to its recipient.
        """
        if self._waiters or self._queue.unfinished_tasks:
            return False
        self.lost(error)
        return True

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if isinstance(item, MCPClientError):
                self._end(item)
                return
            messages, size = item
            try:
                self.route(messages)
            except BaseException:  # noqa: BLE001  # without this thread nobody would get an answer
                _log.exception("what the server sent could not be routed")
            del item, messages  # an answer may be large, and the next message far
            self._account.give_back(size)
            self._queue.task_done()
            self._routed.set()

    def _end(self, error: MCPClientError) -> None:
        # In this order: a caller who is woken may call again at once, and must find the session lost.
        self._on_lost(error)
        self.abandon(_copies_of(error))
        self._account.close()  # nothing that comes now is routed, so nothing is kept

    def route(self, messages: List[Message], via: Optional[Waiter] = None) -> None:
        """Give each message to its recipient.

        Parameters:
            via: the call on whose own response they came; None for the shared stream. No other call's answer is taken
                from there.
        """
        if _log.isEnabledFor(logging.DEBUG):
            for message in messages:
                _log.debug("received %s", shown(message))
        for message in messages:
            try:
                self._route_one(message, via)
            # One bad message must not keep the others from their callers. Not every Exception: what a signal handler
            # of the user's raises is for the caller.
            except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
                _log.exception("a message could not be routed")

    def _route_one(self, message: Message, via: Optional[Waiter]) -> None:
        method = message.get("method")
        if via is not None and via.clock is not None:
            via.heard()
        if isinstance(message, Unreadable):
            self._skip(message)
        elif method is None:
            self._settle(message, via)
        elif method == "notifications/progress":
            self._progressed(message, via)
        elif not isinstance(method, str):
            self._sparing.warning("method", "a message whose method is no string is skipped")
        elif "id" in message:
            self._recipient.asked(message, list(self._waiters.values()) if via is None else (via,))
        elif method:
            self._inform(message, via)

    def _settle(self, answer: Message, via: Optional[Waiter]) -> None:
        raw_id = answer.get("id")
        key = via.id if via is not None and raw_id is None and "error" in answer else matching_id(raw_id)
        waiter = None if key is None else self._waiters.get(key)
        if waiter is None or (via is not None and waiter is not via) or not self.withdraw(waiter):
            # Some gateways send everybody's answers to everybody, and late answers to cancelled requests are normal.
            _log.debug("nobody here waits for %s", shown(answer))
            return
        waiter.settle(answer)
        if via is None:
            _end_exchange(waiter)

    def _skip(self, frame: Unreadable) -> None:
        """What cannot be decoded fails the call that it answers, where that can be told; else it is skipped."""
        waiters = [self._waiters[id] for id in frame.ids if id in self._waiters]
        if not waiters and frame.may_be_answer and len(self._waiters) == 1:
            waiters = list(self._waiters.values())
        for waiter in waiters:
            if self.withdraw(waiter):
                waiter.fail(_copies_of(frame.error))
                _end_exchange(waiter)
        if not waiters:
            self._sparing.warning("frame", "a frame is skipped: %s", frame.error)

    def _progressed(self, message: Message, via: Optional[Waiter]) -> None:
        params = message.get("params")
        token = matching_id(params.get("progressToken")) if isinstance(params, dict) else None
        waiter = None if token is None else self._waiters.get(token)
        if waiter is not None and waiter.wants is not None and (via is None or waiter is via):
            if waiter.clock is not None:
                waiter.heard()
            waiter.deliver(message)
        if self._recipient.wants_progress:
            self._recipient.notified(message)

    def _inform(self, message: Message, via: Optional[Waiter]) -> None:
        # On a shared stream the server does not say which call a log message belongs to: every open stream sees it.
        for waiter in (via,) if via is not None else self._streams():
            if waiter.wants == "all":
                waiter.deliver(message)
        self._recipient.notified(message)

    def _streams(self) -> Tuple[Waiter, ...]:
        return tuple([waiter for waiter in list(self._waiters.values()) if waiter.wants == "all"])

    # Ending

    def disown(self) -> None:
        """This process was forked from the one that waits here."""
        self._thread, self._may_start, self._ending = None, False, True
        self.abandon(inherited)

    def join(self, deadline: Deadline) -> None:
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            join(thread, deadline.remaining)


def _end_exchange(waiter: Waiter) -> None:
    """What carried the request is not waited for any more: its answer came by another way."""
    exchange = waiter.exchange
    if exchange is not None and not exchange.over:
        watch.settle(exchange, ANSWERED, _POST_GRACE)


def _copies_of(error: MCPClientError) -> Failure:
    """Each caller gets an exception of its own, chained to the cause; whether its request was processed, nobody can
    tell any more.
    """

    def failure() -> MCPClientError:
        copy = error.again()
        copy.outcome = "unknown"
        return copy

    return failure
