"""What a client has sent and must not be shown: masked in what the server says, in each form in which it may be quoted.

Runs on: any thread.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
from traceback import clear_frames
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from ..errors import MCPClientError

__all__ = ["Secrets"]

# A shorter value is a word that a text may well have in it.
_SHORTEST = 6
# As many are remembered; a client whose tokens rotate forgets the oldest.
_MOST = 500
# Of a header with parameters, what is at least so long may be a signature.
_LONG_PARAMETER = 16
# Causes of one error that are looked at.
_LONGEST_CHAIN = 8
# What every request carries, and is no secret.
_PUBLIC = {
    "accept",
    "accept-encoding",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "user-agent",
}
_ESCAPED_BYTE = re.compile("%[0-9A-F]{2}")
_URL_SAFE = str.maketrans("+/", "-_")


class Secrets:
    """The secrets of one client, each with the name that is shown in its place.

    No lock: to enter and to forget are one step of the interpreter each, and a copy is read.
    """

    __slots__ = ("_known", "_named")

    def __init__(self) -> None:
        self._named: Dict[str, str] = {}
        # The forms of those that were there when they were last needed.
        self._known: Tuple[List[str], List[Tuple[str, str]]] = ([], [])

    def add(self, value: str, name: str) -> None:
        if len(value) >= _SHORTEST and value not in self._named:
            self._named[value] = name
            if len(self._named) > _MOST:
                self._named.pop(next(iter(list(self._named)), ""), None)

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """What a request's headers show, whole and in parts."""
        for name, value in headers.items():
            if value not in self._named and name.lower() not in _PUBLIC:
                self.add(value, f"({name})")
                for part in _parts(name.lower(), value):
                    self.add(part, f"({name})")

    def add_url(self, url: str) -> None:
        """A URL's query and user info."""
        try:
            parts = urlsplit(url)
        except ValueError:
            self.add(url, "(URL)")
            return
        self.add(parts.query, "(query)")
        for _, value in parse_qsl(parts.query):
            self.add(value, "(query)")
        for pair in parts.query.split("&"):
            self.add(pair.partition("=")[2], "(query)")
        if "@" in parts.netloc:
            self.add(unquote(parts.password or parts.username or ""), "(password)")

    @classmethod
    def of_command(cls, argv: Sequence[str], env: Mapping[str, str]) -> Secrets:
        """The values of a server's environment, each of their lines too, and its arguments, but for names of options
        and of files.
        """
        self = cls()
        for name, value in env.items():
            for part in (value, *value.splitlines()):
                self.add(part, f"${name}")
        for position, argument in enumerate(argv[1:], start=1):
            secret = argument.partition("=")[2] if argument.startswith("-") else argument
            if not os.path.exists(secret):
                self.add(secret, f"(argument {position})")
        return self

    def mask(self, text: str, *, is_cut: bool = False, is_end: bool = False) -> str:
        """``text`` with names in place of secrets. Mask first, then cut: half a secret is not found.

        Parameters:
            is_cut: the text has been cut off already: what may be the beginning of a secret is taken off its end.
            is_end: it is the end of a text: what may be the end of a secret is taken off its beginning.
        """
        if not self._named:
            return text
        forms = self._forms()
        for form, name in forms:
            if form in text:
                text = text.replace(form, name)
        if is_cut:
            text = text[: len(text) - max(_begun(form, text) for form, _ in forms)]
        if is_end:
            text = text[max(_ended(form, text) for form, _ in forms) :]
        return text

    def mask_all(self, value: Any) -> Any:
        """JSON as it came, with each of its strings masked."""
        if not self._named:
            return value
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, list):
            return [self.mask_all(item) for item in value]
        if isinstance(value, dict):
            return {self.mask(str(key)): self.mask_all(item) for key, item in value.items()}
        return value

    def mask_excerpt(self, text: str) -> str:
        """The beginning of a text, masked."""
        return self.mask(text, is_cut=True)

    def mask_error(self, error: MCPClientError) -> None:
        """Mask what the server says in an error and in its causes, and let go of what the frames of their tracebacks
        hold, credentials among it.
        """
        exc: Optional[BaseException] = error
        for _ in range(_LONGEST_CHAIN):
            if exc is None:
                break
            if isinstance(exc, MCPClientError):
                exc.args = (self.mask(exc.message),)
                for name in ("body", "data"):
                    if getattr(exc, name, None):
                        setattr(exc, name, self.mask_all(getattr(exc, name)))
            else:
                exc.args = tuple(self.mask(arg) if isinstance(arg, str) else arg for arg in exc.args)
                said = getattr(exc, "__dict__", {})
                said.update({name: self.mask(text) for name, text in said.items() if isinstance(text, str)})
            clear_frames(exc.__traceback__)
            exc = exc.__cause__

    @property
    def longest(self) -> int:
        """Bytes of the longest form of a secret."""
        return max((len(form.encode("utf-8", "replace")) for form, _ in self._forms()), default=0)

    def _forms(self) -> List[Tuple[str, str]]:
        """Each form of each secret with its name, the longest first."""
        named = list(self._named.items())
        values = [value for value, _ in named]
        known, forms = self._known
        if known != values:
            found = {form: name for value, name in named for form in _forms_of(value)}
            forms = sorted(found.items(), key=lambda item: -len(item[0]))
            self._known = values, forms
        return forms


