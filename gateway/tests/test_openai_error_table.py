"""Every error that crosses into the gateway has an OpenAI answer."""

from __future__ import annotations

import inspect
from datetime import timedelta

import pytest

from flow2api_common import errors
from flow2api_common.error_codes import client_code
from flow2api_common.errors import (
    CapacityError,
    DependencyUnavailable,
    Flow2APIError,
    InternalError,
    InvalidArgument,
    UpstreamRejected,
    UpstreamUnavailable,
)
from flow2api_gateway.errors.client_fields import client_fields
from flow2api_gateway.errors.openai_errors import render_openai_error
from flow2api_gateway.errors.openai_table import RULES_BY_CLASS, RULES_BY_REASON, ErrorRule

ERROR_CLASSES = [
    value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Flow2APIError)
]
STATUSES = {
    "INVALID_VALUE": 400,
    "INVALID_REQUEST": 400,
    "INVALID_IMAGE": 400,
    "API_KEY_INVALID": 401,
    "LOGIN_INVALID": 401,
    "SESSION_INVALID": 401,
    "TIER_NOT_ALLOWED": 403,
    "MODEL_NOT_FOUND": 404,
    "VIDEO_NOT_FOUND": 404,
    "MEDIA_NOT_FOUND": 404,
    "VIDEO_ALREADY_FINAL": 400,
    "IDEMPOTENCY_CONFLICT": 409,
    "NO_TOKEN_AVAILABLE": 429,
    "NO_ELIGIBLE_TOKEN": 503,
    "INSUFFICIENT_CREDITS": 429,
    "DAILY_BUDGET_EXHAUSTED": 429,
    "LEDGER_ENTRY_NOT_FOUND": 404,
    "LEDGER_ENTRY_NOT_DISPUTED": 409,
    "CONTENT_REJECTED": 400,
    "UPSTREAM_VERIFICATION_REQUIRED": 503,
    "UPSTREAM_UNAVAILABLE": 502,
    "UPSTREAM_FORBIDDEN": 502,
    "UPSTREAM_TIMEOUT": 504,
    "MODEL_GONE": 502,
    "PROVIDER_UNKNOWN": 500,
    "DEPENDENCY_UNAVAILABLE": 503,
    "INTERNAL": 500,
    "SERVICE_TOKEN_INVALID": 500,
    "KEY_CONCURRENCY": 429,
    "QUEUE_FULL": 429,
    "REQUESTS_PER_MINUTE": 429,
    "MODEL_NOT_ALLOWED": 403,
    "API_KEY_REVOKED": 400,
    "LAST_ADMIN": 400,
    "ADMIN_EXISTS": 409,
    "ADMIN_NOT_FOUND": 404,
    "SESSION_NOT_FOUND": 404,
    "TOO_MANY_LOGINS": 429,
    "IDEMPOTENCY_IN_PROGRESS": 409,
    "API_KEY_EXISTS": 409,
    "TOKEN_EXISTS": 409,
    "TOKEN_NOT_FOUND": 404,
    "API_KEY_NOT_FOUND": 404,
    "SECRET_REFUSED": 400,
    "SESSION_DEAD": 400,
    "MEDIA_TOO_LARGE": 400,
    "VIDEO_NOT_READY": 400,
    "VIDEO_EXPIRED": 404,
    "INVALID_JSON": 400,
    "INVALID_IMAGE_URL": 400,
    "REQUEST_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "METHOD_NOT_SUPPORTED": 405,
    "LINK_INVALID": 403,
    "LINK_EXPIRED": 403,
    "SUBMISSION_UNKNOWN": 502,
    "SHUTTING_DOWN": 503,
}


