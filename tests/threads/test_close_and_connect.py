"""A close ends what was there when it began, and nothing that came later."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from mcp_sync import MCPClient, MCPClientError, MCPClosedError, MCPConnectionError
from tests.support.beds import HTTP, Bed, over
from tests.support.clock import LONG, within
from tests.support.fault_server import FaultServer, Request, Wire, black_hole
from tests.transports.streamable_http.modern import ModernServer

Connect = Callable[..., MCPClient]


def test_what_is_opened_while_a_close_is_still_under_way_stays_open(
    http_server: FaultServer, make_client: Connect
) -> None:
    gate = threading.Event()

    def late(wire: Wire, request: Request) -> None:
        http_server.wait(gate)
        http_server.serve(wire, request)

    client = make_client(http_server.mcp_url, timeout=LONG, close_timeout=LONG).connect()
    assert client.submit("echo", {"message": "first"}).result(10).text == "first"
    http_server.instead("DELETE", late)
    with ThreadPoolExecutor() as pool:
        closing = pool.submit(client.close)
        http_server.wait_until(lambda: any(each.method == "DELETE" for each in http_server.requests))
        with within():
            client.connect()
            futures = [client.submit("echo", {"message": str(number)}) for number in range(5)]
        too = pool.submit(client.close, 0.0)  # of another thread, and of what is there now
        too.result(10)
        client.connect()
        gate.set()
        closing.result(10)
    for future in futures:
        future.exception(10)
    assert client.submit("echo", {"message": "last"}).result(10).text == "last"
    assert client.map("echo", [{"message": "1"}, {"message": "2"}])[1].text == "2"


@over(*HTTP)
def test_many_threads_that_open_and_close_leave_a_client_that_works(bed: Bed) -> None:
    client = bed.connect(timeout=LONG)
    other: list[BaseException] = []

    def work(number: int) -> None:
        for _ in range(5):
            for act in (client.connect, lambda: client.submit("echo", {"message": "x"}), client.close):
                try:
                    act()
                except MCPClientError:
                    pass  # another thread has closed it
                except BaseException as exc:  # noqa: BLE001  # it fails the test below
                    other.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert other == []
    client.connect()
    assert client.submit("echo", {"message": "after"}).result(10).text == "after"


def test_a_client_is_closed_at_once_while_it_connects_to_a_black_hole(make_client: Connect) -> None:
    with black_hole() as url, ThreadPoolExecutor() as pool:
        client = make_client(url, timeout=LONG, connect_timeout=LONG, close_timeout=LONG)
        connecting = pool.submit(client.connect)
        while not client._home.connection._opening:
            assert not connecting.done()
        with within():
            client.close()
            assert isinstance(connecting.exception(10), MCPClosedError)


@pytest.mark.parametrize("transport", ["sse", "http"])
def test_a_client_is_closed_at_once_while_tls_is_agreed_on(transport: str, make_client: Connect) -> None:
    """The server accepts the connection, and says nothing."""
    with socket.socket() as listener, ThreadPoolExecutor() as pool:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        client = make_client(
            url, transport=transport, timeout=LONG, connect_timeout=LONG, close_timeout=LONG, connection_path=""
        )
        connecting = pool.submit(client.connect)
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.recv(1)  # the first byte of its greeting: it waits for ours
            with within():
                client.close()
                assert isinstance(connecting.exception(10), MCPClosedError)


def test_where_no_thread_can_be_started_it_is_an_error_of_ours(
    make_client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ModernServer()
    server.methods["subscriptions/listen"] = lambda asked: asked.wire.hold()
    with server:
        client = make_client(server.mcp_url, timeout=LONG).connect()

        def refuse(self: Any) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch, within():
            patch.setattr(threading.Thread, "start", refuse)
            for act in (lambda: client.subscribe_resource("test://one"), lambda: client.listen(tools=True)):
                with pytest.raises(MCPConnectionError) as caught:
                    act()
                assert caught.value.outcome == "not_sent"
