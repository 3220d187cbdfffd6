"""What the user lets a server ask for: sampling, elicitation, roots; and what is told of notifications.

Runs on: worker threads, never the reader or the dispatcher; a handler may call the client.
"""

from __future__ import annotations

import contextvars
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Mapping, Optional, Union

from pydantic_core import ValidationError

from ..concurrency.log import Log, Sparing
from ..errors import MCPUsageError
from ..escape import excerpt
from ..protocol.messages import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, Message

if TYPE_CHECKING:
    from ..protocol.types import (
        CreateMessageParams,
        CreateMessageResult,
        ElicitParams,
        ElicitResult,
        LogMessage,
        Notification,
        Progress,
        Root,
    )

    SamplingHandler = Callable[[CreateMessageParams], Union[CreateMessageResult, Mapping[str, Any]]]
    ElicitationHandler = Callable[[ElicitParams], Union[ElicitResult, Mapping[str, Any]]]
    Roots = Union[Iterable[Union[str, Path, Root]], Callable[[], Iterable[Union[str, Path, Root]]]]
    LogHandler = Callable[[LogMessage], object]
    ProgressHandler = Callable[[Progress], object]
    NotificationHandler = Callable[[Notification], object]

__all__ = ["Handlers", "Refusal", "depth", "event_of", "progress_of"]

_log = Log(__name__)
# What a server may send as often as it likes.
_misshapen = Sparing(_log)


# How many calls wait for the code of now, one inside the other: what a handler begins must not queue behind what waits
# for that handler.
depth: contextvars.ContextVar[int] = contextvars.ContextVar("mcp_sync_depth", default=0)


class Refusal(Exception):
    """A request of the server that is answered with a JSON-RPC error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Handlers:
    """The user's plain functions; see ``MCPClient`` for what each gets and returns."""

    def __init__(
        self,
        sampling: Optional[SamplingHandler] = None,
        elicitation: Optional[ElicitationHandler] = None,
        roots: Optional[Roots] = None,
        log: Optional[LogHandler] = None,
        progress: Optional[ProgressHandler] = None,
        notification: Optional[NotificationHandler] = None,
    ) -> None:
        for name, handler in (
            ("sampling", sampling),
            ("elicitation", elicitation),
            ("log", log),
            ("progress", progress),
            ("notification", notification),
        ):
            if handler is not None and not callable(handler):
                raise MCPUsageError(
                    f"{name}_handler must be a function, not {type(handler).__name__}", outcome="not_sent"
                )
        if isinstance(roots, str):
            raise MCPUsageError(
                "roots must be a list of URIs, or a function that returns one, not a single string", outcome="not_sent"
            )
        self._sampling = sampling
        self._elicitation = elicitation
        self._roots = roots
        self._log = log
        self._progress = progress
        self._notification = notification
        # Whether every call should ask for progress, because there is a handler for all of it.
        self.wants_progress = progress is not None

    def capabilities(self, extensions: Mapping[str, Any]) -> Dict[str, Any]:
        """What the client can do: a capability is declared only where its handler is given (2025-11-25, Lifecycle,
        Capability Negotiation).
        """
        declared: Dict[str, Any] = {}
        if self._sampling is not None:
            declared["sampling"] = {"tools": {}}
        if self._elicitation is not None:
            declared["elicitation"] = {"form": {}, "url": {}}
        if self._roots is not None:
            declared["roots"] = {}
        if extensions:
            declared["extensions"] = dict(extensions)
        return declared

    @property
    def answers_anything(self) -> bool:
        """Whether there is any request of the server that is answered."""
        return any(handler is not None for handler in (self._sampling, self._elicitation, self._roots))

    def can_answer(self, method: str) -> bool:
        return {
            "sampling/createMessage": self._sampling,
            "elicitation/create": self._elicitation,
            "roots/list": self._roots,
        }.get(method) is not None

    def answer(self, method: str, params: Mapping[str, Any]) -> Dict[str, Any]:
        """The result of one request of the server, from the handler for it.

        Raises:
            Refusal: with the JSON-RPC error to answer. It holds nothing of an exception's text, which may be private.
            BaseException: what the handler raised, where that is not an Exception: SystemExit, KeyboardInterrupt.
        """
        refusal: Refusal
        outer = depth.set(depth.get() + 1)
        try:
            if method == "sampling/createMessage" and self._sampling is not None:
                return self._sample(params, self._sampling)
            if method == "elicitation/create" and self._elicitation is not None:
                return self._elicit(params, self._elicitation)
            if method == "roots/list" and self._roots is not None:
                return self._list_roots(self._roots)
            refusal = Refusal(METHOD_NOT_FOUND, f"this client does not answer {method}")
        except Refusal:
            raise
        except Exception:  # noqa: BLE001  # whatever it is, it stays here
            _log.exception("the handler for %s failed", method)
            refusal = Refusal(INTERNAL_ERROR, f"the client's handler for {method} failed")
        finally:
            depth.reset(outer)
        raise refusal

    def _sample(self, params: Mapping[str, Any], handler: SamplingHandler) -> Dict[str, Any]:
        from ..protocol.types import CreateMessageParams, CreateMessageResult

        result: CreateMessageResult = _checked(handler(_read(CreateMessageParams, params)), CreateMessageResult)
        return result.to_wire()

    def _elicit(self, params: Mapping[str, Any], handler: ElicitationHandler) -> Dict[str, Any]:
        from ..protocol.types import ElicitParams, ElicitResult, apply_defaults

        asked = _read(ElicitParams, params)
        result: ElicitResult = _checked(handler(asked), ElicitResult)
        if result.action not in ("accept", "decline", "cancel"):
            raise ValueError(
                f'an elicitation is answered with the action "accept", "decline" or "cancel", not {result.action!r}'
            )
        if result.action != "accept" or asked.is_url:
            # The content of a form goes with accepting it, and a URL has none (2025-11-25, Elicitation,
            # Response Actions).
            result = ElicitResult(action=result.action)
        else:
            result = ElicitResult(action="accept", content=apply_defaults(asked.requested_schema, result.content))
        return result.to_wire()

    def _list_roots(self, roots: Roots) -> Dict[str, Any]:
        from ..protocol.types import ListRootsResult

        listed = roots() if callable(roots) else roots
        return ListRootsResult(roots=[_root(item) for item in listed]).to_wire()

    def notified(self, message: Message) -> Optional[Callable[[], None]]:
        """The job that tells the user's handlers of a notification, or None where there is no handler for it.

        Does not block, and runs no user code.
        """
        method = message["method"]
        jobs: List[Callable[[], object]] = []
        progress, log, notification = self._progress, self._log, self._notification
        if method == "notifications/progress":
            if progress is not None:
                jobs.append(lambda: progress(_progress_of(message)))
        elif method == "notifications/message" and log is not None:
            jobs.append(lambda: log(_log_of(message)))
        if notification is not None and method != "notifications/progress":
            jobs.append(lambda: notification(notification_of(message)))
        if not jobs:
            return None

        def tell() -> None:
            for job in jobs:
                try:
                    job()
                except ValidationError:
                    _misshapen.warning(method, "a %s of the server has a wrong shape and is skipped", excerpt(method))
                except BaseException:  # noqa: BLE001  # user code, SystemExit included
                    _log.exception("the handler for %s failed", excerpt(method))

        return tell


