"""The private names of other libraries, each as the package uses it: a version that has one no more fails here."""

from __future__ import annotations

import importlib.metadata
import logging

import pytest
from sseclient import SSEClient

from mcp_sync.transports.http.private import silence


def seen_in(distribution: str, versions: str) -> str:
    """Why a test failed, in the end."""
    return f"seen in {distribution} {versions}; this is {importlib.metadata.version(distribution)}"


def test_sseclient_logs_what_it_reads_to_a_logger_that_can_be_replaced(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = SSEClient(iter([b"nonsense: 1\ndata: secret\n\n"]))
    caplog.clear()
    silence(client)
    assert [event.data for event in client.events()] == ["secret"]
    assert not caplog.records, seen_in("sseclient-py", "1.8 and 1.9")
