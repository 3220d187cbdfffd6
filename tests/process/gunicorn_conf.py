"""What gunicorn's parent process does when the workers are gone: it goes on with the client that they had from it."""

from __future__ import annotations

import os
import sys
from typing import Any

# No port of our choice is sure to be free: gunicorn says which it got.
bind = "127.0.0.1:0"
preload_app = True
chdir = os.environ["MCP_ROOT"]


def on_exit(server: Any) -> None:
    from tests.process import web_app

    sys.stdout.write(f"parent: {web_app.call('echo', 'still here')['text']} {web_app.future.result(20).text}\n")
    web_app.client.close()
