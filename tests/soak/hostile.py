"""A hostile server, and a client that bears it: memory stays within ``max_buffered_bytes``, and each call ends in time.

    python -m tests.soak.hostile --binding sse --port 20001

Runs on: the server on the threads of the fault server, in a process of its own, which ends when its standard input
does; the client's callers on the soak's threads.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import sys
import threading
import time
from typing import Any, Callable

from mcp_sync import MCPClient, MCPClientError
from tests.soak.ledger import Entry, Ledger
from tests.support.fault_server import Asked, FaultServer, Request
from tests.support.inside import kept

__all__ = ["Victim"]

# Of the client.
_BUFFERED = 8_000_000
_MESSAGE = 1_000_000
_TIMEOUT = 4.0
_PATIENCE = 15.0
_LARGE = "x" * 100_000


# The server


class HostileServer(FaultServer):
    """Each of its tools is an attack."""

    def __init__(self, binding: str, port: int) -> None:
        super().__init__(binding, port=port)
        self.answers = "sse"
        self._numbers = itertools.count()
        self.methods["tools/list"] = self._pages
        self.tools = {name[1:]: getattr(self, name) for name in dir(self) if name in _ATTACKS}

    def _record(self, request: Request) -> None:
        """An hour of requests is not kept."""

    def _pages(self, asked: Asked) -> None:
        number = next(self._numbers)
        tools = [{"name": f"t{number}", "description": _LARGE * 5, "inputSchema": {}}]
        asked.answer({"tools": tools, "nextCursor": f"{number}"})

    def _logs(self, asked: Asked) -> None:
        for _ in range(200):
            asked.log(_LARGE)
        asked.text("done")

    def _progress(self, asked: Asked) -> None:
        for number in (10**400, float("nan"), float("inf"), "x", None, -1, 1):
            asked.progress(number)  # type: ignore[arg-type]  # on purpose
        for _ in range(100):
            asked.progress(1, message=_LARGE)
        asked.text("done")

    def _changes(self, asked: Asked) -> None:
        for _ in range(200):
            asked.send({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {"x": _LARGE}})
        asked.text("done")

    def _requests(self, asked: Asked) -> None:
        message = {"role": "user", "content": {"type": "text", "text": _LARGE}}
        for number in range(100):
            params = {"messages": [message], "maxTokens": 9}
            request = {"jsonrpc": "2.0", "id": number, "method": "sampling/createMessage", "params": params}
            asked.send(request)
        asked.text("done")

    def _batch(self, asked: Asked) -> None:
        asked.send([{} for _ in range(3_000)])
        asked.text("done")

    def _blocks(self, asked: Asked) -> None:
        asked.answer({"content": [{"type": "text", "text": ""}] * 10_001})

    def _error(self, asked: Asked) -> None:
        asked.error(-32000, _LARGE * 5)

    def _ids(self, asked: Asked) -> None:
        stream = asked.session.stream if self.has_shared_stream else asked.own_stream()
        assert stream is not None
        stream.event("", event=None, id=_LARGE, retry=0)
        asked.text("done")

    def _too_large(self, asked: Asked) -> None:
        asked.text("x" * 2 * _MESSAGE)

    def _cookies(self, asked: Asked) -> None:
        lines = [f"set-cookie: c{next(self._numbers)}={'v' * 100}" for _ in range(90)]
        if self.has_shared_stream:
            asked.text("done")
            return
        body = json.dumps({"jsonrpc": "2.0", "id": asked.id, "result": {"content": []}}).encode()
        head = ["HTTP/1.1 200 OK", "content-type: application/json", f"content-length: {len(body)}", *lines, "", ""]
        asked.wire.send("\r\n".join(head).encode() + body)


_ATTACKS = (
    "_logs _progress _changes _requests _batch _blocks _error _ids _too_large _cookies".split()  # noqa: SIM905  # shorter
)


# The client


def _slowly(answer: Any = None) -> Callable[[Any], Any]:
    """A handler that takes its time."""
    pause = threading.Event()

    def handle(params: Any) -> Any:
        pause.wait(0.02)
        return answer

    return handle


class Victim:
    """A client of the hostile server, and its callers.

    Attributes:
        attacks: how many it has borne.
        most: how many bytes it ever kept.
    """

    def __init__(self, name: str, url: str, ledger: Ledger, seed: int) -> None:
        self.name, self._url, self._ledger = name, url, ledger
        self._chance = random.Random(seed)
        self.attacks = 0
        self.most = 0

    def run(self, stop: threading.Event) -> None:
        """Until the end: one attack after the other, with a listener and a stream that nobody reads."""
        sampled = {"role": "assistant", "content": {"type": "text", "text": "4"}, "model": "abacus"}
        client = MCPClient(
            self._url,
            transport="sse" if "sse" in self.name else "http",
            timeout=_TIMEOUT,
            max_message_bytes=_MESSAGE,
            max_buffered_bytes=_BUFFERED,
            log_handler=_slowly(),
            sampling_handler=_slowly(sampled),
        )
        doings: list[Callable[[MCPClient, Entry], None]] = [self._call, self._call, self._leave_unread, self._list]
        with client:
            unread = None
            while not stop.wait(self._chance.uniform(0, 0.2)):
                doing = self._chance.choice(doings)
                with self._ledger.call(self.name, f"-{doing.__name__}", 2 * _TIMEOUT) as entry:
                    if unread is None:
                        unread = client.listen(tools=True)
                    doing(client, entry)
                    entry.fate = "answered"
                self.attacks += 1
                now = kept(client)
                self.most = max(self.most, now)
                if now > _BUFFERED:
                    self._ledger.violated(f"{now} bytes are kept of what {self.name} sent, and {_BUFFERED} may be")
            if unread is not None:
                unread.close()
        until = time.monotonic() + _PATIENCE
        while kept(client) and time.monotonic() < until:
            time.sleep(0.05)  # until the handlers that run are done
        if kept(client):
            self._ledger.violated(f"{kept(client)} bytes are still kept of what {self.name} sent")

    def _attack(self) -> str:
        return self._chance.choice(_ATTACKS)[1:]

    def _call(self, client: MCPClient, entry: Entry) -> None:
        client.call_tool(self._attack())

    def _leave_unread(self, client: MCPClient, entry: Entry) -> None:
        """Read a little of a stream, do something else, and leave it."""
        with client.stream_tool(self._attack()) as stream:
            next(stream, None)
            try:
                client.call_tool(self._attack())
            except MCPClientError:
                pass  # the attacks that cannot be answered
            list(itertools.islice(stream, self._chance.choice([0, 3, 1000])))

    def _list(self, client: MCPClient, entry: Entry) -> None:
        client.list_tools()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--binding", choices=["sse", "http"], required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    with HostileServer(options.binding, options.port) as server:
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        while os.read(0, 4096):
            pass
        server.closing.set()
        server.errors.clear()  # a client that leaves
    return 0


if __name__ == "__main__":
    sys.exit(main())
