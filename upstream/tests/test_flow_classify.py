"""Each row of docs/upstream/flow.md, sections 12 and 13."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from flow2api_upstream.flow.classify import Scope, failure_of_answer, failure_of_status_entry, filtered
from flow2api_upstream.flow.reasons import CONTENT_REASONS
from flow2api_upstream.port import FailureClass as F

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


def envelope(code, status="", message="", reason=""):
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}] if reason else []
    return {"error": {"code": code, "message": message, "status": status, "details": details}}


def judged(http, body=None, *, scope=Scope.GENERATION, headers=None, paid=False):
    raw = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
    return failure_of_answer(http, raw, headers or {}, scope=scope, now=NOW, paid=paid)


ROWS = [
    ("content reason", 400, envelope(400, "INVALID_ARGUMENT", reason="PUBLIC_ERROR_UNSAFE_GENERATION"), F.CONTENT),
    ("unknown reason with 400", 400, envelope(400, "INVALID_ARGUMENT", reason="PUBLIC_ERROR_NEW_THING"), F.CONTENT),
    ("content policy family", 400, envelope(400, reason="PUBLIC_ERROR_CONTENT_POLICY_X"), F.CONTENT),
    ("bad input", 400, envelope(400, "INVALID_ARGUMENT", "Request contains an invalid argument."), F.BAD_INPUT),
    ("too large", 413, None, F.BAD_INPUT),
    ("auth", 401, envelope(401, "UNAUTHENTICATED"), F.AUTH),
    ("throttled", 429, envelope(429, reason="PUBLIC_ERROR_USER_REQUESTS_THROTTLED"), F.THROTTLED),
    ("too much traffic", 429, envelope(429, reason="PUBLIC_ERROR_UNUSUAL_ACTIVITY_TOO_MUCH_TRAFFIC"), F.THROTTLED),
    (
        "too much traffic by 403",
        403,
        envelope(403, reason="PUBLIC_ERROR_UNUSUAL_ACTIVITY_TOO_MUCH_TRAFFIC"),
        F.THROTTLED,
    ),
    ("429 without a reason", 429, envelope(429, "RESOURCE_EXHAUSTED"), F.THROTTLED),
    ("429 without a body", 429, b"", F.THROTTLED),
    ("unknown reason with 429", 429, envelope(429, reason="PUBLIC_ERROR_NEW_THING"), F.THROTTLED),
    ("model quota", 429, envelope(429, reason="PUBLIC_ERROR_PER_MODEL_DAILY_QUOTA_REACHED"), F.QUOTA_MODEL),
    ("account quota", 429, envelope(429, reason="PUBLIC_ERROR_USER_QUOTA_REACHED"), F.QUOTA_ACCOUNT),
    ("credits by message", 429, envelope(429, "RESOURCE_EXHAUSTED", "Insufficient credits."), F.CREDITS),
    ("credits by reason", 400, envelope(400, reason="PUBLIC_ERROR_INSUFFICIENT_CREDITS"), F.CREDITS),
    ("tier", 403, envelope(403, reason="PUBLIC_ERROR_MODEL_ACCESS_DENIED"), F.TIER),
    (
        "verification",
        403,
        envelope(403, "PERMISSION_DENIED", "reCAPTCHA evaluation failed", "PUBLIC_ERROR_UNUSUAL_ACTIVITY"),
        F.VERIFICATION,
    ),
    ("verification without a message", 403, envelope(403, reason="PUBLIC_ERROR_UNUSUAL_ACTIVITY"), F.VERIFICATION),
    ("verification without a reason", 403, envelope(403, message="RECAPTCHA failed"), F.VERIFICATION),
    ("verification as 429", 429, envelope(429, "RESOURCE_EXHAUSTED", "reCAPTCHA evaluation failed"), F.VERIFICATION),
    (
        "verification, other reason",
        403,
        envelope(403, message="reCAPTCHA evaluation failed", reason="PUBLIC_ERROR_SOMETHING_WENT_WRONG"),
        F.VERIFICATION,
    ),
    (
        "message wins over throttling",
        429,
        envelope(429, message="recaptcha", reason="PUBLIC_ERROR_USER_REQUESTS_THROTTLED"),
        F.VERIFICATION,
    ),
    ("unusual activity as 429 only", 429, envelope(429, reason="PUBLIC_ERROR_UNUSUAL_ACTIVITY"), F.THROTTLED),
    ("a prompt about reCAPTCHA", 400, envelope(400, "INVALID_ARGUMENT", "bad prompt: a recaptcha puzzle"), F.BAD_INPUT),
    ("forbidden", 403, envelope(403, "PERMISSION_DENIED", "not in your country"), F.FORBIDDEN),
    ("unknown reason with 403", 403, envelope(403, reason="PUBLIC_ERROR_NEW_THING"), F.FORBIDDEN),
    ("internal", 500, envelope(500, "INTERNAL"), F.UPSTREAM),
    ("unavailable", 503, envelope(503, "UNAVAILABLE"), F.UPSTREAM),
    ("unknown reason with 500", 500, envelope(500, reason="PUBLIC_ERROR_NEW_THING"), F.UPSTREAM),
    ("high traffic", 429, envelope(429, reason="PUBLIC_ERROR_HIGH_TRAFFIC"), F.UPSTREAM),
    ("something went wrong", 500, envelope(500, reason="PUBLIC_ERROR_SOMETHING_WENT_WRONG"), F.UPSTREAM),
    ("timed out upstream", 500, envelope(500, reason="PUBLIC_ERROR_VIDEO_GENERATION_TIMED_OUT"), F.UPSTREAM),
    ("status word before HTTP", 200, envelope(8, "RESOURCE_EXHAUSTED"), F.THROTTLED),
    ("reason only in the message", 400, envelope(400, message="failed: PUBLIC_ERROR_MINOR_UPLOAD"), F.CONTENT),
    ("an error in a list", 429, [envelope(429, "RESOURCE_EXHAUSTED")], F.THROTTLED),
    ("HTML", 502, b"<html>Bad gateway</html>", F.UPSTREAM),
    (
        "tRPC, unauthorized",
        401,
        {"error": {"json": {"message": "no", "code": -32001, "data": {"code": "UNAUTHORIZED", "httpStatus": 401}}}},
        F.AUTH,
    ),
    (
        "tRPC, internal",
        500,
        {"error": {"json": {"message": "no", "data": {"code": "INTERNAL_SERVER_ERROR", "httpStatus": 500}}}},
        F.UPSTREAM,
    ),
]


@pytest.mark.parametrize(("http", "body", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_error_answer_is_classified(http, body, expected):
    assert judged(http, body).failure_class is expected


@pytest.mark.parametrize("reason", CONTENT_REASONS)
def test_content_reason_is_told_in_plain_words(reason):
    failure = judged(400, envelope(400, "INVALID_ARGUMENT", "PUBLIC", reason))
    assert failure.failure_class is F.CONTENT
    assert failure.message == CONTENT_REASONS[reason]
    assert failure.reason == reason
    assert "PUBLIC_ERROR" not in failure.message


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (Scope.CONTROL, F.UPSTREAM),
        (Scope.UPLOAD, F.PROJECT_GONE),
        (Scope.GENERATION, F.MODEL_GONE),
        (Scope.GENERATION_WITH_MEDIA, F.MEDIA_GONE),
        (Scope.UPSCALE, F.MEDIA_GONE),
        (Scope.MEDIA, F.MEDIA_GONE),
    ],
)
def test_not_found_means_what_was_asked_for(scope, expected):
    body = envelope(404, "NOT_FOUND", "Requested entity was not found.")
    assert judged(404, body, scope=scope).failure_class is expected


def test_refused_upscale_is_a_matter_of_the_plan():
    body = envelope(403, "PERMISSION_DENIED")
    assert judged(403, body, scope=Scope.UPSCALE).failure_class is F.TIER


def test_verification_wins_over_the_plan_on_upscale():
    body = envelope(403, "PERMISSION_DENIED", "reCAPTCHA evaluation failed")
    assert judged(403, body, scope=Scope.UPSCALE).failure_class is F.VERIFICATION


def test_retry_after_is_kept():
    assert judged(429, {}, headers={"retry-after": "7"}).retry_after == timedelta(seconds=7)


def test_daily_quota_without_a_delay_lasts_until_midnight_pacific():
    failure = judged(429, envelope(429, reason="PUBLIC_ERROR_PER_MODEL_DAILY_QUOTA_REACHED"))
    assert failure.retry_after == timedelta(hours=12)


@pytest.mark.parametrize(("http", "expected"), [(500, False), (503, False), (502, True), (504, True), (429, False)])
def test_gateway_errors_of_a_paid_call_leave_its_acceptance_open(http, expected):
    assert judged(http, paid=True).may_have_been_accepted is expected


STATUS_ROWS = [
    (
        "reason in failureReasons",
        {"error": {"code": 3, "message": "x"}, "failureReasons": ["PUBLIC_ERROR_UNSAFE_GENERATION"]},
        F.CONTENT,
    ),
    ("reason in the message", {"error": {"code": 3, "message": "PUBLIC_ERROR_MINOR"}}, F.CONTENT),
    ("edit refused", {"failureReasons": ["FINISH_REASON_INPUT_VIDEO_EDIT"]}, F.CONTENT),
    ("unknown reason, no code", {"failureReasons": ["PUBLIC_ERROR_NEW_FILTER"]}, F.CONTENT),
    ("unknown reason, internal", {"error": {"code": 13}, "failureReasons": ["PUBLIC_ERROR_NEW"]}, F.UPSTREAM),
    ("invalid argument", {"error": {"code": 3, "message": "bad"}}, F.BAD_INPUT),
    ("permission", {"error": {"code": 7, "message": "no"}}, F.FORBIDDEN),
    ("exhausted", {"error": {"code": 8, "message": "no"}}, F.THROTTLED),
    ("internal", {"error": {"code": 13, "message": "no"}}, F.UPSTREAM),
    ("unavailable", {"error": {"code": 14, "message": "no"}}, F.UPSTREAM),
    ("verification", {"error": {"code": 7, "message": "reCAPTCHA evaluation failed"}}, F.VERIFICATION),
    ("timed out", {"failureReasons": ["PUBLIC_ERROR_VIDEO_GENERATION_TIMED_OUT"]}, F.UPSTREAM),
    ("nothing said", {}, F.UPSTREAM),
]


@pytest.mark.parametrize(("status", "expected"), [row[1:] for row in STATUS_ROWS], ids=[row[0] for row in STATUS_ROWS])
def test_failed_status_is_classified(status, expected):
    entry = {"name": "m", "mediaMetadata": {"mediaStatus": status}}
    assert failure_of_status_entry(entry, now=NOW).failure_class is expected


def test_failed_status_of_the_old_form_is_classified():
    entry = {"operation": {"name": "op", "error": {"code": 3, "message": "PUBLIC_ERROR_SEXUAL"}}, "status": "X_FAILED"}
    assert failure_of_status_entry(entry, now=NOW).failure_class is F.CONTENT


def test_success_without_media_is_content():
    assert filtered().failure_class is F.CONTENT
