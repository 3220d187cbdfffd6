"""The client commands of ``mcp-sync``, against the bundled server: what they print, where, and with which status."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mcp_sync.cli import NEEDS, main
from tests.support.demo_server import STDIO_ARGV

pytest.importorskip("click")
pytest.importorskip("rich")

Run = Callable[..., "tuple[int, str, str]"]
WAIT = 60.0  # seconds, for what takes moments on an idle machine
PIXEL_BYTES = 70


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process, and returns its status, standard output and standard error."""

    def run_command(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        output, complaint = capfd.readouterr()
        return status, output, complaint

    return run_command


def test_info_tells_who_the_server_is(run: Run, demo_url: str) -> None:
    status, output, complaint = run("info", demo_url, "--transport", "sse")
    assert (status, complaint) == (0, "")
    assert "name              mcp-sync-demo\n" in output
    assert "protocol version  2025-11-25\n" in output
    assert "capabilities      completions, logging, prompts, resources, tools\n" in output


def test_info_as_json(run: Run, demo_url: str) -> None:
    status, output, _ = run("info", demo_url, "--json", "--protocol-version", "2025-06-18", "--transport", "http")
    assert status == 0
    facts = json.loads(output)
    assert (facts["name"], facts["protocol_version"]) == ("mcp-sync-demo", "2025-06-18")
    assert facts["capabilities"]["resources"]["subscribe"] is True


def test_tools_are_listed_with_what_they_take(run: Run, demo_url: str) -> None:
    status, output, _ = run("tools", demo_url)
    assert status == 0
    assert "echo(message)\n    Return the message unchanged.\n" in output
    assert "generate_numbers(count, delay?)\n" in output


def test_tools_as_json(run: Run, demo_url: str) -> None:
    status, output, _ = run("tools", demo_url, "--json")
    assert status == 0
    assert {tool["name"]: tool["inputSchema"]["required"] for tool in json.loads(output)[:2]} == {
        "echo": ["message"],
        "generate_numbers": ["count"],
    }


def test_call_takes_arguments_as_json(run: Run, demo_url: str) -> None:
    assert run("call", demo_url, "echo", '{"message": "hi"}') == (0, "hi\n", "")


def test_call_takes_arguments_one_by_one_in_the_types_of_the_schema(run: Run, demo_url: str) -> None:
    assert run("call", demo_url, "echo", "--arg", "message=5") == (0, "5\n", "")
    assert run("call", demo_url, "generate_numbers", "-a", "count=3", "-a", "delay=0") == (0, "[1, 2, 3]\n", "")


def test_call_shows_progress_on_standard_error(run: Run, demo_url: str) -> None:
    status, output, complaint = run("call", demo_url, "generate_numbers", "--progress", '{"count": 2, "delay": 0}')
    assert (status, output, complaint) == (0, "[1, 2]\n", "1/2 1\n2/2 2\n")


def test_call_as_json_prints_the_whole_result(run: Run, demo_url: str) -> None:
    status, output, _ = run("call", demo_url, "process_rows", '{"rows": [1, 2], "delay": 0}', "--json")
    assert status == 0
    assert json.loads(output)["structuredContent"] == {"rows": 2, "chunks": 1, "sums": {"value": 3}}


def test_a_tool_that_fails_ends_with_status_3(run: Run, demo_url: str) -> None:
    assert run("call", demo_url, "fail", '{"message": "no\\u001b[31m"}') == (3, "", "no\\x1b[31m\n")
    status, output, complaint = run("call", demo_url, "fail", "--json")
    assert (status, complaint) == (3, "")
    assert json.loads(output)["isError"] is True


def test_a_servers_text_cannot_drive_the_terminal(run: Run, demo_url: str) -> None:
    hostile = json.dumps({"message": "a\x1b[2J\x9b\u202e\x07b\r\nc"})
    assert run("call", demo_url, "echo", hostile) == (0, "a\\x1b[2J\\x9b\\u202e\\x07b\nc\n", "")
    status, output, _ = run("call", demo_url, "echo", hostile, "--json")
    assert status == 0
    assert output.isascii()
    assert "\x1b" not in output


def test_read_prints_text_and_names_what_is_binary(run: Run, demo_url: str) -> None:
    status, output, _ = run("read", demo_url, "docs://bees")
    assert status == 0
    assert output.startswith("# The dance of the honey bee\n\nA forager")
    assert run("read", demo_url, "demo://pixel.png") == (0, f"[image/png, about {PIXEL_BYTES + 2} bytes]\n", "")


def test_read_writes_bytes_to_a_file(run: Run, demo_url: str, tmp_path: Path) -> None:
    target = tmp_path / "pixel.png"
    assert run("read", demo_url, "demo://pixel.png", "-o", str(target)) == (0, "", "")
    assert target.read_bytes().startswith(b"\x89PNG")
    assert len(target.read_bytes()) == PIXEL_BYTES


def test_prompt_is_filled_in(run: Run, demo_url: str) -> None:
    status, output, _ = run("prompt", demo_url, "summarize", "--arg", "topic=moon")
    assert status == 0
    assert output.startswith("user: Write a summary about moon, brief.\nuser: # Why the sea rises twice a day\n")


def test_a_stdio_server_is_started_from_the_words_after_two_dashes(run: Run) -> None:
    pytest.importorskip("mcp_sync.demo", exc_type=ImportError)
    status, output, _ = run("call", "echo", '{"message": "hi"}', "--", *STDIO_ARGV)
    assert (status, output) == (0, "hi\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["info"], "Missing the server's URL"),
        (["info", "--"], "Missing the stdio server's command after --."),
        (["call", "http://127.0.0.1:9/mcp"], "Missing TOOL."),
        (["call", "http://127.0.0.1:9/mcp", "echo", "{}", "more"], "Unexpected word 'more'."),
        (["call", "http://127.0.0.1:9/mcp", "echo", "hi"], "The arguments are not JSON"),
        (["call", "http://127.0.0.1:9/mcp", "echo", "[1]"], "have to be a JSON object"),
        (["call", "http://127.0.0.1:9/mcp", "echo", "--arg", "hi"], "is not of the form name=value"),
        (["tools", "http://127.0.0.1:9/mcp", "--header", "hi"], "is not of the form 'Name: value'"),
        (["tools", "http://127.0.0.1:9/mcp", "--protocol-version", "1999-01-01"], "is not a revision"),
        (["tools", "no url"], "'no' is not a URL"),
        (["fly"], "No such command 'fly'."),
        (["serve", "--port", "x"], "'x' is not a valid integer"),
    ],
)
def test_a_wrong_call_ends_with_status_2(run: Run, arguments: list[str], complaint: str) -> None:
    status, output, error = run(*arguments)
    assert (status, output) == (2, "")
    assert complaint in error


