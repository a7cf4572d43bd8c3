"""The words that clients know for what went wrong: the ``code`` of answers, of failed jobs and of webhooks.

The gateway's table gives each reason its status beside it, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "INVALID_REQUEST": "invalid_value",
        "MISSING_PARAMETER": "missing_required_parameter",
        "HEAD_TOO_LARGE": "request_head_too_large",
        "REQUEST_TIMEOUT": "timeout",
        "MEDIA_TOO_LARGE": "image_too_large",
        "UNAUTHENTICATED": "invalid_api_key",
        "API_KEY_INVALID": "invalid_api_key",
        "API_KEY_MISSING": "invalid_api_key",
        "SESSION_INVALID": "invalid_session",
        "LOGIN_INVALID": "invalid_login",
        "TIER_NOT_ALLOWED": "model_not_allowed",
        "LINK_INVALID": "invalid_link",
        "LEDGER_ENTRY_NOT_FOUND": "not_found",
        "LEDGER_ENTRY_NOT_DISPUTED": "not_disputed",
        "TOKEN_EXISTS": "already_exists",
        "PROXY_EXISTS": "already_exists",
        "ADMIN_EXISTS": "already_exists",
        "API_KEY_EXISTS": "already_exists",
        "NO_TOKEN_AVAILABLE": "rate_limit_exceeded",
        "KEY_CONCURRENCY": "rate_limit_exceeded",
        "QUEUE_FULL": "rate_limit_exceeded",
        "REQUESTS_PER_MINUTE": "rate_limit_exceeded",
        "TOO_MANY_LOGINS": "rate_limit_exceeded",
        "NO_ELIGIBLE_TOKEN": "no_account_available",
        "DAILY_BUDGET_EXHAUSTED": "insufficient_quota",
        "INSUFFICIENT_CREDITS": "insufficient_quota",
        "CONTENT_REJECTED": "content_policy_violation",
        "UPSTREAM_UNAVAILABLE": "upstream_error",
        "UPSTREAM_FORBIDDEN": "upstream_error",
        "MODEL_GONE": "upstream_model_gone",
        "SERVICE_TOKEN_INVALID": "internal_error",
        "PROVIDER_UNKNOWN": "internal_error",
        "INTERNAL": "internal_error",
        "DEPENDENCY_UNAVAILABLE": "service_unavailable",
        "SHUTTING_DOWN": "service_unavailable",
        "NO_PROXY": "no_proxy_available",
    }
)


def client_code(reason: str) -> str:
    """The code of a reason, in either case; one that is a code already stays as it is."""
    return _CODES.get(reason.upper(), reason.lower())
