"""What the callers of a soak do: every way to call a tool, to leave a call, and to lose one.

Runs on: the workers' threads; ``fork_and_call`` on the thread that forks, and in the child.
"""

from __future__ import annotations

import concurrent.futures
import os
import random
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from mcp_sync import CallToolResult, MCPCancelledError, MCPClient, MCPClientError, Progress, ToolError, ToolStream
from tests.soak.ledger import Entry, Ledger
from tests.soak.processes import die_with_stacks_after
from tests.soak.tools import RESOURCE, expected, step

__all__ = ["Target", "Worker", "churn", "fork_and_call", "listen"]

TIMEOUT = 6.0
_FORK_CALLS = 2
_CHILD_SECONDS = 60.0


def repeat(params: Any) -> dict[str, Any]:
    """The sampling handler: it says what it was told."""
    text = params.messages[0].content.text
    return {"role": "assistant", "model": "parrot", "content": {"type": "text", "text": text}}


@dataclass
class Target:
    """One server over one transport."""

    name: str
    server: Any
    options: Mapping[str, Any]
    # Whether its servers ask the client something.
    asks: bool

    def make_client(self) -> MCPClient:
        return MCPClient(
            self.server,
            timeout=TIMEOUT,
            connect_timeout=3.0,
            close_timeout=3.0,
            retry_delay=0.2,
            sampling_handler=repeat if self.asks else None,
            **self.options,
        )


