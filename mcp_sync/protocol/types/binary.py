"""Base64 payloads: turning them into bytes, and writing those to a file the caller names.

Runs on: any thread; no state.
"""

import base64
import binascii
import os
from pathlib import Path
from typing import Union

from ...errors import MCPProtocolError

__all__ = ["Binary"]


class Binary:
    """A model that carries base64 data."""

    def _payload(self) -> str:
        raise NotImplementedError

    def decode(self) -> bytes:
        """Return the bytes.

        Both alphabets of RFC 4648 are read (the standard one, and the URL-safe one that some servers send), with
        correct padding and nothing else: no line breaks, no mixture of the two.

        Raises:
            MCPProtocolError: the data is not base64.

        Source: 2026-07-28, Server > Tools > "Image Content"; RFC 4648, sections 4 and 5.
        """
        text = self._payload()
        try:
            data = text.encode("ascii")
            # Python overlooks some kinds of wrong padding, which ones depends on its version.
            if len(data) % 4 or data.endswith(b"==="):
                raise binascii.Error("the padding is wrong")
            if b"-" in data or b"_" in data:
                if b"+" in data or b"/" in data:
                    raise binascii.Error("it mixes the standard and the URL-safe alphabet")
                data = data.translate(_FROM_URL_SAFE)
            return base64.b64decode(data, validate=True)
        except ValueError as cause:
            kind = type(self).__name__
            raise MCPProtocolError(f"the data of this {kind} is not valid base64 ({len(text)} characters)") from cause

    def save(self, path: Union[str, "os.PathLike[str]"]) -> Path:
        """Write the bytes to the file ``path``, replacing what was there, and return the path.

        The name is always yours: nothing that the server sent takes part in it. Nothing is written if the data is bad.

        Raises:
            IsADirectoryError: ``path`` is a directory.
            MCPProtocolError: the data is not base64.
            OSError: the file could not be written.
        """
        target = Path(path)
        if target.is_dir():
            raise IsADirectoryError(f"{target} is a directory; give the name of the file to write")
        data = self.decode()
        target.write_bytes(data)
        return target


_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")
