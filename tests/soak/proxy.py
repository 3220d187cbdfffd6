"""A TCP proxy that breaks connections: resets and freezes them, half-closes them, swallows bytes, cuts streams.

    python -m tests.soak.proxy --seed 1 20001=20011 20002=20012

Runs on: the event loop of a process of its own, which ends when its standard input does, and says then how often it
struck. A line ``calm`` on standard input makes it leave everything in peace.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import random
import socket
import struct
import sys
import threading
from collections import Counter

__all__: list[str] = []

KINDS = ("reset", "reset", "finish", "half-close to client", "half-close to server", "freeze", "swallow", "cut", "drip")
_CHUNK = 65536
_DRIPPED = 2000  # bytes of each chunk that go out three at a time


class Pair:
    """One connection of a client, and the one to the server behind it."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client, self.server = client, server
        self.flows = asyncio.Event()  # cleared: nothing moves
        self.flows.set()
        self.swallows = False
        self.cuts = False
        self.drips = False

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                data = await reader.read(_CHUNK)
                await self.flows.wait()
                if not data:
                    break
                if self.swallows:
                    continue
                if self.cuts and writer is self.client:
                    writer.write(data[: len(data) // 2])
                    await writer.drain()
                    self.close()
                    return
                head, rest = (data[:_DRIPPED], data[_DRIPPED:]) if self.drips else (b"", data)
                for start in range(0, len(head), 3):
                    writer.write(head[start : start + 3])
                    await asyncio.sleep(0)
                writer.write(rest)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        except (OSError, RuntimeError):
            self.reset()  # as the other end did

    def reset(self) -> None:
        for writer in (self.client, self.server):
            sock = writer.get_extra_info("socket")
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass  # closed already
            writer.transport.abort()

    def close(self) -> None:
        self.client.close()
        self.server.close()

    def strike(self, kind: str, chance: random.Random) -> None:
        loop = asyncio.get_running_loop()
        if kind == "reset":
            self.reset()
        elif kind == "finish":
            self.close()
        elif kind.startswith("half-close"):
            writer = self.client if kind.endswith("client") else self.server
            try:
                writer.write_eof()
            except (OSError, RuntimeError):
                pass  # it is over already
            # No end is left open for ever.
            loop.call_later(chance.uniform(1, 5), self.reset)
        elif kind == "freeze":
            self.flows.clear()
            loop.call_later(chance.uniform(0.2, 3), self.flows.set)
        elif kind == "swallow":
            self.swallows = True
            loop.call_later(chance.uniform(1, 8), self.reset)
        elif kind == "cut":
            self.cuts = True
        elif kind == "drip":
            self.drips = True


class Proxy:
    def __init__(self, seed: int, pause: float) -> None:
        self._chance = random.Random(seed)
        self._pause = pause
        self._pairs: set[Pair] = set()
        self.strikes: Counter[str] = Counter()
        self.calm = False
        self.connections = 0

    async def serve(self, upstream: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", upstream)
        except OSError:
            writer.transport.abort()
            return
        for each in (writer, to_server):
            each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = Pair(writer, to_server)
        self._pairs.add(pair)
        try:
            await asyncio.gather(pair.pump(reader, to_server), pair.pump(from_server, writer))
        finally:
            self._pairs.discard(pair)
            pair.close()

    async def run(self, routes: list[tuple[int, int]], ended: asyncio.Event) -> None:
        for listen, upstream in routes:
            await asyncio.start_server(functools.partial(self.serve, upstream), "127.0.0.1", listen)
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        while not ended.is_set():
            try:
                await asyncio.wait_for(ended.wait(), self._chance.uniform(0, 2 * self._pause))
            except asyncio.TimeoutError:
                pass
            if self._pairs and not self.calm:
                kind = self._chance.choice(KINDS)
                self.strikes[kind] += 1
                self._chance.choice(list(self._pairs)).strike(kind, self._chance)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between two strikes, on average")
    parser.add_argument("routes", nargs="+", help="PORT=PORT behind it")
    options = parser.parse_args()
    proxy = Proxy(options.seed, options.pause)

    async def run() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def listen_to_stdin() -> None:
            while b"calm" in os.read(0, 4096):
                proxy.calm = True
            loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=listen_to_stdin, daemon=True).start()
        routes = [
            (int(listen), int(behind)) for listen, _, behind in (route.partition("=") for route in options.routes)
        ]
        # Whoever was accepted is dropped with the process.
        await proxy.run(routes, ended)

    asyncio.run(run())
    sys.stdout.write(json.dumps({"connections": proxy.connections, **proxy.strikes}) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
