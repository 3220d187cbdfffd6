"""Many calls at once: a map, on daemon threads of its own or on the user's executor, in this process or in others.

Runs on: the calling thread, which has one call begin for each that has ended. So nothing begins any more when it is
interrupted, however often that is and whatever of the clean-up is struck. The calls run on the threads or processes.

An executor may run its work in another process, and does not say so. What it is given can therefore travel: the
client's settings, the tool and its arguments. In the process that it came from, the call is made by the client that
the map is of; elsewhere by a client of that process, which keeps one for the same settings and credentials.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextvars
import functools
import itertools
import queue
import sys
import threading
import uuid
import weakref
from typing import TYPE_CHECKING, Any, Callable, List, Mapping, NamedTuple, Optional, Protocol, Tuple

from ..concurrency.background_close import close_in_background
from ..concurrency.deadline import Deadline
from ..concurrency.forks import in_child
from ..concurrency.signals import from_signal_handler
from ..concurrency.workers import Workers
from ..errors import MCPClientError, MCPConnectionError, MCPUsageError
from ..escape import excerpt
from ..session.connection import Connection
from .asking import ToolCall
from .futures import ToolFuture, make_call

if TYPE_CHECKING:
    from ..protocol.types import CallToolResult

__all__ = ["Recipe", "map_calls"]

# How long a map that has failed waits for its other calls to be cancelled.
_CANCEL_SECONDS = 0.5
# How many clients a process keeps for the work that comes to it.
_CLIENTS = 100


class Recipe(NamedTuple):
    """How another process makes a client that is like this one.

    Attributes:
        make: MCPClient.
        server, config: as it takes them.
        options: its further keyword options, plain data.
        kept_here: the options that were given and cannot travel.
    """

    make: Callable[..., Any]
    server: Any
    config: Any
    options: Mapping[str, Any]
    kept_here: Tuple[str, ...]

    def check(self) -> None:
        """Raise MCPUsageError where no client can be like this one elsewhere."""
        if self.kept_here:
            names = " and ".join(f"{name}=" for name in self.kept_here)
            raise MCPUsageError(
                f"calls of this client cannot be made in another process, since its {names} cannot go there: use "
                "threads, or a client whose settings are plain data",
                method="tools/call",
                outcome="not_sent",
            )

    @property
    def key(self) -> str:
        """The same for recipes of the same client."""
        return repr((self.server, self.config.model_dump_json(), sorted(self.options.items())))


class _Job(NamedTuple):
    """One call on its way through an executor.

    Attributes:
        process: where it comes from.
        number: of the call there.
    """

    process: str
    number: int
    recipe: Recipe
    call: ToolCall


# The calls of this process that are on their way through an executor: each belongs to its map, and is gone with it.
_on_their_way: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
_numbers = itertools.count()
# Names this process; a forked child takes another.
_process = uuid.uuid4().hex

# The clients of this process for work of others, the one that was used last at the end. The lock guards them.
_clients: collections.OrderedDict[str, Any] = collections.OrderedDict()
_lock = threading.RLock()


def _after_fork_in_child() -> None:
    global _process, _lock
    _process, _lock = uuid.uuid4().hex, threading.RLock()
    _on_their_way.clear()


in_child(_after_fork_in_child)


def map_calls(
    connection: Connection,
    calls: List[ToolCall],
    max_workers: int,
    executor: Optional[concurrent.futures.Executor],
    recipe: Recipe,
) -> List[CallToolResult]:
    """Make ``calls``, at most ``max_workers`` at once, and return the results in order.

    The first failure, in order, is raised, and the rest cancelled.

    Raises:
        MCPUsageError: ``max_workers`` is no number of threads, or the calls cannot be made where the executor is.
    """
    if isinstance(max_workers, bool) or not isinstance(max_workers, int) or max_workers < 1:
        raise MCPUsageError(
            f"max_workers must be a number of threads, 1 or more, not {max_workers!r}", outcome="not_sent"
        )
    if executor is not None and any(base.__name__ == "ProcessPoolExecutor" for base in type(executor).__mro__):
        recipe.check()
    where: _Where = _Threads(max_workers) if executor is None else _Others(executor, recipe)
    return _Map(connection, calls, max_workers, where).results()


class _Where(Protocol):
    """Where calls are made."""

    def begin(self, future: ToolFuture, call: ToolCall, work: Callable[[], None]) -> Callable[[], object]:
        """Have ``work``, which makes ``call`` for ``future``, done soon. Returns what takes that back."""

    def close(self) -> None:
        """Nothing more will come."""


class _Map:
    """One map."""

    def __init__(self, connection: Connection, calls: List[ToolCall], width: int, where: _Where) -> None:
        self._connection = connection
        self._calls = calls
        self._width = width
        self._where = where
        self._futures: List[ToolFuture] = []
        self._take_back: List[Callable[[], object]] = []
        # The work of each call: while the map is there, it may begin.
        self._work: List[Callable[[], None]] = []
        self._over = False
        # One item for each call that has ended. To put and to take is one step of the interpreter.
        self._ended: queue.SimpleQueue[None] = queue.SimpleQueue()

    def results(self) -> List[CallToolResult]:
        results: List[CallToolResult] = []
        done = False
        try:
            for _ in self._calls[: self._width]:
                self._begin_next()
            while len(results) < len(self._calls):
                future = self._futures[len(results)]
                if future.done():
                    results.append(future.result())
                else:
                    self._ended.get()  # each call has its own deadline, so this has a bound
                    if len(self._futures) < len(self._calls):
                        self._begin_next()
            done = True
            return results
        finally:
            self._over = True
            if done:
                self._where.close()
            else:
                close_in_background(self._cancel, Deadline(_CANCEL_SECONDS))

    def _begin_next(self) -> None:
        call, future = self._calls[len(self._futures)], ToolFuture()
        work = functools.partial(contextvars.copy_context().run, self._make_call, future, call)
        future.add_done_callback(lambda _: self._ended.put(None))
        self._futures.append(future)
        self._work.append(work)
        self._take_back.append(self._where.begin(future, call, work))

    def _make_call(self, future: ToolFuture, call: ToolCall) -> None:
        if not self._over:
            future.run(lambda: make_call(self._connection, call, future.follow))

    def _cancel(self) -> None:
        for take_back in self._take_back:
            take_back()
        for future in self._futures:
            future.cancel()
        self._where.close()


class _Threads:
    """Threads of our own."""

    def __init__(self, width: int) -> None:
        self._workers = Workers("mcp-sync-map", threads=width, backlog=width)
        self.close = self._workers.close

    def begin(self, future: ToolFuture, call: ToolCall, work: Callable[[], None]) -> Callable[[], object]:
        if not self._workers.submit(work):
            raise MCPConnectionError("no thread could be started for the calls", outcome="not_sent")
        return future.cancel


class _Others:
    """The user's executor."""

    def __init__(self, executor: concurrent.futures.Executor, recipe: Recipe) -> None:
        self._executor = executor
        self._recipe = recipe

    def begin(self, future: ToolFuture, call: ToolCall, work: Callable[[], None]) -> Callable[[], object]:
        number = next(_numbers)
        _on_their_way[number] = work
        error: MCPClientError
        try:
            theirs = self._executor.submit(_perform, _Job(_process, number, self._recipe, call.to_travel()))
            theirs.add_done_callback(functools.partial(_take, future))
            return theirs.cancel
        except Exception as exc:  # noqa: BLE001  # an executor's own
            raised = from_signal_handler(exc)
            if raised is not None:
                raise raised from None
            error = MCPConnectionError(f"the executor takes no calls: {excerpt(str(exc))}", outcome="not_sent")
            error.__cause__ = exc
        raise error

    def close(self) -> None:
        """It is the user's."""


