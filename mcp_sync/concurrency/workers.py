"""Daemon threads that take jobs from a bounded backlog: started when there is work, gone when there is none.

Runs on: ``submit`` on any thread, never blocking; jobs on the workers.

Not concurrent.futures: its threads are joined before a program may exit, so a handler that sleeps would keep a finished
script alive; and its backlog has no bound.
"""

from __future__ import annotations

import collections
import threading
from typing import Callable, Deque, Optional, Set, Tuple

from .budget import Budget
from .events import Condition, Event
from .log import Log
from .threads import in_context, start

__all__ = ["Workers"]

_log = Log(__name__)

_IDLE_SECONDS = 1.0

Job = Callable[[], None]


class Workers:
    """A small pool.

    Parameters:
        name: of the threads.
        threads: how many at most.
        backlog: how many jobs may wait.
        drop_oldest: what makes room when the backlog is full: True drops the oldest job, False refuses the new one.
        budget: of the memory that jobs may hold until they are done.
    """

    def __init__(
        self, name: str, threads: int, backlog: int, *, drop_oldest: bool = False, budget: Optional[Budget] = None
    ) -> None:
        self._name = name
        self._limit = threads
        self._backlog = backlog
        self._drop_oldest = drop_oldest
        # Guards all below.
        self._condition = Condition()
        self._account = (budget or Budget()).account()
        # Each with the bytes that it holds.
        self._jobs: Deque[Tuple[Job, int]] = collections.deque()
        self._workers: Set[threading.Thread] = set()
        self._idle = 0
        self._closed = False
        self.dropped = 0

    def submit(self, job: Job, size: int = 0) -> bool:
        """Have ``job`` run soon, in a copy of this thread's context.

        Parameters:
            size: how many bytes it holds.

        Returns:
            False where it will not: the backlog is full, or the pool is closed.
        """
        dropped = self.dropped
        is_taken = self._submit(job, size)
        if self.dropped != dropped:
            becomes = "dropped, the oldest first" if self._drop_oldest else "refused"
            self._account.was_dropped(f"jobs for {self._name} are {becomes}")
        return is_taken

    def _submit(self, job: Job, size: int) -> bool:
        with self._condition:
            if self._closed:
                return False
            while len(self._jobs) >= self._backlog or (size and not self._account.take(size)):
                self.dropped += 1
                if not self._drop_oldest or not self._jobs:
                    return False
                self._account.give_back(self._jobs.popleft()[1])
            self._jobs.append((in_context(job), size))
            if self._idle >= len(self._jobs) or not self._may_have_another():
                self._condition.notify()
                return True
            return self._start()

    def _may_have_another(self) -> bool:
        if len(self._workers) >= self._limit:
            # One whose start was interrupted may never have come to life.
            self._workers = {worker for worker in self._workers if worker.is_alive()}
        return len(self._workers) < self._limit

    def _start(self) -> bool:
        """Start a worker, whose first step is to wait for the lock; False where no worker will do the job."""
        worker = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._workers.add(worker)
        try:
            start(worker)
        except RuntimeError:
            # The system has no thread to give. If there is another worker, that will do the job.
            self._workers.discard(worker)
            if not self._workers:
                self._forget_jobs()
                return False
        return True

    def settle(self, seconds: float) -> None:
        """Wait until the jobs submitted so far are done, in a pool of one thread; ``seconds`` at most."""
        with self._condition:
            if not self._jobs and self._idle == len(self._workers):
                return
        done = Event()
        if self.submit(done.set):
            done.wait(seconds)

    def close(self) -> None:
        """Drop the jobs that wait, and let each worker end after its current job.

        They are not waited for: that job may be the user's code.
        """
        with self._condition:
            self._closed = True
            self._forget_jobs()
            self._condition.notify_all()

    def _forget_jobs(self) -> None:
        for _, size in self._jobs:
            self._account.give_back(size)
        self._jobs.clear()

    def disown(self) -> None:
        """After a fork: the workers are in the parent."""
        self._closed = True
        self._jobs.clear()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._idle += 1
                while not self._jobs and not self._closed:
                    if not self._condition.wait(_IDLE_SECONDS) and not self._jobs:
                        break
                self._idle -= 1
                if not self._jobs:
                    self._workers.discard(threading.current_thread())
                    return
                job, size = self._jobs.popleft()
            try:
                job()
            except BaseException:  # noqa: BLE001  # SystemExit and KeyboardInterrupt of a handler end the handler, not the worker
                _log.exception("a job of %s failed", self._name)
            del job
            if size:
                self._account.give_back(size)
