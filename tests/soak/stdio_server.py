"""A fast server over stdio that keeps a log of the calls that ran.

    python -m tests.soak.stdio_server LOG [HOW MANY TOOLS IT LISTS AT LEAST]

Runs on: a process of its own: the main thread reads, one thread per call answers, one tells of changes.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
from typing import Any, Optional

from tests.soak.tools import RESOURCE, ToolLog, page, run

__all__: list[str] = []

Message = dict[str, Any]


class Server:
    def __init__(self, log: ToolLog, tools: int) -> None:
        self._log, self._tools = log, tools
        self._lock = threading.Lock()  # keeps writers from mixing, and guards the table
        self._ids = itertools.count(1)
        self._asked: dict[str, tuple[threading.Event, list[Message]]] = {}
        self._ended = threading.Event()

    def send(self, message: Message) -> None:
        data = json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"
        with self._lock:
            while data:
                try:
                    data = data[os.write(1, data) :]
                except OSError:
                    os._exit(0)  # the client is gone

    def read(self) -> None:
        for line in sys.stdin.buffer:
            message = json.loads(line)
            if "method" not in message:
                event, answers = self._asked[message["id"]]
                answers.append(message)
                event.set()
            elif "id" in message and message["method"] == "tools/call":
                threading.Thread(target=self._call, args=(message,), daemon=True).start()
            elif "id" in message:
                self._answer(message)
        self._ended.set()

    def _answer(self, message: Message) -> None:
        params = message.get("params", {})
        results: dict[str, Message] = {
            "initialize": {
                "protocolVersion": params.get("protocolVersion"),
                "capabilities": {"tools": {"listChanged": True}, "resources": {"subscribe": True}},
                "serverInfo": {"name": "soak", "version": "1"},
            },
            "ping": {},
            "tools/list": page(params.get("cursor"), self._tools),
            "resources/subscribe": {},
            "resources/unsubscribe": {},
            "resources/read": {"contents": [{"uri": params.get("uri", ""), "text": "content"}]},
        }
        result = results.get(message["method"])
        if result is None:
            self.send({"id": message["id"], "error": {"code": -32601, "message": "Method not found"}})
        else:
            self.send({"id": message["id"], "result": result})

    def _call(self, message: Message) -> None:
        params = message["params"]
        call = Call(self, message["id"], (params.get("_meta") or {}).get("progressToken"))
        run(params["name"], params["arguments"], call, self._log, self._ended.wait, self._sample)

    def _sample(self, text: str) -> str:
        """Have the client's model repeat ``text``."""
        id, event = f"ask-{next(self._ids)}", threading.Event()
        answers: list[Message] = []
        self._asked[id] = (event, answers)
        content = {"role": "user", "content": {"type": "text", "text": text}}
        self.send({"id": id, "method": "sampling/createMessage", "params": {"messages": [content], "maxTokens": 9}})
        event.wait(10)
        return str(answers[0]["result"]["content"]["text"]) if answers and "result" in answers[0] else "refused"

    def tell_of_changes(self) -> None:
        while not self._ended.wait(0.1):
            self.send({"method": "notifications/tools/list_changed"})
            self.send({"method": "notifications/resources/updated", "params": {"uri": RESOURCE}})


class Call:
    """How a tool reaches the client."""

    def __init__(self, server: Server, id: Any, token: Any) -> None:
        self._server, self._id, self._token = server, id, token

    def text(self, text: str, **more: Any) -> None:
        self._server.send({"id": self._id, "result": {"content": [{"type": "text", "text": text}], **more}})

    def progress(self, progress: float, total: Optional[float] = None, message: Optional[str] = None) -> None:
        if self._token is not None:
            params = {"progressToken": self._token, "progress": progress, "total": total, "message": message}
            self._server.send({"method": "notifications/progress", "params": params})


def main() -> None:
    server = Server(ToolLog(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    threading.Thread(target=server.tell_of_changes, daemon=True).start()
    server.read()


if __name__ == "__main__":
    main()
