"""The shape of the package, counted: who may import what, how deep it goes, which names are public, and how long a
module may be.
"""

from __future__ import annotations

import ast
import configparser
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

import mcp_sync

PACKAGE = Path(mcp_sync.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
NAMES = [str(path.relative_to(PACKAGE)) for path in MODULES]

# What an issue, a document or somebody's program is written against.
PINNED = """
MCPClient MCPClientConfig ToolStream Progress LogMessage Notification CallToolResult Tool Resource ResourceTemplate
Prompt TextContent ImageContent AudioContent ResourceLink EmbeddedResource MCPClientError MCPConnectionError
HTTPStatusError AuthorizationError SessionExpiredError MCPHandshakeError MCPTimeoutError MCPStreamError
MCPProtocolError MCPServerError ToolError MCPClosedError
""".split()  # noqa: SIM905  # shorter than a list of literals

FLOORS_AT_MOST = 12
LINES_AT_MOST = 21_000
# Frames from call_tool to the socket, and the files they are in; calls that one call needs, and their files.
FRAMES_AT_MOST = (9, 7)
CALLS_AT_MOST = (85, 20)


def module_name(path: Path) -> str:
    parts = ["mcp_sync", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {module_name(path): path for path in MODULES}

# From the bottom to the top. A module imports from rooms that stand in a line above its own, and from its own.
FLOORS = """
escape _version
errors demo
concurrency
protocol
config credentials
transports
session
calls discovery
client
mcp_sync
cli
__main__
"""
RANKS = {room: rank for rank, line in enumerate(FLOORS.split("\n")) for room in line.split()}

# What is imported for the type checker alone, and points up all the same.
TYPES_FROM_ABOVE = {
    ("mcp_sync.errors", "mcp_sync.protocol.types"),
    ("mcp_sync.concurrency.deadline", "mcp_sync.credentials"),
}


def import_statements(path: Path, *, for_types: bool) -> Iterator[ast.stmt]:
    """Those that run, in functions too; or those that only the type checker sees."""
    todo: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text(encoding="utf-8")), False)]
    while todo:
        node, is_for_types = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo.extend((child, True) for child in node.body)
            todo.extend((child, is_for_types) for child in node.orelse)
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)) and is_for_types == for_types:
            yield node
        todo.extend((child, is_for_types) for child in ast.iter_child_nodes(node))


def base_of(node: ast.ImportFrom, path: Path) -> str:
    """What a statement imports from, as an absolute name."""
    package = ["mcp_sync", *path.relative_to(PACKAGE).parent.parts]
    base = package[: len(package) - node.level + 1] if node.level else []
    return ".".join([*base, *([node.module] if node.module else [])])


def imports_of(path: Path) -> Iterator[str]:
    """What a module imports when it runs: absolute names, those for the type checker alone left out."""
    for node in import_statements(path, for_types=False):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield base_of(node, path)


def modules_imported(module: str, *, for_types: bool = False) -> set[str]:
    """The modules of the package that a module imports."""
    found: set[str] = set()
    path = PATHS[module]
    for node in import_statements(path, for_types=for_types):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = base_of(node, path)
            found |= {name if (name := f"{base}.{alias.name}") in PATHS else base for alias in node.names}
    return (found & PATHS.keys()) - {module}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def arrows_up(*, for_types: bool) -> set[tuple[str, str]]:
    return {
        (module, other)
        for module in PATHS
        for other in modules_imported(module, for_types=for_types)
        if room_of(module) != room_of(other) and RANKS[room_of(module)] <= RANKS[room_of(other)]
    }


def functions() -> Iterator[tuple[str, int]]:
    """Each function of the package, and how many parameters it has, ``self`` not counted."""

    def inside(node: ast.AST, name: str) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                if isinstance(child, ast.FunctionDef):
                    given = child.args
                    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
                    names += [each.arg for each in (given.vararg, given.kwarg) if each is not None]
                    is_method = isinstance(node, ast.ClassDef) and names[:1] in (["self"], ["cls"])
                    yield f"{name}.{child.name}", len(names) - is_method
                yield from inside(child, f"{name}.{child.name}")
            else:
                yield from inside(child, name)

    for module, path in PATHS.items():
        yield from inside(ast.parse(path.read_text(encoding="utf-8")), module)


