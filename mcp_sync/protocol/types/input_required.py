"""Multi round-trip requests: a server needs more from us before it can answer.

Runs on: any thread; models are plain data.
"""

from typing import Any, Dict, Literal, Optional

from pydantic import Field

from .base import Params, WireModel

__all__ = ["InputRequest", "InputRequiredResult"]


class InputRequest(WireModel):
    """One thing that the server needs: a request without an id, such as ``elicitation/create``, as plain data.

    The params have the form of :class:`ElicitParams`, :class:`CreateMessageParams` or :class:`RequestParams`
    (``roots/list``); a method that we do not know must not keep us from reading the others.

    Source: 2026-07-28, schema ``InputRequest``, Basic > Patterns > "Multi Round-Trip Requests".
    """

    method: str
    params: Params = Field(default_factory=dict)


class InputRequiredResult(WireModel):
    """Asks us to repeat the request together with answers to ``input_requests``, by the same keys.

    ``request_state`` goes back as it is, where there is one; it means something to the server only.

    Source: 2026-07-28, schema ``InputRequiredResult``, Basic > Patterns > "Multi Round-Trip Requests".
    """

    result_type: Literal["input_required"] = "input_required"
    input_requests: Optional[Dict[str, InputRequest]] = None
    request_state: Optional[str] = None
    meta: Optional[Dict[str, Any]] = None
