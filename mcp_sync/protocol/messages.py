"""JSON-RPC 2.0 as MCP uses it: encoding, decoding, ids, and telling the kinds of messages apart.

Runs on: any thread; no state.

A message is a plain dict everywhere in the package: a few keys tell its kind, and only the payload that a caller asked
for is validated. (Validating a union of message types costs twice as much as all the rest of decoding.)
"""

from __future__ import annotations

import json
import math
import re
from sys import getsizeof
from typing import Any, Callable, Dict, List, Mapping, Optional, Union, cast

from pydantic_core import from_json

from ..errors import MCPProtocolError, MCPServerError, MCPUsageError, is_out_of_memory
from ..escape import excerpt

__all__ = [
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "METHOD_NOT_FOUND",
    "Message",
    "RequestId",
    "decode",
    "decode_small",
    "encode",
    "error_answer",
    "error_of",
    "is_complete",
    "matching_id",
    "notification",
    "request",
    "result_answer",
    "result_of",
    "shown",
    "task_in",
    "weight_of",
]

Message = Dict[str, Any]
RequestId = Union[int, str]

# Made once, and without the check for circular references: half of what json.dumps costs for a small message.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode
# Where pydantic's parser stops as well.
_DEEPEST = 200
# So much of a frame is looked through for what must be masked, before an excerpt of it is shown.
_QUOTED = 4096
# Objects, lists and members of objects in one message: so many take a second to read, and 200 MB of memory.
_MOST_PARTS = 2_000_000
_MOST_IN_A_BATCH = 10_000
_PIECE = 65536
# Of what an error says, so many characters are the exception's text.
_LONGEST_TEXT = 1000

METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_BUSY = -32000


def request(id: RequestId, method: str, params: Optional[Mapping[str, Any]] = None) -> Message:
    message: Message = {"jsonrpc": "2.0", "id": id, "method": method}
    if params is not None:
        message["params"] = params
    return message


def notification(method: str, params: Optional[Mapping[str, Any]] = None) -> Message:
    message: Message = {"jsonrpc": "2.0", "method": method}
    if params is not None:
        message["params"] = params
    return message


def result_answer(id: object, result: Mapping[str, Any]) -> Message:
    return {"jsonrpc": "2.0", "id": id, "result": result}


def error_answer(id: object, code: int, text: str) -> Message:
    return {"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": text}}


def encode(message: Message) -> bytes:
    """The message as UTF-8 JSON on one line.

    Raises:
        MCPUsageError: something in it is not JSON.
    """
    problem = ""
    try:
        try:
            return _encode(message).encode("utf-8")
        except RecursionError:  # too deep, or circular: this tells which
            json.dumps(message, allow_nan=False)
            raise
    except UnicodeEncodeError:
        problem = "a string with half of a surrogate pair"
    except TypeError as exc:
        problem = str(exc)
    except ValueError as exc:
        problem = f"{exc} (NaN, infinity, or a structure that contains itself)"
    except RecursionError:
        problem = "it is nested too deeply"
    raise MCPUsageError(
        f"the parameters cannot be sent as JSON: {problem}. Pass dicts, lists, strings, finite numbers, booleans and "
        "None",
        method=message.get("method"),
        outcome="not_sent",
    )


def decode(text: Union[str, bytes], mask: Callable[[str], str] = str) -> List[Message]:
    """The messages in one frame: one, or those of a batch (2025-03-26, Base Protocol, Batching; unpacked under every
    revision).

    Parameters:
        mask: masks what must not be shown of the frame, in an error.

    Raises:
        MCPProtocolError: it is not JSON, or not an object or a list of objects; or there is too much in it.
    """
    problem = ""
    try:
        value = None
        if len(text) > _MOST_PARTS and _has_too_many_parts(text):
            problem = f"over the limit of {_MOST_PARTS} objects, lists and members of objects in one message"
        else:
            value = from_json(text)
    except ValueError:
        # Servers written in Python send what its json module accepts, lone surrogates included. A byte that is not
        # UTF-8 becomes a replacement character, as in any event stream.
        try:
            text = text if isinstance(text, str) else text.decode("utf-8", "replace")
            value = json.loads(text.lstrip("\ufeff"))
        except (ValueError, RecursionError) as exc:
            problem = f"not JSON ({exc})"
        if _is_too_deep(value):
            # Code that walks through the value would end in a RecursionError.
            value, problem = None, f"nested more than {_DEEPEST} levels deep"
    except BaseException as exc:
        if not is_out_of_memory(exc):
            raise
        problem = "more than there is memory for"
    if type(value) is dict:
        return [value]
    if isinstance(value, list) and len(value) > _MOST_IN_A_BATCH:
        value, problem = None, f"over the limit of {_MOST_IN_A_BATCH} messages in one batch"
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return value
    start = text[:_QUOTED] if isinstance(text, str) else text[:_QUOTED].decode("utf-8", "replace")
    raise MCPProtocolError(
        f"the server sent a message that is {problem or 'neither a JSON object nor a batch of them'}: "
        f"{excerpt(mask(start))!r}"
    )


