"""A Celery application that used its client before its workers were forked.

Runs on: the worker's processes: the main one, and those of its prefork pool.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from celery import Celery, signals
from celery.exceptions import SoftTimeLimitExceeded

from tests.process import web_app

app = Celery("tests", broker=os.environ["MCP_REDIS"], backend=os.environ["MCP_REDIS"])
app.conf.broker_connection_retry_on_startup = True


def call(tool: str, message: str) -> dict[str, Any]:
    return web_app.call(tool, message)


def inherited() -> list[str]:
    return web_app.inherited()


def limited() -> str:
    """Celery ends a call that takes too long by an exception out of a signal handler; the client works on."""
    try:
        return web_app.client.call_tool("never").text
    except SoftTimeLimitExceeded:
        return web_app.client.call_tool("echo", {"message": "limited"}).text


def end(**ignored: object) -> None:
    """The main process goes on with the client that the pool had from it."""
    said = web_app.call("echo", "still here")["text"], web_app.future.result(20).text
    sys.stdout.write(f"parent: {' '.join(said)}\n")
    sys.stdout.flush()
    web_app.client.close()


for function in (call, inherited):
    app.task(function)
app.task(limited, soft_time_limit=1)
signals.worker_shutdown.connect(end)
