"""A server over stdio that does what its client tells it: each method is one way to behave, or to misbehave.

Runs on: the one thread of a process of its own. Needs nothing but the standard library, and starts fast.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any, Callable


def write(data: bytes, fd: int = 1) -> None:
    while data:
        data = data[os.write(fd, data) :]


def answer(id: Any, result: dict[str, Any]) -> None:
    write(json.dumps({"jsonrpc": "2.0", "id": id, "result": result}).encode() + b"\n")


def sleep_for_ever() -> None:
    while True:
        time.sleep(60)


def echo(id: Any, params: dict[str, Any]) -> None:
    answer(id, params)


def size(id: Any, params: dict[str, Any]) -> None:
    answer(id, {"size": len(params["text"])})


def about(id: Any, params: dict[str, Any]) -> None:
    answer(
        id,
        {
            "pid": os.getpid(),
            "pgid": os.getpgid(0),
            "sid": os.getsid(0),
            "argv": sys.argv[1:],
            "cwd": os.getcwd(),
            "env": dict(os.environ),
            "fds": sorted(int(name) for name in os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else [],
        },
    )


def raw(id: Any, params: dict[str, Any]) -> None:
    """Write these bytes to stdout as they are, ``times`` times."""
    data = base64.b64decode(params["base64"])
    for _ in range(params.get("times", 1)):
        write(data)


def complain(id: Any, params: dict[str, Any]) -> None:
    """Write this text to stderr, ``times`` times; then answer."""
    data = params["text"].encode()
    for _ in range(params.get("times", 1)):
        write(data, 2)
    answer(id, {})


def exit(id: Any, params: dict[str, Any]) -> None:
    write(params.get("stderr", "").encode(), 2)
    os._exit(params.get("code", 0))


def die(id: Any, params: dict[str, Any]) -> None:
    write(params.get("stdout", "").encode())
    os.kill(os.getpid(), params.get("signal", signal.SIGKILL))


def stop_reading(id: Any, params: dict[str, Any]) -> None:
    answer(id, {})
    sleep_for_ever()


def read_later(id: Any, params: dict[str, Any]) -> None:
    """Read nothing until a file appears."""
    answer(id, {})
    while not os.path.exists(params["file"]):
        time.sleep(0.01)


def close_stdin(id: Any, params: dict[str, Any]) -> None:
    os.close(0)
    answer(id, {})
    sleep_for_ever()


def close_stdout(id: Any, params: dict[str, Any]) -> None:
    os.close(1)
    sleep_for_ever()


def ignore_end(id: Any, params: dict[str, Any]) -> None:
    """Stay when stdin ends, and, if asked to, when told to terminate."""
    if params.get("sigterm"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    answer(id, {})
    global stays
    stays = True


def spawn(id: Any, params: dict[str, Any]) -> None:
    """Start a process that inherits all three pipes, ignores SIGTERM and stays."""
    script = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.write(int(os.environ['READY']), b'-')\n"
        "while True: time.sleep(60)\n"
    )
    ready, write_end = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", script], pass_fds=[write_end], env={"READY": str(write_end)}
    )
    os.read(ready, 1)
    answer(id, {"pid": child.pid})


METHODS: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    function.__name__: function
    for function in (
        echo,
        size,
        about,
        raw,
        complain,
        exit,
        die,
        stop_reading,
        read_later,
        close_stdin,
        close_stdout,
        ignore_end,
        spawn,
    )
}
stays = False


def main() -> None:
    for line in sys.stdin.buffer:
        message = json.loads(line)
        METHODS[message["method"]](message.get("id"), message.get("params", {}))
    if stays:
        sleep_for_ever()


main()
