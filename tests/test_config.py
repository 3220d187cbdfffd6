"""The settings: plain data that can be stored, compared, sent, and shown without its secrets."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from mcp_sync import MCPClient, MCPClientConfig, MCPUsageError
from mcp_sync.config import make_config


def test_the_defaults_are_the_documented_ones() -> None:
    config = MCPClientConfig()
    assert (config.timeout, config.connect_timeout, config.close_timeout) == (30.0, 10.0, 5.0)
    assert (config.connection_path, config.messages_path) == ("/mcp", "/mcp/messages/")
    assert (config.max_retries, config.retry_delay) == (3, 1.0)
    assert config.max_message_bytes == 64 * 1024 * 1024
    assert (config.transport, config.protocol_version, config.log_level) == ("auto", None, None)
    assert config.default_headers == {}
    assert config.trust_env
    assert config.client_info["name"] == "mcp-sync"


def test_it_is_frozen_comparable_hashable_and_picklable() -> None:
    config = MCPClientConfig(base_url="http://a", default_headers={"a": "b"}, env={"A": "b"})
    with pytest.raises(ValidationError):
        config.timeout = 5  # type: ignore[misc]
    twin = pickle.loads(pickle.dumps(config))
    assert twin == config
    assert hash(twin) == hash(config)
    assert config != MCPClientConfig()


def test_its_repr_hides_what_may_be_secret() -> None:
    config = MCPClientConfig(
        base_url="https://user:hunter1@host/mcp?token=hunter2#hunter3",
        default_headers={"Authorization": "Bearer hunter4", "X-API-Key": "hunter5"},
        proxies={"https": "http://user:hunter6@proxy:3128"},
        env={"API_KEY": "hunter7"},
    )
    for text in (repr(config), str(config), f"{config}"):
        assert "hunter" not in text
        assert "Authorization" in text
        assert "API_KEY" in text
        assert "host/mcp" in text
        assert "proxy:3128" in text


def test_a_clients_repr_hides_what_may_be_secret() -> None:
    client = MCPClient("https://user:hunter1@host/mcp?token=hunter2", auth="hunter3", headers={"X-Key": "hunter4"})
    assert repr(client) == "<MCPClient https://host/mcp, not connected>"
    assert "hunter" not in str(client)


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": -1},
        {"timeout": math.nan},
        {"timeout": "soon"},
        {"connect_timeout": -0.1},
        {"close_timeout": math.nan},
        {"retry_delay": -1},
        {"max_retries": -1},
        {"max_retries": 1.5},
        {"max_message_bytes": 0},
        {"transport": "carrier pigeon"},
        {"protocol_version": "1999-01-01"},
        {"default_headers": {"a b": "c"}},
        {"default_headers": {"a": "b\r\nX-Injected: 1"}},
        {"default_headers": {"": "b"}},
        {"default_headers": {"a": 1}},
        {"client_info": {"name": "x"}},
        {"client_info": {"name": 1, "version": "1"}},
        {"no_such_option": 1},
    ],
    ids=str,
)
def test_a_setting_without_sense_is_a_usage_error_that_names_it(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MCPClientConfig(**wrong)
    with pytest.raises(MCPUsageError, match=next(iter(wrong))) as caught:
        MCPClient("http://a", **wrong)
    assert caught.value.outcome == "not_sent"


def test_the_error_about_a_setting_does_not_show_its_value() -> None:
    with pytest.raises(MCPUsageError) as caught:
        MCPClient("http://a", default_headers={"Authorization": "hunter2\n"})
    error: Any = caught.value
    while error is not None:
        assert "hunter2" not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.mark.parametrize("forever", [math.inf, 1e10, 0])
def test_any_number_of_seconds_is_a_timeout(forever: float) -> None:
    assert MCPClientConfig(timeout=forever).timeout == forever


def test_an_option_wins_over_the_config() -> None:
    config = MCPClientConfig(timeout=5, log_level="info")
    assert make_config(config, {"timeout": 6}).timeout == 6
    assert make_config(config, {"timeout": 6}).log_level == "info"
    assert make_config(config, {}) is config
    assert make_config(None, {}) == MCPClientConfig()
    client = MCPClient("http://a", config, timeout=7)
    assert client.config.timeout == 7
    assert client.config.log_level == "info"
    assert client.config.base_url == "http://a"


def test_what_is_no_config_is_a_usage_error() -> None:
    with pytest.raises(MCPUsageError, match="must be an MCPClientConfig, not dict"):
        MCPClient("http://a", {"timeout": 3})  # type: ignore[arg-type]


def test_a_client_can_be_made_from_its_config_alone() -> None:
    config = MCPClient("http://a/mcp", timeout=3).config
    assert MCPClient(config=pickle.loads(pickle.dumps(config))).config == config


def test_a_client_refuses_to_be_pickled_or_copied_and_says_what_to_do() -> None:
    import copy

    client = MCPClient("http://a/mcp")
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="config"):
            attempt(client)


@pytest.mark.parametrize(
    "server", [None, "", " ", 7, [], [1], {}, {"url": 1}, {"command": "x", "args": "y"}, b"http://a"]
)
def test_what_is_no_server_is_a_usage_error_that_says_what_is_one(server: Any) -> None:
    with pytest.raises(MCPUsageError, match="command"):
        MCPClient(server)


def test_one_entry_of_an_mcp_servers_mapping_is_a_server() -> None:
    client = MCPClient({"url": "http://a/mcp", "headers": {"X-Key": "1"}, "type": "sse"})
    assert client.config.default_headers == {"X-Key": "1"}
    assert client.config.transport == "sse"
    client = MCPClient({"command": "serve", "args": ["--x"], "env": {"A": "b"}, "cwd": "/tmp"})
    assert client.config.env == {"A": "b"}
    assert client.config.cwd == "/tmp"
    assert "--x" not in repr(client)


def test_a_whole_mcp_servers_mapping_is_told_apart() -> None:
    with pytest.raises(MCPUsageError, match="one entry"):
        MCPClient({"mcpServers": {"a": {"url": "http://a"}}})


@pytest.mark.parametrize("option", ["sampling_handler", "elicitation_handler", "log_handler", "progress_handler"])
def test_a_handler_that_cannot_be_called_is_a_usage_error(option: str) -> None:
    options: dict[str, Any] = {option: "not a function"}
    with pytest.raises(MCPUsageError, match=option):
        MCPClient("http://a", **options)


def test_roots_as_a_single_string_are_a_usage_error() -> None:
    with pytest.raises(MCPUsageError, match="not a single string"):
        MCPClient("http://a", roots="file:///a")
