"""The two halves of examples/fastapi_mcp, the server in an environment of its own: fastapi-mcp needs an older `mcp`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.environments import Unavailable, clean_environ, python_environment

from .running import EXAMPLES, python, running

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    try:
        interpreter = python_environment("fastapi-mcp")
    except Unavailable as reason:
        pytest.skip(str(reason))
    with running([str(interpreter), str(EXAMPLES / "fastapi_mcp" / "server.py"), "0"], clean_environ()) as server:
        yield server.expect(r"running on (http://127\.0\.0\.1:\d+)")[1]


@pytest.mark.long
@pytest.mark.parametrize("path", ["/mcp", "/sse", ""])
def test_the_operations_as_tools_and_as_the_service_that_they_are(origin: str, path: str) -> None:
    with running(python(EXAMPLES / "fastapi_mcp" / "client.py", origin + path)) as client:
        assert client.finish() == 0, client.printed
        assert client.printed.splitlines() == [
            "tools: echo, search_documents, read_document, generate_numbers",
            "{'message': 'hello'}",
            "Why the sea rises twice a day.",
            "{'message': 'hello again'}",
            "['auroras']",
            *(f"number {number}" for number in (1, 2, 3)),
            client.printed.splitlines()[-2],
            "the service said 404",
        ]
        assert "there is no document 'atlantis'" in client.printed
