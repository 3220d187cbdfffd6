"""fastapi-mcp in front of a FastAPI app, mounted in each of the ways its README shows.

python fastapi_app.py {sse-mcp,sse,http} [--port N]
"""

import argparse
import asyncio

from _serving import LINE, note, serve
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from fastapi_mcp import FastApiMCP
from pydantic import BaseModel

ITEMS = {1: {"item_id": 1, "name": "Hammer", "price": 9.99}, 2: {"item_id": 2, "name": "Blåbærsyltetøy", "price": 4.5}}

app = FastAPI(title="interop-fastapi", description="A small shop", version="1.2.3")


class EchoRequest(BaseModel):
    message: str


class AddRequest(BaseModel):
    a: float
    b: float


@app.get("/health", operation_id="health_check")
async def health():
    return {"status": "ok"}


@app.post("/echo", operation_id="echo")
async def echo(request: EchoRequest):
    """Give the message back."""
    note("echo")
    return {"message": request.message}


@app.post("/add", operation_id="add")
async def add(request: AddRequest):
    """Add two numbers."""
    return {"result": request.a + request.b}


@app.get("/items/{item_id}", operation_id="get_item")
async def get_item(item_id: int):
    """Look one item up."""
    if item_id not in ITEMS:
        raise HTTPException(status_code=404, detail="Item not found")
    return ITEMS[item_id]


@app.get("/generate", operation_id="generate_numbers")
async def generate_numbers(count: int = 5):
    """Count, one number a line."""

    async def numbers():
        for number in range(1, count + 1):
            yield f'{{"number": {number}}}\n'
            await asyncio.sleep(0.01)

    return StreamingResponse(numbers(), media_type="application/x-ndjson")


@app.get("/slow", operation_id="slow")
async def slow(seconds: float = 1.0):
    """Take a while."""
    note("slow started")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        note("slow cancelled")
        raise
    note("slow done")
    return {"seconds": seconds}


@app.get("/big", operation_id="big")
async def big(n: int = 1000):
    """Give back n characters."""
    return {"text": (LINE * (n // len(LINE) + 1))[:n]}


def main():
    options = argparse.ArgumentParser()
    options.add_argument("mount", choices=["sse-mcp", "sse", "http"])
    options.add_argument("--port", type=int, default=0)
    chosen = options.parse_args()
    mcp = FastApiMCP(app, name="interop-fastapi")
    if chosen.mount == "sse-mcp":
        mcp.mount_sse(mount_path="/mcp")
    elif chosen.mount == "sse":
        mcp.mount_sse()
    else:
        mcp.mount_http()
    serve(app, chosen.port)


if __name__ == "__main__":
    main()
