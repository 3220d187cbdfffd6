"""What tests touch inside the package: nothing outside of the tests of one module does so except through here.

Used on the thread that runs the test, and in the programs that a test starts.
"""

from __future__ import annotations

import atexit
import socket
from typing import TYPE_CHECKING, Any, Callable, Optional

from mcp_sync import MCPClient
from mcp_sync.concurrency.deadline import Deadline
from mcp_sync.discovery import opener
from mcp_sync.session import connection as connection_module
from mcp_sync.session import home
from mcp_sync.session.connection import Connection
from mcp_sync.session.server_requests import Pools
from mcp_sync.session.session import Session

# The rest is imported where it is used: a program that a test starts loads no more than what it is about.
if TYPE_CHECKING:
    import pytest

__all__ = [
    "at_exit_before_ours",
    "budget_take",
    "connection_of",
    "forget_servers",
    "former_sessions",
    "get_stream_is_open",
    "get_stream_settled",
    "is_being_opened",
    "kept",
    "limits",
    "listeners",
    "look_up",
    "notices",
    "open_session_of",
    "pid_of_server",
    "pool_size",
    "reconnect_after",
    "replace_budget_take",
    "resume_after",
    "routes",
    "session_of",
    "socket_of_stream",
    "waiting",
    "waiting_anywhere",
    "with_keepalive",
]


# A client


def connection_of(client: MCPClient) -> Connection:
    """What opens the sessions of a client, one after the other."""
    return client._home.connection


def is_being_opened(client: MCPClient) -> bool:
    """Whether a thread is opening a session."""
    return client._home.connection._attempt is not None


def session_of(client: MCPClient) -> Session:
    """The last session, lost or not."""
    session = client._home.connection.last
    assert session is not None
    return session


def open_session_of(client: MCPClient) -> Session:
    """The session, which must not be lost."""
    session = client._home.connection.live
    assert session is not None
    return session


def former_sessions(client: MCPClient) -> int:
    """How many sessions are kept that the server has forgotten, because calls wait in them."""
    return len(client._home.connection._retired)


def waiting(client: MCPClient) -> int:
    """How many entries the table of the last session has."""
    return session_of(client).dispatcher.waiting


def waiting_anywhere(client: MCPClient) -> int:
    """How many entries the tables of all sessions have."""
    connection = client._home.connection
    return sum(session.dispatcher.waiting for session in (connection.last, *connection._retired) if session is not None)


def listeners(client: MCPClient) -> list[Any]:
    """What is told of changes."""
    return list(client._home.connection.listeners._listeners)


def notices(client: MCPClient) -> tuple[int, int]:
    """How many notifications wait for a handler, and how many were dropped."""
    pool = client._home.connection.pools.notices
    return len(pool._jobs), pool.dropped


def routes(client: MCPClient) -> int:
    """How many URLs are kept prepared for direct calls."""
    from mcp_sync.calls.direct_http import DirectHTTP

    return len(client._home.connection._companions._made[DirectHTTP]._sender._routes)


# Its transport


def get_stream_is_open(client: MCPClient) -> bool:
    """Whether the standalone GET stream is open."""
    return session_of(client).transport.get_stream_is_open


def get_stream_settled(client: MCPClient, timeout: float) -> bool:
    """Wait until it is known whether there is a standalone GET stream."""
    return session_of(client).transport.wait_for_get_stream(Deadline(timeout))


def kept(client: MCPClient) -> int:
    """How many bytes are kept of what the server sent and nobody has read yet."""
    return client._home.connection.pools.budget.held


def budget_take() -> Callable[..., Any]:
    """What notes how much is kept."""
    from mcp_sync.concurrency.budget import Account

    return Account.take


def replace_budget_take(monkeypatch: pytest.MonkeyPatch, take: Callable[..., Any]) -> None:
    from mcp_sync.concurrency.budget import Account

    monkeypatch.setattr(Account, "take", take)


def pid_of_server(client: MCPClient) -> int:
    """The server's process, over stdio."""
    transport: Any = session_of(client).transport
    pid: int = transport._child.pid
    return pid


