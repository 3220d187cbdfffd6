"""One bundled server for the examples that do not stop it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Callable

import pytest

from tests.support.demo_server import running_demo_server

from .running import EXAMPLES, ROOT, WAIT, python

RunExample = Callable[..., str]


@pytest.fixture(scope="package")
def demo_url() -> Iterator[str]:
    with running_demo_server() as url:
        yield url


@pytest.fixture
def run_example(demo_url: str) -> RunExample:
    """Run an example against the bundled server to its end, and return what it printed."""

    def run(name: str, *arguments: str, input: str = "") -> str:
        ended = subprocess.run(
            python(EXAMPLES / name, demo_url, *arguments),
            cwd=ROOT,
            input=input,
            capture_output=True,
            encoding="utf-8",
            timeout=WAIT,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert "Warning" not in ended.stderr
        assert "Traceback" not in ended.stderr
        return ended.stdout

    return run
