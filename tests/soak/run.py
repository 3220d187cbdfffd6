"""One run: who is started, what happens to them, and the reckoning.

Runs on: the main thread, and one thread for each thing that goes on.
"""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable

from mcp_sync import MCPClient
from tests.soak import gauges, workload
from tests.soak.hostile import Victim
from tests.soak.ledger import FATES, Ledger, Reckoning, check
from tests.soak.processes import ROOT, Process, children, free_port, marked_processes, state_of
from tests.soak.workload import Target, Worker
from tests.support.inside import waiting_anywhere

__all__ = ["Soak"]

_PATIENCE = 15.0


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Backend:
    """A server process that something happens to now and then."""

    def __init__(self, name: str, process: Process, seed: int, every: float, forgets: bool) -> None:
        self.name, self._process, self._every, self._forgets = name, process, every, forgets
        self._chance = random.Random(seed)
        self.events: Counter[str] = Counter()

    def live(self, stop: threading.Event) -> None:
        """Until the end: killed and started again, told to end, frozen, made to forget."""
        kinds = ["killed", "killed", "terminated", "frozen", *(["forgot its sessions"] * 2 if self._forgets else [])]
        while not stop.wait(self._chance.uniform(0.5, 1.5) * self._every):
            kind = self._chance.choice(kinds)
            self.events[kind] += 1
            if kind == "forgot its sessions":
                self._process.signal(signal.SIGUSR1)
            elif kind == "frozen":
                self._process.signal(signal.SIGSTOP)
                stop.wait(self._chance.uniform(0.1, 2.0))
                self._process.signal(signal.SIGCONT)
            else:
                self._process.kill(signal.SIGKILL if kind == "killed" else signal.SIGTERM)
                stop.wait(self._chance.choice([0.0, 0.3, 2.0]))
                self._process.start()


