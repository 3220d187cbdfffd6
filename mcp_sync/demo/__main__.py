"""``python -m mcp_sync.demo``: the bundled server without the command line's extra. Runs on: the main thread."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until it is told to end. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m mcp_sync.demo", description="Run the bundled MCP server.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on, 0 for a free one (%(default)s)")
    parser.add_argument("--stdio", action="store_true", help="serve on standard input and output instead")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when standard input ends, too")
    parser.add_argument("--verbose", action="store_true", help="log requests on standard error")
    options = parser.parse_args(arguments)

    from . import serving  # a second of imports, which --help need not pay

    try:
        if options.stdio:
            serving.serve_stdio()
        else:
            serving.serve(
                options.host,
                options.port,
                until_stdin_closes=options.until_stdin_closes,
                verbose=options.verbose,
            )
    except serving.CannotListen as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before uvicorn took the signal over, or on stdio
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