class Worker:
    """One caller: it does one thing after another, by chance.

    Parameters:
        pace: seconds between two of them, on average.
    """

    def __init__(self, target: Target, client: MCPClient, ledger: Ledger, seed: int, pace: float) -> None:
        self._target, self._client, self._ledger = target, client, ledger
        self._chance = random.Random(seed)
        self._pace = pace
        self._doings: dict[Callable[[], None], float] = {
            self.echo: 20,
            self.echo_again: 4,
            self.watch: 8,
            self.stream: 8,
            self.leave_stream: 3,
            self.cancel_stream: 3,
            self.submit: 6,
            self.cancel_submitted: 3,
            self.map: 2,
            self.come_too_late: 2,
            self.come_close: 2,
            self.subscribe: 2,
            self.fail: 3,
            self.ask: 3 if target.asks else 0,
            self.look_around: 4,
            self.reopen: 0.3,
        }

    def run(self, stop: threading.Event) -> None:
        doings, weights = list(self._doings), list(self._doings.values())
        while not stop.wait(self._chance.uniform(0, 2 * self._pace)):
            self._chance.choices(doings, weights)[0]()

    def _call(self, kind: str, limit: float = TIMEOUT, retry: bool = False) -> Any:
        return self._ledger.call(self._target.name, kind, limit, retry)

    def _judge(self, entry: Entry, name: str, arguments: dict[str, Any], text: str) -> None:
        """Whether this is the call's own answer."""
        if text != expected(name, arguments):
            self._ledger.violated(f"{entry.kind} {entry.key} on {entry.target} got another answer: {text[:100]!r}")
        entry.fate = "answered"

    def _echo_arguments(self, entry: Entry) -> dict[str, Any]:
        size = self._chance.choice([0, 10, 10, 10, 2_000])
        if self._chance.random() < 0.03:
            size = self._chance.choice([100_000, 100_000, 2_000_000])
        return {"key": entry.key, "text": "a" * size, "back": self._chance.choice([0, size])}

    # One call each

    def echo(self) -> None:
        with self._call("call_tool") as entry:
            arguments = self._echo_arguments(entry)
            self._judge(entry, "echo", arguments, self._client.call_tool("echo", arguments).text)

    def echo_again(self) -> None:
        with self._call("call_tool, retry", retry=True) as entry:
            arguments = self._echo_arguments(entry)
            self._judge(entry, "echo", arguments, self._client.call_tool("echo", arguments, retry=True).text)

    def _count_arguments(self, entry: Entry) -> dict[str, Any]:
        return {"key": entry.key, "steps": self._chance.randint(1, 12), "pause": self._chance.choice([0, 0, 0.02])}

    def watch(self) -> None:
        with self._call("call_tool, on_progress") as entry:
            arguments = self._count_arguments(entry)
            seen = _Steps(self._ledger, entry)
            text = self._client.call_tool("count", arguments, on_progress=seen).text
            self._judge(entry, "count", arguments, text)
            seen.must_be(arguments["steps"])

    def stream(self) -> None:
        with self._call("stream_tool") as entry:
            arguments = self._count_arguments(entry)
            seen = _Steps(self._ledger, entry)
            with self._client.stream_tool("count", arguments) as stream:
                self._read(stream, seen, entry)
            self._judge(entry, "count", arguments, stream.result.text)
            seen.must_be(arguments["steps"])

    def _read(self, stream: ToolStream, seen: _Steps, entry: Entry, most: float = float("inf")) -> None:
        result = None
        for event in stream:
            if result is not None:
                self._ledger.violated(f"{entry.kind} {entry.key} on {entry.target}: something came after the result")
            if isinstance(event, Progress):
                seen(event)
            elif isinstance(event, CallToolResult):
                result = event
            if seen.count >= most:
                break

    def leave_stream(self) -> None:
        with self._call("stream_tool, left") as entry:
            arguments = {"key": entry.key, "steps": 50, "pause": 0.02}
            with self._client.stream_tool("count", arguments) as stream:
                self._read(stream, _Steps(self._ledger, entry), entry, most=self._chance.randint(1, 5))
            entry.fate = "cancelled"

    def cancel_stream(self) -> None:
        with self._call("stream_tool, cancelled") as entry:
            arguments = {"key": entry.key, "steps": 50, "pause": 0.02}
            stream = self._client.stream_tool("count", arguments)
            other = threading.Timer(self._chance.uniform(0, 0.3), stream.cancel)
            other.start()
            try:
                self._read(stream, _Steps(self._ledger, entry), entry)
                entry.fate = "cancelled"
            finally:
                other.cancel()
                other.join()

    def submit(self) -> None:
        with self._call("submit") as entry:
            arguments = self._echo_arguments(entry)
            text = self._client.submit("echo", arguments).result(TIMEOUT + 30).text
            self._judge(entry, "echo", arguments, text)

    def cancel_submitted(self) -> None:
        with self._call("submit, cancelled") as entry:
            arguments = {"key": entry.key, "seconds": 0.3}
            future = self._client.submit("slow", arguments)
            time.sleep(self._chance.uniform(0, 0.4))
            future.cancel()
            try:
                self._judge(entry, "slow", arguments, future.result(TIMEOUT + 30).text)
            except concurrent.futures.CancelledError:
                entry.fate = "cancelled"

    def map(self) -> None:
        """Five calls in one: they succeed together, or it is not known which of them did."""
        entries = [self._call("map", 5 * TIMEOUT) for _ in range(5)]
        with entries[0] as a, entries[1] as b, entries[2] as c, entries[3] as d, entries[4] as e:
            keyed = [a, b, c, d, e]
            todo = [self._echo_arguments(entry) for entry in keyed]
            try:
                results = self._client.map("echo", todo, max_workers=3)
            except MCPClientError:
                for entry in keyed:
                    entry.fate = "cancelled"
            else:
                for entry, arguments, result in zip(keyed, todo, results):
                    self._judge(entry, "echo", arguments, result.text)

    def come_too_late(self) -> None:
        with self._call("call_tool, too slow", 0.3) as entry:
            arguments = {"key": entry.key, "seconds": 0.8}
            self._judge(entry, "slow", arguments, self._client.call_tool("slow", arguments, timeout=0.3).text)

    def come_close(self) -> None:
        """The answer and the end of the time-out come together: whichever is first, no other call hears of it."""
        with self._call("call_tool, close to its time-out", 0.3) as entry:
            arguments = {"key": entry.key, "seconds": self._chance.uniform(0.27, 0.3)}
            self._judge(entry, "slow", arguments, self._client.call_tool("slow", arguments, timeout=0.3).text)

    def subscribe(self) -> None:
        """Beside other workers, to a resource that they subscribe to as well, and to one of this worker's own."""
        with self._call("-subscribing", 3 * TIMEOUT) as entry:
            mine = f"soak://{self._chance.randrange(4)}"
            try:
                self._client.subscribe_resource(mine)
                with self._client.listen(tools=self._chance.random() < 0.5, resources=[RESOURCE]):
                    pass
                self._client.unsubscribe_resource(mine)
            except MCPCancelledError as exc:
                self._ledger.violated(f"a subscription on {entry.target} was cancelled, which nobody did: {exc}")
            entry.fate = "answered"

    def fail(self) -> None:
        with self._call("call_tool, failing") as entry:
            try:
                self._client.call_tool("fail", {"key": entry.key})
                self._ledger.violated(f"a tool that fails did not: {entry.key}")
            except ToolError as exc:
                assert exc.result is not None
                self._judge(entry, "fail", {"key": entry.key}, exc.result.text)

    def ask(self) -> None:
        with self._call("call_tool, asked back") as entry:
            self._judge(entry, "ask", {"key": entry.key}, self._client.call_tool("ask", {"key": entry.key}).text)

    def look_around(self) -> None:
        with self._call("-reading") as entry:
            kind = self._chance.randrange(3)
            if kind == 0:
                names = {tool.name for tool in self._client.list_tools()}
                if not {"echo", "count"} <= names:
                    self._ledger.violated(f"the list of tools on {self._target.name} is {names}")
            elif kind == 1:
                self._client.ping()
            else:
                self._client.list_tools(timeout=self._chance.uniform(0.001, 1.0))
            entry.fate = "answered"

    def reopen(self) -> None:
        with self._call("-closing and opening", 2 * TIMEOUT) as entry:
            self._client.close()
            self._client.connect()
            entry.fate = "answered"


