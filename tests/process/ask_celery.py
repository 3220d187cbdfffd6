"""Give tasks to the application's workers, and write what came of them, as JSON: for test_celery.py.

Runs in a process of its own, since Celery keeps its connections for as long as a process lives.
"""

from __future__ import annotations

import json
import os
import sys

from celery import Celery, group

SECONDS = 60


def main(workers: int, calls: int) -> None:
    app = Celery("asks", broker=os.environ["MCP_REDIS"], backend=os.environ["MCP_REDIS"])
    call, inherited = "tests.process.celery_app.call", "tests.process.celery_app.inherited"
    tasks = [app.signature(call, ("meet", str(number))) for number in range(workers)]
    met = group(tasks).apply_async().get(SECONDS)
    tasks = [app.signature(call, ("echo", str(number))) for number in range(calls)]
    answers = group(tasks).apply_async().get(SECONDS)
    ends = group([app.signature(inherited) for _ in range(4)]).apply_async().get(SECONDS)
    limited = app.signature("tests.process.celery_app.limited").apply_async().get(SECONDS)
    json.dump({"met": met, "answers": answers, "ends": ends, "limited": limited}, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
