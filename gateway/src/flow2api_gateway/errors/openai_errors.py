"""An error of ours as OpenAI's envelope, status and headers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final

from flow2api_common.errors import DependencyUnavailable, Flow2APIError, InternalError
from flow2api_gateway.edge.rate_limits import headers_of_refusal
from flow2api_gateway.errors.openai_table import rule_for

MASKED_INTERNAL: Final = "The server had an error while processing your request."
MASKED_DEPENDENCY: Final = "A part of the service is not available right now. Try again in a moment."
IMAGES_PATH: Final = "/v1/images"


@dataclass(frozen=True, slots=True)
class RenderedError:
    """What goes over the wire; ``body`` is the whole envelope."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


def render_openai_error(error: Flow2APIError, *, path: str = "") -> RenderedError:
    """The answer that tells a client about ``error``; ``path`` is that of the request.

    Our own faults are told by a fixed sentence. Safe to call for any error of the tree.
    """
    rule = rule_for(error)
    type_ = rule.image_type if rule.image_type and path.startswith(IMAGES_PATH) else rule.type
    param = error.violations[0].field if error.violations else None
    body = {"error": {"message": outward_message(error), "type": type_, "param": param, "code": rule.code}}
    headers = headers_of_refusal(error.metadata)
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after.total_seconds())))
    elif rule.status in (409, 429, 503) and rule.retry:
        headers["retry-after"] = "1"
    if error.metadata.get("paid") == "true" or not rule.retry:
        headers["x-should-retry"] = "false"
    return RenderedError(rule.status, body, headers)


def outward_message(error: Flow2APIError) -> str:
    """What a client may read: our own faults are told by a fixed sentence."""
    if isinstance(error, DependencyUnavailable):
        return MASKED_DEPENDENCY
    if isinstance(error, InternalError) or type(error) is Flow2APIError or rule_for(error).status == 500:
        return MASKED_INTERNAL
    return error.message
