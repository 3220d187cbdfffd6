"""A server over stdio that greets a new client as it is told: what it does, and when, with the first lines it gets.

    python newcomer.py DIARY PLOT [GATE]

Runs on: the one thread of a process of its own; nothing but the standard library. Each process notes its start, and
each message that it reads, in the file DIARY. GATE is a file that it waits for before it reads anything.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

MODERN = {
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "new", "version": "1"},
    "ttlMs": 0,
    "cacheScope": "private",
    "resultType": "complete",
}
LEGACY = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "old", "version": "1"},
}
NOT_THAT = {"code": -32022, "message": "serving 2026-07-28", "data": {"supported": ["2026-07-28"], "requested": "?"}}


def note(text: str) -> None:
    with open(sys.argv[1], "a", encoding="utf-8") as diary:
        diary.write(text + "\n")


def read() -> dict[str, Any]:
    line = sys.stdin.readline()
    if not line:
        raise SystemExit
    message: dict[str, Any] = json.loads(line)
    note(message["method"])
    return message


def say(message: dict[str, Any], **what: Any) -> None:
    if "id" in message:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], **what}) + "\n")
        sys.stdout.flush()


def serve(message: dict[str, Any]) -> None:
    """As a server does that knows both revisions."""
    results = {"server/discover": MODERN, "initialize": LEGACY, "tools/list": {"tools": []}, "ping": {}}
    say(message, result=results.get(message["method"], {}))


def answers_late(probe: dict[str, Any]) -> None:
    """Something between us has read the probe for a server that is not up before the next line has come."""
    greeting = read()
    say(probe, result=MODERN)
    say(greeting, error=NOT_THAT)


def refuses_first(probe: dict[str, Any]) -> None:
    say(read(), error=NOT_THAT)
    say(probe, result=MODERN)


def dies_of_it(probe: dict[str, Any]) -> None:
    raise SystemExit(1)


def dies_of_the_next_line(probe: dict[str, Any]) -> None:
    read()
    raise SystemExit(1)


def ignores_it(probe: dict[str, Any]) -> None:
    """What it does not know, it does not answer."""


def is_mute(probe: dict[str, Any]) -> None:
    while True:
        read()


def knows_it_late(probe: dict[str, Any]) -> None:
    greeting = read()
    say(probe, error={"code": -32602, "message": "Invalid request parameters"})
    say(greeting, result=LEGACY)


def hangs_on_it(probe: dict[str, Any]) -> None:
    while True:
        time.sleep(1)


def is_upset_by_it(probe: dict[str, Any]) -> None:
    while True:
        say(read(), error={"code": -32000, "message": "initialize must come first"})


def refuses_all(message: dict[str, Any]) -> None:
    """Not by the probe: it has no room for anybody."""
    while True:
        say(message, error={"code": -32000, "message": "no room"})
        message = read()


def main() -> None:
    note("start")
    while len(sys.argv) > 3 and not os.path.exists(sys.argv[3]):
        time.sleep(0.01)
    message = read()
    if message["method"] == "server/discover" or sys.argv[2] == "refuses_all":
        globals()[sys.argv[2]](message)
    else:
        serve(message)
    while True:
        serve(read())


main()
