"""A server over stdio whose every byte comes from the test: it passes on what it reads, and what a socket sends.

Runs on: two threads of a process of its own. Its stdout ends when the socket does: in order with exit code 0, by a
reset with 7.
"""

from __future__ import annotations

import os
import socket
import sys
import threading


def main(port: int) -> None:
    sock = socket.create_connection(("127.0.0.1", port), 20)
    sock.settimeout(None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def pass_on() -> None:
        try:
            while True:
                data = sock.recv(65536)
                if not data:
                    os._exit(0)
                while data:
                    data = data[os.write(1, data) :]
        except BrokenPipeError:
            os._exit(0)
        except OSError:
            os._exit(7)

    threading.Thread(target=pass_on, daemon=True).start()
    while True:
        data = os.read(0, 65536)
        if not data:
            os._exit(0)
        try:
            sock.sendall(data)
        except OSError:
            threading.Event().wait()  # the other thread knows why, and ends the process


main(int(sys.argv[1]))
