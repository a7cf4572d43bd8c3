"""Refusals of the sandbox, and how each family of calls writes them.

Sources: docs/upstream/flow.md, sections 3 and 12; docs/upstream/google-official.md, sections 6 and 10.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from flow2api_sandbox.wire import json_response

STATUS_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    416: "OUT_OF_RANGE",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

TRPC_WORDS = {400: "BAD_REQUEST", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 429: "TOO_MANY_REQUESTS"}

INTERACTION_WORDS = {
    400: "invalid_request",
    401: "authentication",
    402: "payment_required",
    403: "permission_denied",
    404: "not_found",
    409: "aborted",
    416: "out_of_range",
    429: "rate_limit_exceeded",
    499: "cancelled",
    500: "api_error",
    501: "unimplemented",
    503: "service_unavailable",
    504: "deadline_exceeded",
}


@dataclass(slots=True)
class ApiError(Exception):
    """One refusal, before it is written in the words of a family.

    ``reason`` is Flow's ``PUBLIC_ERROR_…``, a Google ``ErrorInfo`` reason, a quota id (429 of the official APIs),
    OAuth's error or an interactions code word, whatever the family has a place for. ``retry_after`` is in seconds.
    ``details`` are written as they are, in place of those that the reason would give.
    """

    http_status: int
    message: str
    reason: str | None = None
    status: str | None = None
    retry_after: float | None = None
    details: list[dict[str, Any]] | None = None

    @property
    def status_word(self) -> str:
        """The gRPC status name for the envelope."""
        return self.status or STATUS_WORDS.get(self.http_status, "UNKNOWN")


ErrorRenderer = Callable[[ApiError], Response]


def render_flow(error: ApiError) -> Response:
    """Google's usual envelope, as the Flow API answers it."""
    body = _google_body(error)
    if error.reason:
        body["error"]["details"] = [_error_info(error.reason)]
    return json_response(body, status=error.http_status, headers=_retry_header(error))


def render_trpc(error: ApiError) -> Response:
    """The envelope of the session side (tRPC)."""
    code = TRPC_WORDS.get(error.http_status, "INTERNAL_SERVER_ERROR")
    data = {"code": code, "httpStatus": error.http_status}
    body = {"error": {"json": {"message": error.message, "code": -32000 - error.http_status % 100, "data": data}}}
    return json_response(body, status=error.http_status, headers=_retry_header(error))


def render_gemini(error: ApiError) -> Response:
    """Google's usual envelope with the details that the official APIs add to quota and key errors.

    A delay comes in ``RetryInfo`` with 429, and as a header with everything else.
    """
    headers = {} if error.http_status == 429 else _retry_header(error)
    return json_response(gemini_error_body(error), status=error.http_status, headers=headers)


def gemini_error_body(error: ApiError) -> dict[str, Any]:
    """The body alone."""
    body = _google_body(error)
    details: list[dict[str, Any]] = []
    if error.details is not None:
        details.extend(error.details)
    elif error.http_status == 429:
        details.extend(_quota_details(error))
    elif error.reason:
        details.append(error_info(error.reason))
    if details:
        body["error"]["details"] = details
    return body


def error_info(reason: str, *, domain: str = "googleapis.com", **metadata: str) -> dict[str, Any]:
    """The detail that says why, for programs."""
    return {**_error_info(reason), "domain": domain, "metadata": metadata}


def render_interaction(error: ApiError) -> Response:
    """The envelope of ``interactions``: a code word instead of a number."""
    word = error.reason or INTERACTION_WORDS.get(error.http_status, "api_error")
    body = {"error": {"code": word, "message": error.message}}
    return json_response(body, status=error.http_status, headers=_retry_header(error))


def _google_body(error: ApiError) -> dict[str, Any]:
    return {"error": {"code": error.http_status, "message": error.message, "status": error.status_word}}


def _error_info(reason: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}


def _quota_details(error: ApiError) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    if error.reason:
        violation = {
            "quotaMetric": "generativelanguage.googleapis.com/generate_content_paid_tier_requests",
            "quotaId": error.reason,
            "quotaDimensions": {"location": "global"},
            "quotaValue": "100",
        }
        details.append({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]})
    if error.retry_after is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{error.retry_after:g}s"})
    return details


def _retry_header(error: ApiError) -> dict[str, str]:
    return {} if error.retry_after is None else {"retry-after": str(math.ceil(error.retry_after))}
