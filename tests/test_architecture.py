"""The shape of the package: who may import what, which names are public, and how long a module may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
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


def imports_of(path: Path) -> Iterator[str]:
    """What a module imports when it runs: absolute names, those for the type checker alone left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ["mcp_sync", *path.relative_to(PACKAGE).parent.parts]
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield ".".join([*base, *([node.module] if node.module else [])])
        todo.extend(ast.iter_child_nodes(node))


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
    allowed = {"protocol/types/base.py": {"os"}, "protocol/types/binary.py": {"os"}}.get(name, set())
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


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("transports/", "protocol/"))])
def test_imports_point_down(name: str) -> None:
    inside = {module for module in imports_of(PACKAGE / name) if module.startswith("mcp_sync")}
    layer = name.split("/")[0]
    below: tuple[str, ...] = ("mcp_sync.protocol", "mcp_sync.errors", "mcp_sync.concurrency.locks", "mcp_sync._version")
    if layer == "transports":
        below = (
            *below,
            "mcp_sync.transports",
            "mcp_sync.config",
            "mcp_sync.concurrency.deadline",
            "mcp_sync.concurrency.forks",
            "mcp_sync.concurrency.signals",
            "mcp_sync.concurrency.threads",
            "mcp_sync.concurrency.events",
        )
    assert {module for module in inside if not module.startswith(below)} == set()


@pytest.mark.parametrize("name", [name for name in NAMES if "revisions.py" not in name])
def test_no_code_names_a_protocol_date(name: str) -> None:
    if name.startswith(("demo/", "cli/")):
        return
    tree = ast.parse((PACKAGE / name).read_text(encoding="utf-8"))
    compared = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    assert not [ast.unparse(node) for node in compared if "'202" in ast.unparse(node)]


@pytest.mark.parametrize("name", NAMES)
def test_modules_are_short(name: str) -> None:
    lines = (PACKAGE / name).read_text(encoding="utf-8").count("\n")
    assert lines <= 400, "a module over 400 lines is asking the design for something"


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