class _Steps:
    """The progress of one call, which must be complete and in order."""

    def __init__(self, ledger: Ledger, entry: Entry) -> None:
        self._ledger, self._entry = ledger, entry
        self.count = 0

    def __call__(self, event: Progress) -> None:
        self._entry.seen = True
        self.count += 1
        if event.progress != self.count or event.message != step(self._entry.key, self.count):
            self._ledger.violated(
                f"{self._entry.kind} {self._entry.key} on {self._entry.target}: event {self.count} is {event!r}"
            )

    def must_be(self, count: int) -> None:
        if self.count != count:
            self._ledger.violated(
                f"{self._entry.kind} {self._entry.key} on {self._entry.target}: {self.count} of {count} events came"
            )


def listen(target: Target, client: MCPClient, ledger: Ledger, stop: threading.Event) -> int:
    """Listen for changes, again and again. Returns how many events came."""
    heard = 0
    known = {"notifications/tools/list_changed", "notifications/resources/updated"}
    while not stop.is_set():
        with ledger.call(target.name, "-listening", 4 * TIMEOUT) as entry:
            with client.listen(tools=True, resources=[RESOURCE]) as changes:
                until = time.monotonic() + 2.0
                while not stop.is_set() and time.monotonic() < until:
                    event = changes.get(0.5)
                    if event is None:
                        continue
                    heard += 1
                    if event.method not in known:
                        ledger.violated(f"a listener on {target.name} heard {event!r}")
            entry.fate = "answered"
        stop.wait(0.2)
    return heard


def churn(targets: list[Target], ledger: Ledger, seed: int, stop: threading.Event) -> None:
    """Clients that come and go, some without saying goodbye."""
    chance = random.Random(seed)
    while not stop.wait(chance.uniform(0, 1.0)):
        target = chance.choice(targets)
        client = target.make_client()
        worker = Worker(target, client, ledger, chance.getrandbits(32), 0.0)
        for _ in range(3):
            worker.echo()
        if chance.random() < 0.7:
            client.close()
        del client, worker


def fork_and_call(targets: list[tuple[Target, MCPClient]], ledger: Path, prefix: str, seed: int, notes: Path) -> int:
    """Fork; the child calls with the clients it inherited, and exits. Returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        with notes.open("w") as file:
            die_with_stacks_after(_CHILD_SECONDS, file)
            chance = random.Random(seed)
            mine = Ledger(ledger, prefix)
            for target, client in targets:
                worker = Worker(target, client, mine, chance.getrandbits(32), 0.0)
                for doing in chance.choices([worker.echo, worker.stream, worker.submit], k=_FORK_CALLS):
                    doing()
                if chance.random() < 0.5:
                    client.close()
            mine.close()
            status = 0
    except BaseException:  # noqa: BLE001  # nothing of the parent's may run in here
        notes.write_text(traceback.format_exc())
    finally:
        os._exit(status)
