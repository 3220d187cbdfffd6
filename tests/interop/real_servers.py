"""The real servers of the interop tests: one table of what there is, and how one is started and stopped.

Used by the test process, on the thread that runs the test. A server over HTTP is a child process that listens on a
free port of 127.0.0.1 and is stopped by its pid; a server over stdio is only an argv, which the client starts itself.

    with start("mcp1-sse") as server:
        client = MCPClient(server.target)
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional, Union

from .environments import clean_environ, node_environment, node_program, python_environment

__all__ = [
    "CROSS_SECTION",
    "DIALECTS",
    "LEGACY",
    "MODERN",
    "OLD_SERVERS",
    "SERVERS",
    "TASK_SERVERS",
    "Call",
    "Command",
    "Dialect",
    "Running",
    "Server",
    "StartFailed",
    "start",
]

LEGACY = "2025-11-25"  # the newest revision that begins with initialize; every server of the table speaks it
MODERN = "2026-07-28"
SCRIPTS = Path(__file__).parent / "servers"
START_SECONDS = 60.0  # fastmcp needs up to 11 s to import on a busy machine
STOP_SECONDS = 5.0


class StartFailed(Exception):
    """The server did not say where it listens; carries the end of what it printed."""


@dataclass(frozen=True)
class Call:
    """One call of a tool, and the text that its answer must hold (equal to it, or within it)."""

    tool: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True)
class Dialect:
    """The names under which a family of servers offers the same behaviours; None: it does not offer it at all."""

    name: str  # what the server calls itself
    tools: frozenset[str]  # at least these are listed
    echo: Optional[Callable[[str], Call]] = None
    add: Optional[Callable[[int, int], Call]] = None
    slow: Optional[Callable[[float, int], Call]] = None
    fail: Optional[Call] = None
    ask: Optional[Call] = None  # our user says that the name is Ada
    sample: Optional[Call] = None  # our model says "forty-two" and is called "oracle"
    roots: Optional[Call] = None  # our root is file:///work
    log: Optional[Call] = None
    big: Optional[Callable[[int], Call]] = None
    note_uri: str = "note://current"
    greeting: tuple[str, str, str] = ("greeting://{name}", "greeting://Ada", "Hello, Ada!")
    prompt: tuple[str, Mapping[str, str], str] = ("greet", {"name": "Ada"}, "Please greet Ada.")
    completion: tuple[str, str, str, Sequence[str]] = ("greet", "name", "a", ("Ada", "Alan"))


_OWN = Dialect(
    name="interop",
    tools=frozenset({"echo", "add", "slow", "fail", "big", "log"}),
    echo=lambda text: Call("echo", {"message": text}, text),
    add=lambda a, b: Call("add", {"a": a, "b": b}, f"{a} + {b}"),
    slow=lambda seconds, steps: Call("slow", {"seconds": seconds, "steps": steps}, "done"),
    fail=Call("fail", {"reason": "on purpose"}, "failed: on purpose"),
    ask=Call("ask", {"question": "Who are you?"}, "accept Ada"),
    sample=Call("sample", {"prompt": "What is six times seven?"}, "oracle: forty-two"),
    roots=Call("roots", {}, "file:///work"),
    log=Call("log", {"message": "hello log", "level": "warning"}, "logged"),
    big=lambda n: Call("big", {"n": n}),
)

DIALECTS: Mapping[str, Dialect] = {
    "own": _OWN,
    "ts1": Dialect(
        name="interop-ts1",
        tools=frozenset({"echo", "add", "slow", "fail", "drop", "drop_slowly"}),
        echo=_OWN.echo,
        add=_OWN.add,
        slow=_OWN.slow,
        fail=_OWN.fail,
    ),
    "fastapi": Dialect(
        name="interop-fastapi",
        tools=frozenset({"health_check", "echo", "add", "get_item", "generate_numbers", "slow", "big"}),
        echo=lambda text: Call("echo", {"message": text}, text),
        add=lambda a, b: Call("add", {"a": a, "b": b}, str(a + b)),
        slow=lambda seconds, steps: Call("slow", {"seconds": seconds}, "seconds"),
        fail=Call("get_item", {"item_id": 99}, "404"),
        big=lambda n: Call("big", {"n": n}),
    ),
    "everything": Dialect(
        name="mcp-servers/everything",
        tools=frozenset({"echo", "get-sum", "trigger-long-running-operation", "get-structured-content"}),
        echo=lambda text: Call("echo", {"message": text}, f"Echo: {text}"),
        add=lambda a, b: Call("get-sum", {"a": a, "b": b}, f"The sum of {a} and {b} is {a + b}."),
        slow=lambda seconds, steps: Call(
            "trigger-long-running-operation", {"duration": seconds, "steps": steps}, "Long running operation completed"
        ),
        fail=Call("get-sum", {"a": "not a number", "b": 1}, "a"),
        ask=Call("trigger-elicitation-request", {}, "Ada"),
        sample=Call("trigger-sampling-request", {"prompt": "What is six times seven?"}, "forty-two"),
        roots=Call("get-roots-list", {}, "file:///work"),
        log=Call("toggle-simulated-logging", {}),
        note_uri="demo://resource/dynamic/text/1",
        greeting=("demo://resource/dynamic/text/{resourceId}", "demo://resource/dynamic/text/7", "Resource 7"),
        prompt=("args-prompt", {"city": "Oslo"}, "What's weather in Oslo?"),
        completion=("completable-prompt", "department", "E", ("Engineering",)),
    ),
    "time": Dialect(name="mcp-time", tools=frozenset({"get_current_time", "convert_time"})),
}


@dataclass(frozen=True)
class Command:
    """How a server is started."""

    argv: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    path: str = "/mcp"


@dataclass(frozen=True)
class Server:
    """One way of serving one package: a row of the table below."""

    name: str
    transport: str  # what our client should find: "sse", "http" or "stdio"
    command: Callable[[int], Command]  # given a port (0: any free one; stdio needs none)
    dialect: Dialect
    lacks: Mapping[str, str]  # behaviour -> why this server does not have it
    modern: Optional[Mapping[str, str]] = None  # what it lacks in 2026-07-28; None: it does not speak that
    older: Sequence[str] = ()  # revisions before LEGACY in which it is talked to as well
    resumable: bool = False  # its streams have event ids: one that broke is asked for again before the call fails

    def without(self, behaviour: str, revision: str) -> Optional[str]:
        """Why this server lacks `behaviour` in `revision`, or None if it has it."""
        lacks = self.modern if revision == MODERN else self.lacks
        assert lacks is not None, f"{self.name} does not speak {revision}"
        return lacks.get(behaviour)


def _python(environment: str, script: str, kind: str, *flags: str) -> Callable[[int], Command]:
    def command(port: int) -> Command:
        told = [] if kind == "stdio" else ["--port", str(port)]
        path = "/sse" if kind == "sse" else "/mcp"
        return Command([str(python_environment(environment)), str(SCRIPTS / script), kind, *flags, *told], path=path)

    return command


def _node(environment: str, script: str, kind: str) -> Callable[[int], Command]:
    def command(port: int) -> Command:
        packages = {"INTEROP_NODE": str(node_environment(environment))}
        return Command([node_program(), str(SCRIPTS / script), kind, str(port)], packages)

    return command


def _everything(kind: str) -> Callable[[int], Command]:
    def command(port: int) -> Command:
        entry = node_environment("everything") / "node_modules/@modelcontextprotocol/server-everything/dist/index.js"
        # It listens on every address; the preload narrows that to loopback. Over stdio it does not listen at all.
        loopback = [] if kind == "stdio" else ["--import", str(SCRIPTS / "loopback.mjs")]
        path = "/sse" if kind == "sse" else "/mcp"
        return Command([node_program(), *loopback, str(entry), kind], {"PORT": str(port)}, path)

    return command


def _time(port: int) -> Command:
    return Command([str(python_environment("time")), "-m", "mcp_server_time", "--local-timezone", "Europe/Oslo"])


Lacks = Mapping[str, str]


def _because(reason: str, *behaviours: str) -> Lacks:
    return dict.fromkeys(behaviours, reason)


# What a server lacks, and why. The suite skips exactly these; a behaviour that is missing here is expected to work.
_CHANGES = ("subscribe", "listen", "grow")
_QUESTIONS = ("ask", "sample", "roots")
_NOTHING: Lacks = {}
_FASTAPI = {
    **_because("fastapi-mcp calls an operation and hands on its answer, whole", "progress", "log", "set_level"),
    **_because("fastapi-mcp never asks the client", *_QUESTIONS),
    **_because("fastapi-mcp serves tools only", "resources", "prompts", "completion", *_CHANGES),
    **_because("fastapi-mcp answers with text only", "structured"),
}
# Its session manager starts with the first request, and whoever comes before it is up gets a 500.
_FASTAPI_HTTP = {**_FASTAPI, **_because("fastapi-mcp answers 500 to a crowd that comes right after its start", "crowd")}
_JSON = _because("a JSON answer has no room for what comes before it", "progress", "log", "set_level")
_JSON_QUESTIONS = _because("a JSON answer has no room for a question", "ask", "sample")
_STATELESS = {
    **_because("a stateless server cannot tell which question an answer is for", *_QUESTIONS),
    **_because("a stateless server does not remember who wants to know", *_CHANGES, "set_level"),
    **_because("a stateless server does not know the call that is to be cancelled", "cancel"),
}
_FASTMCP = {
    **_because("FastMCP 4 cannot ask this", "sample", "roots"),
    **_because("FastMCP 4 serves neither resources/subscribe nor subscriptions/listen", *_CHANGES),
}
_FASTMCP_MODERN = {**_FASTMCP, **_because("FastMCP 4 answers that it cannot elicit in 2026-07-28", "ask")}
_TS1 = {
    **_because("this server does not ask", *_QUESTIONS),
    **_because(
        "this server has tools only", "log", "set_level", "big", "resources", "prompts", "completion", *_CHANGES
    ),
}
_TS2 = _because("this server's list of tools stays as it is", "grow")
_EVERYTHING = {
    **_because("its structured tool tells the weather; see test_everything.py", "structured"),
    **_because("it logs at random; see test_everything.py", "log", "set_level"),
    **_because("it has no such tool", "big", "grow"),
    **_because("it has a tool that starts updates; see test_everything.py", "subscribe", "listen"),
    **_because("it keeps no diary of ours", "diary"),
    **_because("its long operation does not look whether it was cancelled", "cancel"),
}
_TIME = _because(
    "mcp-server-time tells the time; see test_stdio_servers.py",
    *("echo", "structured", "slow", "progress", "cancel", "fail", "log", "set_level", "big", "diary"),
    *("resources", "prompts", "completion", *_QUESTIONS, *_CHANGES),
)

_FASTAPI_DIALECT, _EVERYTHING_DIALECT = DIALECTS["fastapi"], DIALECTS["everything"]

SERVERS: Mapping[str, Server] = {
    row.name: row
    for row in (
        # HTTP+SSE
        Server(
            "fastapi-sse-mcp", "sse", _python("fastapi-mcp", "fastapi_app.py", "sse-mcp"), _FASTAPI_DIALECT, _FASTAPI
        ),
        Server("fastapi-sse", "sse", _python("fastapi-mcp", "fastapi_app.py", "sse"), _FASTAPI_DIALECT, _FASTAPI),
        Server("mcp1-sse", "sse", _python("mcp1", "mcp1_app.py", "sse"), _OWN, _NOTHING, older=["2024-11-05"]),
        Server("mcp2-sse", "sse", _python("mcp2", "mcp2_app.py", "sse"), _OWN, _NOTHING),
        Server("fastmcp4-sse", "sse", _python("fastmcp4", "fastmcp4_app.py", "sse"), _OWN, _FASTMCP),
        Server("everything-sse", "sse", _everything("sse"), _EVERYTHING_DIALECT, _EVERYTHING),
        # Streamable HTTP
        Server(
            "fastapi-http", "http", _python("fastapi-mcp", "fastapi_app.py", "http"), _FASTAPI_DIALECT, _FASTAPI_HTTP
        ),
        Server(
            "mcp1-http",
            "http",
            _python("mcp1", "mcp1_app.py", "http"),
            _OWN,
            _NOTHING,
            older=["2025-06-18", "2025-03-26"],
        ),
        Server(
            "mcp1-http-json",
            "http",
            _python("mcp1", "mcp1_app.py", "http", "--json"),
            _OWN,
            {**_JSON, **_JSON_QUESTIONS},
        ),
        Server("mcp1-http-stateless", "http", _python("mcp1", "mcp1_app.py", "http", "--stateless"), _OWN, _STATELESS),
        Server(
            "mcp1-http-events",
            "http",
            _python("mcp1", "mcp1_app.py", "http", "--events"),
            _OWN,
            _NOTHING,
            resumable=True,
        ),
        Server("mcp2-http", "http", _python("mcp2", "mcp2_app.py", "http"), _OWN, _NOTHING, modern=_NOTHING),
        Server(
            "mcp2-http-events",
            "http",
            _python("mcp2", "mcp2_app.py", "http", "--events"),
            _OWN,
            _NOTHING,
            modern=_NOTHING,
            resumable=True,
        ),
        Server(
            "mcp2-http-json",
            "http",
            _python("mcp2", "mcp2_app.py", "http", "--json"),
            _OWN,
            {**_JSON, **_JSON_QUESTIONS, **_because("SDK 2 asks nothing on the GET stream of a JSON session", "roots")},
            modern={**_JSON, **_because("SDK 2 does not look for a disconnect while it makes a JSON answer", "cancel")},
        ),
        Server(
            "mcp2-http-stateless",
            "http",
            _python("mcp2", "mcp2_app.py", "http", "--stateless"),
            _OWN,
            _STATELESS,
            modern=_NOTHING,
        ),
        Server(
            "fastmcp4-http",
            "http",
            _python("fastmcp4", "fastmcp4_app.py", "http"),
            _OWN,
            _FASTMCP,
            modern=_FASTMCP_MODERN,
        ),
        Server(
            "everything-http",
            "http",
            _everything("streamableHttp"),
            _EVERYTHING_DIALECT,
            _EVERYTHING,
            resumable=True,
        ),
        Server(
            "ts1-polling",
            "http",
            _node("everything", "ts1_app.mjs", "polling"),
            DIALECTS["ts1"],
            _TS1,
            resumable=True,
        ),
        Server("ts1-json", "http", _node("everything", "ts1_app.mjs", "json"), DIALECTS["ts1"], {**_TS1, **_JSON}),
        Server(
            "ts1-stateless",
            "http",
            _node("everything", "ts1_app.mjs", "stateless"),
            DIALECTS["ts1"],
            {**_TS1, **_STATELESS},
        ),
        Server("ts2-http", "http", _node("ts2", "ts2_app.mjs", "http"), _OWN, _TS2, modern=_TS2, older=["2025-06-18"]),
        Server(
            "ts2-stateless",
            "http",
            _node("ts2", "ts2_app.mjs", "stateless"),
            _OWN,
            {**_STATELESS, **_TS2},
            modern=_TS2,
        ),
        # stdio
        Server("mcp1-stdio", "stdio", _python("mcp1", "mcp1_app.py", "stdio"), _OWN, _NOTHING, older=["2024-11-05"]),
        Server("mcp2-stdio", "stdio", _python("mcp2", "mcp2_app.py", "stdio"), _OWN, _NOTHING, modern=_NOTHING),
        Server(
            "fastmcp4-stdio",
            "stdio",
            _python("fastmcp4", "fastmcp4_app.py", "stdio"),
            _OWN,
            _FASTMCP,
            modern=_FASTMCP_MODERN,
        ),
        Server("everything-stdio", "stdio", _everything("stdio"), _EVERYTHING_DIALECT, _EVERYTHING),
        Server("ts2-stdio", "stdio", _node("ts2", "ts2_app.mjs", "stdio"), _OWN, _TS2, modern=_TS2),
        Server("time-stdio", "stdio", _time, DIALECTS["time"], _TIME, modern=_TIME),
    )
}


# Not for the suite: see test_old_servers.py.
_OLD = Dialect(name="interop-old", tools=frozenset({"echo"}), echo=_OWN.echo)
OLD_SERVERS: Mapping[str, Server] = {
    f"old-{kind}": Server(f"old-{kind}", kind, _python("old", "old_app.py", kind), _OLD, _NOTHING)
    for kind in ("sse", "stdio")
}

# Not for the suite either: see test_task_servers.py.
_TASKS = Dialect(name="interop-tasks", tools=frozenset({"slow", "ask", "fail", "at_once"}))
TASK_SERVERS: Mapping[str, Server] = {
    f"tasks-{kind}": Server(
        f"tasks-{kind}", kind, _python("fastmcp4", "fastmcp4_tasks_app.py", kind), _TASKS, _NOTHING, modern=_NOTHING
    )
    for kind in ("http", "stdio")
}

# What every check talks to, beside the servers over HTTP+SSE (`-m cross_section`): each family of servers, each way to
# answer, and both kinds of revisions. The rest takes a quarter of an hour.
CROSS_SECTION = frozenset(
    {
        ("mcp1-http", LEGACY),
        ("mcp2-http", MODERN),
        ("mcp2-http-json", MODERN),
        ("fastmcp4-http", MODERN),
        ("everything-http", LEGACY),
        ("ts1-polling", LEGACY),
        ("ts2-stateless", MODERN),
        ("mcp1-stdio", LEGACY),
        ("mcp2-stdio", MODERN),
        ("everything-stdio", LEGACY),
        ("ts2-stdio", MODERN),
        ("time-stdio", MODERN),
    }
)


class Running:
    """A started server: `target` is what `MCPClient` takes. Over stdio nothing runs until a client starts it."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self._folder = folder  # of its output and its diary
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._log = folder / "output.txt"
        self._diary = folder / "diary.txt"
        self._diary.touch()
        self._log.touch()
        self.port = 0
        self.argv: Optional[list[str]] = None
        self.url: Optional[str] = None
        if server.transport == "stdio":
            # env(1) rather than an option of the client: the server gets these whatever the client passes on.
            command = server.command(0)
            given = [f"{name}={value}" for name, value in self._environ(command).items()]
            self.argv = ["/usr/bin/env", "-u", "PYTHONPATH", *given, *command.argv]
        else:
            self._launch(0)

    @property
    def name(self) -> str:
        """The row of the table that this server is of."""
        return self.server.name

    @property
    def target(self) -> Union[str, list[str]]:
        """The first argument of `MCPClient`."""
        if self.argv is not None:
            return self.argv
        assert self.url is not None
        return self.url

    @property
    def origin(self) -> str:
        """The URL without its path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> Optional[int]:
        """The process that serves; None over stdio and after `stop`."""
        return self._process.pid if self._process is not None else None

    def diary(self) -> list[str]:
        """What its tools wrote down so far, one entry for each thing that happened."""
        return self._diary.read_text(encoding="utf-8").splitlines()

    def wait_for(self, entry: str, count: int = 1, seconds: float = 10.0) -> None:
        """Block until its tools wrote `entry` down `count` times; another process can tell us no other way."""
        expires = time.monotonic() + seconds
        while self.diary().count(entry) < count:
            if time.monotonic() > expires:
                raise AssertionError(f"{self.name} did not note {entry!r} within {seconds:g} s, only {self.diary()}")
            time.sleep(0.01)

    def output(self) -> str:
        """The end of what it printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-3000:]

    def stop(self) -> None:
        """SIGTERM, five seconds, SIGKILL; the process is reaped in any case."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: connections end as the kernel ends them."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Serve again, on the same port, as a process that remembers nothing."""
        self._end(signal.SIGKILL)
        self._launch(self.port)

    def _environ(self, command: Command) -> dict[str, str]:
        return {"INTEROP_DIARY": str(self._diary), "PYTHONUNBUFFERED": "1", **command.environ}

    def _launch(self, port: int) -> None:
        command = self.server.command(port)
        already = self._log.stat().st_size
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command.argv,
                cwd=self._folder,
                env=clean_environ(**self._environ(command)),
                stdin=subprocess.PIPE,  # the servers end when it does, should this process die before it stops them
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for pytest, which then stops them in order
            )
        expires = time.monotonic() + START_SECONDS
        while True:
            printed = self._log.read_bytes()[already:].decode("utf-8", errors="replace")
            listening = re.search(r"^PORT (\d+)$", printed, re.MULTILINE)
            if listening:
                break
            if self._process.poll() is not None or time.monotonic() > expires:
                status = self._process.poll()
                self._end(signal.SIGKILL)
                how = "took too long to start" if status is None else f"exited with {status}"
                raise StartFailed(f"{self.name} {how}: {' '.join(command.argv)}\n{self.output()}")
            time.sleep(0.02)
        self.port = int(listening.group(1))
        self.url = self.origin + command.path

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        # start_new_session made it the leader of its group: what it started ends with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_SECONDS)
        finally:
            if process.stdin is not None:
                process.stdin.close()


@contextlib.contextmanager
def start(name: str) -> Iterator[Running]:
    """Run the server `name` of the table until the block ends.

    Raises:
        Unavailable: its environment cannot be had on this machine.
        StartFailed: it did not start; the message ends with what it printed.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"interop-{name}-"))
    running: Optional[Running] = None
    try:
        running = Running({**SERVERS, **OLD_SERVERS, **TASK_SERVERS}[name], folder)
        yield running
    finally:
        if running is not None:
            running.stop()
        shutil.rmtree(folder, ignore_errors=True)
