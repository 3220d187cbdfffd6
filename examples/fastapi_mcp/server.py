"""A FastAPI service whose operations are MCP tools as well (pip install 'fastapi-mcp==0.4.0' 'mcp<2').

Run it: python examples/fastapi_mcp/server.py [PORT]
"""

import json
import sys
from typing import Iterator, List

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from fastapi_mcp import FastApiMCP
from pydantic import BaseModel

DOCUMENTS = {"tides": "Why the sea rises twice a day.", "auroras": "Light from the solar wind."}
app = FastAPI(title="Example operations")


class Message(BaseModel):
    message: str


@app.post("/echo", operation_id="echo")
def echo(body: Message) -> Message:
    """Return the message unchanged."""
    return body


@app.get("/documents", operation_id="search_documents")
def search_documents(query: str) -> List[str]:
    """Name the documents whose text holds the query."""
    return [name for name, text in DOCUMENTS.items() if query.lower() in text.lower()]


@app.get("/documents/{name}", operation_id="read_document")
def read_document(name: str) -> Message:
    if name not in DOCUMENTS:
        raise HTTPException(404, f"there is no document {name!r}")
    return Message(message=DOCUMENTS[name])


@app.get("/numbers", operation_id="generate_numbers")
def generate_numbers(count: int = 5) -> StreamingResponse:
    """Count from 1, one JSON object a line."""
    lines: Iterator[str] = (json.dumps({"number": number}) + "\n" for number in range(1, count + 1))
    return StreamingResponse(lines, media_type="application/x-ndjson")


mcp = FastApiMCP(app)  # after the operations: it reads them here
mcp.mount_http()  # /mcp
mcp.mount_sse()  # /sse

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
