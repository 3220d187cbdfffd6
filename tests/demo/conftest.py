"""One bundled server for all tests of this folder: it keeps no state that one test could leave to another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.demo_server import running_demo_server


@pytest.fixture(scope="package")
def demo_url() -> Iterator[str]:
    with running_demo_server() as url:
        yield url