def top_levels(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports_of(path)}


@pytest.mark.parametrize("name", NAMES)
def test_no_module_imports_an_event_loop(name: str) -> None:
    if name.startswith("demo/"):
        pytest.skip("a server, not the client")
    assert not top_levels(PACKAGE / name) & {"asyncio", "anyio", "trio"}


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("protocol/")])
def test_the_protocol_has_no_threads_sockets_or_clocks(name: str) -> None:
    # The models' base guards pydantic's deferred building with a lock, and binary content can save itself.
    allowed = {"protocol/types/base.py": {"os", "threading"}, "protocol/types/binary.py": {"os"}}.get(name, set())
    forbidden = {"threading", "queue", "socket", "select", "time", "requests", "urllib3", "subprocess", "os"}
    assert not (top_levels(PACKAGE / name) & forbidden) - allowed


@pytest.mark.parametrize("name", NAMES)
def test_only_transports_and_oauth_use_requests(name: str) -> None:
    if name.startswith(("transports/", "oauth/")):
        return
    assert not top_levels(PACKAGE / name) & {"requests", "urllib3", "sseclient"}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_a_server_sends_can_be_run_opened_or_unpickled(name: str) -> None:
    """JSON only; commands as lists, without a shell; and a URL is for the user to open."""
    assert not top_levels(PACKAGE / name) & {
        "pickle",
        "marshal",
        "shelve",
        "yaml",
        "webbrowser",
        "xml",
        "code",
        "runpy",
    }
    tree = ast.parse((PACKAGE / name).read_text(encoding="utf-8"))
    called = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.startfile"} & set(called)
    given = [ast.unparse(word) for node in ast.walk(tree) if isinstance(node, ast.Call) for word in node.keywords]
    assert not [word for word in given if word.startswith("shell=")]


def test_imports_point_down() -> None:
    assert arrows_up(for_types=False) == set()


def test_what_the_type_checker_is_told_from_above_is_listed() -> None:
    assert arrows_up(for_types=True) == TYPES_FROM_ABOVE


def floors_of(imported: dict[str, set[str]]) -> dict[str, int]:
    """How many floors are below each, from what each imports; circles fail."""
    floors: dict[str, int] = {}
    while len(floors) < len(imported):
        free = [name for name in imported if name not in floors and imported[name] <= floors.keys()]
        assert free, f"in a circle, or above one: {sorted(imported.keys() - floors.keys())}"
        floors.update({name: 1 + max((floors[other] for other in imported[name]), default=0) for name in free})
    return floors


def test_there_are_no_import_circles() -> None:
    assert floors_of({module: modules_imported(module) for module in PATHS})


def test_the_rooms_are_on_at_most_12_floors() -> None:
    """A folder is a room, whose modules may import each other; a module at the top is one, too."""
    imported: dict[str, set[str]] = {room_of(module): set() for module in PATHS}
    for module in PATHS:
        imported[room_of(module)] |= {room_of(other) for other in modules_imported(module)} - {room_of(module)}
    floors = floors_of(imported)
    assert max(floors.values()) <= FLOORS_AT_MOST, floors


def test_the_top_of_the_package_has_at_most_9_modules() -> None:
    assert len({path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}) <= 9


def test_the_package_is_small() -> None:
    assert sum(path.read_text(encoding="utf-8").count("\n") for path in MODULES) <= LINES_AT_MOST


def test_the_client_is_one_class() -> None:
    assert mcp_sync.MCPClient.__mro__ == (mcp_sync.MCPClient, object)


