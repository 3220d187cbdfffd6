"""Streams on which nothing comes: one thread waits on all of them, so that an idle session has none of its own.

Runs on: ``park`` on any thread. The lookout has a daemon thread, which ends when there has been nothing to look out for
for a while.

What it buys: the thread that waits on a session's stream takes 24 KiB and the buffer that it reads into 8, two thirds
of what a session over Streamable HTTP takes; and a process with 500 clients has two threads instead of 501.
"""

from __future__ import annotations

import _thread
import collections
import logging
import os
import select
import selectors
import socket
import threading
import types
from typing import Callable, Deque, List, NamedTuple, Optional

from ..concurrency.forks import in_child

__all__ = ["Lookout", "can_wait", "lookout"]

_log = logging.getLogger(__name__)

_IDLE_SECONDS = 1.0


class _Parked(NamedTuple):
    fd: int
    resume: Callable[[], object]


class Lookout:
    """Waits on any number of sockets for something to read, or for their end."""

    def __init__(self) -> None:
        # Guards what follows.
        self._lock = threading.RLock()
        self._selector: Optional[selectors.BaseSelector] = None
        # Two ends of a pipe: what is written to the one wakes the thread, which waits on the other.
        self._bell: Optional[int] = None
        self._ear: Optional[int] = None
        # What the thread has not seen yet; and what could not be resumed, which it tries again.
        self._coming: Deque[_Parked] = collections.deque()
        self._late: Deque[_Parked] = collections.deque()

    def park(self, sock: socket.socket, resume: Callable[[], object]) -> bool:
        """Have ``resume`` called when something has come on ``sock``, which must not be closed before that.

        Parameters:
            resume: must not block. It may run before this returns. Where it returns False it is called again after a
                second.

        Returns:
            Whether it will be: False where no thread can be started, or the system cannot wait on so many.
        """
        with self._lock:
            if self._selector is None and not self._start():
                return False
            self._coming.append(_Parked(sock.fileno(), resume))
            self._ring()
        return True

    def _start(self) -> bool:
        if not can_wait():
            return False
        try:
            self._ear, self._bell = os.pipe()
            os.set_blocking(self._bell, False)
            self._selector = selectors.DefaultSelector()
            self._selector.register(self._ear, selectors.EVENT_READ)
            started = (self._selector, self._ear)
            threading.Thread(target=self._run, args=started, name="mcp-sync-lookout", daemon=True).start()
        except Exception as exc:  # noqa: BLE001  # no descriptor, no thread, no memory: a stream goes on without
            _log.debug("idle streams keep their threads: %s", exc)
            self._close()
            return False
        return True

    def _ring(self) -> None:
        try:
            if self._bell is not None:
                os.write(self._bell, b"\0")
        except BlockingIOError:
            pass  # it has been rung often enough to be heard

    def _run(self, selector: selectors.BaseSelector, ear: int) -> None:
        # This thread ends: with nothing to wait on it waits _IDLE_SECONDS, and returns.
        try:
            self._look_on(selector, ear)
            return
        except Exception:  # noqa: BLE001  # the streams must not wait for a thread that died
            _log.exception("the thread that waits on idle streams failed")
        for parked in self._abandoned():
            _resume(parked)

    def _look_on(self, selector: selectors.BaseSelector, ear: int) -> None:
        while self._look(selector, ear):
            pass

    def _look(self, selector: selectors.BaseSelector, ear: int) -> bool:
        """Wait once; returns whether to go on.

        A function of its own, so that nothing of whom it has resumed is kept for as long as it waits the next time.
        """
        is_idle = len(selector.get_map()) == 1
        come = selector.select(_IDLE_SECONDS if is_idle or self._late else None)
        if is_idle and not come and self._may_end():
            return False
        late = self._take_late()
        for key, _ in come:
            if key.fd == ear:
                os.read(ear, 4096)
                continue
            # Before anybody reads, and may close it: a forked child can hold the same socket, so that the system would
            # not forget it by itself.
            selector.unregister(key.fd)
            late.append(_Parked(key.fd, key.data))
        late.extend(self._take_in(selector))
        self._late.extend([parked for parked in late if not _resume(parked)])
        return True

    def _may_end(self) -> bool:
        with self._lock:
            if not self._coming and not self._late:
                self._close()
            return self._selector is None

    def _take_late(self) -> List[_Parked]:
        late = list(self._late)
        self._late.clear()
        return late

    def _take_in(self, selector: selectors.BaseSelector) -> List[_Parked]:
        """Wait on what is coming, too; returns what cannot be waited on."""
        refused: List[_Parked] = []
        while self._coming:
            parked = self._coming.popleft()
            stale = self._registered(selector, parked.fd)
            if stale is not None:
                # The socket that had this number is closed, of which the system says nothing.
                selector.unregister(stale.fd)
                refused.append(_Parked(stale.fd, stale.data))
            try:
                selector.register(parked.fd, selectors.EVENT_READ, parked.resume)
            except (OSError, ValueError) as exc:
                _log.debug("a stream cannot be waited on with others: %s", exc)
                refused.append(parked)
        return refused

    @staticmethod
    def _registered(selector: selectors.BaseSelector, fd: int) -> Optional[selectors.SelectorKey]:
        try:
            return selector.get_map().get(fd)
        except ValueError:
            return None  # it is closed itself

    def _abandoned(self) -> List[_Parked]:
        """All that is parked, which nobody waits on any more."""
        with self._lock:
            parked = self._parked()
            self._coming.clear()
            self._late.clear()
            self._close()
        return parked

    def _parked(self) -> List[_Parked]:
        selector = self._selector
        keys = [] if selector is None else list(selector.get_map().values())
        waited_on = [_Parked(key.fd, key.data) for key in keys if key.fd != self._ear]
        return [*waited_on, *self._coming, *self._late]

    def _close(self) -> None:
        ends, selector = (self._bell, self._ear), self._selector
        self._selector = self._bell = self._ear = None
        for end in ends:
            if end is not None:
                os.close(end)
        if selector is not None:
            selector.close()

    def leave(self) -> None:
        """In a forked child, whose parent goes on waiting: close what is a copy of the parent's, and begin anew."""
        # Never let go: what is suspended there would end its stream, under locks of threads that are not here.
        _inherited.append(self._parked())
        if hasattr(select, "kqueue"):
            # A child has no copy of a kqueue, and its number may be another file's by now.
            _inherited.append(self._selector)
            self._selector = None
        try:
            self._close()
        except OSError:
            pass
        self.__init__()  # type: ignore[misc]  # the same object: other modules hold it by name


def can_wait() -> bool:
    """Whether one thread can wait on any number of sockets: select() takes no more than some hundreds, and a thread of
    gevent's that waited in the system would stop all others.
    """
    has_own_threads = isinstance(_thread.start_new_thread, types.BuiltinFunctionType)
    return has_own_threads and (hasattr(select, "epoll") or hasattr(select, "kqueue"))


def _resume(parked: _Parked) -> bool:
    """Whether that is done with."""
    try:
        return parked.resume() is not False
    except Exception:  # noqa: BLE001  # without this thread the others' streams would wait for ever
        _log.exception("a stream could not be read on")
        return True


_inherited: List[object] = []
lookout = Lookout()
in_child(lookout.leave)
