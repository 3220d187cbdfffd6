"""``with client:`` inside ``with client:``: entering is counted, and the last block that ends closes the client."""

from __future__ import annotations

import threading
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPClosedError, MCPConnectionError
from tests.support.beds import Bed, over
from tests.support.fault_server import FaultServer


@over("http-json", "stdio")
def test_an_inner_block_leaves_the_client_open_for_the_outer(bed: Bed) -> None:
    with bed.make() as client:
        for _ in range(2):
            with client as again:
                assert again is client
                client.ping()
            assert client.connected
            client.ping()
    assert not client.connected
    with pytest.raises(MCPClosedError):
        client.ping()
    with client:
        client.ping()
    with pytest.raises(MCPClosedError):
        client.ping()


def test_a_block_that_is_left_by_an_exception_counts_as_left(http_server: FaultServer) -> None:
    client = MCPClient(http_server.mcp_url)
    with client:
        with pytest.raises(ZeroDivisionError), client:
            raise ZeroDivisionError
        assert client.connected
    assert not client.connected


def test_a_block_that_was_never_entered_does_not_count(make_client: Callable[..., MCPClient]) -> None:
    with FaultServer("http") as server:
        client = make_client(server.mcp_url, timeout=5)
        server.stop_listening()
        for _ in range(3):
            with pytest.raises(MCPConnectionError), client:
                pass
    with FaultServer("http", port=server.port), client:
        with client:
            pass
        client.ping()
    assert not client.connected


def test_close_closes_whatever_the_count_is(http_server: FaultServer) -> None:
    with MCPClient(http_server.mcp_url) as client, client:
        client.close()
        assert not client.connected
        with pytest.raises(MCPClosedError):
            client.ping()
    with client:
        client.ping()
    with pytest.raises(MCPClosedError):
        client.ping()


def test_blocks_of_several_threads(http_server: FaultServer) -> None:
    client = MCPClient(http_server.mcp_url)
    together = threading.Barrier(8)
    first_is_out = threading.Event()
    problems: list[Any] = []

    def use(number: int) -> None:
        try:
            with client:
                together.wait(20)
                if number:
                    assert first_is_out.wait(20)
                client.ping()
            first_is_out.set()
        except BaseException as exc:  # noqa: BLE001  # reported below
            problems.append(exc)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert problems == []
    assert not client.connected
