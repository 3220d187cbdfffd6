"""A fast server over HTTP that keeps a log of the calls that ran, and has a mishap now and then.

    python -m tests.soak.server --binding sse --port 20001 --log calls.log --seed 1

Runs on: the threads of the fault server, in a process of its own, which ends when its standard input does. SIGUSR1
makes it forget its sessions.
"""

from __future__ import annotations

import argparse
import functools
import os
import random
import signal
import sys
import threading
from typing import Any

from tests.soak.tools import NAMES, RESOURCE, ToolLog, listing, page, run
from tests.support.fault_server import Asked, FaultServer, Gone, Request, Wire
from tests.transports.streamable_http.modern import META, ModernServer

__all__: list[str] = []

_TICK = 0.1  # seconds between two rounds of change notifications
_ANSWER_SECONDS = 10.0  # how long the client may take to answer


class SoakServer(FaultServer):
    """The fault server with the soak's tools.

    What it does beside its work, each in one of a hundred calls or less: it refuses a call (429, 503), breaks off
    before or after it ran, answers with half a message, twice, or with somebody else's answer first.
    """

    has_mishaps = True

    def prepare(self, log: ToolLog, seed: int, tools: int = 0) -> None:
        self.log = log
        self.chance = random.Random(seed)
        self.tool_list = listing()
        self.methods["tools/list"] = lambda asked: asked.answer(page(asked.params.get("cursor"), tools))
        self.tools = {name: functools.partial(self._run_tool, name) for name in NAMES}

    def _run_tool(self, name: str, asked: Asked) -> None:
        if self.binding == "http" and self.has_mishaps and self.chance.random() < 0.01:
            foreign = {"content": [{"type": "text", "text": "the answer to another call"}]}
            asked.send({"jsonrpc": "2.0", "id": asked.id + 1, "result": foreign})
        run(name, asked.arguments, asked, self.log, self.closing.wait, lambda text: self._sample(asked, text))
        if self.binding == "sse" and self.has_mishaps and self.chance.random() < 0.01:
            asked.text("a second answer")

    def _sample(self, asked: Asked, text: str) -> str:
        """Have the client's model repeat ``text``."""
        id = f"ask-{os.urandom(8).hex()}"
        message = {"role": "user", "content": {"type": "text", "text": text}}
        session = asked.session
        session.ask(
            "sampling/createMessage", {"messages": [message], "maxTokens": 9}, id=id, via=asked.send, wait=False
        )
        try:
            answer = session.answer_to(id, _ANSWER_SECONDS)
        except AssertionError:
            raise Gone from None  # the client has lost this session
        finally:
            session._waiting.pop(id, None)
        return str(answer["result"]["content"]["text"]) if "result" in answer else f"refused: {answer}"

    def _record(self, request: Request) -> None:
        """An hour of requests is not kept."""

    def serve_post(self, wire: Wire, request: Request) -> None:
        calls = [message for message in request.messages if message.get("method") == "tools/call"]
        if calls and self.has_mishaps and self.chance.random() < 0.02:
            self._mishap(wire, str(calls[0]["params"]["arguments"]["key"]))
        else:
            super().serve_post(wire, request)

    def _mishap(self, wire: Wire, key: str) -> None:
        kind = self.chance.choice(
            ["refuse", "reset before", "reset after", "fail after", "half an answer", "no answer"]
        )
        if kind not in ("refuse", "reset before"):
            self.log.ran(key)
        if kind == "refuse":
            wire.respond(self.chance.choice([429, 503]), "busy", {"retry-after": "1"})
        elif kind.startswith("reset"):
            wire.reset()
        elif kind == "fail after":
            wire.respond(500, "it ran, and then something went wrong")
        elif kind == "half an answer":
            wire.respond(200, b'{"jsonrpc": "2.0", "id": 1, "res', {"content-type": "application/json"})
        elif self.binding == "sse":
            wire.respond(202, "Accepted")
        else:
            wire.hold()

    def tell_of_changes(self) -> None:
        """Until the server ends."""
        while not self.closing.wait(_TICK):
            for session in list(self.sessions.values()):
                if session.stream is None:
                    continue
                try:
                    session.notify("notifications/tools/list_changed")
                    session.notify("notifications/resources/updated", {"uri": RESOURCE})
                except Gone:
                    pass


class ModernSoakServer(SoakServer, ModernServer):
    """The same of revision 2026-07-28."""

    def prepare(self, log: ToolLog, seed: int, tools: int = 0) -> None:
        super().prepare(log, seed, tools)
        self.methods["subscriptions/listen"] = self._listen

    def _check(self, request: Request) -> None:
        super()._check(request)
        # A request that was cut off on its way is not there; one that is must be as the specification says.
        for violation in self.violations:
            self.log.ran(f"!the client broke the protocol: {violation}")
        self.violations.clear()

    def _listen(self, asked: Asked) -> None:
        meta = {META + "subscriptionId": asked.id}

        def tell(method: str, **params: Any) -> None:
            asked.send({"jsonrpc": "2.0", "method": f"notifications/{method}", "params": {"_meta": meta, **params}})

        wanted = asked.params["notifications"]
        tell("subscriptions/acknowledged", notifications=wanted)
        while not self.closing.wait(_TICK):
            if wanted.get("toolsListChanged"):
                tell("tools/list_changed")
            if RESOURCE in wanted.get("resourceSubscriptions", ()):
                tell("resources/updated", uri=RESOURCE)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--binding", choices=["sse", "json", "streams", "modern"], required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--calm", action="store_true", help="without mishaps, and without changes")
    parser.add_argument("--tools", type=int, default=0, help="how long the list of tools is at least")
    options = parser.parse_args()
    server: SoakServer
    if options.binding == "modern":
        server = ModernSoakServer(options.port)
    else:
        server = SoakServer("sse" if options.binding == "sse" else "http", port=options.port)
        server.answers = "sse" if options.binding == "streams" else "json"
    server.prepare(ToolLog(options.log), options.seed, options.tools)
    server.has_mishaps = not options.calm
    signal.signal(signal.SIGUSR1, lambda *_: server.sessions.clear())
    with server:
        ticker = threading.Thread(target=server.tell_of_changes, name="ticker")
        if server.has_mishaps:
            ticker.start()
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        while os.read(0, 4096):
            pass
        server.closing.set()
        if ticker.is_alive():
            ticker.join(5)
    return 0


if __name__ == "__main__":
    sys.exit(main())
