"""An error of ours as Google's envelope, status and headers.

Source: docs/upstream/google-official.md, sections 3, 6 (error codes of interactions) and 10.
"""

from __future__ import annotations

from typing import Any, Final

from flow2api_common.errors import Conflict, FailedPrecondition, Flow2APIError
from flow2api_gateway.errors.openai_errors import RenderedError, outward_message, render_openai_error
from flow2api_gateway.errors.openai_table import RULES_BY_REASON, rule_for

INTERACTIONS_PATH: Final = "/v1beta/interactions"
_TYPE: Final = "type.googleapis.com/google.rpc."
_SERVICE: Final = "generativelanguage.googleapis.com"
_VERTEX_SERVICE: Final = "aiplatform.googleapis.com"
_VERTEX_PATH: Final = "/v1beta1/"
_VERTEX_PROJECTS: Final = "/v1beta1/projects/"
_BAD_KEY: Final = "API key not valid. Please pass a valid API key."
# Vertex wants access tokens; ours is the API key, shown as one.
_KEY_PROBLEMS: Final = {
    "API_KEY_MISSING": (
        "CREDENTIALS_MISSING",
        "Request is missing required authentication credential. Show your API key as 'Authorization: Bearer YOUR_KEY'.",
    ),
    "API_KEY_INVALID": (
        "ACCESS_TOKEN_TYPE_UNSUPPORTED",
        "Request had invalid authentication credentials. Expected a valid API key as access token.",
    ),
}

# Google has no 401 for a wrong key, no 502, and speaks of files of others and of none with one voice.
_STATUS_BY_REASON: Final = {"API_KEY_INVALID": 400, "MEDIA_NOT_FOUND": 403}
_STATUS_BY_STATUS: Final = {502: 503}
_USUAL_STATUSES: Final = {_STATUS_BY_STATUS.get(rule.status, rule.status) for rule in RULES_BY_REASON.values()}
GOOGLE_STATUSES: Final = sorted(_USUAL_STATUSES | set(_STATUS_BY_REASON.values()))
"""Every status that an error may have."""

_WORDS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ALREADY_EXISTS",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    431: "INVALID_ARGUMENT",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_QUOTA_IDS: Final = {
    "REQUESTS_PER_MINUTE": "GenerateRequestsPerMinutePerKey",
    "DAILY_BUDGET_EXHAUSTED": "GenerateCreditsPerDayPerKey",
    "KEY_CONCURRENCY": "ConcurrentRequestsPerKey",
    "QUEUE_FULL": "QueuedRequests",
    "INSUFFICIENT_CREDITS": "UpstreamCredits",
}
_INTERACTION_WORDS: Final = {
    "INVALID_ARGUMENT": "invalid_request",
    "FAILED_PRECONDITION": "failed_precondition",
    "UNAUTHENTICATED": "authentication",
    "PERMISSION_DENIED": "permission_denied",
    "NOT_FOUND": "not_found",
    "UNIMPLEMENTED": "unimplemented",
    "ALREADY_EXISTS": "already_exists",
    "ABORTED": "aborted",
    "RESOURCE_EXHAUSTED": "rate_limit_exceeded",
    "INTERNAL": "api_error",
    "UNAVAILABLE": "service_unavailable",
    "DEADLINE_EXCEEDED": "deadline_exceeded",
}
_INTERACTION_WORDS_BY_REASON: Final = {
    "MODEL_NOT_FOUND": "model_not_found",
    "DAILY_BUDGET_EXHAUSTED": "quota_exceeded",
    "INSUFFICIENT_CREDITS": "quota_exceeded",
    "CONTENT_REJECTED": "content_blocked",
    "CANCELLED": "cancelled",
}


def render_google_error(error: Flow2APIError, *, path: str = "") -> RenderedError:
    """The answer that tells one of Google's clients about ``error``. Safe to call for any error of the tree."""
    headers = render_openai_error(error).headers
    if path == INTERACTIONS_PATH or path.startswith(f"{INTERACTIONS_PATH}/"):
        return RenderedError(_usual_status(error), {"error": interaction_error(error)}, headers)
    if path.startswith(_VERTEX_PROJECTS) and error.reason in _KEY_PROBLEMS:
        return RenderedError(401, {"error": _key_problem(error.reason)}, headers)
    status = _status(error)
    document: dict[str, Any] = {"code": status, "message": _message(error), "status": _word(error, status)}
    details = _details(error, status, _VERTEX_SERVICE if path.startswith(_VERTEX_PATH) else _SERVICE)
    if details:
        document["details"] = details
    return RenderedError(status, {"error": document}, headers)


def interaction_error(error: Flow2APIError) -> dict[str, Any]:
    """The error of an interaction: a word instead of a number."""
    word = _INTERACTION_WORDS_BY_REASON.get(error.reason) or _INTERACTION_WORDS[_word(error, _usual_status(error))]
    return {"code": word, "message": _message(error)}


def _key_problem(reason: str) -> dict[str, Any]:
    """Who is not known to Vertex under a project. Source: docs/upstream/google-official.md, section 10."""
    word, message = _KEY_PROBLEMS[reason]
    details = [_error_info(word, "googleapis.com", {"service": _VERTEX_SERVICE})]
    return {"code": 401, "message": message, "status": _WORDS[401], "details": details}


def _status(error: Flow2APIError) -> int:
    return _STATUS_BY_REASON.get(error.reason) or _usual_status(error)


def _usual_status(error: Flow2APIError) -> int:
    status = rule_for(error).status
    return _STATUS_BY_STATUS.get(status, status)


def _word(error: Flow2APIError, status: int) -> str:
    if status == 400 and isinstance(error, FailedPrecondition):
        return "FAILED_PRECONDITION"
    if isinstance(error, Conflict) and error.reason == "IDEMPOTENCY_IN_PROGRESS":
        return "ABORTED"
    return _WORDS.get(status, "UNKNOWN")


def _message(error: Flow2APIError) -> str:
    return _BAD_KEY if error.reason == "API_KEY_INVALID" else outward_message(error)


def _details(error: Flow2APIError, status: int, service: str) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    if error.reason == "API_KEY_INVALID":
        return [_error_info(error.reason, "googleapis.com", {"service": service})]
    if error.violations:
        violations = [{"field": each.field, "description": each.description} for each in error.violations]
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": violations})
    if status == 429 and error.reason in _QUOTA_IDS:
        violation: dict[str, Any] = {"quotaMetric": f"{service}/requests", "quotaId": _QUOTA_IDS[error.reason]}
        if "limit_requests" in error.metadata:
            violation["quotaValue"] = error.metadata["limit_requests"]
        details.append({"@type": f"{_TYPE}QuotaFailure", "violations": [violation]})
    if status < 500:
        details.append(_error_info(error.reason, "flow2api", {}))
    if error.retry_after is not None:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{error.retry_after.total_seconds():g}s"})
    return details


def _error_info(reason: str, domain: str, metadata: dict[str, str]) -> dict[str, Any]:
    return {"@type": f"{_TYPE}ErrorInfo", "reason": reason, "domain": domain, "metadata": metadata}
