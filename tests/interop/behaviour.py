"""What every real server must see of our client, and our client of it: one suite, run over each transport.

Runs on the test's thread, and on threads that a test starts and joins. A test that a server cannot serve is skipped
with the reason that `real_servers` gives for it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import pytest

from mcp_sync import (
    CallToolResult,
    LogMessage,
    MCPClient,
    MCPConnectionError,
    MCPServerError,
    MCPTimeoutError,
    Notification,
    Progress,
    ToolError,
)

from .conftest import SHARED_THREADS, Belongings, Connect
from .real_servers import Call, Running

__all__ = ["ADA", "Behaviour", "Deaths", "answers", "need", "pick"]

ADA: Mapping[str, object] = {
    "name": "Ada",
    # server-everything asks for more than a name
    "check": True,
    "email": "ada@example.org",
    "homepage": "https://example.org",
    "birthdate": "1815-12-10",
    "integer": 42,
    "number": 3.5,
}


def need(behaviour: str, running: Running, revision: str) -> None:
    """Skip the test, with the table's reason, where the server lacks `behaviour`."""
    reason = running.server.without(behaviour, revision)
    if reason is not None:
        pytest.skip(f"{running.name}: {reason}")


def pick(call: object) -> Call:
    """The call that the dialect has for a behaviour which the server does not lack."""
    assert isinstance(call, Call), "the table says that this server has it, and its dialect does not say how to call it"
    return call


def answers(client: MCPClient, call: Call, **options: Any) -> CallToolResult:
    """Make `call` and check that its answer holds the text it should."""
    result = client.call_tool(call.tool, dict(call.arguments), **options)
    assert isinstance(result, CallToolResult)
    assert not result.is_error
    assert call.text in result.text
    return result


def take(told: queue.Queue[Any], seconds: float = 5.0) -> Any:
    """The next thing that a handler put into `told`."""
    try:
        return told.get(timeout=seconds)
    except queue.Empty:
        raise AssertionError(f"nothing came within {seconds:g} s") from None