@pytest.mark.parametrize("error_class", ERROR_CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_class_has_a_row_of_its_own(error_class: type[Flow2APIError]) -> None:
    assert error_class in [row_class for row_class, _ in RULES_BY_CLASS]


@pytest.mark.parametrize("error_class", ERROR_CLASSES, ids=lambda cls: cls.__name__)
def test_no_row_is_hidden_behind_a_wider_class(error_class: type[Flow2APIError]) -> None:
    order = [row_class for row_class, _ in RULES_BY_CLASS]
    assert not any(issubclass(error_class, earlier) for earlier in order[: order.index(error_class)])


@pytest.mark.parametrize("error_class", ERROR_CLASSES, ids=lambda cls: cls.__name__)
def test_every_default_reason_has_a_row(error_class: type[Flow2APIError]) -> None:
    assert error_class.default_reason in RULES_BY_REASON


@pytest.mark.parametrize("error_class", ERROR_CLASSES, ids=lambda cls: cls.__name__)
def test_the_envelope_always_has_four_members(error_class: type[Flow2APIError]) -> None:
    rendered = render_openai_error(error_class("something", reason="NEVER_SEEN_BEFORE"))
    assert set(rendered.body["error"]) == {"message", "type", "param", "code"}
    assert 400 <= rendered.status <= 504


@pytest.mark.parametrize(("reason", "status"), STATUSES.items())
def test_the_status_of_a_reason(reason: str, status: int) -> None:
    assert render_openai_error(Flow2APIError("x", reason=reason)).status == status


@pytest.mark.parametrize(("reason", "rule"), RULES_BY_REASON.items())
def test_answers_jobs_and_webhooks_say_the_same_code(reason: str, rule: ErrorRule) -> None:
    if rule.code is not None:
        assert client_code(reason) == client_code(reason.lower()) == client_code(rule.code) == rule.code


def test_validation_is_never_422() -> None:
    assert 422 not in {rule.status for rule in RULES_BY_REASON.values()}


@pytest.mark.parametrize("rule", RULES_BY_REASON.values())
def test_type_words_are_those_of_openai(rule: ErrorRule) -> None:
    assert rule.type in {
        "invalid_request_error",
        "rate_limit_error",
        "insufficient_quota",
        "server_error",
        "service_unavailable_error",
    }


def test_the_first_violation_names_the_param() -> None:
    rendered = render_openai_error(InvalidArgument.of("size", "Bad size."))
    assert rendered.body["error"] == {
        "message": "Bad size.",
        "type": "invalid_request_error",
        "param": "size",
        "code": "invalid_value",
    }


def test_capacity_tells_when_to_come_back_in_whole_seconds() -> None:
    rendered = render_openai_error(CapacityError("Busy.", retry_after=timedelta(seconds=6.2)))
    assert rendered.status == 429
    assert rendered.headers["retry-after"] == "7"
    assert "x-should-retry" not in rendered.headers


def test_capacity_without_a_delay_still_has_retry_after() -> None:
    assert render_openai_error(CapacityError("Busy.")).headers["retry-after"] == "1"


def test_what_was_paid_is_not_to_be_repeated() -> None:
    paid = render_openai_error(UpstreamUnavailable("It broke.", paid=True))
    unpaid = render_openai_error(UpstreamUnavailable("It broke."))
    assert paid.headers["x-should-retry"] == "false"
    assert "x-should-retry" not in unpaid.headers


def test_a_human_check_is_not_to_be_repeated() -> None:
    rendered = render_openai_error(UpstreamRejected("Look at it.", reason="UPSTREAM_VERIFICATION_REQUIRED"))
    assert rendered.status == 503
    assert rendered.body["error"]["code"] == "upstream_verification_required"
    assert rendered.headers["x-should-retry"] == "false"


def test_a_refusal_has_another_type_on_the_image_endpoints() -> None:
    error = UpstreamRejected("No.", reason="CONTENT_REJECTED")
    on_images = render_openai_error(error, path="/v1/images/generations").body["error"]
    on_chat = render_openai_error(error, path="/v1/chat/completions").body["error"]
    assert (on_images["type"], on_images["code"]) == ("image_generation_user_error", "content_policy_violation")
    assert on_chat["type"] == "invalid_request_error"


@pytest.mark.parametrize("error_class", [InternalError, DependencyUnavailable, Flow2APIError])
def test_our_own_faults_are_masked(error_class: type[Flow2APIError]) -> None:
    rendered = render_openai_error(error_class("postgresql://user:secret@db/x is away"))
    assert "secret" not in rendered.body["error"]["message"]


def test_fields_of_grpc_requests_leave_under_the_clients_names() -> None:
    with pytest.raises(InvalidArgument) as caught, client_fields({"duration_seconds": "seconds"}):
        raise InvalidArgument.of("duration_seconds", "Only 8.")
    assert caught.value.violations[0].field == "seconds"


def test_paths_into_a_field_are_renamed_as_a_whole() -> None:
    with pytest.raises(InvalidArgument) as caught, client_fields({"input_images": "image"}):
        raise InvalidArgument.of("input_images[2].data", "Not a picture.")
    assert caught.value.violations[0].field == "image"
