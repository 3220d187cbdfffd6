"""Streams on which nothing comes: one thread waits on all of them, so that an idle session has none of its own.

Runs on: ``park`` on any thread. The lookout has a daemon thread, which ends when there has been nothing to look out for
for a while.

What it buys: the thread that waits on a session's stream takes 24 KiB and the buffer that it reads into 8, two thirds
of what a session over Streamable HTTP takes; and a process with 500 clients has two threads instead of 501.
"""

from __future__ import annotations

import collections
import logging
import os
import select
import selectors
import socket
import threading
from typing import Callable, Deque, List, NamedTuple, Optional

from ..forks import in_child
from ..locks import SteadyLock
from ..threads import start

__all__ = ["Lookout", "lookout"]

_log = logging.getLogger(__name__)

_IDLE_SECONDS = 1.0


class _Parked(NamedTuple):
    fd: int
    resume: Callable[[], object]


class Lookout:
    """Waits on any number of sockets for something to read, or for their end."""

    def __init__(self) -> None:
        # Guards what follows.
        self._lock = SteadyLock()
        self._selector: Optional[selectors.BaseSelector] = None
        # Two ends of a pipe: what is written to the one wakes the thread, which waits on the other.
        self._bell: Optional[int] = None
        self._ear: Optional[int] = None
        # What the thread has not seen yet, and what it waits on: kept here for a forked child, see below.
        self._coming: Deque[_Parked] = collections.deque()

    def park(self, sock: socket.socket, resume: Callable[[], object]) -> bool:
        """Have ``resume`` called, once, when something has come on ``sock``, which must not be closed before that.

        Parameters:
            resume: must not block. It may run before this returns.

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
        if not hasattr(select, "epoll") and not hasattr(select, "kqueue"):
            return False  # select() takes no more than some hundreds
        try:
            self._ear, self._bell = os.pipe()
            os.set_blocking(self._bell, False)
            self._selector = selectors.DefaultSelector()
            self._selector.register(self._ear, selectors.EVENT_READ)
            started = (self._selector, self._ear)
            start(threading.Thread(target=self._run, args=started, name="mcp-sync-lookout", daemon=True))
        except (OSError, RuntimeError) as exc:
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
        try:
            self._look(selector, ear)
            return
        except Exception:  # noqa: BLE001  # the streams must not wait for a thread that died
            _log.exception("the thread that waits on idle streams failed")
        for parked in self._abandoned():
            _call(parked.resume)

    def _abandoned(self) -> List[_Parked]:
        """All that is parked, which nobody waits on any more."""
        with self._lock:
            parked = [*self._waited_on(), *self._coming]
            self._coming.clear()
            self._close()
        return parked

    def _waited_on(self) -> List[_Parked]:
        selector = self._selector
        keys = [] if selector is None else list(selector.get_map().values())
        return [_Parked(key.fd, key.data) for key in keys if key.fd != self._ear]

    def _look(self, selector: selectors.BaseSelector, ear: int) -> None:
        # This ends: with nothing to wait on it waits _IDLE_SECONDS, and returns.
        while True:
            is_idle = len(selector.get_map()) == 1
            come = selector.select(_IDLE_SECONDS if is_idle else None)
            if is_idle and not come and self._may_end():
                return
            for key, _ in come:
                if key.fd == ear:
                    os.read(ear, 4096)
                    continue
                # Before anybody reads, and may close it: a forked child can hold the same socket, so that the system
                # would not forget it by itself.
                selector.unregister(key.fd)
                _call(key.data)
            self._take_in(selector)

    def _may_end(self) -> bool:
        with self._lock:
            if not self._coming:
                self._close()
            return self._selector is None

    def _take_in(self, selector: selectors.BaseSelector) -> None:
        while True:
            try:
                parked = self._coming.popleft()
            except IndexError:
                return
            try:
                selector.register(parked.fd, selectors.EVENT_READ, parked.resume)
            except (OSError, ValueError, KeyError) as exc:
                _log.debug("a stream cannot be waited on with others: %s", exc)
                _call(parked.resume)

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
        _inherited.append([*self._waited_on(), *self._coming])
        try:
            self._close()
        except OSError:
            pass
        self.__init__()  # type: ignore[misc]  # the same object: other modules hold it by name


def _call(resume: Callable[[], object]) -> None:
    try:
        resume()
    except Exception:  # noqa: BLE001  # without this thread the others' streams would wait for ever
        _log.exception("a stream could not be read on")


_inherited: List[object] = []
lookout = Lookout()
in_child(lookout.leave)