# Public, and each of these is the caller's word; the rest is handed down as values.
MANY_PARAMETERS = {
    f"mcp_sync.client.MCPClient.{name}"
    for name in (
        "__init__",
        "call_operation",
        "call_tool",
        "complete",
        "listen",
        "map",
        "stream_tool",
        "submit",
        "submit_task",
    )
}
# An error says where it came from, each under a name of its own.
MANY_PARAMETERS |= {f"mcp_sync.errors.{name}.__init__" for name in ("MCPClientError", "HTTPStatusError")}


def test_no_internal_function_has_more_than_6_parameters() -> None:
    assert {name for name, count in functions() if count > 6} - MANY_PARAMETERS == set()


def test_nothing_looks_at_the_stacks_of_other_threads() -> None:
    assert not [name for name in NAMES if "_current_frames" in (PACKAGE / name).read_text(encoding="utf-8")]


def test_an_extra_is_for_what_a_module_imports() -> None:
    setup = configparser.RawConfigParser()
    setup.read(PACKAGE.parent / "setup.cfg", encoding="utf-8")
    # For developers, and what has all of the others.
    names = [name for name in setup["options.extras_require"] if name not in ("test", "process", "fuzz", "lint", "all")]
    imported = set().union(*map(top_levels, MODULES))
    wanted = {
        match[0].replace("-", "_")
        for name in names
        for line in setup["options.extras_require"][name].splitlines()
        if (match := re.match(r"[\w-]+", line)) is not None
    }
    assert wanted
    assert wanted <= imported


_COUNT = """
import json, os, sys
import mcp_sync
from tests.support.fault_server import FaultServer

root = os.path.dirname(mcp_sync.__file__) + os.sep
calls, ways = [], []

def ours(frame):
    name = frame.f_code.co_filename
    return name[len(root):] + ":" + frame.f_code.co_name if name.startswith(root) else ""

def count(frame, event, function):
    if event == "call" and ours(frame):
        calls.append(ours(frame))
    elif event == "c_call" and function.__name__ == "sendall":
        way = []
        while frame is not None:
            way += [ours(frame)] if ours(frame) else []
            frame = frame.f_back
        ways.append(way)

with FaultServer("http") as server:
    with mcp_sync.MCPClient(server.mcp_url, transport="http") as client:
        for _ in range(3):
            client.call_tool("echo", {"message": "hi"})
        sys.setprofile(count)
        client.call_tool("echo", {"message": "hi"})
        sys.setprofile(None)
print(json.dumps([calls, ways]))
"""


@lru_cache(maxsize=1)
def one_call() -> tuple[list[str], list[str]]:
    """The calls of ours that one ``call_tool`` over JSON makes, and the frames of ours from it to ``sendall``; each as
    file and function.
    """
    done = subprocess.run(
        [sys.executable, "-c", _COUNT],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
    )
    calls, (way,) = json.loads(done.stdout)
    return calls, way


def files(entries: list[str]) -> set[str]:
    return {entry.partition(":")[0] for entry in entries}


def test_it_is_a_short_way_from_a_call_to_the_socket() -> None:
    _, way = one_call()
    assert len(way) <= FRAMES_AT_MOST[0], way
    assert len(files(way)) <= FRAMES_AT_MOST[1], way


def test_a_call_needs_few_calls_of_ours() -> None:
    calls, _ = one_call()
    assert len(calls) <= CALLS_AT_MOST[0], calls
    assert len(files(calls)) <= CALLS_AT_MOST[1], sorted(files(calls))


@pytest.mark.parametrize("name", [name for name in NAMES if "revisions.py" not in name])
def test_no_code_names_a_protocol_date(name: str) -> None:
    if name.startswith(("demo/", "cli/")):
        return
    tree = ast.parse((PACKAGE / name).read_text(encoding="utf-8"))
    compared = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    assert not [ast.unparse(node) for node in compared if "'202" in ast.unparse(node)]


