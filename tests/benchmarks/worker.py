"""One scenario with one client, in this process: what it cost, as a line of JSON.

Runs in the environment of the client: ``python -m tests.benchmarks.worker CLIENT SCENARIO BINDING URL AMOUNT``. It
leaves without tidying up: what comes after the measurement is not measured. `callgrind` starts it under valgrind; then
it says when it is about to begin and has ended, and waits each time for a line of input.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import resource
import select
import sys
import threading
import time
import traceback
from collections.abc import Coroutine
from typing import Any, Callable, NoReturn

from .clients import AsyncClient, Client, describe

__all__ = ["CALLERS", "Meter", "main"]

CALLERS = 64
LAPS = 5
TEXT_REPEATS = 3
WARM_UP = 20
_PATIENCE = 120.0

MakeClient = Callable[[], Client]
MakeAsyncClient = Callable[[], AsyncClient]


def memory() -> dict[str, int]:
    """What the system says of this process: resident now, at its peak (both KiB), and threads."""
    names = {"VmRSS": "rss_kib", "VmHWM": "peak_kib", "Threads": "threads"}
    with open("/proc/self/status", encoding="ascii") as status:
        fields = (line.split() for line in status)
        return {names[field[0][:-1]]: int(field[1]) for field in fields if field[0][:-1] in names}


def cpu_seconds() -> float:
    """User and system time of this process, all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def waits() -> int:
    """How often a thread of this process gave the processor away, because it had to wait."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


class Meter:
    """Measures what happens inside ``with``."""

    def __init__(self, *, stepped: bool = False) -> None:
        self.stepped = stepped
        self.record: dict[str, Any] = {}

    def __enter__(self) -> Meter:
        gc.collect()
        with open("/proc/self/clear_refs", "w", encoding="ascii") as refs:
            refs.write("5")  # the peak begins now (proc(5))
        self.record["rss_before_kib"] = memory()["rss_kib"]
        self.step("begin")
        self.waits = waits()
        self.wall, self.cpu = time.perf_counter(), cpu_seconds()
        self.laps = [self.cpu]
        return self

    def __exit__(self, *exc: object) -> None:
        cpu, wall = cpu_seconds(), time.perf_counter()
        waited = waits() - self.waits
        self.step("end")
        self.record.update(memory(), cpu_s=cpu - self.cpu, wall_s=wall - self.wall, waits=waited)
        laps = [after - before for before, after in zip(self.laps, self.laps[1:])]
        if laps:
            self.record["best_cpu_s"] = min(laps) * len(laps)

    def lap(self) -> None:
        """An equal part of the work is done: noise only adds, so the best of the parts tells the most."""
        self.laps.append(cpu_seconds())

    def step(self, name: str) -> None:
        if self.stepped:
            say(name)
            # Not a wait in the system: valgrind takes commands only from a process that runs.
            while not select.select([sys.stdin], [], [], 0.01)[0]:
                pass
            sys.stdin.readline()


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Scenarios:
    """What is measured, for a client that blocks."""

    def __init__(self, make: MakeClient, amount: int, meter: Meter) -> None:
        self.make = make
        self.amount = amount
        self.meter = meter

    def connected(self) -> Client:
        client = self.make()
        client.connect()
        return client

    def calls(self) -> None:
        client = self.connected()
        for _ in range(WARM_UP):
            client.echo("warm")
        with self.meter:
            for _ in range(LAPS):
                for _ in range(self.amount // LAPS):
                    client.echo("hello world")
                self.meter.lap()

    def callers(self) -> None:
        client = self.connected()
        barrier = threading.Barrier(CALLERS + 1)
        failures: list[BaseException] = []

        def call() -> None:
            try:
                for _ in range(2):
                    client.echo("warm")
                for _ in range(2):  # when all are there, and when the meter runs
                    barrier.wait(_PATIENCE)
                for _ in range(self.amount // CALLERS):
                    client.echo("hello world")
            except BaseException as failure:  # noqa: BLE001  # raised again by the thread that measures
                failures.append(failure)
                barrier.abort()

        threads = [threading.Thread(target=call, daemon=True) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        try:
            barrier.wait(_PATIENCE)
            with self.meter:
                barrier.wait(_PATIENCE)
                for thread in threads:
                    thread.join(_PATIENCE)
        except threading.BrokenBarrierError:
            pass
        if failures:
            raise failures[0]

    def progress(self) -> None:
        client = self.connected()
        client.count(100)
        with self.meter:
            self.meter.record["delivered"] = client.count(self.amount)

    def text(self) -> None:
        client = self.connected()
        client.text(1000)
        with self.meter:
            for _ in range(TEXT_REPEATS):
                assert client.text(self.amount) == self.amount
                self.meter.lap()

    def tools(self) -> None:
        client = self.connected()
        client.echo("warm")
        with self.meter:
            assert client.tools() == self.amount

    def connects(self) -> None:
        for _ in range(2):
            self.connected().close()
        with self.meter:
            for _ in range(self.amount):
                self.connected().close()

    def sessions(self) -> None:
        self.connected().close()
        with self.meter:
            clients = [self.connected() for _ in range(self.amount)]
            for client in clients[:: max(1, self.amount // 10)]:
                client.echo("hello")
            gc.collect()


class AsyncScenarios:
    """The same for a client that needs an event loop."""

    def __init__(self, make: MakeAsyncClient, amount: int, meter: Meter) -> None:
        self.make = make
        self.amount = amount
        self.meter = meter

    async def connected(self) -> AsyncClient:
        client = self.make()
        await client.connect()
        return client

    async def calls(self) -> None:
        client = await self.connected()
        for _ in range(WARM_UP):
            await client.echo("warm")
        with self.meter:
            for _ in range(LAPS):
                for _ in range(self.amount // LAPS):
                    await client.echo("hello world")
                self.meter.lap()

    async def callers(self) -> None:
        client = await self.connected()

        async def call(times: int) -> None:
            for _ in range(times):
                await client.echo("hello world")

        await asyncio.gather(*(call(2) for _ in range(CALLERS)))
        with self.meter:
            await asyncio.gather(*(call(self.amount // CALLERS) for _ in range(CALLERS)))

    async def progress(self) -> None:
        client = await self.connected()
        await client.count(100)
        with self.meter:
            self.meter.record["delivered"] = await client.count(self.amount)

    async def text(self) -> None:
        client = await self.connected()
        await client.text(1000)
        with self.meter:
            for _ in range(TEXT_REPEATS):
                assert await client.text(self.amount) == self.amount
                self.meter.lap()

    async def tools(self) -> None:
        client = await self.connected()
        await client.echo("warm")
        with self.meter:
            assert await client.tools() == self.amount

    async def connects(self) -> None:
        for _ in range(2):
            await (await self.connected()).close()
        with self.meter:
            for _ in range(self.amount):
                await (await self.connected()).close()

    async def sessions(self) -> None:
        await (await self.connected()).close()
        with self.meter:
            clients = [await self.connected() for _ in range(self.amount)]
            for client in clients[:: max(1, self.amount // 10)]:
                await client.echo("hello")
            gc.collect()


async def on_a_loop(scenario: Coroutine[Any, Any, None], meter: Meter) -> None:
    await scenario
    leave(meter)


def leave(meter: Meter) -> NoReturn:
    say(json.dumps(meter.record))
    os._exit(0)


def main(arguments: list[str]) -> None:
    name, scenario, binding, url, amount, *stepped = arguments
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    description = describe(name)
    module, _, attribute = description.factory.partition(":")
    factory: Callable[[str, str], Any] = getattr(importlib.import_module(module), attribute)
    meter = Meter(stepped=bool(stepped))

    def make() -> Any:
        return factory(url, binding)

    if description.asynchronous:
        asyncio.run(on_a_loop(getattr(AsyncScenarios(make, int(amount), meter), scenario)(), meter))
    else:
        getattr(Scenarios(make, int(amount), meter), scenario)()
        leave(meter)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BaseException:  # noqa: BLE001
        # A client's threads must not keep a failed run alive.
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