class Soak:
    """One run.

    Parameters:
        folder: for ledgers and logs.
        seconds: how long.
        workers: callers per target.
        pace: seconds between two calls of a caller.
        pause: seconds between two strikes of the proxy.
        only: names of targets; all if empty.
    """

    def __init__(
        self, folder: Path, seed: int, seconds: float, workers: int, pace: float, pause: float, only: set[str]
    ) -> None:
        # Processes are found again by it, and no other run has it.
        self._folder = Path(tempfile.mkdtemp(prefix="run-", dir=folder))
        self._chance = random.Random(seed)
        self._seconds, self._workers, self._pace, self._pause = seconds, workers, pace, pause
        self._stop = threading.Event()
        self._ledger = Ledger(self._folder / "parent.ledger", "p-")
        self._gauges = gauges.Gauges()
        self._threads: list[threading.Thread] = []
        self._counts: Counter[str] = Counter()
        self._backends: list[Backend] = []
        self._processes: list[Process] = []
        self._proxy: Process | None = None
        self._targets: list[Target] = []
        self._victims: list[Victim] = []
        self._add_targets(only)

    # Who takes part

    def _add_targets(self, only: set[str]) -> None:
        routes: list[str] = []

        def serve(name: str, argv: list[str], every: float, forgets: bool) -> str:
            direct, proxied = free_port(self._chance), free_port(self._chance)
            routes.append(f"{proxied}={direct}")
            log = str(self._folder / f"{name}.log")
            argv = [word.format(port=direct, log=log, seed=self._chance.getrandbits(31)) for word in argv]
            process = Process(argv, self._folder / f"{name}.stderr")
            self._processes.append(process)
            self._backends.append(Backend(name, process, self._chance.getrandbits(31), every, forgets))
            return f"http://127.0.0.1:{proxied}"

        def ours(name: str, binding: str, path: str, transport: str, version: str | None) -> None:
            if not only or name in only:
                words = ["-m", "tests.soak.server", "--binding", binding]
                words += ["--port", "{port}", "--log", "{log}", "--seed", "{seed}"]
                url = serve(name, words, 8.0, binding != "modern") + path
                options: dict[str, Any] = {"transport": transport, "protocol_version": version}
                if binding == "sse":
                    # A server that is frozen, or a process that is busy, is no reason to give a session up.
                    options["ping_interval"] = 1.0
                self._targets.append(Target(name, url, options, asks=binding != "modern"))

        ours("sse", "sse", "/sse", "sse", "2024-11-05")
        ours("http-json", "json", "/mcp", "http", "2025-06-18")
        ours("http-sse", "streams", "/mcp", "http", "2025-03-26")
        ours("modern", "modern", "/mcp", "http", None)
        if not only or "stdio" in only:
            command = [sys.executable, "-m", "tests.soak.stdio_server", str(self._folder / "stdio.log")]
            self._targets.append(Target("stdio", command, {"cwd": str(ROOT)}, asks=True))
        sdk: dict[str, dict[str, Any]] = {
            "sdk-sse": {"transport": "sse"},
            "sdk-http": {"transport": "http", "protocol_version": "2025-11-25"},
            "sdk-modern": {"transport": "http"},
        }
        chosen = {name: options for name, options in sdk.items() if not only or name in only}
        if chosen and find_spec("mcp") is not None:
            words = ["-m", "tests.soak.sdk_server", "{log}", "--port", "{port}", "--until-stdin-closes"]
            url = serve("sdk", words, 25.0, False) + "/mcp"
            self._targets += [Target(name, url, options, asks=False) for name, options in chosen.items()]
        for binding, path in (("sse", "/sse"), ("http", "/mcp")):
            if not only or f"hostile-{binding}" in only:
                port = free_port(self._chance)
                words = ["-m", "tests.soak.hostile", "--binding", binding, "--port", str(port)]
                self._processes.append(Process(words, self._folder / f"hostile-{binding}.stderr"))
                url, seed = f"http://127.0.0.1:{port}{path}", self._chance.getrandbits(31)
                self._victims.append(Victim(f"hostile-{binding}", url, self._ledger, seed))
        if routes:
            words = ["-m", "tests.soak.proxy", "--seed", str(self._chance.getrandbits(31)), "--pause", str(self._pause)]
            self._proxy = Process([*words, *routes], self._folder / "proxy.stderr")

    # The run

    def run(self) -> list[str]:
        """Returns what does not add up."""
        warnings.simplefilter("ignore", ResourceWarning)  # some clients are dropped on purpose
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork.*")
        logging.basicConfig(filename=self._folder / "warnings", format="%(asctime)s %(threadName)s %(message)s")
        problems: list[str] = []
        strikes = b""
        before = gauges.take()
        names = ", ".join(target.name for target in self._targets)
        say(f"{self._seconds / 60:g} minutes over {names}; logs in {self._folder}")
        clients = [target.make_client() for target in self._targets]
        try:
            for process in self._processes:
                process.start()
            if self._proxy is not None:
                self._proxy.start()
            self._start_all(clients)
            problems += self._watch()
            self._stop.set()
            if self._proxy is not None:
                self._proxy.tell("calm")
            problems += self._join()
            if not problems:
                problems += self._calm(clients)
        finally:
            self._stop.set()
            for client in clients:
                client.close()
            strikes = b"" if self._proxy is None else self._proxy.stop()
            for process in self._processes:
                process.stop()
        client = None  # type: ignore[assignment]  # what the loop has left
        clients.clear()
        problems += self._nothing_is_left(before)
        self._ledger.close()
        reckoning = check(self._folder.glob("*.ledger"), self._folder.glob("*.log"))
        problems += reckoning.problems
        begun, ended = self._ledger.begun, sum(self._ledger.counts.values())
        if begun != ended:
            problems.append(f"{begun} calls began, but {ended} ended")
        problems += self._gauges.grown()
        self._report(strikes.decode().strip(), before, reckoning, problems)
        return problems

    def _go(self, name: str, run: Callable[[], object]) -> None:
        def guarded() -> None:
            try:
                run()
            except Exception:  # noqa: BLE001  # it must be told
                self._ledger.violated(f"{name} failed: {traceback.format_exc()}")

        thread = threading.Thread(target=guarded, name=f"soak {name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _start_all(self, clients: list[MCPClient]) -> None:
        stop, chance = self._stop, self._chance
        for target, client in zip(self._targets, clients):
            for number in range(self._workers):
                worker = Worker(target, client, self._ledger, chance.getrandbits(31), self._pace)
                self._go(f"{target.name} {number}", lambda worker=worker: worker.run(stop))  # type: ignore[misc]
            if not target.name.startswith("sdk"):

                def hear(target: Target = target, client: MCPClient = client) -> None:
                    self._counts[f"changes heard on {target.name}"] += workload.listen(
                        target, client, self._ledger, stop
                    )

                self._go(f"listener {target.name}", hear)
        for victim in self._victims:
            self._go(victim.name, lambda victim=victim: victim.run(stop))  # type: ignore[misc]
        seed = chance.getrandbits(31)
        self._go("clients that come and go", lambda: workload.churn(self._targets, self._ledger, seed, stop))
        for backend in self._backends:
            self._go(f"backend {backend.name}", lambda backend=backend: backend.live(stop))  # type: ignore[misc]
        pairs = list(zip(self._targets, clients))
        forks, kills = random.Random(chance.getrandbits(31)), random.Random(chance.getrandbits(31))
        self._go("forks", lambda: self._fork(pairs, forks))
        self._go("killer", lambda: self._kill_children(kills))

    def _watch(self) -> list[str]:
        """Let it run, look at the gauges, and give up where a call hangs."""
        started = time.monotonic()
        told = started
        while time.monotonic() - started < self._seconds:
            time.sleep(min(1.0, max(0.05, self._seconds / 600)))
            for problem in self._gauges.look():
                self._ledger.violated(problem)
            if not self._gauges.censuses and time.monotonic() - started > gauges.warm_up(self._seconds):
                self._gauges.count_objects()
            overdue = self._ledger.overdue()
            if overdue:
                faulthandler.dump_traceback(all_threads=True)
                return [f"{entry.kind} on {entry.target} hangs ({entry.key})" for entry in overdue]
            if time.monotonic() - told > 60:
                told = time.monotonic()
                last = self._gauges.samples[-1]
                calls = sum(self._ledger.counts.values())
                say(
                    f"{(told - started) / 60:5.1f} min: {calls} calls, {len(self._ledger.violations)} violations, "
                    f"{last.rss:.0f} MB, {last.blocks} blocks, {last.threads} threads, {last.fds} descriptors"
                )
        self._gauges.count_objects()
        return []

    def _join(self) -> list[str]:
        """Everybody ends: no call takes longer than its deadline, and no server longer than its start."""
        at = time.monotonic() + 120
        for thread in self._threads:
            thread.join(max(0.0, at - time.monotonic()))
        stuck = [thread.name for thread in self._threads if thread.is_alive()]
        if stuck:
            faulthandler.dump_traceback(all_threads=True)
        return [f"a thread does not end: {name}" for name in stuck]

    # What happens to them

    def _fork(self, pairs: list[tuple[Target, MCPClient]], chance: random.Random) -> None:
        running: dict[int, float] = {}
        number = 0
        while not self._stop.is_set() or running:
            time.sleep(0.2)
            for pid in list(running):
                found, status = os.waitpid(pid, os.WNOHANG)
                if found:
                    del running[pid]
                    if status:
                        notes = (self._folder / f"{number}.fork").read_text()[-4000:]
                        self._ledger.violated(f"a forked child ended with status {status}: {notes}")
                elif time.monotonic() - running[pid] > 90:
                    self._ledger.violated(f"a forked child does not end: {pid}")
                    os.kill(pid, signal.SIGKILL)
            if not running and not self._stop.is_set() and chance.random() < 0.15:
                number += 1
                some = chance.sample(pairs, min(2, len(pairs)))
                ledger, notes_at = self._folder / f"fork-{number}.ledger", self._folder / f"{number}.fork"
                pid = workload.fork_and_call(some, ledger, f"f{number}-", chance.getrandbits(31), notes_at)
                running[pid] = time.monotonic()
                self._counts["forks"] += 1

    def _kill_children(self, chance: random.Random) -> None:
        """Kill the servers that the client started itself, now and then."""
        while not self._stop.wait(chance.uniform(1.0, 8.0)):
            for pid in children():
                if "tests.soak.stdio_server" in state_of(pid)[1] and str(self._folder) in state_of(pid)[1]:
                    os.kill(pid, chance.choice([signal.SIGKILL, signal.SIGTERM]))
                    self._counts["stdio servers killed"] += 1

    # The reckoning

    def _calm(self, clients: list[MCPClient]) -> list[str]:
        """Now that nothing breaks any more, every client works, and nobody waits in it."""
        problems: list[str] = []
        at = time.monotonic() + 60
        for target, client in zip(self._targets, clients):
            worker = Worker(target, client, self._ledger, 1, 0.0)
            while True:
                before = self._ledger.counts[target.name, "answered"]
                worker.echo()
                if self._ledger.counts[target.name, "answered"] > before:
                    break
                if time.monotonic() > at:
                    problems.append(f"the client of {target.name} does not work any more")
                    break
                time.sleep(0.5)
            until = time.monotonic() + _PATIENCE
            # A subscription of the stateless kind is a call that goes on; there is none any more.
            while waiting_anywhere(client) and time.monotonic() < until:
                time.sleep(0.05)
            waiting = waiting_anywhere(client)
            if waiting:
                problems.append(f"{waiting} waiters are left in the client of {target.name}")
        return problems

    def _nothing_is_left(self, before: gauges.Sample) -> list[str]:
        at = time.monotonic() + _PATIENCE
        while True:
            gc.collect()
            problems = [f"a thread is left: {t.name}" for t in threading.enumerate() if t.name.startswith("mcp-sync")]
            now = gauges.take()
            if now.fds > before.fds:
                links = []
                for name in os.listdir("/proc/self/fd"):
                    try:
                        links.append(os.readlink(f"/proc/self/fd/{name}"))
                    except OSError:
                        pass
                problems.append(f"{now.fds - before.fds} file descriptors are left: {links}")
            problems += [f"a child process is left: {pid} {state_of(pid)}" for pid in children()]
            kept = Counter(
                type(each).__qualname__
                for each in gc.get_objects()
                if str(type(each).__module__).startswith("mcp_sync")
                and type(each).__name__ in ("Connection", "Link", "Dispatcher", "Waiter", "Call", "Exchange", "HTTP")
            )
            problems += [f"{count} objects are kept: {name}" for name, count in kept.items()]
            if not problems or time.monotonic() > at:
                break
            time.sleep(0.2)
        return problems + [f"a process is left: {each}" for each in marked_processes(str(self._folder), _PATIENCE)]

    def _report(self, strikes: str, before: gauges.Sample, reckoning: Reckoning, problems: list[str]) -> None:
        counts = self._ledger.counts
        say(f"\n{'calls':12}" + "".join(f"{fate:>11}" for fate in (*FATES, "total")))
        for target in self._targets:
            row = [counts[target.name, fate] for fate in FATES]
            total = sum(count for (name, _), count in counts.items() if name == target.name)
            say(f"{target.name:12}" + "".join(f"{count:11}" for count in (*row, total)))
        say("\nwhat became of the tool calls of all processes, and how often they ran in the servers' logs:")
        for fate in FATES:
            runs = {times: count for (each, times), count in sorted(reckoning.runs.items()) if each == fate}
            say(f"  {fate:10}" + "".join(f"{f'{count} ran {times} x':>18}" for times, count in runs.items()))
        failures: Counter[str] = Counter()
        for (_, name), count in self._ledger.failures.items():
            failures[name] += count
        say("errors: " + ", ".join(f"{name} {count}" for name, count in failures.most_common()))
        for backend in self._backends:
            say(f"server {backend.name}: " + ", ".join(f"{kind} {count}" for kind, count in backend.events.items()))
        for victim in self._victims:
            say(f"{victim.name}: {victim.attacks} attacks, at most {victim.most / 1e6:.1f} MB kept of what it sent")
        say(f"connections broken: {strikes}")
        say(", ".join(f"{name}: {count}" for name, count in self._counts.items()))
        for name, (first, second) in self._gauges.halves().items():
            values = [getattr(sample, name) for sample in self._gauges.samples]
            say(
                f"{gauges.UNITS[name]}: {getattr(before, name):.0f} before, {min(values):.0f} to {max(values):.0f}; "
                f"in the first half {first:.0f}, in the second {second:.0f}"
            )
        say(f"more objects than after the warm-up: {self._gauges.more_objects()}")
        say(f"latest end of a call: {self._ledger.worst_overrun:+.2f} s after its deadline")
        for problem in problems[:60]:
            say(f"PROBLEM {problem}")
