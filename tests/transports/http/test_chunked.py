"""Bodies in chunks: RFC 9112, section 7.1."""

from __future__ import annotations

import http.client
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_sync.transports.http.chunked import ChunkDecoder

pieces = st.lists(st.binary(min_size=1, max_size=300), max_size=20)


def chunked(parts: list[bytes], *, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    body = b"".join(b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in parts)
    return body + b"0\r\n" + trailer + b"\r\n"


@given(pieces, st.lists(st.integers(1, 50), min_size=1), st.sampled_from([b"", b";name=value", b" "]))
def test_the_payload_is_the_same_however_the_bytes_are_cut_up(
    parts: list[bytes], cuts: list[int], extension: bytes
) -> None:
    data = chunked(parts, extension=extension)
    decoder, payload, position, turn = ChunkDecoder(), b"", 0, 0
    while position < len(data):
        assert not decoder.done
        step = cuts[turn % len(cuts)]
        payload += decoder.feed(data[position : position + step])
        position, turn = position + step, turn + 1
    assert decoder.done
    assert decoder.excess == b""
    assert payload == b"".join(parts)


def test_whole_chunks_come_out_as_soon_as_they_are_in() -> None:
    decoder = ChunkDecoder()
    assert decoder.feed(b"5\r\nhello\r\n3\r\nab") == b"helloab"
    assert decoder.feed(b"c\r\n") == b"c"
    assert not decoder.done


def test_trailers_are_skipped_and_what_follows_is_kept_apart() -> None:
    decoder = ChunkDecoder()
    assert decoder.feed(chunked([b"abc"], trailer=b"X-Sum: 1\r\nX-More: 2\r\n") + b"HTTP/1.1 200") == b"abc"
    assert decoder.done
    assert decoder.excess == b"HTTP/1.1 200"


@pytest.mark.parametrize("size", [b"A", b"a", b"0000a", b'00a;x="y"'])
def test_sizes_are_hexadecimal(size: bytes) -> None:
    decoder = ChunkDecoder()
    assert decoder.feed(size + b"\r\n0123456789\r\n0\r\n\r\n") == b"0123456789"
    assert decoder.done


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n",
        b"\r\n",
        b"-5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"5_0\r\nhello\r\n",
        b"5 5\r\nhello\r\n",
        b"ffffffffffffffffffff\r\n",
        b"3\r\nhello\r\n",
        b";x\r\n",
        "\u0665\r\n".encode(),
        b"1\r\na\n15\r\n",
    ],
)
def test_what_is_no_framing_is_an_error(data: bytes) -> None:
    with pytest.raises(http.client.HTTPException):
        ChunkDecoder().feed(data)
    with pytest.raises(http.client.HTTPException):
        decoder = ChunkDecoder()
        for byte in data:
            decoder.feed(bytes([byte]))


def test_a_size_line_without_end_is_an_error_and_not_kept() -> None:
    decoder = ChunkDecoder()
    with pytest.raises(http.client.HTTPException):
        for _ in range(100):
            decoder.feed(b"1" * 1000)


def test_trailers_without_end_are_an_error() -> None:
    with pytest.raises(http.client.HTTPException):
        ChunkDecoder().feed(b"0\r\n" + b"X: y\r\n" * 1000)


def test_a_large_chunk_in_small_pieces_costs_linear_time() -> None:
    decoder = ChunkDecoder()
    piece = b"x" * 1000
    start = time.monotonic()
    decoder.feed(b"%x\r\n" % (20_000 * len(piece)))
    assert sum(len(decoder.feed(piece)) for _ in range(20_000)) == 20_000_000
    decoder.feed(b"\r\n0\r\n\r\n")
    assert decoder.done
    assert time.monotonic() - start < 3