def socket_of_stream(client: MCPClient) -> socket.socket:
    """The socket of the stream, over HTTP+SSE."""
    transport: Any = session_of(client).transport
    exchanges = transport._sender._under_way
    (connection,) = [exchange.connection for exchange in exchanges if exchange.connection is not None]
    found: Optional[socket.socket] = connection.wire
    assert found is not None
    return found


def pool_size() -> int:
    """How many connections are kept for one host."""
    from mcp_sync.transports.http import pools

    return pools._POOL_SIZE


def look_up(monkeypatch: pytest.MonkeyPatch, addresses: list[Any]) -> None:
    """Have every host be at these addresses, as ``socket.getaddrinfo`` gives them."""
    from mcp_sync.transports.http import connections

    monkeypatch.setattr(connections, "look_up", lambda *args: addresses)


def with_keepalive(times: dict[int, int]) -> None:
    """Have sockets be made with these values for options of TCP, in this process from now on."""
    from mcp_sync.transports.http import pools

    module: Any = pools
    replaced = [
        (level, name, times.get(name, value) if level == socket.IPPROTO_TCP else value)
        for level, name, value in module.keepalive_options()
    ]
    module.keepalive_options = lambda: replaced


# The process


def forget_servers() -> None:
    """What a server turned out to be is remembered by its URL, and ports come back."""
    opener._memory.clear()


def reconnect_after(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Reconnect for the first time after so long."""
    monkeypatch.setattr(connection_module, "_FLOOR_SECONDS", seconds)


def resume_after(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Go on with a stream that ended for the first time after so long."""
    from mcp_sync.concurrency import attempts

    monkeypatch.setattr(attempts, "_FLOOR_SECONDS", seconds)


def at_exit_before_ours(function: Callable[[], object]) -> None:
    """As if ``function`` had been registered before the package was imported: what the package does at the end then
    runs first.
    """
    atexit.unregister(home._at_exit)
    atexit.register(function)
    atexit.register(home._at_exit)


def limits() -> dict[str, float]:
    """The limits that docs/failures.md tells, by its own words, and cannot be set."""
    from mcp_sync.calls import changes, futures, reading
    from mcp_sync.protocol import conversations, messages, rounds
    from mcp_sync.session import cache, dispatcher, waiter
    from mcp_sync.transports import sse
    from mcp_sync.transports.http import credentials, response, sender
    from mcp_sync.transports.http import pools as connections

    pools = Pools()
    return {
        "bytes of the id of an event or of a session": sse._LONGEST_ID,
        "cookies of one host": credentials._MOST_COOKIES,
        "bytes of one cookie": credentials._LARGEST_COOKIE,
        "levels that a message may be nested": messages._DEEPEST,
        "objects, lists and members of objects in one message": messages._MOST_PARTS,
        "messages in one batch": messages._MOST_IN_A_BATCH,
        "items of one list inside a result": reading._MOST_ITEMS,
        "pages of one list": conversations._MAX_PAGES,
        "items of one list": conversations._MAX_ITEMS,
        "rounds of input for one call": rounds._MAX_ROUNDS,
        "inputs of one round": rounds._MAX_INPUTS,
        "inputs of one task": rounds._MAX_INPUTS_OF_A_TASK,
        "redirects of one request": sender._REDIRECTS,
        "seconds that a `Retry-After` may ask for": response._LONGEST_RETRY_AFTER,
        "events that one call may leave unread": waiter._INBOX_SIZE,
        "batches of messages between the reader and the dispatcher": dispatcher._QUEUE_SIZE,
        "changes that one `listen()` may leave unread": changes._BACKLOG,
        "requests of the server that run a handler at once": pools.handlers._limit,
        "further requests of the server that wait": pools.handlers._backlog,
        "notifications that wait for a handler": pools.notices._backlog,
        "calls of `submit()` that run at once": futures._THREADS,
        "results kept because they are fresh": cache._MOST_ENTRIES,
        "connections kept for one host": connections._POOL_SIZE,
    }
