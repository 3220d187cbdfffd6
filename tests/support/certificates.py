"""TLS for tests: certificates made on the spot, good and bad ones.

Used by the test process, on the thread that runs the test.
"""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest

__all__ = ["Certificates"]


class Certificates:
    """An authority of its own, and server contexts with certificates that are right or wrong in one respect.

    Parameters:
        folder: where the authority's certificate is written, as ``ca_path``.
    """

    def __init__(self, folder: Path) -> None:
        trustme = pytest.importorskip("trustme")
        self._trustme = trustme
        self._ca = trustme.CA()
        self.ca_path = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.ca_path)

    def _context(self, certificate: object) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)  # type: ignore[attr-defined]  # trustme is imported at run time
        return context

    def good(self) -> ssl.SSLContext:
        return self._context(self._ca.issue_cert("localhost", "127.0.0.1"))

    def wrong_host(self) -> ssl.SSLContext:
        return self._context(self._ca.issue_cert("elsewhere.example"))

    def expired(self) -> ssl.SSLContext:
        past = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
        return self._context(self._ca.issue_cert("localhost", "127.0.0.1", not_before=past, not_after=past))

    def self_signed(self) -> ssl.SSLContext:
        """Signed by an authority that nobody knows."""
        return self._context(self._trustme.CA().issue_cert("localhost", "127.0.0.1"))