def _begun(form: str, text: str) -> int:
    """How many characters at the end of ``text`` may be the beginning of a secret."""
    sizes = range(min(len(form) - 1, len(text)), 0, -1)
    return next((size for size in sizes if text.endswith(form[:size])), 0)


def _ended(form: str, text: str) -> int:
    """How many characters at the beginning of ``text`` may be the end of a secret."""
    sizes = range(min(len(form) - 1, len(text)), 0, -1)
    return next((size for size in sizes if text.startswith(form[-size:])), 0)


def _parts(name: str, value: str) -> Iterator[str]:
    """What a server may quote of a header alone."""
    if name == "cookie":
        for pair in value.split(";"):
            yield pair.strip()
            yield pair.partition("=")[2].strip(' "')
        return
    scheme, _, rest = value.partition(" ")
    yield rest.strip()
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(rest, validate=False)
        except ValueError:
            return
        for text in (decoded.decode("utf-8", "replace"), decoded.decode("latin-1")):
            yield text
            yield text.partition(":")[2]
        return
    for part in re.split(r'[\s,;"]+', rest):
        for piece in (part, part.partition("=")[2]):
            if len(piece) >= _LONG_PARAMETER:
                yield piece


def _forms_of(value: str) -> Set[str]:
    """A secret as it is, and as URLs, JSON, HTML, Python and base64 write it."""
    quoted = {quote(value, safe=""), quote(value), quote_plus(value)}
    forms = {value, repr(value)[1:-1], html.escape(value), *quoted}
    in_json = {json.dumps(value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    forms |= in_json | {form.replace("/", "\\/") for form in in_json}
    forms |= {_ESCAPED_BYTE.sub(lambda match: match[0].lower(), form) for form in quoted}
    raw = value.encode("utf-8", "surrogatepass")
    forms.add(raw.decode("latin-1"))  # as a head is read
    forms |= {raw.hex(), raw.hex().upper()}
    for shift in range(3):
        # Inside a longer text it may begin at any of three places; characters that hold bits of others are left out.
        text = base64.b64encode(bytes(shift) + raw).decode("ascii")
        inner = text[(shift * 8 + 5) // 6 : (shift + len(raw)) * 8 // 6]
        forms |= {inner, inner.translate(_URL_SAFE)}
    whole = base64.b64encode(raw).decode("ascii")
    return {form for form in forms | {whole, whole.translate(_URL_SAFE)} if len(form) >= _SHORTEST}