class Unread:
    """In the place of a large result: the text of the answer that carries it, which is decoded by who waits for it."""

    __slots__ = ("_id", "_text")

    def __init__(self, text: bytes, id: RequestId) -> None:
        self._text = text
        self._id = id

    def __sizeof__(self) -> int:
        return len(self._text)

    def answer(self) -> Message:
        """The answer.

        Raises:
            MCPProtocolError: it is none, or that of another request.
        """
        messages = decode(self._text)
        if len(messages) != 1 or messages[0].get("id") != self._id or "method" in messages[0]:
            raise MCPProtocolError("the server's answer has two ids, or is a request too", outcome="unknown")
        return messages[0]


_ID = rb'"id"\s*:\s*([0-9]{1,18}|"[^"\\\x00-\x1f]{1,200}")'
_VERSION = rb'"jsonrpc"\s*:\s*"2\.0"'
_RESULT = rb'"result"\s*:\s*\{'
# How a large answer begins, where its id comes before its result; and how one begins and ends where it comes after.
_ID_FIRST = re.compile(rb"\s*\{\s*(?:%b\s*,\s*)?%b\s*,\s*(?:%b\s*,\s*)?%b" % (_VERSION, _ID, _VERSION, _RESULT))
_RESULT_FIRST = re.compile(rb"\s*\{\s*(?:%b\s*,\s*)?%b" % (_VERSION, _RESULT))
_ID_LAST = re.compile(rb"\}\s*,\s*(?:%b\s*,\s*)?%b\s*(?:,\s*%b\s*)?\}\s*\Z" % (_VERSION, _ID, _VERSION))
_LONGEST_END = 512


def decode_small(text: Union[str, bytes], mask: Callable[[str], str] = str) -> List[Message]:
    """The same, but of a large answer only the id: its result is an ``Unread``. So one thread that reads the answers of
    all calls is not kept from the others by a large one.
    """
    if len(text) > _PIECE and isinstance(text, bytes):
        found = _ID_FIRST.match(text)
        if found is None and _RESULT_FIRST.match(text) is not None:
            found = _ID_LAST.search(text, len(text) - _LONGEST_END)
        if found is not None:
            id = json.loads(found[1])
            return [{"jsonrpc": "2.0", "id": id, "result": Unread(text, id)}]
    return decode(text, mask)


def _has_too_many_parts(text: Union[str, bytes]) -> bool:
    """Whether a text has more objects, lists and members of objects than one message may have: told before they are
    made.
    """
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    if _parts_in(data) <= _MOST_PARTS:
        return False
    # Not what looks like it in strings: a quote that is left after this begins or ends one.
    data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    count, in_string = 0, False
    for start in range(0, len(data), _PIECE):
        pieces = data[start : start + _PIECE].split(b'"')
        count += sum(map(_parts_in, pieces[in_string::2]))
        in_string ^= len(pieces) % 2 == 0
    return count > _MOST_PARTS


def _parts_in(data: bytes) -> int:
    return data.count(b"{") + data.count(b"[") + data.count(b":")


def _is_too_deep(value: object) -> bool:
    layer: List[Any] = [value] if isinstance(value, (dict, list)) else []
    for _ in range(_DEEPEST):
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not layer:
            return False
    return True


def matching_id(id: object) -> Optional[RequestId]:
    """The request's id that an answer's ``id`` stands for: some servers send an integer back as its decimal string or
    as an integral float. A boolean is no id.
    """
    kind = type(id)
    if kind is int:
        return cast(int, id)
    if kind is str:
        text = cast(str, id)
        return (
            int(text)
            if len(text) < 20 and text.isascii() and text.isdigit() and (text[0] != "0" or text == "0")
            else text
        )
    if kind is float and cast(float, id).is_integer():
        return int(cast(float, id))
    return None


