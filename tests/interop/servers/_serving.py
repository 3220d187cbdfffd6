"""What the Python servers of this folder share: listening on loopback, saying where, and keeping a diary.

Runs in the servers' own environments (Python 3.10 or newer), never in the test process.
"""

import contextlib
import os
import socket
import sys
import threading

import uvicorn

GREETING_NAMES = ["Ada", "Alan", "Barbara", "Grace", "Linus"]
LINE = "The quick brown fox jumps over the lazy dog while 0123456789 sheep look on. OK\n"


def note(entry):
    """Append one line to the diary that the test reads: did the tool start, end, get cancelled, and how often?"""
    path = os.environ.get("INTEROP_DIARY")
    if path:
        # One write of one short line in append mode is atomic, so threads and processes need no lock.
        with open(path, "a", encoding="utf-8") as diary:
            diary.write(f"{entry}\n")


def end_with_parent():
    """End when stdin does: a test run that was killed leaves no server behind."""

    def watch():
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def serve(app, port=0, lifespan="auto"):
    """Listen on 127.0.0.1, print `PORT n`, and serve `app` until SIGTERM."""
    listening = socket.create_server(("127.0.0.1", port), backlog=128)
    # asyncio sets TCP_NODELAY only on sockets whose proto is IPPROTO_TCP, and this one says 0. Accepted ones inherit.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sys.stdout.write(f"PORT {listening.getsockname()[1]}\n")
    sys.stdout.flush()
    end_with_parent()
    # Without a limit uvicorn waits for ever for streams that a client holds open.
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan=lifespan, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listening])
    sys.exit(0)
