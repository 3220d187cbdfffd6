"""Flask: one client for all threads, a view that calls a tool, and one that streams a tool to the browser.

Run it: MCP_URL=http://localhost:8000/mcp flask --app examples/flask_app.py run --port 5000
or:     gunicorn --chdir examples --threads 8 --preload flask_app:app
"""

import json
import os
from typing import Iterator, Tuple

from flask import Flask, Response, jsonify, request

from mcp_sync import MCPClient, MCPClientError, MCPTimeoutError, Progress, ToolError

app = Flask(__name__)
# Threads share it. It connects with the first call, and again in each forked worker, so --preload is fine.
client = MCPClient(os.environ.get("MCP_URL", "http://localhost:8000/mcp"), timeout=30)


@app.errorhandler(MCPClientError)
def failed(error: MCPClientError) -> Tuple[Response, int]:
    status = 422 if isinstance(error, ToolError) else 504 if isinstance(error, MCPTimeoutError) else 502
    return jsonify(error=error.message, outcome=error.outcome), status


@app.get("/calculate")
def calculate() -> Response:
    result = client.call_tool("calculate", {"expression": request.args["expression"]})
    return jsonify(result=result.data)


@app.get("/write")
def write() -> Response:
    arguments = {"prompt": request.args["prompt"]}

    def events() -> Iterator[str]:
        # When the browser goes away, Flask closes this generator: that leaves the with block, which cancels the tool.
        try:
            with client.stream_tool("generate_text", arguments) as stream:
                for event in stream:
                    if isinstance(event, Progress):
                        yield f"data: {json.dumps(event.message)}\n\n"
            yield "event: done\ndata: {}\n\n"
        except MCPClientError as error:  # too late for an HTTP status
            yield f"event: failed\ndata: {json.dumps(error.message)}\n\n"

    return Response(events(), mimetype="text/event-stream", headers={"Cache-Control": "no-cache"})


@app.get("/")
def index() -> str:
    return """<!doctype html><title>Flask</title><pre id="text" style="white-space: pre-wrap"></pre><script>
const text = document.getElementById("text"), source = new EventSource("/write?prompt=the+ocean");
source.onmessage = event => text.textContent += JSON.parse(event.data);
source.addEventListener("failed", event => text.textContent += " [" + JSON.parse(event.data) + "]");
for (const end of ["done", "failed", "error"]) // without close() the browser would ask again, and run the tool again
  source.addEventListener(end, () => { source.close(); document.title = end; });
</script>"""
