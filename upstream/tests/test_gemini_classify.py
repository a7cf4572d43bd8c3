"""Each row of docs/upstream/google-official.md, sections 6 and 10."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from flow2api_upstream.google.classify import Scope, failure_of_answer, failure_of_error
from flow2api_upstream.google.reasons import INTERACTION_CONTENT
from flow2api_upstream.port import FailureClass as F

NOW = datetime(2026, 7, 1, 20, 0, tzinfo=UTC)
TYPE = "type.googleapis.com/google.rpc."


def google(code, status="", message="", reason="", details=()):
    infos = [{"@type": f"{TYPE}ErrorInfo", "reason": reason}] if reason else []
    return {"error": {"code": code, "message": message, "status": status, "details": [*infos, *details]}}


def word(code, message=""):
    return {"error": {"code": code, "message": message}}


def quota(quota_id, value="100"):
    return {"@type": f"{TYPE}QuotaFailure", "violations": [{"quotaId": quota_id, "quotaValue": value}]}


def judged(http, body=None, *, scope=Scope.GENERATION, headers=None, paid=False):
    raw = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
    return failure_of_answer(http, raw, headers or {}, scope=scope, now=NOW, paid=paid)


ROWS = [
    ("bad input", 400, google(400, "INVALID_ARGUMENT", "Invalid aspect ratio."), F.BAD_INPUT),
    ("content by message", 400, google(400, "INVALID_ARGUMENT", "It violates our usage guidelines."), F.CONTENT),
    ("dead key", 400, google(400, "INVALID_ARGUMENT", "API key not valid.", "API_KEY_INVALID"), F.AUTH),
    ("dead key without details", 400, google(400, "INVALID_ARGUMENT", "API key not valid. Please pass one."), F.AUTH),
    ("location", 400, google(400, "FAILED_PRECONDITION", "User location is not supported."), F.FORBIDDEN),
    ("token expired", 401, google(401, "UNAUTHENTICATED"), F.AUTH),
    ("service disabled", 403, google(403, "PERMISSION_DENIED", reason="SERVICE_DISABLED"), F.FORBIDDEN),
    ("suspended", 403, google(403, "PERMISSION_DENIED", reason="CONSUMER_SUSPENDED"), F.FORBIDDEN),
    ("key blocked", 403, google(403, "PERMISSION_DENIED", reason="API_KEY_SERVICE_BLOCKED"), F.FORBIDDEN),
    ("model retired", 404, google(404, "NOT_FOUND", "models/x is not found"), F.MODEL_GONE),
    ("conflict", 409, google(409, "ABORTED"), F.UPSTREAM),
    ("too large", 413, b"", F.BAD_INPUT),
    ("per minute", 429, google(429, "RESOURCE_EXHAUSTED", details=[quota("RequestsPerMinutePerProject")]), F.THROTTLED),
    (
        "per day",
        429,
        google(429, "RESOURCE_EXHAUSTED", details=[quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier")]),
        F.QUOTA_MODEL,
    ),
    (
        "none in the plan",
        429,
        google(429, "RESOURCE_EXHAUSTED", details=[quota("GenerateRequestsPerDay", "0")]),
        F.TIER,
    ),
    ("shared capacity", 429, google(429, "RESOURCE_EXHAUSTED", "Resource exhausted"), F.THROTTLED),
    ("429 without a body", 429, b"", F.THROTTLED),
    ("cancelled", 499, google(499, "CANCELLED"), F.UPSTREAM),
    ("internal", 500, google(500, "INTERNAL"), F.UPSTREAM),
    ("overloaded", 503, google(503, "UNAVAILABLE"), F.UPSTREAM),
    ("too slow", 504, google(504, "DEADLINE_EXCEEDED"), F.UPSTREAM),
    ("in a list", 429, [google(429, "RESOURCE_EXHAUSTED")], F.THROTTLED),
    ("word: invalid_request", 400, word("invalid_request", "bad duration"), F.BAD_INPUT),
    ("word: parameter_unknown", 400, word("parameter_unknown"), F.BAD_INPUT),
    ("word: failed_precondition", 400, word("failed_precondition"), F.FORBIDDEN),
    ("word: out_of_range", 416, word("out_of_range"), F.BAD_INPUT),
    ("word: authentication", 401, word("authentication"), F.AUTH),
    ("word: payment_required", 402, word("payment_required"), F.CREDITS),
    ("word: permission_denied", 403, word("permission_denied"), F.FORBIDDEN),
    ("word: model_not_found", 404, word("model_not_found"), F.MODEL_GONE),
    ("word: not_found", 404, word("not_found"), F.MODEL_GONE),
    ("word: already_exists", 409, word("already_exists"), F.UPSTREAM),
    ("word: aborted", 409, word("aborted"), F.UPSTREAM),
    ("word: rate_limit_exceeded", 429, word("rate_limit_exceeded"), F.THROTTLED),
    ("word: too_many_requests", 429, word("too_many_requests"), F.THROTTLED),
    ("word: quota_exceeded", 429, word("quota_exceeded"), F.QUOTA_MODEL),
    ("word: cancelled", 499, word("cancelled"), F.UPSTREAM),
    ("word: api_error", 500, word("api_error"), F.UPSTREAM),
    ("word: unimplemented", 501, word("unimplemented"), F.UPSTREAM),
    ("word: service_unavailable", 503, word("service_unavailable"), F.UPSTREAM),
    ("word: deadline_exceeded", 504, word("deadline_exceeded"), F.UPSTREAM),
    ("word: unknown with 400", 400, word("brand_new"), F.BAD_INPUT),
    ("word: unknown with 500", 500, word("malformed_function_call"), F.UPSTREAM),
]


@pytest.mark.parametrize(("http", "body", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_error_answer_is_classified(http, body, expected):
    assert judged(http, body).failure_class is expected


@pytest.mark.parametrize("code", INTERACTION_CONTENT)
def test_content_words_of_interactions_are_content(code):
    failure = judged(400, word(code))
    assert failure.failure_class is F.CONTENT
    assert failure.message == INTERACTION_CONTENT[code]
    assert failure_of_error({"code": code, "message": ""}, scope=Scope.STATUS, now=NOW).failure_class is F.CONTENT


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (Scope.GENERATION, F.MODEL_GONE),
        (Scope.GENERATION_WITH_MEDIA, F.MEDIA_GONE),
        (Scope.MEDIA, F.MEDIA_GONE),
        (Scope.STATUS, F.UPSTREAM),
        (Scope.CONTROL, F.UPSTREAM),
    ],
)
@pytest.mark.parametrize("body", [google(404, "NOT_FOUND"), word("not_found")])
def test_not_found_means_what_was_asked_for(scope, body, expected):
    assert judged(404, body, scope=scope).failure_class is expected


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        (google(429, details=[{"@type": f"{TYPE}RetryInfo", "retryDelay": "22s"}]), {"retry-after": "3"}, 22),
        (google(429, details=[{"@type": f"{TYPE}RetryInfo", "retryDelay": "1.5s"}]), {}, 1.5),
        (google(429), {"retry-after": "3"}, 3),
        (google(429, message="Please retry in 22.3s."), {}, 22.3),
        (google(429, message="Please retry in 500ms."), {}, 0.5),
    ],
)
def test_delay_is_looked_for_in_order(body, headers, seconds):
    assert judged(429, body, headers=headers).retry_after == timedelta(seconds=seconds)


def test_no_delay_is_none():
    assert judged(429).retry_after is None


def test_daily_quota_lasts_until_midnight_pacific_whatever_retry_info_says():
    details = [quota("RequestsPerDay"), {"@type": f"{TYPE}RetryInfo", "retryDelay": "22s"}]
    assert judged(429, google(429, details=details)).retry_after == timedelta(hours=11)


@pytest.mark.parametrize(("http", "expected"), [(500, False), (503, False), (502, True), (504, True)])
def test_gateway_errors_of_a_paid_call_leave_its_acceptance_open(http, expected):
    assert judged(http, paid=True).may_have_been_accepted is expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [(3, F.BAD_INPUT), (4, F.UPSTREAM), (7, F.FORBIDDEN), (8, F.THROTTLED), (13, F.UPSTREAM), (14, F.UPSTREAM)],
)
def test_grpc_numbers_of_steps_are_understood(number, expected):
    error = {"code": number, "message": "x"}
    assert failure_of_error(error, scope=Scope.GENERATION, now=NOW).failure_class is expected


def test_grpc_3_that_speaks_of_safety_is_content():
    error = {"code": 3, "message": "The prompt violates the usage guidelines."}
    assert failure_of_error(error, scope=Scope.GENERATION, now=NOW).failure_class is F.CONTENT