def _read(model: Any, params: Mapping[str, Any]) -> Any:
    try:
        return _as_model(model, params)
    except ValidationError as exc:
        name = model.__name__
        _misshapen.warning(name, "the server sent %s that cannot be read: %d problems", name, exc.error_count())
    raise Refusal(INVALID_PARAMS, "the parameters have a wrong shape")


def _checked(given: object, model: Any) -> Any:
    from pydantic import BaseModel

    if isinstance(given, model):
        return given
    if isinstance(given, BaseModel):
        given = given.model_dump(by_alias=True, exclude_unset=True)
    return model.model_validate(given)


def _root(item: object) -> Any:
    from ..protocol.types import Root

    if isinstance(item, str):
        return Root(uri=item if "://" in item else Path(item).resolve().as_uri())
    return Root(uri=item.resolve().as_uri()) if isinstance(item, Path) else _checked(item, Root)


@functools.cache
def _models() -> Any:
    """Progress, LogMessage and Notification: imported when first needed, looked up once."""
    from ..protocol.types import LogMessage, Notification, Progress

    return Progress, LogMessage, Notification


def _as_model(model: Any, payload: Any) -> Any:
    from ..protocol.types.base import as_model

    return as_model(model, payload)


def _progress_of(message: Message) -> Progress:
    progress: Progress = _as_model(_models()[0], message.get("params"))
    return progress


def _log_of(message: Message) -> LogMessage:
    log: LogMessage = _as_model(_models()[1], message.get("params"))
    return log


def notification_of(message: Message) -> Notification:
    """The notification as a model. Params that are no object say nothing by name, and are left out."""
    params = message.get("params")
    note: Notification = _models()[2](method=message["method"], params=params if isinstance(params, dict) else {})
    return note


def event_of(message: Message) -> Any:
    """A message of a stream as what the user sees: Progress, LogMessage or Notification.

    One with a wrong shape is a Notification, so that nothing is lost.
    """
    method = message["method"]
    try:
        if method == "notifications/progress":
            return _as_model(_models()[0], message.get("params"))
        if method == "notifications/message":
            return _log_of(message)
    except ValidationError:
        _misshapen.warning(method, "a %s of the server has a wrong shape", excerpt(method))
    return notification_of(message)


def progress_of(message: Message) -> Optional[Progress]:
    """A message as Progress, or None where it is none: the server is not the one to choose what a function is given."""
    event = event_of(message)
    return event if isinstance(event, _models()[0]) else None