def result_of(answer: Message, mask: Callable[[Any], Any] = lambda error: error) -> Dict[str, Any]:
    """The result that an answer carries.

    Parameters:
        mask: masks what must not be shown of an error.

    Raises:
        MCPServerError: it carries an error.
        MCPProtocolError: it is no JSON-RPC 2.0 answer.
    """
    result = answer.get("result")
    if type(result) is Unread:
        answer = result.answer()
        result = answer.get("result")
    error = answer.get("error")
    if error is not None:
        error = mask(error)
        if isinstance(error, dict):
            code, text = error.get("code"), error.get("message")
            if isinstance(code, float) and code.is_integer():
                code = int(code)
            if isinstance(code, int) and not isinstance(code, bool) and code.bit_length() < 64:
                raise error_of("the server answered with an error", code, text, error)
        raise MCPProtocolError("the server answered with an error that has no code", outcome="unknown")
    if answer.get("jsonrpc") != "2.0":
        raise MCPProtocolError('the server\'s answer does not say "jsonrpc": "2.0"', outcome="unknown")
    if isinstance(result, dict):
        return result
    if result == []:
        return {}  # PHP has one word for an empty object and an empty list
    raise MCPProtocolError(
        "the server's answer has neither a result object nor an error", outcome="unknown", result=result
    )


def error_of(what: str, code: int, text: object, whole: Mapping[str, Any]) -> MCPServerError:
    """The exception for a JSON-RPC error: of a long text the beginning, and the whole error as its data.

    Parameters:
        what: happened, as the beginning of the exception's text.
        text: what the server says of it.
        whole: the error as the server sent it.
    """
    said = text if isinstance(text, str) else _word(text)
    data = whole.get("data") if len(said) <= _LONGEST_TEXT else dict(whole)
    return MCPServerError(f"{what}: {excerpt(said, _LONGEST_TEXT)}", code=code, data=data, outcome=None)


def task_in(result: Mapping[str, Any]) -> Optional[Mapping[str, Any]]:
    """The task that the server answered with instead of a result, or None.

    The extension says ``resultType: "task"``, 2025-11-25 has a ``task`` and nothing that a tool would answer.
    """
    if result.get("resultType") == "task":
        return result
    task = result.get("task")
    return task if isinstance(task, Mapping) and "taskId" in task and "content" not in result else None


def is_complete(result: Mapping[str, Any]) -> bool:
    """Whether a result is complete; one without ``resultType`` is (2026-07-28, Basic, Responses)."""
    kind = result.get("resultType")
    return kind != "input_required" and kind != "task" and "task" not in result


def weight_of(value: object, most: float = math.inf) -> int:
    """About how many bytes of memory a message takes; where that is more than ``most``, some number beyond it."""
    size = _weight_of_flat(value) if type(value) is dict else 0
    if size:
        return size
    todo: List[Any] = [value]
    while todo:
        item = todo.pop()
        size += getsizeof(item)
        if size > most:
            break
        if type(item) is dict:
            todo.extend(item)
            todo.extend(item.values())
        elif type(item) is list:
            todo.extend(item)
    return size


def _weight_of_flat(message: Message) -> int:
    """The same of a message whose params hold plain values alone, as most events do; 0 of any other."""
    size = getsizeof(message)
    for value in message.values():
        size += getsizeof(value)
        if type(value) is dict:
            for name, inner in value.items():
                if type(inner) is dict or type(inner) is list:
                    return 0
                size += getsizeof(name) + getsizeof(inner)
        elif type(value) is list:
            return 0
    return size


def shown(message: Message) -> str:
    """A message as a log may show it: its kind, method and id, and nothing of its params or result."""
    id = "" if message.get("id") is None else f" {_word(message['id'])}"
    method = message.get("method")
    if method is not None:
        return f"{'notification' if 'id' not in message else 'request'}{id} {_word(method)}"
    return f"{'error' if 'error' in message else 'result'}{id}"


def _word(value: object) -> str:
    # Python refuses to write out an integer of thousands of digits, and a list or an object is neither id nor method.
    if isinstance(value, int) and value.bit_length() > 256:
        return "(a huge number)"
    return excerpt(str(value), 80) if isinstance(value, (str, int, float)) else f"({type(value).__name__})"
