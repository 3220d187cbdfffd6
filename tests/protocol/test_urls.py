"""Origins: what is a server's own, what of a URL may be shown, and endpoints that try to lead elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_sync.errors import MCPHandshakeError, MCPUsageError
from mcp_sync.protocol.urls import candidates, check_url, public_url, resolve_endpoint, same_origin

BASE = "http://example.com/mcp/sse"


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("/messages/?session_id=1", "http://example.com/messages/?session_id=1"),
        ("messages?session_id=1", "http://example.com/mcp/messages?session_id=1"),
        ("?session_id=1", "http://example.com/mcp/sse?session_id=1"),
        ("/sse?sessionId=1", "http://example.com/sse?sessionId=1"),
        ("/root/mcp/messages/", "http://example.com/root/mcp/messages/"),
        ("http://example.com/messages", "http://example.com/messages"),
        ("http://example.com:80/messages", "http://example.com:80/messages"),
        ("HTTP://EXAMPLE.com/messages", "http://EXAMPLE.com/messages"),
        ("//example.com/messages", "http://example.com/messages"),
        ("/messages#fragment", "http://example.com/messages"),
        ("../up", "http://example.com/up"),
        ("  /messages ", "http://example.com/messages"),
        ("/a@b?c=d@e", "http://example.com/a@b?c=d@e"),
    ],
)
def test_an_endpoint_of_the_same_origin_is_resolved(endpoint: str, url: str) -> None:
    assert resolve_endpoint(BASE, endpoint) == url


ATTACKS = [
    "",
    " ",
    "http://evil.example/messages",
    "https://example.com/messages",
    "http://example.com:8080/messages",
    "http://example.com.evil.example/messages",
    "http://example.com./messages",
    "//evil.example/messages",
    "/\\evil.example/messages",
    "\\\\evil.example\\messages",
    "http:\\\\evil.example",
    "http://example.com@evil.example/messages",
    "http://user@example.com/messages",
    "http://user:secret@example.com/messages",
    "//@example.com/messages",
    "file:///etc/passwd",
    "ftp://example.com/messages",
    "javascript:alert(1)",
    "data:text/plain,x",
    "ws://example.com/messages",
    "http://exämple.com/messages",
    "http://xn--exmple-cua.com/messages",
    "http://\uff45xample.com/messages",
    "ht\ttp://evil.example/messages",
    "/\t/evil.example/messages",
    "/messages\r\nX-Injected: 1",
    "/messages\0",
    "/mess ages",
    "http://[::1/messages",
    "http://example.com:99999/messages",
    "http://example.com:x/messages",
    "http://127.0.0.1/messages",
    "http://0/messages",
]


@pytest.mark.parametrize("endpoint", ATTACKS)
def test_an_endpoint_elsewhere_is_refused(endpoint: str) -> None:
    with pytest.raises(MCPHandshakeError, match="nothing was sent there") as caught:
        resolve_endpoint(BASE, endpoint)
    assert caught.value.outcome == "not_sent"
    assert "secret" not in str(caught.value)


@given(st.text(st.sampled_from("/\\@:?#.ehx\t\n \0[]%evil"), max_size=14))
def test_whatever_the_endpoint_says_it_stays_at_its_origin(endpoint: str) -> None:
    try:
        url = resolve_endpoint(BASE, endpoint)
    except MCPHandshakeError:
        return
    assert url.startswith("http://example.com/")
    assert same_origin(url, BASE)


def test_the_query_of_a_refused_endpoint_is_not_quoted() -> None:
    with pytest.raises(MCPHandshakeError) as caught:
        resolve_endpoint(BASE, "http://evil.example/x?session_id=secret")
    assert "secret" not in str(caught.value)
    assert "evil.example" in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://a/x", "http://a/y", True),
        ("http://a", "http://A:80/", True),
        ("https://a", "https://a:443", True),
        ("http://a", "https://a", False),
        ("http://a:1", "http://a:2", False),
        ("http://a", "http://a.", False),
        ("http://[::1]:5/", "http://[::1]:5", True),
        ("http://a:x", "http://a:x", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(one: str, other: str, same: bool) -> None:
    assert same_origin(one, other) is same


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:secret@a:1/p?key=secret#secret", "http://a:1/p"),
        ("https://a/p;x", "https://a/p;x"),
        ("http://[::1]:5/p", "http://[::1]:5/p"),
        ("http://a:secret/p", "(not a URL)"),
        ("http://a/\x1b[31m", "http://a/\\x1b[31m"),
    ],
)
def test_what_may_be_shown_of_a_url_holds_no_secret(url: str, shown: str) -> None:
    assert public_url(url) == shown


@pytest.mark.parametrize("url", ["http://a", " https://a/b?c ", "http://127.0.0.1:8000/mcp", "HTTP://A"])
def test_an_http_url_is_taken(url: str) -> None:
    assert check_url(url) == url.strip()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a",
        "localhost:8000",
        "ftp://a",
        "file:///x",
        "http://",
        "http:///x",
        "http://a:x",
        "http://a b",
        "//a/b",
        "http://a/\r\nX: 1",
        "http://a\\b",
        "http://[::1",
    ],
)
def test_anything_else_is_a_usage_error(url: str) -> None:
    with pytest.raises(MCPUsageError, match="is not a URL of an MCP server"):
        check_url(url)


def test_the_error_about_a_url_does_not_show_its_password() -> None:
    with pytest.raises(MCPUsageError) as caught:
        check_url("http://user:secret@a b/")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "path", "found"),
    [
        ("http://a", "/mcp", ["http://a/mcp", "http://a/sse", "http://a/"]),
        ("http://a/", "mcp", ["http://a/mcp", "http://a/sse", "http://a/"]),
        ("http://a", "/sse", ["http://a/sse", "http://a/"]),
        ("http://a/x", "/mcp", ["http://a/x"]),
        ("http://a/?x=1", "/mcp", ["http://a/?x=1"]),
        ("http://a", "", ["http://a"]),
    ],
)
def test_a_bare_origin_is_searched_and_a_path_is_taken_as_it_is(url: str, path: str, found: list[str]) -> None:
    assert candidates(url, path) == found
