"""A link that dies without a word: a TCP relay that stops passing bytes and closes nothing, as a proxy or a NAT does
that has forgotten a connection.

Runs on: one thread that accepts, and two for each connection.
"""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Optional

__all__ = ["FreezingProxy"]


class FreezingProxy:
    """Passes bytes between whoever connects to ``port`` and ``target``.

    Parameters:
        target: the port on 127.0.0.1 that is behind it.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        # Guards what follows.
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._frozen: set[socket.socket] = set()
        self._closing = threading.Event()

    def freeze(self) -> None:
        """Pass nothing more, in either direction, on the connections that there are; new ones are passed."""
        with self._lock:
            self._frozen.update(self._sockets)

    def __enter__(self) -> FreezingProxy:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], value: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self._closing.set()
        with self._lock:
            sockets = [self._listener, *self._sockets]
        for sock in sockets:
            _shut_down(sock)
        for thread in list(self._threads):
            thread.join(5.0)
        for sock in [self._listener, *self._sockets]:
            sock.close()
        assert not any(thread.is_alive() for thread in self._threads)

    def _start(self, run: object, *args: object) -> None:
        thread = threading.Thread(target=run, args=args, name="freezing-proxy", daemon=True)  # type: ignore[arg-type]
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target), 5.0)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets += [near, far]
            self._start(self._pass_on, near, far)
            self._start(self._pass_on, far, near)

    def _pass_on(self, source: socket.socket, drain: socket.socket) -> None:
        try:
            while True:
                data = source.recv(65536)
                with self._lock:
                    frozen = source in self._frozen
                if frozen:
                    # Whatever comes, an end included, is kept here.
                    self._closing.wait(60)
                    return
                if not data:
                    break
                drain.sendall(data)
        except OSError:
            pass
        _shut_down(drain)


def _shut_down(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
