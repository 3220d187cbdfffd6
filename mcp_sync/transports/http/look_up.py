"""Looking up a host by its name, so that a thread that waits for it can be freed.

Runs on: the thread that connects; a look-up that may ask a name server on a daemon thread of its own, since nothing can
bound or interrupt it. That thread ends with the look-up, and all who ask for the same host meanwhile share it.
"""

from __future__ import annotations

import errno
import socket
import threading
from typing import Any, Dict, List, Optional, Tuple, Union

from ...concurrency.events import Event
from ...concurrency.forks import in_child

__all__ = ["look_up"]


class _LookUp:
    """One look-up under way.

    Attributes:
        waiting: set when it is over, one for each thread that waits.
        outcome: the addresses, or why there are none; None until it is over.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.waiting: List[Event] = []
        self.outcome: Union[List[Any], OSError, None] = None

    def run(self) -> None:
        outcome: Union[List[Any], OSError]
        try:
            outcome = socket.getaddrinfo(self._host, self._port, socket.AF_UNSPEC, socket.SOCK_STREAM)
        except OSError as exc:
            outcome = exc
        except UnicodeError:
            outcome = socket.gaierror(socket.EAI_NONAME, f"{self._host!r} is not a host name")
        except Exception as exc:  # noqa: BLE001  # nobody may wait for a thread that died
            outcome = socket.gaierror(socket.EAI_FAIL, f"the look-up failed: {type(exc).__name__}")
        with _lock:
            self.outcome = outcome
            _forget(self)
        for event in self.waiting.copy():
            event.set()


# The look-ups under way, by host and port, and what guards them. Every thread in the list when a look-up ends is woken.
_under_way: Dict[Tuple[str, int], _LookUp] = {}
_lock = threading.RLock()


def _forget(asked: _LookUp) -> None:
    for key, other in list(_under_way.items()):
        if other is asked:
            del _under_way[key]


def look_up(host: str, port: int, timeout: Optional[float], woken: Event) -> List[Any]:
    """The addresses of ``host``, as ``socket.getaddrinfo`` gives them.

    Parameters:
        woken: ends the wait when it is set.

    Raises:
        socket.gaierror: there is no such host.
        socket.timeout: it took longer than ``timeout`` seconds, or ``woken`` was set.
    """
    address = host.strip("[]")
    if _is_address(address):
        return socket.getaddrinfo(address, port, socket.AF_UNSPEC, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
    asked = _join(host, port, woken)
    try:
        woken.wait(timeout)
    finally:
        asked.waiting.remove(woken)
    outcome = asked.outcome
    if outcome is None:
        raise socket.timeout(f"the look-up of {host} took longer than {timeout} s")
    if isinstance(outcome, OSError):
        raise type(outcome)(*outcome.args)  # each thread gets one of its own
    return outcome


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return True
    return False


def _join(host: str, port: int, woken: Event) -> _LookUp:
    """The look-up of ``host`` that is under way, or a new one; ``woken`` is set when it is over."""
    with _lock:
        asked = _under_way.get((host, port))
        if asked is not None:
            asked.waiting.append(woken)
            return asked
        asked = _LookUp(host, port)
        asked.waiting.append(woken)
        started = False
        try:
            _under_way[host, port] = asked
            threading.Thread(target=asked.run, name="mcp-sync-look-up", daemon=True).start()
            started = True
        except RuntimeError as exc:
            raise OSError(errno.EAGAIN, f"no thread could be started to look up the host: {exc}") from exc
        finally:
            if not started:
                _forget(asked)
    return asked


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    _under_way.clear()


in_child(_after_fork_in_child)
