"""Heads that are read in one piece are read as http.client reads them, and what is written cannot be cut in two."""

from __future__ import annotations

import http.client
import io
import re
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_sync.transports.http.heads import WholeHeadResponse, write_head

_SEEN = ("status", "reason", "version", "chunked", "length", "will_close")


class Peer:
    """A socket as far as http.client uses it to read."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(cast(Any, io.BytesIO(self.data)), 65536)


def read(kind: type[http.client.HTTPResponse], data: bytes, method: str) -> object:
    response = kind(cast(Any, Peer(data)), method=method)
    try:
        response.begin()
        seen = [getattr(response, name) for name in _SEEN]
        return (*seen, response.headers.items(), None if response.chunked else response.read())
    except (http.client.HTTPException, ConnectionError) as exc:
        return type(exc)


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"Content-Length: 3",
                b"content-length:  3 ",
                b"Content-Length: -3",
                b"Content-Length: 3_0",
                b"Transfer-Encoding: chunked",
                b"Connection: close",
                b"Connection: Keep-Alive",
                b"Content-Type: application/json; charset=utf-8",
                b" folded",
                b"no colon",
                b": no name",
                b"Sp ace: x",
                b"Empty:",
                b"Twice: 1",
                b"Twice: 2",
                b"Latin: \xe4",
            ]
        ),
        st.from_regex(rb"[A-Za-z!#$%&'*+.^_`|~-]{1,5}: ?[\t -~]{0,9}", fullmatch=True),
    ),
    max_size=6,
)
STATUS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 202",
        b"HTTP/1.1 204 ",
        b"HTTP/1.1 404 Not  Found",
        b"HTTP/1.0 200 OK",
        b"HTTP/1.1 2",
    ]
)


@given(STATUS, LINES, st.sampled_from([b"\r\n", b"\n"]), st.sampled_from(["POST", "GET", "HEAD"]))
def test_a_head_means_what_it_means_to_http_client(status: bytes, lines: list[bytes], end: bytes, method: str) -> None:
    data = end.join([status, *lines, b"", b"abc"])
    assert read(WholeHeadResponse, data, method) == read(http.client.HTTPResponse, data, method)


def test_interim_responses_are_passed_over_and_a_head_that_is_cut_off_is_an_error() -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    assert cast(Any, read(WholeHeadResponse, answer, "POST"))[-1] == b"hi"
    cut_off = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
    assert read(WholeHeadResponse, cut_off, "POST") is http.client.RemoteDisconnected


@given(st.dictionaries(st.from_regex(r"[A-Za-z-]{1,6}", fullmatch=True), st.text(max_size=9), max_size=4))
def test_a_header_cannot_end_its_line(headers: dict[str, str]) -> None:
    try:
        head = write_head("POST", "/mcp?x=1", "h:1", headers, 3)
    except ValueError:  # UnicodeEncodeError is one
        return
    assert len(re.split(rb"[\r\n]+", head)) == len(headers) + 4
    assert head.endswith(b"\r\n\r\n")
    assert head.count(b"\r\n\r\n") == 1


def test_a_body_of_no_bytes_says_so_and_no_body_says_nothing() -> None:
    assert b"Content-Length: 0\r\n" in write_head("POST", "/", "h", {}, 0)
    assert b"Content-Length" not in write_head("GET", "/", "h", {}, None)
    with pytest.raises(ValueError, match="space"):
        write_head("GET", "/a b", "h", {}, None)
