"""How long to wait before a stream is asked for again (2025-11-25, Streamable HTTP, Sending Messages to the Server)."""

from __future__ import annotations

from typing import Optional

import pytest

from mcp_sync.concurrency.attempts import Attempts
from mcp_sync.transports.get_stream import delay_before
from mcp_sync.transports.sse import Framer


@pytest.mark.parametrize(
    ("retry_ms", "fruitless", "least", "most"),
    [
        (None, 0, 1.0, 1.0),
        (700, 0, 0.7, 0.7),
        (0, 0, 0.5, 0.625),
        (999_999_999, 0, 30.0, 30.0),
        (0, 1, 1.0, 1.25),
        (0, 2, 2.0, 2.5),
        (0, 4, 8.0, 10.0),
        (8000, 1, 8.0, 8.0),
    ],
)
def test_it_is_what_the_server_asks_for_within_bounds_and_grows_with_each_vain_attempt(
    retry_ms: Optional[int], fruitless: int, least: float, most: float
) -> None:
    framer = Framer(1000)
    if retry_ms is not None:
        framer.feed(b"retry: %d\n\n" % retry_ms)
    attempts = Attempts()
    for _ in range(1 + fruitless):  # the stream itself, and the attempts to go on with it
        assert attempts.may_go_on(False)
    assert all(least <= delay_before(framer, attempts) <= most for _ in range(20))
