"""Content generation with a progress bar (pip install rich).

Run it: python examples/content_generation.py [URL [PROMPT ...]]
"""

import os
import sys

from rich.progress import Progress as ProgressBar

from mcp_sync import MCPClient, Progress, ToolError

URL = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MCP_URL", "http://localhost:8000/mcp")
PROMPT = " ".join(sys.argv[2:]) or "the ocean at night"

with MCPClient(URL, timeout=60) as client, ProgressBar() as bar:
    task = bar.add_task("writing", total=None)  # it pulses until the server says how much there is to do

    def show(progress: Progress) -> None:
        bar.update(task, completed=progress.progress, total=progress.total)

    try:
        # call_tool waits for the result; on_progress is called meanwhile, on this thread.
        article = client.call_tool("generate_text", {"prompt": PROMPT, "max_tokens": 40}, on_progress=show).text
    except ToolError as error:
        sys.exit(f"the tool could not write that: {error.message}")

print(article)
