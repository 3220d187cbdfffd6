"""The official SDK 1.6, which speaks 2024-11-05: a request that it does not know ends its session.

python old_app.py {sse,stdio} [--port N]
"""

import argparse

from _serving import note, serve
from mcp.server.fastmcp import FastMCP


def build():
    note("started")
    server = FastMCP("interop-old", log_level="ERROR")

    @server.tool()
    def echo(message: str) -> str:
        """Give the message back."""
        note("echo")
        return message

    return server


def main():
    options = argparse.ArgumentParser()
    options.add_argument("transport", choices=["sse", "stdio"])
    options.add_argument("--port", type=int, default=0)
    chosen = options.parse_args()
    server = build()
    if chosen.transport == "stdio":
        server.run("stdio")
    else:
        serve(server.sse_app(), chosen.port)


if __name__ == "__main__":
    main()
