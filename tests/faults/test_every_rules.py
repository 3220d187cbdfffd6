"""Rules of the catalogue of faults that concern a whole process, over every transport."""

from __future__ import annotations

import gc
import json
import os
import warnings
import weakref
from typing import Any

import pytest

from mcp_sync import MCPClient
from tests.support.beds import Bed
from tests.support.clock import within
from tests.support.scripts import run_script


def arguments(bed: Bed) -> tuple[str, str]:
    """What a script makes its client with."""
    return json.dumps(bed.address), "stdio" if bed.name == "stdio" else "sse" if bed.name == "sse" else "http"


def test_a_dropped_client_is_collected_with_a_warning_and_leaves_nothing(bed: Bed) -> None:
    """Rule 8. The rest of it is looked at after each test: no thread of ours, no socket."""
    client: Any = MCPClient(bed.address, transport=arguments(bed)[1]).connect()
    assert client.call_tool("echo", {"message": "hi"}).text == "hi"
    alive = weakref.ref(client)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client = None
        gc.collect()
        assert alive() is None
    assert [warning.category for warning in caught if "was not closed" in str(warning.message)] == [ResourceWarning]
    bed.server.wait_until(lambda: not bed.server._wires, "all connections are closed")


@pytest.mark.parametrize("under_way", [False, True], ids=["idle", "a call under way"])
def test_a_script_that_forgets_to_close_exits_at_once_with_its_own_code(under_way: bool, bed: Bed) -> None:
    """Rule 8."""
    done = run_script(
        """
        import json, sys
        from mcp_sync import MCPClient
        client = MCPClient(json.loads(sys.argv[1]), transport=sys.argv[2]).connect()
        assert client.call_tool("echo", {"message": "hi"}).text == "hi"
        if sys.argv[3] == "True":
            client.submit("never", timeout=60)
        sys.exit(7)
        """,
        *arguments(bed),
        str(under_way),
        timeout=20,
    )
    assert done.code == 7, done
    bed.server.wait_until(lambda: not bed.server._wires, "all connections are closed")
    assert bed.server.tool_calls["echo"] == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_session_of_its_own_and_leaves_the_parents_alone(bed: Bed) -> None:
    """Rule 9: the child calls, and ends in each of three ways; the parent's session does not notice."""
    with within(30):
        done = run_script(
            """
            import gc, json, os, sys, warnings
            warnings.simplefilter("ignore")
            from mcp_sync import MCPClient
            client = MCPClient(json.loads(sys.argv[1]), transport=sys.argv[2], timeout=20).connect()
            from tests.support import inside
            session = inside.session_of(client)
            said = []
            for how in ("exit", "close", "collect"):
                read, write = os.pipe()
                pid = os.fork()
                if pid == 0:
                    text = client.call_tool("echo", {"message": how}).text
                    os.write(write, text.encode())
                    if how == "close":
                        client.close()
                    elif how == "collect":
                        del client
                        gc.collect()
                    os._exit(0) if how == "collect" else sys.exit(0)
                os.close(write)
                said.append(os.read(read, 100).decode())
                os.waitpid(pid, 0)
                assert client.call_tool("echo", {"message": "parent"}).text == "parent"
            same = inside.session_of(client) is session and client.connected
            client.close()
            print(json.dumps([said, same]))
            """,
            *arguments(bed),
            timeout=30,
        )
    assert done.report == [["exit", "close", "collect"], True], done
    assert bed.server.tool_calls["echo"] == 6