# A module over 400 lines asks the design for something. These have their reasons.
LONG = {
    "transports/http/sender.py": "each way that a request may take is chosen in one place",
    "session/connection.py": "opening, losing and reopening a session is one state under one lock",
    "errors.py": "one tree of exceptions is read as one",
    "calls/operation.py": "an operation lists tools anew, and to list is an operation",
    "client.py": "the facade is as long as its documentation needs",
}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LONG])
def test_modules_are_short(name: str) -> None:
    lines = (PACKAGE / name).read_text(encoding="utf-8").count("\n")
    assert lines <= 400, "split it where it has two subjects, or say in LONG why it has one"


def test_the_pinned_names_are_public() -> None:
    assert set(PINNED) <= set(mcp_sync.__all__)
    assert {name for name in mcp_sync.__all__ if not hasattr(mcp_sync, name)} == set()
    assert set(PINNED) <= set(dir(mcp_sync))


def loaded_by(program: str) -> set[str]:
    """The modules that a program of its own process has loaded when it is over."""
    program = f"{program}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


# What most programs never need, and what needs it.
RARE = {
    f"mcp_sync.{name}"
    for name in (
        "cli",
        "demo",
        "calls.futures",
        "calls.changes",
        "calls.mapping",
        "calls.direct_http",
        "calls.tasks",
        "calls.tools",
    )
}


def test_importing_the_package_loads_nothing_it_does_not_use_yet() -> None:
    assert not loaded_by("import mcp_sync") & {"pydantic", "requests", "asyncio"}


def test_a_submodule_is_an_attribute_before_it_was_used_and_a_misspelt_name_is_none() -> None:
    program = """
import mcp_sync
assert mcp_sync.errors.MCPClientError is mcp_sync.MCPClientError
assert mcp_sync.config.MCPClientConfig is mcp_sync.MCPClientConfig
assert not hasattr(mcp_sync, "cleint")
assert not hasattr(mcp_sync, "__cleint__")
"""
    loaded_by(program)


@pytest.mark.long
def test_a_misspelt_name_is_an_error_to_type_checkers(tmp_path: Path) -> None:
    mypy = pytest.importorskip("mypy.api", reason="mypy is for developers")
    program = tmp_path / "program.py"
    program.write_text("from mcp_sync import MCPClient, MCPCleint\n")
    said, _, code = mypy.run([str(program), "--config-file=", f"--cache-dir={tmp_path / 'cache'}"])
    assert code == 1
    assert said.count("error:") == 1
    assert "MCPCleint" in said


def test_importing_the_client_loads_neither_requests_nor_the_making_of_models() -> None:
    """Together they are three quarters of what a program with a client loads; see the workload "import"."""
    loaded = loaded_by("from mcp_sync import MCPClient")
    assert not loaded & {
        "requests",
        "urllib3",
        "sseclient",
        "pydantic.main",
        "asyncio",
        "mcp_sync.discovery.stdio_probe",
        *RARE,
    }


def test_a_client_that_starts_its_server_loads_no_http() -> None:
    program = "from mcp_sync import MCPClient; MCPClient(['nobody']); import mcp_sync.discovery.stdio_probe"
    assert not loaded_by(program) & {"requests", "urllib3", "sseclient", "asyncio", *RARE}


def test_a_client_of_a_url_loads_no_child_processes() -> None:
    program = """
from mcp_sync import MCPClient, MCPConnectionError
try:
    MCPClient("http://127.0.0.1:1/mcp").connect()
except MCPConnectionError:
    pass
"""
    loaded = loaded_by(program)
    assert "requests" in loaded
    assert not loaded & {"mcp_sync.discovery.stdio_probe", "mcp_sync.transports.stdio.transport", "asyncio", *RARE}


def test_the_client_needs_only_the_core_dependencies() -> None:
    program = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "from mcp_sync import MCPClient\n"
        "import mcp_sync.client, mcp_sync.calls.stream, mcp_sync.calls.changes, mcp_sync.calls.futures\n"
        "print(*{m.split('.')[0] for m in set(sys.modules) - before})"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    foreign = set(loaded.stdout.split()) & {"click", "rich", "mcp", "jsonschema", "flask", "django", "IPython"}
    assert foreign == set()
