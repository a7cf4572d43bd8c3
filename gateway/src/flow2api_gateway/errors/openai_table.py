"""Which OpenAI status, type and code every error of ours becomes.

The statuses and the ``type`` words are OpenAI's; codes are open, those of our own situations are ours.
Source: docs/upstream/openai.md, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flow2api_common.errors import (
    CapacityError,
    Conflict,
    DependencyUnavailable,
    FailedPrecondition,
    Flow2APIError,
    InternalError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RequestError,
    Unauthenticated,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)

INVALID_REQUEST: Final = "invalid_request_error"
RATE_LIMIT: Final = "rate_limit_error"
QUOTA: Final = "insufficient_quota"
SERVER: Final = "server_error"
UNAVAILABLE: Final = "service_unavailable_error"
IMAGE_USER: Final = "image_generation_user_error"


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """One row: what a client is answered.

    ``retry`` false adds ``x-should-retry: false``, because SDKs repeat 408, 409, 429 and 5xx by themselves.
    ``image_type`` replaces ``type`` on the image endpoints where OpenAI has another word there.
    """

    status: int
    type: str
    code: str | None
    retry: bool = True
    image_type: str | None = None


_NO_ACCOUNT = ErrorRule(503, UNAVAILABLE, "no_account_available", retry=False)
_IMAGE_URL = ErrorRule(400, INVALID_REQUEST, "invalid_image_url")
_NOT_FOUND = ErrorRule(404, INVALID_REQUEST, "not_found")
_UPSTREAM_ERROR = ErrorRule(502, SERVER, "upstream_error")
_INTERNAL = ErrorRule(500, SERVER, "internal_error")
_BUSY = ErrorRule(429, RATE_LIMIT, "rate_limit_exceeded")
_AWAY = ErrorRule(503, UNAVAILABLE, "service_unavailable")

RULES_BY_REASON: Final[Mapping[str, ErrorRule]] = {
    # The body, seen by the gateway itself.
    "INVALID_JSON": ErrorRule(400, INVALID_REQUEST, "invalid_json"),
    "INVALID_FORM": ErrorRule(400, INVALID_REQUEST, "invalid_form"),
    "INVALID_TYPE": ErrorRule(400, INVALID_REQUEST, "invalid_type"),
    "INVALID_VALUE": ErrorRule(400, INVALID_REQUEST, "invalid_value"),
    "INVALID_REQUEST": ErrorRule(400, INVALID_REQUEST, "invalid_value"),
    "MISSING_PARAMETER": ErrorRule(400, INVALID_REQUEST, "missing_required_parameter"),
    "UNSUPPORTED_PARAMETER": ErrorRule(400, INVALID_REQUEST, "unsupported_parameter"),
    "REQUEST_TOO_LARGE": ErrorRule(413, INVALID_REQUEST, "request_too_large"),
    "HEAD_TOO_LARGE": ErrorRule(431, INVALID_REQUEST, "request_head_too_large"),
    "REQUEST_TIMEOUT": ErrorRule(408, SERVER, "timeout"),
    "UNSUPPORTED_MEDIA_TYPE": ErrorRule(415, INVALID_REQUEST, "unsupported_media_type"),
    "METHOD_NOT_SUPPORTED": ErrorRule(405, INVALID_REQUEST, "method_not_supported"),
    "ROUTE_NOT_FOUND": ErrorRule(404, INVALID_REQUEST, None),
    # Pictures that go in.
    "INVALID_IMAGE": ErrorRule(400, INVALID_REQUEST, "invalid_image"),
    "INVALID_IMAGE_URL": _IMAGE_URL,
    "IMAGE_TOO_LARGE": ErrorRule(400, INVALID_REQUEST, "image_too_large"),
    "MEDIA_TOO_LARGE": ErrorRule(400, INVALID_REQUEST, "image_too_large"),
    # Who is asking.
    "UNAUTHENTICATED": ErrorRule(401, INVALID_REQUEST, "invalid_api_key"),
    "API_KEY_INVALID": ErrorRule(401, INVALID_REQUEST, "invalid_api_key"),
    "SESSION_INVALID": ErrorRule(401, INVALID_REQUEST, "invalid_session"),
    "LOGIN_INVALID": ErrorRule(401, INVALID_REQUEST, "invalid_login"),
    "API_KEY_MISSING": ErrorRule(403, INVALID_REQUEST, "invalid_api_key"),
    "PERMISSION_DENIED": ErrorRule(403, INVALID_REQUEST, "permission_denied"),
    "MODEL_NOT_ALLOWED": ErrorRule(403, INVALID_REQUEST, "model_not_allowed"),
    "TIER_NOT_ALLOWED": ErrorRule(403, INVALID_REQUEST, "model_not_allowed"),
    "CSRF_REFUSED": ErrorRule(403, INVALID_REQUEST, "csrf_refused"),
    "LINK_INVALID": ErrorRule(403, INVALID_REQUEST, "invalid_link"),
    "LINK_EXPIRED": ErrorRule(403, INVALID_REQUEST, "link_expired"),
    # Things that are not there, or not in the right state.
    "NOT_FOUND": _NOT_FOUND,
    "LEDGER_ENTRY_NOT_FOUND": _NOT_FOUND,
    "LEDGER_ENTRY_NOT_DISPUTED": ErrorRule(409, INVALID_REQUEST, "not_disputed", retry=False),
    "MODEL_NOT_FOUND": ErrorRule(404, INVALID_REQUEST, "model_not_found"),
    "VIDEO_NOT_FOUND": ErrorRule(404, INVALID_REQUEST, "video_not_found"),
    "MEDIA_NOT_FOUND": ErrorRule(404, INVALID_REQUEST, "media_not_found"),
    "INTERACTION_NOT_FOUND": ErrorRule(404, INVALID_REQUEST, "interaction_not_found"),
    "UPLOAD_NOT_FOUND": ErrorRule(404, INVALID_REQUEST, "upload_not_found"),
    "WEBHOOK_ENDPOINT_NOT_FOUND": ErrorRule(404, INVALID_REQUEST, "webhook_endpoint_not_found"),
    "WEBHOOK_DELIVERY_NOT_FOUND": ErrorRule(404, INVALID_REQUEST, "webhook_delivery_not_found"),
    "TOKEN_NOT_FOUND": ErrorRule(404, INVALID_REQUEST, "token_not_found"),
    "PROXY_NOT_FOUND": ErrorRule(404, INVALID_REQUEST, "proxy_not_found"),
    "ADMIN_NOT_FOUND": ErrorRule(404, INVALID_REQUEST, "admin_not_found"),
    "SESSION_NOT_FOUND": ErrorRule(404, INVALID_REQUEST, "session_not_found"),
    "SETTING_NOT_FOUND": ErrorRule(404, INVALID_REQUEST, "setting_not_found"),
    "MODEL_ROUTE_NOT_FOUND": ErrorRule(404, INVALID_REQUEST, "model_route_not_found"),
    "API_KEY_NOT_FOUND": ErrorRule(404, INVALID_REQUEST, "api_key_not_found"),
    "VIDEO_EXPIRED": ErrorRule(404, INVALID_REQUEST, "video_expired"),
    "VIDEO_NOT_READY": ErrorRule(400, INVALID_REQUEST, "video_not_ready", retry=False),
    "IMAGE_JOB_NOT_FOUND": ErrorRule(404, INVALID_REQUEST, "image_job_not_found"),
    "IMAGE_JOB_ALREADY_FINAL": ErrorRule(400, INVALID_REQUEST, "image_job_already_final", retry=False),
    "VIDEO_ALREADY_FINAL": ErrorRule(400, INVALID_REQUEST, "video_already_final", retry=False),
    "TOO_MANY_WEBHOOK_ENDPOINTS": ErrorRule(400, INVALID_REQUEST, "too_many_webhook_endpoints", retry=False),
    "WEBHOOK_NOT_REACHED": ErrorRule(400, INVALID_REQUEST, "webhook_not_reached", retry=False),
    "WEBHOOK_ENDPOINT_GONE": ErrorRule(400, INVALID_REQUEST, "webhook_endpoint_gone", retry=False),
    "FAILED_PRECONDITION": ErrorRule(400, INVALID_REQUEST, "failed_precondition", retry=False),
    "ALREADY_EXISTS": ErrorRule(409, INVALID_REQUEST, "already_exists", retry=False),
    "TOKEN_EXISTS": ErrorRule(409, INVALID_REQUEST, "already_exists", retry=False),
    "PROXY_EXISTS": ErrorRule(409, INVALID_REQUEST, "already_exists", retry=False),
    "LAST_ADMIN": ErrorRule(400, INVALID_REQUEST, "last_admin", retry=False),
    "ADMIN_EXISTS": ErrorRule(409, INVALID_REQUEST, "already_exists", retry=False),
    "API_KEY_EXISTS": ErrorRule(409, INVALID_REQUEST, "already_exists", retry=False),
    "API_KEY_REVOKED": ErrorRule(400, INVALID_REQUEST, "api_key_revoked", retry=False),
    "SECRET_REFUSED": ErrorRule(400, INVALID_REQUEST, "secret_refused"),
    "SESSION_DEAD": ErrorRule(400, INVALID_REQUEST, "session_dead", retry=False),
    "IDEMPOTENCY_IN_PROGRESS": ErrorRule(409, INVALID_REQUEST, "idempotency_in_progress"),
    "IDEMPOTENCY_CONFLICT": ErrorRule(409, INVALID_REQUEST, "idempotency_conflict", retry=False),
    # Capacity.
    "NO_TOKEN_AVAILABLE": _BUSY,
    "KEY_CONCURRENCY": _BUSY,
    "QUEUE_FULL": _BUSY,
    "REQUESTS_PER_MINUTE": _BUSY,
    "TOO_MANY_LOGINS": _BUSY,
    "NO_ELIGIBLE_TOKEN": _NO_ACCOUNT,
    "DAILY_BUDGET_EXHAUSTED": ErrorRule(429, QUOTA, "insufficient_quota", retry=False),
    "INSUFFICIENT_CREDITS": ErrorRule(429, QUOTA, "insufficient_quota", retry=False),
    # The upstream.
    "CONTENT_REJECTED": ErrorRule(400, INVALID_REQUEST, "content_policy_violation", retry=False, image_type=IMAGE_USER),
    "UPSTREAM_VERIFICATION_REQUIRED": ErrorRule(503, UNAVAILABLE, "upstream_verification_required", retry=False),
    "UPSTREAM_ERROR": _UPSTREAM_ERROR,
    "UPSTREAM_UNAVAILABLE": _UPSTREAM_ERROR,
    "UPSTREAM_FORBIDDEN": _UPSTREAM_ERROR,
    "MODEL_SWITCHED_OFF": ErrorRule(503, UNAVAILABLE, "model_switched_off"),
    "MODEL_GONE": ErrorRule(502, SERVER, "upstream_model_gone"),
    "UPSTREAM_TIMEOUT": ErrorRule(504, SERVER, "upstream_timeout"),
    # Ways in which an accepted video ends without a clip, when a client waits for it.
    "SUBMISSION_UNKNOWN": ErrorRule(502, SERVER, "submission_unknown", retry=False),
    "ACCOUNT_REMOVED": ErrorRule(502, SERVER, "account_removed", retry=False),
    "MEDIA_NOT_STORED": ErrorRule(502, SERVER, "media_not_stored", retry=False),
    "CANCELLED": ErrorRule(400, INVALID_REQUEST, "cancelled", retry=False),
    "EXPIRED": ErrorRule(504, SERVER, "expired", retry=False),
    # Us. A service token that does not fit is a mistake of the operator, not of the client's key.
    "SERVICE_TOKEN_INVALID": _INTERNAL,
    "PROVIDER_UNKNOWN": _INTERNAL,
    "INTERNAL": _INTERNAL,
    "DEPENDENCY_UNAVAILABLE": _AWAY,
    "NO_PROXY": ErrorRule(503, UNAVAILABLE, "no_proxy_available"),
    "SHUTTING_DOWN": _AWAY,
}

# For a reason that has no row of its own; the first class that fits, so the narrower ones come first.
RULES_BY_CLASS: Final[tuple[tuple[type[Flow2APIError], ErrorRule], ...]] = (
    (InvalidArgument, RULES_BY_REASON["INVALID_VALUE"]),
    (Unauthenticated, RULES_BY_REASON["UNAUTHENTICATED"]),
    (PermissionDenied, RULES_BY_REASON["PERMISSION_DENIED"]),
    (NotFound, _NOT_FOUND),
    (Conflict, RULES_BY_REASON["ALREADY_EXISTS"]),
    (FailedPrecondition, RULES_BY_REASON["FAILED_PRECONDITION"]),
    (RequestError, RULES_BY_REASON["INVALID_REQUEST"]),
    (CapacityError, _BUSY),
    (UpstreamRejected, RULES_BY_REASON["CONTENT_REJECTED"]),
    (UpstreamTimeout, RULES_BY_REASON["UPSTREAM_TIMEOUT"]),
    (UpstreamUnavailable, _UPSTREAM_ERROR),
    (UpstreamError, _UPSTREAM_ERROR),
    (DependencyUnavailable, _AWAY),
    (InternalError, _INTERNAL),
    (Flow2APIError, _INTERNAL),
)


def rule_for(error: Flow2APIError) -> ErrorRule:
    """The row of an error: by its reason, else by its class."""
    by_reason = RULES_BY_REASON.get(error.reason)
    if by_reason is not None:
        return by_reason
    return next(rule for error_class, rule in RULES_BY_CLASS if isinstance(error, error_class))
