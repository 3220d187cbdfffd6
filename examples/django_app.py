"""Django, in one file: one client for all threads, a view that calls a tool, and one that streams it to the browser.

Run it: MCP_URL=http://localhost:8000/mcp python examples/django_app.py runserver 5000
or:     gunicorn --chdir examples --threads 8 --preload django_app:application
"""

import json
import os
import sys
from typing import Iterator

from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from mcp_sync import MCPClient, MCPClientError, MCPTimeoutError, Progress, ToolError

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["localhost", "127.0.0.1"], SECRET_KEY="only an example")
# Threads share it. It connects with the first call, and again in each forked worker, so --preload is fine.
client = MCPClient(os.environ.get("MCP_URL", "http://localhost:8000/mcp"), timeout=30)


def calculate(request: HttpRequest) -> JsonResponse:
    try:
        result = client.call_tool("calculate", {"expression": request.GET.get("expression", "")})
    except MCPClientError as error:
        status = 422 if isinstance(error, ToolError) else 504 if isinstance(error, MCPTimeoutError) else 502
        return JsonResponse({"error": error.message, "outcome": error.outcome}, status=status)
    return JsonResponse({"result": result.data})


def write(request: HttpRequest) -> StreamingHttpResponse:
    arguments = {"prompt": request.GET.get("prompt", "")}

    def events() -> Iterator[str]:
        # When the browser goes away, Django closes this generator: that leaves the with block, which cancels the tool.
        try:
            with client.stream_tool("generate_text", arguments) as stream:
                for event in stream:
                    if isinstance(event, Progress):
                        yield f"data: {json.dumps(event.message)}\n\n"
            yield "event: done\ndata: {}\n\n"
        except MCPClientError as error:  # too late for an HTTP status
            yield f"event: failed\ndata: {json.dumps(error.message)}\n\n"

    return StreamingHttpResponse(events(), content_type="text/event-stream", headers={"Cache-Control": "no-cache"})


PAGE = """<!doctype html><title>Django</title><pre id="text" style="white-space: pre-wrap"></pre><script>
const text = document.getElementById("text"), source = new EventSource("/write?prompt=the+ocean");
source.onmessage = event => text.textContent += JSON.parse(event.data);
source.addEventListener("failed", event => text.textContent += " [" + JSON.parse(event.data) + "]");
for (const end of ["done", "failed", "error"]) // without close() the browser would ask again, and run the tool again
  source.addEventListener(end, () => { source.close(); document.title = end; });
</script>"""

urlpatterns = [path("", lambda _: HttpResponse(PAGE)), path("calculate", calculate), path("write", write)]
application = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
