"""MCPClientConfig: everything about a client that is plain data, so that it can be stored, compared and sent to another
process.

Runs on: any thread; a config never changes after it was made.
"""

from __future__ import annotations

import math
from typing import Any, Dict, Iterator, Literal, Mapping, Optional, Tuple, Union

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ._version import __version__
from .errors import MCPUsageError
from .protocol.headers import check_header
from .protocol.revisions import REVISIONS
from .protocol.urls import public_url

__all__ = ["MCPClientConfig", "make_config"]


class MCPClientConfig(BaseModel):
    """The settings of an :class:`MCPClient`: frozen, comparable and picklable.

    Each field is also a keyword option of ``MCPClient``, and an option wins.

    Parameters:
        base_url: the server's URL, for a client that is made without one.
        connection_path: where below a bare origin the MCP endpoint is looked for; ``""`` takes the URL exactly as
            given.
        messages_path: where commands are posted when a server names a session but no endpoint.
        timeout: seconds for a whole call, retries and input rounds included.
        idle_timeout: seconds that a tool call may be silent, beside ``timeout``: without an answer, progress, or what
            else belongs to it. None bounds the whole call alone.
        input_timeout: seconds that a call's clock stands still in all, at most, while handlers answer what the server
            wants to know; ``math.inf`` for ever.
        connect_timeout: seconds for the TCP and TLS connection, all addresses of the host together.
        close_timeout: seconds that ``close()`` may take.
        default_headers: headers of every HTTP request.
        client_info: what ``initialize`` tells the server about this program: ``name``, ``version``, and optionally
            ``title`` and more.
        protocol_version: one revision to insist on, such as ``"2025-06-18"``; None takes the newest that both sides
            speak.
        transport: ``"auto"``, ``"sse"`` (HTTP+SSE), ``"http"`` (Streamable HTTP) or ``"stdio"``.
        max_retries: how often a lost connection is opened again before a call gives up.
        retry_delay: seconds before the first of these retries; it doubles, with jitter, up to 30.
        ping_interval: seconds of silence on an idle HTTP+SSE stream until the server is pinged; after as many more
            without anything from it the session is given up, and the next call opens another. ``math.inf`` never pings.
        max_message_bytes: the largest message taken from a server, in bytes after decompression.
        max_buffered_bytes: how much memory a client gives, in all, to what a server has sent and nobody has read yet:
            events of streams and of ``listen()``, what waits for a handler, lists that are being read, fresh results. A
            single message that is larger finds room where there is nothing else. Of events and notifications the
            oldest are dropped, which is logged once.
        verify: as in requests: True, False, or the path of a CA bundle. It wins over the environment.
        proxies: as in requests.
        cert: as in requests.
        trust_env: whether proxies, CA bundle and netrc of the environment are used.
        extensions: settings of extensions that this program supports, by identifier; declared to the server.
        max_identities: how many identities may have a session at once; beyond that, the one that is idle longest is
            ended. See ``identity=`` of ``MCPClient``.
        identity_idle: seconds without a call until an identity's session is ended; ``math.inf`` keeps it.
        cache: whether results are kept as long as the server says that they stay fresh (2026-07-28, Caching).
        log_level: the level that is asked of the server after each connect, such as ``"info"``; None leaves it alone.
        env: further environment variables of a stdio server.
        cwd: the working directory of a stdio server.

    Raises:
        MCPUsageError: (from ``MCPClient``) or pydantic.ValidationError: a field has no sensible value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base_url: Optional[str] = None
    connection_path: str = "/mcp"
    messages_path: str = "/mcp/messages/"
    timeout: float = Field(30.0, ge=0)
    idle_timeout: Optional[float] = Field(None, gt=0)
    input_timeout: float = Field(300.0, ge=0)
    connect_timeout: float = Field(10.0, ge=0)
    close_timeout: float = Field(5.0, ge=0)
    default_headers: Dict[str, str] = Field(default_factory=dict)
    client_info: Dict[str, Any] = Field(default_factory=lambda: {"name": "mcp-sync", "version": __version__})
    protocol_version: Optional[str] = None
    transport: Literal["auto", "sse", "http", "stdio"] = "auto"
    max_retries: int = Field(3, ge=0)
    retry_delay: float = Field(1.0, ge=0)
    ping_interval: float = Field(20.0, gt=0)
    max_message_bytes: int = Field(64 * 1024 * 1024, gt=0)
    max_buffered_bytes: int = Field(64 * 1024 * 1024, gt=0)
    verify: Optional[Union[bool, str]] = None
    proxies: Dict[str, str] = Field(default_factory=dict)
    cert: Optional[Union[str, Tuple[str, str]]] = None
    trust_env: bool = True
    extensions: Dict[str, Any] = Field(default_factory=dict)
    max_identities: int = Field(100, ge=1)
    identity_idle: float = Field(float("inf"), gt=0)
    cache: bool = True
    log_level: Optional[str] = None
    env: Dict[str, str] = Field(default_factory=dict)
    cwd: Optional[str] = None

    @field_validator(
        "timeout",
        "idle_timeout",
        "input_timeout",
        "connect_timeout",
        "close_timeout",
        "retry_delay",
        "ping_interval",
        "identity_idle",
    )
    @classmethod
    def _is_a_duration(cls, value: Optional[float]) -> Optional[float]:
        if value is not None and math.isnan(value):
            raise ValueError("must be a number of seconds")
        return value

    @field_validator("default_headers")
    @classmethod
    def _are_headers(cls, headers: Dict[str, str]) -> Dict[str, str]:
        for name, value in headers.items():
            check_header(name, value)
        return headers

    @field_validator("client_info")
    @classmethod
    def _names_the_program(cls, info: Dict[str, Any]) -> Dict[str, Any]:
        if not isinstance(info.get("name"), str) or not isinstance(info.get("version"), str):
            raise ValueError('must have a "name" and a "version", both strings')
        return info

    @field_validator("protocol_version")
    @classmethod
    def _is_a_known_revision(cls, version: Optional[str]) -> Optional[str]:
        if version is not None and version not in REVISIONS:
            raise ValueError(f"is not a revision that this package speaks; it speaks {', '.join(REVISIONS)}")
        return version

    def __repr_args__(self) -> Iterator[Tuple[Optional[str], Any]]:
        """Leave out what may be secret: the values of headers and environment variables, and the user info, query and
        fragment of URLs.
        """
        for name, value in super().__repr_args__():
            yield name, self._shown(name, value)

    @staticmethod
    def _shown(name: Optional[str], value: Any) -> Any:
        if name in ("default_headers", "env"):
            return dict.fromkeys(value, "...")
        if name in ("base_url", "connection_path", "messages_path") and value is not None:
            return public_url(value)
        if name == "proxies":
            return {public_url(key): public_url(proxy) for key, proxy in value.items()}
        return value

    def __hash__(self) -> int:
        return hash(self.model_dump_json())


def make_config(config: Optional[MCPClientConfig], options: Mapping[str, Any]) -> MCPClientConfig:
    """Return ``config`` with the values of ``options`` in place of its own.

    Raises:
        MCPUsageError: an option that does not exist, or a value that no field takes.
    """
    if config is not None and not isinstance(config, MCPClientConfig):
        raise MCPUsageError(f"config must be an MCPClientConfig, not {type(config).__name__}", outcome="not_sent")
    if config is not None and not options:
        return config
    given = {} if config is None else config.model_dump(exclude_unset=True)
    error: Optional[MCPUsageError] = None
    try:
        return MCPClientConfig.model_validate({**given, **options})
    except ValidationError as exc:
        # The values are left out of the text: they may be secret.
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
            for item in exc.errors(include_input=False, include_url=False)
        )
        error = MCPUsageError(f"these settings cannot be used: {problems}", outcome="not_sent")
    raise error
