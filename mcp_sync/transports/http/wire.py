"""Sockets that block in the system, which keeps their time as well.

Runs on: the thread that sends a request and reads its response.

What it buys: Python keeps a socket's timeout itself, by asking the system before each operation whether it can go on,
and gives the interpreter's lock away for the question as for the operation. The fewer such moments a call has, the
fewer threads come between when many call at once: with 64 callers a call costs a quarter less, alone a tenth. Whether a
connection is still good is asked in a way that does not give it away either: another tenth.

The watch (exchange.py) stops an exchange at its deadline, to the millisecond. The timeouts here are for a process whose
threads do not run, as under uWSGI without ``enable-threads``, and for waits too short for the watch.
"""

from __future__ import annotations

import _socket
import functools
import math
import socket
import struct
import sys
from typing import Any, List, Optional, Tuple, Type

from urllib3.util import wait_for_read

__all__ = ["Wire", "is_quiet", "keepalive_options", "wire_class"]

# Of how the system takes times: on Windows as a number of milliseconds, and what a socket is good for after one has
# passed is not defined there.
_TELLS_TIME = sys.platform != "win32" and hasattr(socket, "SO_RCVTIMEO") and hasattr(socket, "SO_SNDTIMEO")
# Linux: the state, and how many bytes have come (tcpi_bytes_received, since 4.1).
_TELLS_STATE = sys.platform == "linux" and hasattr(socket, "TCP_INFO")
_TCP_INFO = struct.Struct("=B127xQ")
_ESTABLISHED = 1
_SYSTEM_SOCKET = socket.socket
# What the system has: nothing yet; what nobody knows, since an interrupt came while it was being told.
_NOT_SET = -1.0
_UNKNOWN = -2.0


class Wire(socket.socket):
    """A socket whose timeouts the system keeps once it is connected: ``settimeout`` goes on to mean what it does.

    A timeout of a second or more is kept to the next whole one, so that call after call has the same, and it has to be
    told to the system once. It holds for each wait in the system: a signal begins it anew, and so does each part of
    what is sent.
    """

    __slots__ = ("_received", "_seconds")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._received = 0
        # None for no timeout.
        self._seconds: Optional[float] = _NOT_SET

    def connect(self, address: Any) -> None:
        """Connect within the timeout that was set, which Python keeps; from then on the system does."""
        super().connect(address)
        try:
            self._tell(self.gettimeout())
        except (OSError, struct.error):
            self._seconds = _NOT_SET
            return  # a system that takes no such timeout: Python goes on keeping it
        super().settimeout(None)

    def settimeout(self, seconds: Optional[float]) -> None:
        if self._seconds == _NOT_SET:
            super().settimeout(seconds)
        else:
            self._tell(seconds)

    def _tell(self, seconds: Optional[float]) -> None:
        if seconds is not None:
            seconds = math.ceil(seconds) if seconds > 1 else max(seconds, 1e-6)
        if seconds == self._seconds:
            return
        self._seconds = _UNKNOWN
        limit = struct.pack("ll", *divmod(round((seconds or 0.0) * 1_000_000), 1_000_000))
        self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._seconds = seconds

    def recv_into(self, *args: Any) -> int:
        try:
            size = super().recv_into(*args)
        except BlockingIOError:
            raise socket.timeout("timed out") from None
        self._received += size
        return size

    def sendall(self, *args: Any) -> None:
        try:
            super().sendall(*args)
        except BlockingIOError:
            raise socket.timeout("timed out") from None

    def is_as_it_was_left(self) -> bool:
        """Whether the system says that the peer has neither ended the connection nor sent what was not read. False
        also where it does not say.

        To ask whether there is something to read gives the interpreter's lock away, and this does not.
        """
        if not _TELLS_STATE:
            return False
        info = self.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        return len(info) == _TCP_INFO.size and _TCP_INFO.unpack(info) == (_ESTABLISHED, self._received)


def wire_class() -> Type[socket.socket]:
    """What to connect with: not a ``Wire`` where another library has put sockets of its own in place of the system's,
    as gevent does, which must not block in it.
    """
    of_the_system = socket.socket is _SYSTEM_SOCKET and issubclass(_SYSTEM_SOCKET, _socket.socket)
    return Wire if _TELLS_TIME and of_the_system else socket.socket


def is_quiet(sock: Any, seconds: float) -> bool:
    """Whether nothing comes for so long, and nothing has come that was not read.

    Never where that cannot be told: urllib3's TLS inside TLS, and pyOpenSSL's, keep what has come to themselves.
    """
    if not isinstance(sock, socket.socket):
        return False
    # What TLS has taken from the socket and decrypted already.
    pending = getattr(sock, "pending", None)
    return not (pending is not None and pending()) and not wait_for_read(sock, seconds)


@functools.cache
def keepalive_options() -> List[Tuple[int, int, int]]:
    """Find a dead peer within a minute: probes after 20 s of silence, and 50 s at most for data that is not
    acknowledged. Names that a system lacks are left out.
    """
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (
        ("TCP_KEEPIDLE", 20),
        ("TCP_KEEPALIVE", 20),
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 50_000),
    ):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options
