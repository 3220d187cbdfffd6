"""How environments are cached: built once, never seen half-built, and skipped or failed for the right reason."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from . import environments
from .environments import InstallFailed, Unavailable, cache_folder, clean_environ


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MCP_SYNC_TEST_CACHE", str(tmp_path))
    return tmp_path


def test_the_cache_folder_is_where_the_environment_says(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == cache
    monkeypatch.delenv("MCP_SYNC_TEST_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "mcp-sync-tests"


def test_an_environment_is_built_once(cache: Path) -> None:
    built: list[Path] = []
    barrier = threading.Barrier(4)

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "package").write_text("here")

    def ask(_: int) -> Path:
        barrier.wait(10)
        return environments._cached("x", ["a==1"], build)

    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(ask, range(4)))
    assert len(built) == 1
    assert [(folder / "package").read_text() for folder in found] == ["here"]
    assert built[0] not in found, "it was built in its final place"


def test_other_pins_are_another_environment(cache: Path) -> None:
    one = environments._cached("x", ["a==1"], lambda folder: None)
    two = environments._cached("x", ["a==2"], lambda folder: None)
    assert one != two


def test_a_build_that_fails_leaves_nothing(cache: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "half").write_text("built")
        raise InstallFailed("no")

    with pytest.raises(InstallFailed):
        environments._cached("x", ["a==1"], build)
    assert [path.name for path in cache.iterdir() if path.is_dir()] == []
    assert environments._cached("x", ["a==1"], lambda folder: None).is_dir()


def test_what_a_killed_run_left_is_built_anew(cache: Path) -> None:
    place = environments._cached("x", ["a==1"], lambda folder: None)
    half_built = place.with_name(place.name + ".building")
    place.rename(half_built)
    (half_built / "half").write_text("built")
    assert environments._cached("x", ["a==1"], lambda folder: None) == place
    assert not (place / "half").exists()
    assert not half_built.exists()


def _program(printed: str) -> list[str]:
    return [sys.executable, "-c", f"import sys; print({printed!r}); sys.exit(1)"]


def test_without_a_network_the_tests_are_skipped(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(Unavailable, match="cannot be fetched here"):
        environments._install(_program("NewConnectionError: Temporary failure in name resolution"), cache)
    with pytest.raises(Unavailable, match="cannot be fetched here"):
        environments._install(_program("npm error code ENOTFOUND"), cache)


def test_without_a_network_ci_fails(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(InstallFailed, match="ENOTFOUND"):
        environments._install(_program("npm error code ENOTFOUND"), cache)


def test_pins_that_cannot_be_had_fail_everywhere(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(InstallFailed, match="No matching distribution"):
        environments._install(_program("ERROR: No matching distribution found for mcp==99"), cache)


def test_an_install_that_does_not_end_is_ended(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(environments, "INSTALL_SECONDS", 0.5)
    with pytest.raises(Unavailable, match="did not end") as caught:
        environments._install([sys.executable, "-c", "import time; time.sleep(60)"], cache)
    assert isinstance(caught.value.__cause__, subprocess.TimeoutExpired)


def test_a_server_does_not_see_our_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    environ = clean_environ(EXTRA="1")
    assert "PYTHONPATH" not in environ
    assert environ["EXTRA"] == "1"
    assert environ["PATH"]
