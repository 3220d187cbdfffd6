"""What must hold for what a hostile server sends on purpose: numbers, cookies, batches, and more than anybody reads.

Used by the tests here, and by ``python -m tests.fuzz``, on the thread that runs them.
"""

from __future__ import annotations

import http.client
import json
import math
from types import SimpleNamespace
from typing import Any, cast

from pydantic import ValidationError
from urllib3.response import HTTPResponse

from mcp_sync.concurrency.budget import Budget
from mcp_sync.errors import MCPClientError, MCPProtocolError
from mcp_sync.protocol.conversations import Pause
from mcp_sync.protocol.headers import check_header
from mcp_sync.protocol.messages import decode, weight_of
from mcp_sync.protocol.rounds import follow
from mcp_sync.protocol.types import Progress
from mcp_sync.session import waiter as waiter_module
from mcp_sync.session.cache import ResultCache
from mcp_sync.session.waiter import Waiter
from mcp_sync.transports.http.credentials import Cookies

from .source import Source

__all__ = ["HOSTILE"]


def numbers(data: bytes) -> None:
    """Whatever stands for a duration or a number: no pause is shorter than the shortest, nothing is without an end, and
    nothing but a ValidationError comes of it.
    """
    source = Source(data)
    key, first, second = source.pick(("pollInterval", "pollIntervalMs")), source.value(("x",)), source.value(("x",))
    steps = follow({"taskId": "t", "status": "working", key: first}, source.byte() % 2 == 1)
    pauses = [step for step in (next(steps), next(steps)) if isinstance(step, Pause)]
    assert pauses
    assert 0.05 <= pauses[0].seconds <= 60.0
    cache = ResultCache()
    cache.put("tools/list", None, {"tools": [], "ttlMs": first})
    assert cache.get("tools/list", None) in (None, {"tools": [], "ttlMs": first})
    try:
        progress = Progress.model_validate({"progress": first, "total": second})
    except ValidationError:
        return
    assert progress.fraction is None or 0.0 <= progress.fraction <= 1.0
    for number in (progress.progress, progress.total):
        assert number is None or not math.isnan(number)
        f"{number or 0:g}"


def cookies(data: bytes) -> None:
    """No more is kept than a browser keeps, and what is kept can be sent."""
    source = Source(data)
    jar = Cookies()
    for _ in range(1 + source.byte() % 4):
        head = http.client.HTTPMessage()
        for number in range(source.byte()):
            name = source.pick((f"c{number}", "same", "", "a b", "__Host-x", "$Version"))
            value = source.text(source.byte() % 12) * source.pick((1, 1, 40, 1000))
            ending = source.pick(("", "; Path=/", "; Path=/other", "; Max-Age=0", "; Domain=127.0.0.1", "; Expires=x"))
            head["Set-Cookie"] = (f"{name}={value}" + ending).replace("\r", "").replace("\n", "")
        raw = SimpleNamespace(_original_response=SimpleNamespace(msg=head))
        jar.keep("POST", "http://127.0.0.1/mcp", cast(HTTPResponse, raw))
    kept: list[Any] = list(jar.make_jar())
    assert len(kept) <= 180
    assert all(len(cookie.name) + len(cookie.value or "") <= 4096 for cookie in kept)
    headers: dict[str, str] = {}
    jar.add("POST", "http://127.0.0.1/mcp", headers)
    for name, value in headers.items():
        check_header(name, value)


_LIMIT = 4000


def pending(data: bytes) -> None:
    """Whatever comes and is read, in any order: no more is kept than the budget has but for a single thing, nothing is
    lost uncounted, and in the end nothing is kept.
    """
    source = Source(data)
    budget = Budget(_LIMIT)
    other = budget.account()
    waiters = [Waiter(1, "all", budget), Waiter(2, "progress", budget)]
    delivered = taken = largest = 0
    patience, waiter_module._PATIENCE = waiter_module._PATIENCE, 0.0
    try:
        while not source.spent:
            waiter, choice = source.pick(waiters), source.byte() % 8
            if choice < 4:
                message = {"method": "x", "params": {"data": "x" * (source.byte() * source.pick((1, 8, 40)))}}
                waiter.deliver(message)
                delivered, largest = delivered + 1, max(largest, weight_of(message))
                assert budget.held <= max(_LIMIT, largest)
            elif choice == 4:
                taken += len(waiter.take())
            elif choice == 5:
                waiter.done()
            elif choice == 6:
                size = source.byte() * 16
                if other.take(size) and source.byte() % 2:
                    other.give_back(size)
            assert budget.held >= 0
    finally:
        waiter_module._PATIENCE = patience
    taken += sum(len(waiter.take()) for waiter in waiters)
    assert delivered == taken + sum(waiter.dropped for waiter in waiters)
    assert budget.dropped == sum(waiter.dropped for waiter in waiters)
    other.close()
    for waiter in waiters:
        waiter.close()
    assert budget.held == 0


_ITEMS: tuple[Any, ...] = ({}, {"jsonrpc": "2.0", "id": 1, "result": {}}, {"method": "x"}, [], 7, None, [{}])


def batches(data: bytes) -> None:
    """A batch is its messages, or an error that says why not; and never longer than a batch may be."""
    source = Source(data)
    items = [source.pick(_ITEMS[:3]) for _ in range(source.byte() % 5)] * (source.byte() * source.pick((1, 50)))
    if source.byte() % 4 == 0:
        items.insert(source.byte() % (len(items) + 1), source.pick(_ITEMS))
    text = json.dumps(items)
    try:
        messages = decode(text if source.byte() % 2 else text.encode())
    except MCPClientError as exc:
        assert isinstance(exc, MCPProtocolError)
        assert len(exc.message) < 1500
        assert not items or len(items) > 10_000 or not all(isinstance(item, dict) for item in items)
        return
    assert messages == items
    assert 0 < len(messages) <= 10_000


HOSTILE = (numbers, cookies, pending, batches)
