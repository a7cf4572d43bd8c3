"""The refusal that a fault kind stands for, in the words of the upstream that is hit.

Sources: docs/upstream/flow.md, sections 12 and 13; docs/upstream/google-official.md, sections 3, 6 and 10.
"""

from flow2api_sandbox.errors import ApiError, error_info
from flow2api_sandbox.faults import Fault, FaultKind, FaultPlace
from flow2api_sandbox.quotas import QuotaKey, quota_error

_MESSAGES = {
    400: "Request contains an invalid argument.",
    401: "Request had invalid authentication credentials. Expected OAuth 2 access token or other valid credential.",
    403: "The caller does not have permission",
    404: "Requested entity was not found.",
    409: "The operation was aborted.",
    413: "Request payload size exceeds the limit.",
    429: "Resource has been exhausted (e.g. check quota).",
    500: "Internal error encountered.",
    503: "The service is currently unavailable.",
    504: "Deadline expired before operation could complete.",
}

_FLOW_NAMED = {
    FaultKind.VERIFICATION: (403, "reCAPTCHA evaluation failed", "PUBLIC_ERROR_UNUSUAL_ACTIVITY"),
    FaultKind.TIER: (403, "The caller does not have permission", "PUBLIC_ERROR_MODEL_ACCESS_DENIED"),
    FaultKind.CREDITS: (429, "Insufficient credits for this generation.", None),
    FaultKind.QUOTA_MODEL: (429, _MESSAGES[429], "PUBLIC_ERROR_PER_MODEL_DAILY_QUOTA_REACHED"),
    FaultKind.QUOTA_ACCOUNT: (429, _MESSAGES[429], "PUBLIC_ERROR_USER_QUOTA_REACHED"),
    FaultKind.CONTENT: (400, _MESSAGES[400], "PUBLIC_ERROR_UNSAFE_GENERATION"),
}

_GEMINI_NAMED = {
    FaultKind.VERIFICATION: (403, "The caller does not have permission", "CONSUMER_SUSPENDED"),
    FaultKind.TIER: (403, "The caller does not have permission", "SERVICE_DISABLED"),
    FaultKind.CREDITS: (402, "Your prepaid credit is used up.", None),
    FaultKind.QUOTA_MODEL: (429, "You exceeded your current quota.", "GenerateRequestsPerDayPerProjectPerModel"),
    FaultKind.QUOTA_ACCOUNT: (429, "You exceeded your current quota.", "GenerateRequestsPerDayPerProject"),
    FaultKind.CONTENT: (400, "The request was blocked by the safety filters.", "content_blocked"),
}

_FLOW_DEFAULT_REASONS = {FaultKind.THROTTLED: "PUBLIC_ERROR_USER_REQUESTS_THROTTLED"}
_GEMINI_DEFAULT_REASONS = {FaultKind.THROTTLED: "GenerateRequestsPerMinutePerProjectPerModel"}

_VERTEX_SERVICE = "aiplatform.googleapis.com"
_SHARED_CAPACITY = "Resource exhausted. Please try again later."
_USAGE_GUIDELINES = (
    "The prompt could not be submitted. This prompt contains words that violate Vertex AI's usage guidelines. Try"
    " rephrasing the prompt. Support codes: 58061214"
)
_VERTEX_NAMED = {
    FaultKind.VERIFICATION: (403, "Permission denied: Consumer has been suspended.", "CONSUMER_SUSPENDED"),
    FaultKind.TIER: (403, "Vertex AI API has not been used in this project or is disabled.", "SERVICE_DISABLED"),
    FaultKind.CREDITS: (403, "This API method requires billing to be enabled.", "BILLING_DISABLED"),
    FaultKind.CONTENT: (400, _USAGE_GUIDELINES, None),
}
_QUOTA_WINDOWS = {
    FaultKind.THROTTLED: "PerMinute",
    FaultKind.QUOTA_MODEL: "PerDay",
    FaultKind.QUOTA_ACCOUNT: "PerDay",
}
_OTHER_GOOGLE = ("oauth.", "metadata.", "storage.")


def fault_error(fault: Fault, place: FaultPlace) -> ApiError:
    """The error that a refusing fault raises on a call; ``reason=none`` asks for one without a reason."""
    route = place.route
    if route.startswith("vertex.") and ".interaction" not in route:
        return _vertex_error(fault, place)
    is_google = route.startswith(("gemini.", "vertex.", *_OTHER_GOOGLE))
    named = (_GEMINI_NAMED if is_google else _FLOW_NAMED).get(fault.kind)
    if named is not None:
        status, message, reason = named
    else:
        status = int(fault.kind.value)
        message, reason = _MESSAGES[status], _default_reason(fault.kind, route)
    if ".interaction" in route:
        reason = _interaction_word(fault.kind)
    if fault.reason is not None:
        reason = None if fault.reason == "none" else fault.reason
    message = fault.message or message
    if is_google and fault.retry_after is not None:
        message = f"{message} Please retry in {fault.retry_after:g}s."
    return ApiError(status, message, reason=reason, retry_after=fault.retry_after)


def _vertex_error(fault: Fault, place: FaultPlace) -> ApiError:
    if fault.kind in _QUOTA_WINDOWS and fault.reason != "none":
        key = QuotaKey(place.project, place.location, place.model)
        window = _QUOTA_WINDOWS[fault.kind]
        error = quota_error(key, window, "100", retry_after=fault.retry_after, quota_id=fault.reason)
        error.message = fault.message or error.message
        return error
    status, message, reason = _VERTEX_NAMED.get(fault.kind) or (None, None, None)
    if status is None:
        status = int(fault.kind.value) if fault.kind.value.isdigit() else 429
        message = _SHARED_CAPACITY if status == 429 else _MESSAGES[status]
    if fault.reason is not None:
        reason = None if fault.reason == "none" else fault.reason
    details = [error_info(reason, service=_VERTEX_SERVICE, consumer=f"projects/{place.project}")] if reason else None
    return ApiError(
        status, fault.message or message or "", reason=reason, retry_after=fault.retry_after, details=details
    )


def _default_reason(kind: FaultKind, route: str) -> str | None:
    if route.startswith(("gemini.", "vertex.")):
        return _GEMINI_DEFAULT_REASONS.get(kind)
    return None if route.startswith(_OTHER_GOOGLE) else _FLOW_DEFAULT_REASONS.get(kind)


def _interaction_word(kind: FaultKind) -> str | None:
    if kind in (FaultKind.QUOTA_MODEL, FaultKind.QUOTA_ACCOUNT):
        return "quota_exceeded"
    return "content_blocked" if kind is FaultKind.CONTENT else None
