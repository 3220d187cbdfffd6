"""Many calls of one tool, several at a time.

Runs on: a few daemon threads for as long as the map takes, or the user's own executor.
"""

from __future__ import annotations

import concurrent.futures
import functools
import threading
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from ..concurrency.workers import Workers
from ..errors import MCPConnectionError
from ..session.pending import Call
from .futures import ToolFuture

if TYPE_CHECKING:
    from ..protocol.types import CallToolResult

__all__ = ["map_calls"]

Work = Callable[[Dict[str, Any], Callable[[Call], None]], Any]


def map_calls(
    work: Work, todo: List[Dict[str, Any]], max_workers: int, executor: Optional[concurrent.futures.Executor]
) -> List[CallToolResult]:
    """Do ``work`` for each item of ``todo``, at most ``max_workers`` at once, and return the results in order.

    The first failure, in order, is raised, and the rest cancelled.
    """
    futures = [ToolFuture() for _ in todo]
    permits = threading.BoundedSemaphore(max_workers)

    def run(future: ToolFuture, params: Dict[str, Any]) -> None:
        with permits:
            future.run(lambda: work(params, future.follow))

    workers = Workers("mcp-sync-map", threads=max_workers, backlog=len(todo) + 1) if executor is None else None

    def begin(job: Callable[[], None]) -> None:
        if executor is not None:
            executor.submit(job)
        elif workers is not None and not workers.submit(job):
            raise MCPConnectionError("no thread could be started for the calls", outcome="not_sent")

    try:
        for future, params in zip(futures, todo):
            begin(functools.partial(run, future, params))
        # Every call has its own deadline, so each of these waits has a bound.
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()
        if workers is not None:
            workers.close()