def test_a_server_that_is_not_there_is_one_line_and_status_1(run: Run) -> None:
    status, output, complaint = run("tools", "http://127.0.0.1:9/mcp", "--timeout", "5")
    assert (status, output) == (1, "")
    assert complaint.startswith("error: ")
    assert complaint.count("\n") == 1


def test_an_unknown_tool_names_the_known_ones(run: Run, demo_url: str) -> None:
    status, _, complaint = run("call", demo_url, "ecko", "--arg", "message=hi")
    assert status == 1
    assert complaint.startswith("error: the server has no tool 'ecko'; it has echo, generate_numbers,")


def test_help_explains_servers_and_statuses(run: Run) -> None:
    for arguments in (["--help"], ["call", "--help"]):
        status, output, _ = run(*arguments)
        assert status == 0
        assert "mcp-sync tools -- npx -y" in output
        assert "3 the tool itself" in output


def test_the_module_runs_as_the_command_does() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "mcp_sync", "--version"], capture_output=True, text=True, timeout=WAIT, check=True
    )
    assert ended.stdout.startswith("mcp-sync, version ")


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_its_extra_it_says_what_to_install(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from mcp_sync.cli import main; sys.exit(main(['demo']))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=WAIT, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"{NEEDS}\n")


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_without_the_server_it_says_what_to_install(command: str) -> None:
    code = f"import sys; sys.modules['mcp'] = None; from mcp_sync.cli import main; sys.exit(main([{command!r}]))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=WAIT, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(
        "error: the bundled server needs Python 3.10+ and `pip install 'mcp-sync-client[demo]'`"
    )
    assert ended.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a single child")
def test_ctrl_c_ends_with_status_130(demo_url: str) -> None:
    command = [sys.executable, "-m", "mcp_sync", "call", demo_url, "generate_numbers", "--progress"]
    with subprocess.Popen(
        [*command, '{"count": 1000, "delay": 0.1}'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stderr.readline() == "1/1000 1\n"
        child.send_signal(signal.SIGINT)
        complaint = child.stderr.read()
        assert child.wait(WAIT) == 130
        assert complaint.endswith("\ninterrupted\n")
        assert "Traceback" not in complaint
        assert child.stdout.read() == ""