def first(events: Any, seconds: float = 10.0) -> Any:
    """The first of `events`, which end when nothing came in time."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, iter(events))
        try:
            return waiting.result(seconds)
        except FutureTimeout:
            events.close()
            raise AssertionError(f"nothing came within {seconds:g} s") from None


class Behaviour:
    """The suite; a module subclasses it as ``TestX`` and names its transport."""

    # Connecting

    def test_connecting_tells_who_the_server_is(self, client: MCPClient, running: Running, revision: str) -> None:
        assert client.connected
        assert client.transport == running.server.transport
        assert client.protocol_version == revision
        assert client.server_info is not None
        assert running.server.dialect.name in client.server_info.name
        assert client.server_capabilities is not None
        assert client.server_capabilities.tools is not None

    def test_a_client_connects_again_after_it_was_closed(self, connect: Connect, running: Running) -> None:
        client = connect(running)
        before = {tool.name for tool in client.list_tools()}
        client.close()
        assert not client.connected
        client.connect()
        assert {tool.name for tool in client.list_tools()} == before

    def test_ping_is_answered(self, client: MCPClient) -> None:
        client.ping(timeout=5)

    def test_close_leaves_nothing(self, connect: Connect, running: Running) -> None:
        before = Belongings()
        client = connect(running)
        client.list_tools()
        begun = time.monotonic()
        client.close()
        assert time.monotonic() - begun < 5.5  # close_timeout, which a server that does not answer its end may use up
        before.expect_no_more()
        expires = time.monotonic() + 4
        while any(thread.name in SHARED_THREADS for thread in threading.enumerate()):
            assert time.monotonic() < expires, "a thread that the clients of this process share did not end"
            time.sleep(0.05)

    def test_two_clients_get_their_own_answers(self, connect: Connect, running: Running, revision: str) -> None:
        need("echo", running, revision)
        echo = running.server.dialect.echo
        assert echo is not None
        one, two = connect(running), connect(running)
        for turn in range(5):
            answers(one, echo(f"one {turn}"))
            answers(two, echo(f"two {turn}"))

    # Tools

    def test_the_list_of_tools_is_complete(self, client: MCPClient, running: Running) -> None:
        tools = client.list_tools()
        names = [tool.name for tool in tools]
        assert running.server.dialect.tools <= set(names)
        assert len(names) == len(set(names))
        assert all(tool.input_schema["type"] == "object" for tool in tools)

    def test_a_tool_answers(self, client: MCPClient, running: Running, revision: str) -> None:
        need("echo", running, revision)
        echo = running.server.dialect.echo
        assert echo is not None
        # The line breaks inside are the interesting ones: to splitlines, not to SSE or JSON lines.
        answers(client, echo("blåbærsyltetøy 🫐 \u2028 \u0085"))

    def test_a_tool_is_a_function(self, client: MCPClient, running: Running, revision: str) -> None:
        need("echo", running, revision)
        result: Any = client.tools.echo(message="as a function")
        assert "as a function" in str(getattr(result, "text", result))

    def test_an_operation_gives_plain_data(self, client: MCPClient, running: Running, revision: str) -> None:
        need("echo", running, revision)
        assert "plain" in str(client.call_operation("echo", {"message": "plain"}))

    def test_a_structured_result_is_typed(self, client: MCPClient, running: Running, revision: str) -> None:
        need("structured", running, revision)
        add = running.server.dialect.add
        assert add is not None
        result = answers(client, add(2, 3))
        assert result.structured_content == {"total": 5, "text": "2 + 3"}
        assert result.data == {"total": 5, "text": "2 + 3"}

    def test_a_result_of_a_megabyte_arrives_whole(self, client: MCPClient, running: Running, revision: str) -> None:
        need("big", running, revision)
        big = running.server.dialect.big
        assert big is not None
        assert len(answers(client, big(1_000_000)).text) >= 1_000_000

    def test_a_failing_tool_raises(self, client: MCPClient, running: Running, revision: str) -> None:
        need("fail", running, revision)
        fail = pick(running.server.dialect.fail)
        with pytest.raises(ToolError) as caught:
            client.call_tool(fail.tool, dict(fail.arguments))
        assert caught.value.result is not None
        assert caught.value.result.is_error
        assert fail.text in caught.value.result.text

    def test_a_failing_tool_may_return(self, client: MCPClient, running: Running, revision: str) -> None:
        need("fail", running, revision)
        fail = pick(running.server.dialect.fail)
        result = client.call_tool(fail.tool, dict(fail.arguments), raise_on_error=False)
        assert result.is_error
        assert fail.text in result.text

    def test_an_unknown_tool_is_an_error(self, client: MCPClient) -> None:
        with pytest.raises((ToolError, MCPServerError)):  # servers differ in which of the two it is
            client.call_tool("no-such-tool", {})
        client.list_tools()

    def test_an_unknown_method_is_an_error(self, client: MCPClient) -> None:
        with pytest.raises(MCPServerError):
            client.request("no/such/method", {}, timeout=5)
        client.list_tools()

    # Progress, time, many at once

    def test_progress_comes_as_events(self, client: MCPClient, running: Running, revision: str) -> None:
        need("progress", running, revision)
        slow = running.server.dialect.slow
        assert slow is not None
        call = slow(0.4, 4)
        with client.stream_tool(call.tool, dict(call.arguments)) as stream:
            events = list(stream)
        progress = [event for event in events if isinstance(event, Progress)]
        assert [event.progress for event in progress] == [1, 2, 3, 4]
        assert progress[1].total == 4
        assert progress[1].fraction == 0.5
        assert isinstance(events[-1], CallToolResult)
        assert call.text in events[-1].text
        assert stream.result == events[-1]

    def test_progress_is_called_back(self, client: MCPClient, running: Running, revision: str) -> None:
        need("progress", running, revision)
        slow = running.server.dialect.slow
        assert slow is not None
        seen: list[float] = []
        answers(client, slow(0.4, 4), on_progress=lambda progress: seen.append(progress.progress))
        assert seen == [1, 2, 3, 4]

    def test_a_stream_without_progress_has_its_result(self, client: MCPClient, running: Running, revision: str) -> None:
        need("echo", running, revision)
        echo = running.server.dialect.echo
        assert echo is not None
        call = echo("alone")
        with client.stream_tool(call.tool, dict(call.arguments)) as stream:
            *_, last = stream
        assert isinstance(last, CallToolResult)
        assert call.text in last.text

    def test_eight_threads_get_their_own_answers(self, client: MCPClient, running: Running, revision: str) -> None:
        need("echo", running, revision)
        dialect = running.server.dialect
        assert dialect.echo is not None
        echo = dialect.echo
        barrier = threading.Barrier(8)
        order: list[int] = []

        def ask(worker: int) -> None:
            barrier.wait(10)
            for turn in range(10):
                answers(client, echo(f"<{worker}.{turn}>"))
                order.append(worker)

        with ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(ask, worker) for worker in range(8)]:
                done.result(60)
        assert order != sorted(order), "the threads ran one after the other: nothing was shown"

    def test_slow_calls_run_at_the_same_time(self, connect: Connect, running: Running, revision: str) -> None:
        need("slow", running, revision)
        client = connect(running)
        slow = running.server.dialect.slow
        assert slow is not None
        begun = time.monotonic()
        futures = [client.submit(call.tool, dict(call.arguments)) for call in [slow(0.5, 1)] * 8]
        for future in futures:
            future.result(20)
        assert time.monotonic() - begun < 8 * 0.5 * 0.75

    def test_a_timeout_leaves_the_client_usable(self, client: MCPClient, running: Running, revision: str) -> None:
        need("slow", running, revision)
        dialect = running.server.dialect
        assert dialect.slow is not None
        assert dialect.echo is not None
        call = dialect.slow(30, 3)
        begun = time.monotonic()
        with pytest.raises(MCPTimeoutError) as caught:
            client.call_tool(call.tool, dict(call.arguments), timeout=0.5)
        assert 0.4 < time.monotonic() - begun < 1.5
        assert caught.value.outcome == "unknown"
        answers(client, dialect.echo("still here"))

    def test_a_timeout_cancels_the_tool(self, client: MCPClient, running: Running, revision: str) -> None:
        need("slow", running, revision)
        need("cancel", running, revision)
        slow = running.server.dialect.slow
        assert slow is not None
        call = slow(30, 3)
        already = running.diary().count("slow cancelled")
        with pytest.raises(MCPTimeoutError):
            client.call_tool(call.tool, dict(call.arguments), timeout=0.5)
        running.wait_for("slow cancelled", already + 1, seconds=5)

    def test_a_cancelled_future_cancels_the_tool(self, connect: Connect, running: Running, revision: str) -> None:
        need("slow", running, revision)
        need("cancel", running, revision)
        client = connect(running)
        slow = running.server.dialect.slow
        assert slow is not None
        call = slow(30, 3)
        begun, already = running.diary().count("slow started"), running.diary().count("slow cancelled")
        future = client.submit(call.tool, dict(call.arguments))
        running.wait_for("slow started", begun + 1)
        assert future.cancel()
        running.wait_for("slow cancelled", already + 1, seconds=5)

    # What the server asks of us

    def test_elicitation_is_answered(self, connect: Connect, running: Running, revision: str) -> None:
        need("ask", running, revision)
        asked: list[Any] = []

        def elicit(params: Any) -> Mapping[str, object]:
            asked.append(params)
            return {"action": "accept", "content": dict(ADA)}

        client = connect(running, elicitation_handler=elicit)
        answers(client, pick(running.server.dialect.ask))
        assert len(asked) == 1
        assert asked[0].message

    def test_sampling_is_answered(self, connect: Connect, running: Running, revision: str) -> None:
        need("sample", running, revision)
        asked: list[Any] = []

        def think(params: Any) -> Mapping[str, object]:
            asked.append(params)
            return {"role": "assistant", "content": {"type": "text", "text": "forty-two"}, "model": "oracle"}

        client = connect(running, sampling_handler=think)
        answers(client, pick(running.server.dialect.sample))
        assert len(asked) == 1
        assert "six times seven" in asked[0].messages[0].content.text

    def test_roots_are_told(self, connect: Connect, running: Running, revision: str) -> None:
        need("roots", running, revision)
        client = connect(running, roots=["file:///work"])
        answers(client, pick(running.server.dialect.roots))

    def test_a_handler_may_call_the_client(self, connect: Connect, running: Running, revision: str) -> None:
        need("ask", running, revision)
        dialect = running.server.dialect
        assert dialect.echo is not None
        echo = dialect.echo("from inside")
        inner: list[str] = []

        def elicit(params: Any) -> Mapping[str, object]:
            inner.append(client.call_tool(echo.tool, dict(echo.arguments)).text)
            return {"action": "accept", "content": dict(ADA)}

        client = connect(running, elicitation_handler=elicit)
        answers(client, pick(dialect.ask))
        assert echo.text in inner[0]

    # Logging

    def test_log_messages_arrive(self, connect: Connect, running: Running, revision: str) -> None:
        need("log", running, revision)
        log = pick(running.server.dialect.log)
        told: queue.Queue[LogMessage] = queue.Queue()
        client = connect(running, log_handler=told.put, log_level="debug")
        answers(client, log)
        message = take(told)
        assert message.level == "warning"
        assert message.logger == "interop"
        assert "hello log" in str(message.data)

    def test_log_messages_come_with_the_stream(self, connect: Connect, running: Running, revision: str) -> None:
        need("log", running, revision)
        log = pick(running.server.dialect.log)
        client = connect(running, log_level="debug")
        with client.stream_tool(log.tool, dict(log.arguments)) as stream:
            events = list(stream)
        assert any(isinstance(event, LogMessage) and "hello log" in str(event.data) for event in events)

    def test_the_logging_level_is_obeyed(self, connect: Connect, running: Running, revision: str) -> None:
        need("set_level", running, revision)
        told: queue.Queue[LogMessage] = queue.Queue()
        client = connect(running, log_handler=told.put)
        client.set_logging_level("error")
        try:
            client.call_tool("log", {"message": "too quiet", "level": "info"})
            client.call_tool("log", {"message": "loud", "level": "critical"})
            assert "loud" in str(take(told).data)
        finally:
            client.set_logging_level("debug")

    # Resources

    def test_resources_are_listed_and_read(self, client: MCPClient, running: Running, revision: str) -> None:
        need("resources", running, revision)
        dialect = running.server.dialect
        listed = client.list_resources()
        assert listed
        template, uri, text = dialect.greeting
        assert template in [found.uri_template for found in client.list_resource_templates()]
        greeting: Any = client.read_resource(uri).contents[0]
        assert text in greeting.text
        first = client.read_resource(listed[0].uri).contents[0]
        assert first.uri == listed[0].uri

    def test_a_blob_arrives_as_bytes(self, client: MCPClient, running: Running, revision: str) -> None:
        need("resources", running, revision)
        if "blob://bytes" not in [str(found.uri) for found in client.list_resources()]:
            pytest.skip(f"{running.name}: its blobs are made up anew each time; see test_everything.py")
        content: Any = client.read_resource("blob://bytes").contents[0]
        assert content.mime_type == "application/octet-stream"
        assert content.blob == "AP8QgA=="
        assert content.decode() == b"\x00\xff\x10\x80"

    def test_an_unknown_resource_is_an_error(self, client: MCPClient, running: Running, revision: str) -> None:
        need("resources", running, revision)
        with pytest.raises(MCPServerError):
            client.read_resource("nowhere://at/all")
        client.list_tools()

    def test_a_subscriber_is_told_of_a_change(self, connect: Connect, running: Running, revision: str) -> None:
        need("subscribe", running, revision)
        told: queue.Queue[Notification] = queue.Queue()
        client = connect(running, notification_handler=told.put)
        uri = running.server.dialect.note_uri
        client.subscribe_resource(uri)
        client.call_tool("write_note", {"text": "changed"})
        while True:
            notification = take(told)
            if notification.method == "notifications/resources/updated":
                break
        assert notification.params["uri"] == uri
        content: Any = client.read_resource(uri).contents[0]
        assert content.text == "changed"
        client.unsubscribe_resource(uri)

    def test_a_listener_is_told_of_a_change(self, client: MCPClient, running: Running, revision: str) -> None:
        need("listen", running, revision)
        uri = running.server.dialect.note_uri
        with client.listen(resources=[uri]) as events:
            client.call_tool("write_note", {"text": "listened"})
            event = first(events)
        assert event.method == "notifications/resources/updated"
        assert event.params["uri"] == uri

    def test_a_listener_is_told_of_a_new_tool(self, client: MCPClient, running: Running, revision: str) -> None:
        need("grow", running, revision)
        name = f"grown_{time.monotonic_ns()}"
        with client.listen(tools=True) as events:
            client.call_tool("grow", {"name": name})
            event = first(events)
        assert event.method == "notifications/tools/list_changed"
        assert name in [tool.name for tool in client.list_tools()]
        assert client.call_tool(name, {}).text == f"I am {name}"

    # Prompts and completion

    def test_prompts_are_listed_and_filled_in(self, client: MCPClient, running: Running, revision: str) -> None:
        need("prompts", running, revision)
        name, arguments, text = running.server.dialect.prompt
        assert name in [prompt.name for prompt in client.list_prompts()]
        message: Any = client.get_prompt(name, dict(arguments)).messages[0]
        assert message.role == "user"
        assert message.content.text == text

    def test_an_unknown_prompt_is_an_error(self, client: MCPClient, running: Running, revision: str) -> None:
        need("prompts", running, revision)
        with pytest.raises(MCPServerError):
            client.get_prompt("no-such-prompt", {})
        client.list_tools()

    def test_an_argument_is_completed(self, client: MCPClient, running: Running, revision: str) -> None:
        need("completion", running, revision)
        prompt, argument, begun, values = running.server.dialect.completion
        completion = client.complete({"type": "ref/prompt", "name": prompt}, argument, begun).completion
        assert tuple(completion.values) == tuple(values)


class Deaths:
    """What happens when a server dies, over HTTP; each test has a server of its own."""

    def test_a_kill_fails_the_call_at_once(self, connect: Connect, fresh: Running, revision: str) -> None:
        need("slow", fresh, revision)
        error, waited = self._die_during_a_call(connect(fresh, max_retries=0), fresh, fresh.kill)
        # A stream with event ids is resumed after `retry` ms, 1,000 where the server does not say: that fails first.
        assert waited < (4.0 if fresh.server.resumable else 1.0)
        assert error.outcome == "unknown"

    def test_a_stop_fails_the_call(self, connect: Connect, fresh: Running, revision: str) -> None:
        need("slow", fresh, revision)
        error, waited = self._die_during_a_call(connect(fresh, max_retries=0), fresh, fresh.stop)
        assert waited < 6.0  # a server may wait for its calls; one that does is killed after five seconds
        assert error.outcome == "unknown"

    def test_a_dead_server_is_refused_fast(self, connect: Connect, fresh: Running) -> None:
        client = connect(fresh, max_retries=0)
        fresh.kill()
        begun = time.monotonic()
        with pytest.raises(MCPConnectionError):
            client.list_tools(timeout=10)
        assert time.monotonic() - begun < 2.0

    def test_the_next_call_reconnects(self, connect: Connect, fresh: Running, revision: str) -> None:
        need("echo", fresh, revision)
        echo = fresh.server.dialect.echo
        assert echo is not None
        client = connect(fresh, retry_delay=0.1)
        answers(client, echo("before"))
        fresh.restart()
        assert fresh.server.dialect.tools <= {tool.name for tool in client.list_tools()}
        answers(client, echo("after"))
        if "diary" not in fresh.server.lacks:
            assert fresh.diary().count("echo") == 2

    def test_a_tool_is_not_called_twice(self, connect: Connect, fresh: Running, revision: str) -> None:
        need("slow", fresh, revision)
        need("diary", fresh, revision)
        slow = fresh.server.dialect.slow
        assert slow is not None
        client = connect(fresh, retry_delay=0.1)
        call = slow(30, 3)
        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(client.call_tool, call.tool, dict(call.arguments), timeout=15)
            fresh.wait_for("slow started")
            fresh.restart()
            with pytest.raises(MCPConnectionError):
                pending.result(20)
        client.list_tools()
        assert fresh.diary().count("slow started") == 1

    @staticmethod
    def _die_during_a_call(
        client: MCPClient, fresh: Running, die: Callable[[], None]
    ) -> tuple[MCPConnectionError, float]:
        slow = fresh.server.dialect.slow
        assert slow is not None
        call = slow(60, 600)
        under_way = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(
                client.call_tool,
                call.tool,
                dict(call.arguments),
                timeout=50,
                on_progress=lambda progress: under_way.set(),
            )
            if "diary" in fresh.server.lacks:
                assert under_way.wait(10), "the server sent no progress"
            else:
                fresh.wait_for("slow started")
            died = time.monotonic()
            die()
            with pytest.raises(MCPConnectionError) as caught:
                pending.result(20)
            return caught.value, time.monotonic() - died