def _take(future: ToolFuture, theirs: concurrent.futures.Future[Optional[CallToolResult]]) -> None:
    """The executor is done with a call: so is the caller's future, if the call was not made in this process."""
    if theirs.cancelled():
        future.fail(MCPConnectionError("the executor gave up this call before it began", outcome="not_sent"))
        return
    error = theirs.exception()
    if error is None:
        result = theirs.result()
        if result is not None:
            future.take(result)
    elif isinstance(error, MCPClientError):
        future.fail(error)
    else:
        future.fail(_lost_by_executor(error))


def _lost_by_executor(cause: BaseException) -> MCPClientError:
    error: MCPClientError
    if isinstance(cause, (TypeError, AttributeError)) or type(cause).__name__ == "PicklingError":
        # It never left: the work raises none of these.
        error = MCPUsageError(f"this call cannot go to another process: {excerpt(str(cause))}", outcome="not_sent")
    else:
        error = MCPConnectionError(
            f"the executor broke while it had this call: {type(cause).__name__}: {excerpt(str(cause))}",
            outcome="unknown",
        )
    error.__cause__ = cause
    return error


# In whichever process the executor does its work


def _perform(job: _Job) -> Optional[CallToolResult]:
    """Make the call of ``job``. Returns None where its own future has the result already."""
    if job.process == _process:
        work = _on_their_way.pop(job.number, None)
        if work is not None:
            work()
        return None
    job.recipe.check()
    params, call, shown = job.call.params, job.call, job.call.credentials
    try:
        result: CallToolResult = _client_for(job.recipe).call_tool(
            params["name"],
            params["arguments"],
            headers=None if shown is None else shown.headers,
            auth=None if shown is None else shown.auth or None,  # none beside an Authorization header
            meta=params.get("_meta"),
            timeout=call.timeout,
            idle_timeout=call.idle_timeout,
            raise_on_error=call.raise_on_error,
            retry=call.retry,
        )
        return result
    except MCPClientError:
        raise
    except Exception as exc:
        raise MCPConnectionError(f"the call failed: {type(exc).__name__}", outcome="unknown") from exc


def _client_for(recipe: Recipe) -> Any:
    key = recipe.key
    left: List[Any] = []
    with _lock:
        if not _clients:
            _close_at_the_end()
        client = _clients.pop(key, None)
        if client is None:
            client = recipe.make(recipe.server, recipe.config, **recipe.options)
        _clients[key] = client
        while len(_clients) > _CLIENTS:
            left.append(_clients.popitem(last=False)[1])
    for other in left:
        other.close()
    return client


def _close_at_the_end() -> None:
    """A process of multiprocessing's ends without what ``atexit`` was told."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, _close_clients, exitpriority=100)


def _close_clients() -> None:
    with _lock:
        clients = list(_clients.values())
        _clients.clear()
    for client in clients:
        client.close()
