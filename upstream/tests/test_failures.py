"""The retry policy and the errors for clients cover every class."""

from datetime import timedelta

import grpc
import pytest

from flow2api_upstream.failures import (
    RETRY_POLICY,
    VERIFICATION_MESSAGE,
    asks_to_stay_away,
    pause_before_repeat,
    retry_rule,
    to_service_error,
)
from flow2api_upstream.port import FailureClass as F
from flow2api_upstream.port import UpstreamFailure

EXPECTED = {
    F.CONTENT: ("CONTENT_REJECTED", grpc.StatusCode.FAILED_PRECONDITION),
    F.BAD_INPUT: ("INVALID_REQUEST", grpc.StatusCode.INVALID_ARGUMENT),
    F.AUTH: ("UPSTREAM_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE),
    F.THROTTLED: ("NO_TOKEN_AVAILABLE", grpc.StatusCode.RESOURCE_EXHAUSTED),
    F.QUOTA_MODEL: ("NO_TOKEN_AVAILABLE", grpc.StatusCode.RESOURCE_EXHAUSTED),
    F.QUOTA_ACCOUNT: ("NO_TOKEN_AVAILABLE", grpc.StatusCode.RESOURCE_EXHAUSTED),
    F.CREDITS: ("INSUFFICIENT_CREDITS", grpc.StatusCode.RESOURCE_EXHAUSTED),
    F.TIER: ("TIER_NOT_ALLOWED", grpc.StatusCode.PERMISSION_DENIED),
    F.VERIFICATION: ("UPSTREAM_VERIFICATION_REQUIRED", grpc.StatusCode.FAILED_PRECONDITION),
    F.FORBIDDEN: ("UPSTREAM_FORBIDDEN", grpc.StatusCode.UNAVAILABLE),
    F.MODEL_GONE: ("MODEL_GONE", grpc.StatusCode.UNAVAILABLE),
    F.MODEL_NOT_HERE: ("MODEL_GONE", grpc.StatusCode.UNAVAILABLE),
    F.MEDIA_GONE: ("MEDIA_NOT_FOUND", grpc.StatusCode.NOT_FOUND),
    F.PROJECT_GONE: ("UPSTREAM_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE),
    F.UPSTREAM: ("UPSTREAM_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE),
    F.NETWORK: ("UPSTREAM_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE),
    F.PROXY: ("UPSTREAM_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE),
}


@pytest.mark.parametrize("failure_class", list(F))
def test_class_has_a_service_error(failure_class):
    error = to_service_error(UpstreamFailure(failure_class, "It failed.", reason="WORD"), paid=False)
    assert (error.reason, error.code) == EXPECTED[failure_class]
    assert error.metadata == {"upstream_reason": "WORD"}


@pytest.mark.parametrize("failure_class", list(F))
def test_paid_is_told_by_metadata(failure_class):
    failure = UpstreamFailure(failure_class, "It failed.")
    assert to_service_error(failure, paid=True).metadata["paid"] == "true"


def test_call_that_may_have_been_accepted_counts_as_paid():
    failure = UpstreamFailure(F.NETWORK, "Lost.", may_have_been_accepted=True)
    assert to_service_error(failure, paid=False).metadata["paid"] == "true"


@pytest.mark.parametrize("failure_class", [F.NETWORK, F.UPSTREAM])
def test_timeout_has_its_own_error(failure_class):
    error = to_service_error(UpstreamFailure(failure_class, "Slow.", timed_out=True), paid=False)
    assert (error.reason, error.code) == ("UPSTREAM_TIMEOUT", grpc.StatusCode.DEADLINE_EXCEEDED)


def test_retry_delay_reaches_the_client():
    failure = UpstreamFailure(F.THROTTLED, "Slow down.", retry_after=timedelta(seconds=7))
    assert to_service_error(failure, paid=False).retry_after == timedelta(seconds=7)


def test_verification_tells_what_the_owner_has_to_do():
    error = to_service_error(UpstreamFailure(F.VERIFICATION, "reCAPTCHA"), paid=False)
    assert error.message == VERIFICATION_MESSAGE


def test_every_class_has_a_retry_rule():
    assert set(RETRY_POLICY) == set(F)


@pytest.mark.parametrize("failure_class", [F.CONTENT, F.BAD_INPUT, F.VERIFICATION])
def test_final_classes_are_tried_nowhere_else(failure_class):
    rule = RETRY_POLICY[failure_class]
    assert (rule.same_token_attempts, rule.other_token, rule.other_route) == (0, False, False)


@pytest.mark.parametrize("failure_class", [F.THROTTLED, F.QUOTA_MODEL, F.QUOTA_ACCOUNT, F.CREDITS, F.TIER, F.FORBIDDEN])
def test_troubles_of_an_account_are_tried_on_another_at_once(failure_class):
    rule = RETRY_POLICY[failure_class]
    assert (rule.same_token_attempts, rule.other_token) == (0, True)


def test_dead_bearer_is_refreshed_once_and_lost_media_uploaded_once():
    assert RETRY_POLICY[F.AUTH].refresh_first
    assert RETRY_POLICY[F.AUTH].same_token_attempts == 1
    assert RETRY_POLICY[F.MEDIA_GONE].upload_again
    assert RETRY_POLICY[F.MEDIA_GONE].same_token_attempts == 1


def test_nothing_is_tried_after_a_possible_acceptance():
    rule = retry_rule(UpstreamFailure(F.NETWORK, "Lost.", may_have_been_accepted=True))
    assert (rule.same_token_attempts, rule.other_token, rule.other_route) == (0, False, False)


@pytest.mark.parametrize(
    ("failure_class", "seconds", "stays_away", "pause"),
    [
        (F.UPSTREAM, None, False, 1.0),
        (F.UPSTREAM, 0.2, False, 1.0),
        (F.UPSTREAM, 4.0, False, 4.0),
        (F.UPSTREAM, 30.0, True, 5.0),
        # Its rule allows no repeat on the same token anyway.
        (F.THROTTLED, 30.0, False, 5.0),
    ],
)
def test_a_pause_that_the_upstream_names_is_kept(failure_class, seconds, stays_away, pause):
    retry_after = None if seconds is None else timedelta(seconds=seconds)
    failure = UpstreamFailure(failure_class, "x", retry_after=retry_after)
    assert asks_to_stay_away(failure) == stays_away
    assert pause_before_repeat(failure, timedelta(seconds=1)) == timedelta(seconds=pause)
