"""Heads that are read in one piece are read as http.client reads them, and what is written cannot be cut in two."""

from __future__ import annotations

import http.client
import io
import re
import socket
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_sync.transports.http.heads import WholeHeadResponse, write_head

_SEEN = ("status", "reason", "version", "chunked", "length", "will_close")


class Peer(socket.socket):
    """A socket as far as http.client uses it to read."""

    def __init__(self, data: bytes) -> None:
        self.data = data  # and no descriptor

    def makefile(self, mode: str) -> io.BufferedReader:  # type: ignore[override]  # as http.client calls it
        return io.BufferedReader(cast(Any, io.BytesIO(self.data)), 65536)

    def gettimeout(self) -> None:
        return None

    def settimeout(self, seconds: object) -> None:
        pass


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
                b"Connection: close",
                b"Connection: Keep-Alive",
                b"Content-Type: application/json; charset=utf-8",
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
    if len({line.strip() for line in lines if line.lower().startswith(b"content-length")}) < 2:
        assert read(WholeHeadResponse, data, method) == read(http.client.HTTPResponse, data, method)


DOUBTFUL = [
    [b"Content-Length: 0_8"],
    [b"Content-Length: +8"],
    [b"Content-Length: -8"],
    [b"Content-Length: 8, 8"],
    [b"Content-Length: 8", b"Content-Length: 9"],
    [b"Content-Length: 0x8"],
    [b"Content-Length:"],
    [b"Content-Length: " + b"9" * 30],
    [b"Content-Length: 8.0"],
    [b"Content-Length: \xb2"],
    [b"Transfer-Encoding: xchunked"],
    [b"Transfer-Encoding: gzip, chunked"],
    [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
    [b"Transfer-Encoding: chunked, identity"],
    [b"Transfer-Encoding:"],
]


@pytest.mark.parametrize("lines", DOUBTFUL, ids=repr)
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("method", ["POST", "HEAD"])
def test_a_body_whose_end_is_in_doubt_is_refused(lines: list[bytes], end: bytes, method: str) -> None:
    data = end.join([b"HTTP/1.1 200 OK", *lines, b"", b"12345678"])
    assert read(WholeHeadResponse, data, method) is http.client.HTTPException


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (b"200", [b"Transfer-Encoding: chunked", b"Content-Length: 8"]),
        (b"200", [b"Transfer-Encoding: identity", b"Content-Length: 8"]),
        (b"204", [b"Transfer-Encoding: chunked"]),
        (b"304", [b"transfer-encoding: Chunked"]),
    ],
)
def test_after_two_words_on_a_body_the_connection_is_not_kept(status: bytes, lines: list[bytes]) -> None:
    data = b"\r\n".join([b"HTTP/1.1 " + status + b" X", *lines, b"", b"0", b"", b""])
    response = WholeHeadResponse(cast(Any, Peer(data)), method="POST")
    response.begin()
    assert response.will_close
    if status != b"200":
        assert response.read() == b""
        assert response.length == 0


def test_a_folded_value_is_one_line() -> None:
    head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b;\r\n  Path=/\r\nContent-Length: 0\r\n\r\n"
    response = WholeHeadResponse(cast(Any, Peer(head)), method="POST")
    response.begin()
    assert response.headers["set-cookie"] == "a=b; Path=/"


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
