"""The refusal that a fault kind stands for, in the words of the upstream that is hit.

Sources: docs/upstream/flow.md, sections 12 and 13; docs/upstream/google-official.md, sections 3, 6 and 10.
"""

from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.faults import Fault, FaultKind

_MESSAGES = {
    400: "Request contains an invalid argument.",
    401: "Request had invalid authentication credentials. Expected OAuth 2 access token or other valid credential.",
    403: "The caller does not have permission",
    404: "Requested entity was not found.",
    413: "Request payload size exceeds the limit.",
    429: "Resource has been exhausted (e.g. check quota).",
    500: "Internal error encountered.",
    503: "The service is currently unavailable.",
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


def fault_error(fault: Fault, *, route: str) -> ApiError:
    """The error that a refusing fault raises on a route; ``reason=none`` asks for one without a reason."""
    is_interaction = ".interaction" in route
    is_google = route.startswith(("gemini.", "vertex.", "oauth.", "metadata.", "storage."))
    named = (_GEMINI_NAMED if is_google else _FLOW_NAMED).get(fault.kind)
    if named is not None:
        status, message, reason = named
    else:
        status = int(fault.kind.value)
        defaults = _GEMINI_DEFAULT_REASONS if is_google else _FLOW_DEFAULT_REASONS
        message, reason = _MESSAGES[status], defaults.get(fault.kind)
    if is_interaction:
        reason = _interaction_word(fault.kind)
    if fault.reason is not None:
        reason = None if fault.reason == "none" else fault.reason
    message = fault.message or message
    if is_google and fault.retry_after is not None:
        message = f"{message} Please retry in {fault.retry_after:g}s."
    return ApiError(status, message, reason=reason, retry_after=fault.retry_after)


def _interaction_word(kind: FaultKind) -> str | None:
    if kind in (FaultKind.QUOTA_MODEL, FaultKind.QUOTA_ACCOUNT):
        return "quota_exceeded"
    return "content_blocked" if kind is FaultKind.CONTENT else None
