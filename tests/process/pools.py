"""Pools of processes around a client: ``python -m tests.process.pools TASK METHOD SERVER TRANSPORT [FORKS]``.

Runs on: the main thread of a process of its own, and of those that it starts by the method "fork", "forkserver" or
"spawn". What a task comes to is written as JSON.
"""

from __future__ import annotations

import concurrent.futures
import functools
import json
import multiprocessing
import os
import pickle
import sys
import threading
from typing import Any, Callable, Optional

from mcp_sync import MCPClient, MCPClientConfig

WORKERS = 3
CALLS = 30
# The parent's, which a forked child has too.
client: Optional[MCPClient] = None


@functools.lru_cache(None)
def own_client(config: MCPClientConfig, server: str) -> MCPClient:
    """The client of a process that was not forked: one for all its calls."""
    return MCPClient(json.loads(server), config)


def call(job: tuple[MCPClientConfig, str, int]) -> tuple[str, int]:
    """Call a tool, with the parent's client if this process has it."""
    config, server, number = job
    mine = client if client is not None else own_client(config, server)
    return mine.call_tool("echo", {"message": str(number)}).text, os.getpid()


def pool(context: Any, jobs: list[Any]) -> Any:
    with context.Pool(WORKERS) as workers:
        return workers.map(call, jobs, chunksize=2)


def executor(context: Any, jobs: list[Any]) -> Any:
    with concurrent.futures.ProcessPoolExecutor(WORKERS, mp_context=context) as workers:
        return list(workers.map(call, jobs))


def send(jobs: list[Any], connection: Any) -> None:
    connection.send([call(job) for job in jobs])


def processes(context: Any, jobs: list[Any]) -> Any:
    """One process each, which ends as ``Process`` ends them: without ``atexit``."""
    found = []
    for job in jobs[:WORKERS]:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=send, args=([job], theirs))
        process.start()
        found += ours.recv()
        process.join(30)
        assert process.exitcode == 0
    return found


def storm(context: Any, jobs: list[Any], forks: int, threads: int = 20) -> Any:
    """Fork again and again while threads are everywhere inside the client; each child calls, and says what it got."""
    assert client is not None
    stop = threading.Event()
    wrong = []

    def busy(name: int) -> None:
        calls = 0
        while not stop.is_set():
            calls += 1
            message = f"{name}-{calls}"
            text = call((jobs[0][0], "", message))[0]  # type: ignore[arg-type]  # any text
            if text != message:
                wrong.append((message, text))

    running = [threading.Thread(target=busy, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    answers = [_forked(lambda number=number: call((jobs[0][0], "", number))[0]) for number in range(forks)]  # type: ignore[misc]
    stop.set()
    for thread in running:
        thread.join(60)
    return [[answer for number, answer in enumerate(answers) if answer != str(number)], wrong]


def _forked(child: Callable[[], str]) -> str:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, child().encode())
        except BaseException as exc:  # noqa: BLE001  # whatever it is, the test wants to see it
            os.write(write, repr(exc).encode())
        os._exit(0)
    os.close(write)
    answer = os.read(read, 10_000)
    os.close(read)
    os.waitpid(pid, 0)
    return answer.decode()


def main(task: str, method: str, server: str, transport: str, *more: str) -> None:
    global client
    client = MCPClient(json.loads(server), transport=transport, timeout=30)
    client.call_tool("echo", {"message": "parent"})
    jobs = [(client.config, server, number) for number in range(CALLS)]
    try:
        pickle.dumps(client)
    except TypeError as exc:
        assert "client.config" in str(exc)  # what is wrong is said with what to do
    found = globals()[task](multiprocessing.get_context(method), jobs, *map(int, more))
    assert client.call_tool("echo", {"message": "parent"}).text == "parent"
    client.close()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
