"""ChangeStream: the server's change notifications as a blocking iterator.

Runs on: the thread that iterates; ``notified`` on the thread that brings a notification in, ``close`` on any.
"""

from __future__ import annotations

import collections
from types import TracebackType
from typing import TYPE_CHECKING, Any, Deque, Iterable, Iterator, Mapping, Optional, Tuple, Type

from ..concurrency.deadline import Deadline
from ..concurrency.events import Condition
from ..concurrency.forks import notice
from ..concurrency.log import Log
from ..errors import MCPClientError, MCPClosedError
from ..protocol.messages import Message, weight_of
from ..session.handlers import notification_of
from ..session.subscriptions import Subscriptions

if TYPE_CHECKING:
    from ..protocol.types import Notification

__all__ = ["ChangeStream"]

_log = Log(__name__)

_BACKLOG = 1000


class ChangeStream:
    """What ``MCPClient.listen`` returns: an iterator of ``Notification``, and a context manager.

    It goes on until it is closed or the client is.

    After a lost session it opens a new one by itself, subscriptions included. A consumer who falls behind by 1,000
    events loses the oldest; ``dropped`` counts them.

    Parameters:
        subscriptions: of the connection that brings the changes.
        kinds: the lists whose changes to pass on.
        uris: the resources whose updates to pass on.
        deadline: bounds the subscriptions.
        meta: further ``_meta`` of their requests.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        kinds: Iterable[str],
        uris: Iterable[str],
        deadline: Deadline,
        meta: Optional[Mapping[str, Any]] = None,
    ) -> None:
        self._subscriptions = subscriptions
        self._connection = subscriptions.connection
        self._kinds = list(kinds)
        self._methods = {f"notifications/{kind}/list_changed" for kind in self._kinds}
        self._uris = list(uris)
        # Guards what follows.
        self._condition = Condition()
        self._backlog: Deque[Tuple[Message, int]] = collections.deque()
        self._account = self._connection.pools.budget.account()
        self._session_changed = False
        # Why no more comes; for one who waits to be told.
        self._error: Optional[MCPClientError] = None
        self._closed = False
        self.dropped = 0
        # In use until the end: who listens is not idle.
        self._connection.__enter__()
        self._connection.listeners.add(self)
        subscribed = False
        try:
            subscriptions.add(self._uris, self._kinds, deadline, meta)
            subscribed = True
        finally:
            if not subscribed:
                self._leave()

    def notified(self, message: Message) -> None:
        """Take a notification if it is one of ours."""
        if self._is_ours(message["method"], message):
            with self._condition:
                dropped = self.dropped
                size = weight_of(message, self._account.most)
                has_room = True
                while len(self._backlog) >= _BACKLOG or not self._account.take(size):
                    self.dropped += 1
                    has_room = bool(self._backlog)
                    if not has_room:
                        break  # others keep what there is
                    self._account.give_back(self._backlog.popleft()[1])
                if has_room:
                    self._backlog.append((message, size))
                    self._condition.notify()
            if self.dropped > dropped:
                self._account.was_dropped("events of listen() are dropped, the oldest first")

    def session_ended(self) -> None:
        """What was subscribed to has to be subscribed to again: the thread that waits for an event does that."""
        with self._condition:
            self._session_changed = True
            self._condition.notify()

    def _is_ours(self, method: str, message: Message) -> bool:
        if method != "notifications/resources/updated":
            return method in self._methods
        params = message.get("params")
        uri = params.get("uri") if isinstance(params, dict) else None
        # A server may tell of a part of what was subscribed to (2025-11-25, Resources, Subscriptions).
        return isinstance(uri, str) and any(
            uri == ours or uri.startswith(ours.rstrip("/") + "/") for ours in self._uris
        )

    def __iter__(self) -> Iterator[Notification]:
        return self

    def __next__(self) -> Notification:
        event = self.get()
        if event is None:
            raise StopIteration
        return event

    def _wait(self, deadline: Deadline) -> None:
        while not (self._backlog or self._session_changed or self._error or self._closed or deadline.expired):
            self._condition.wait(deadline.remaining)

    def get(self, timeout: float = float("inf")) -> Optional[Notification]:
        """The next event.

        Parameters:
            timeout: seconds to wait; the default waits until there is one.

        Returns:
            None when the time is over, or the stream was closed.

        Raises:
            MCPClientError: the session was lost, and no new one could be opened; or the server does not tell of changes
                any more.
        """
        deadline = Deadline(timeout)
        notice()
        while True:
            with self._condition:
                self._wait(deadline)
                error = self._error
                if self._backlog:
                    message, size = self._backlog.popleft()
                    self._account.give_back(size)
                    return notification_of(message)
                if error is None and (self._closed or not self._session_changed):
                    return None
                reopens, self._session_changed = error is None, False
            if reopens:
                self._reopen_soon()
            elif error is not None:
                self._error = None
                if self._end():
                    self._connection.pools.reopening.submit(self._take_back)
                raise error

    def _reopen_soon(self) -> None:
        """Have a lost session opened anew, off this thread: it may take long, and a thread that waits for an event
        waits no longer than it was told to.
        """

        def reopen() -> None:
            error: Optional[MCPClientError] = None
            try:
                self._connection.session(Deadline(self._connection.config.timeout))
                error = self._subscriptions.failure
            except MCPClosedError:
                self._end()
            except MCPClientError as exc:
                error = exc
            if error is not None:
                with self._condition:
                    self._error = error
                    self._condition.notify_all()

        if not self._connection.pools.reopening.submit(reopen):
            reopen()  # the client is closed, or there is no thread to give

    def close(self) -> None:
        """Stop listening; a thread that waits for an event gets none. Idempotent; any thread."""
        if self._end():
            self._take_back()

    def _take_back(self) -> None:
        try:
            self._subscriptions.remove(self._uris, self._kinds, Deadline(self._connection.config.timeout))
        except MCPClientError as exc:
            _log.debug("a subscription could not be taken back: %s", exc)
        finally:
            self._leave()

    def _leave(self) -> None:
        self._connection.listeners.remove(self)
        self._connection.__exit__(None, None, None)

    def _end(self) -> bool:
        """Wake the threads that wait; nothing comes any more. Returns whether this was the first time."""
        with self._condition:
            first, self._closed = not self._closed, True
            self._condition.notify_all()
        self._account.close()
        return first

    def disown(self) -> None:
        """This process was forked from the one that listens."""
        self._backlog.clear()
        self._closed, self._session_changed = False, True  # the next look asks the connection, which says why not

    def __enter__(self) -> ChangeStream:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self.close()
