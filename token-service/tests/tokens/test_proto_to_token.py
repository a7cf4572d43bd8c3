"""Requests of callers that mean harm, or nothing: each is refused naming its field, before Redis or SQL sees it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from flow2api_common.errors import InvalidArgument
from flow2api_proto.tokens.v1 import token_pb2
from flow2api_proto.tokens.v1 import token_service_pb2 as pb
from flow2api_token_service.tokens.proto_to_token import (
    MAX_CANDIDATES,
    MAX_CREDITS,
    MAX_EXCLUDED_TOKENS,
    credits_report,
    lease_record,
    lease_request,
    new_token,
    outcome_report,
    token_update,
    wait_timeout,
)

BEYOND_TIME = Duration(seconds=10**18)


def candidate(**changes: Any) -> token_pb2.LeaseCandidate:
    return token_pb2.LeaseCandidate(**{"provider": "flow", "upstream_model": "GEM_PIX_2", **changes})


def field_of(error: InvalidArgument) -> str:
    (violation,) = error.violations
    return violation.field


def acquire(**changes: Any) -> pb.AcquireLeaseRequest:
    fields = {"request_id": "r", "kind": token_pb2.KIND_IMAGE, "candidates": [candidate()], **changes}
    return pb.AcquireLeaseRequest(**{"lease_duration": Duration(seconds=60), **fields})


class TestAcquireLease:
    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            # The scripts walk through the tiers: from the lowest int32 they would hold Redis for minutes.
            ({"candidates": [candidate(), candidate(min_tier=-(2**31))]}, "candidates[1].min_tier"),
            ({"candidates": [candidate(min_tier=4)]}, "candidates[0].min_tier"),
            ({"candidates": [candidate(affinity_token_id=-1)]}, "candidates[0].affinity_token_id"),
            ({"candidates": [candidate(upstream_model="m" * 201)]}, "candidates[0].upstream_model"),
            ({"candidates": [candidate(provider="flow\0")]}, "candidates[0].provider"),
            ({"candidates": [candidate()] * (MAX_CANDIDATES + 1)}, "candidates"),
            ({"excluded_token_ids": range(MAX_EXCLUDED_TOKENS + 1)}, "excluded_token_ids"),
            ({"api_key_id": "k" * 201}, "api_key_id"),
            ({"lease_duration": BEYOND_TIME}, "lease_duration"),
        ],
    )
    def test_refuses(self, changes, field):
        with pytest.raises(InvalidArgument) as caught:
            lease_request(acquire(**changes))

        assert field_of(caught.value) == field

    def test_refuses_a_wait_that_is_no_duration(self):
        with pytest.raises(InvalidArgument) as caught:
            wait_timeout(BEYOND_TIME)

        assert field_of(caught.value) == "wait_timeout"

    def test_asks_for_no_more_credits_than_the_scripts_can_count(self):
        (only,) = lease_request(acquire(candidates=[candidate(credits=2**63 - 1)])).candidates

        assert only.credits == MAX_CREDITS


class TestReleaseLease:
    def test_keeps_an_outcome_whose_reason_cannot_be_stored_as_it_is(self):
        outcome = token_pb2.LeaseOutcome(outcome=token_pb2.OUTCOME_UPSTREAM_ERROR, upstream_reason="a\0b")

        assert outcome_report(outcome).upstream_reason == "ab"

    def test_takes_a_retry_delay_that_has_passed_for_none(self):
        outcome = token_pb2.LeaseOutcome(outcome=token_pb2.OUTCOME_RATE_LIMITED, retry_delay=Duration(seconds=-5))

        assert outcome_report(outcome).retry_after is None

    def test_counts_credits_in_whole_numbers_however_many(self):
        outcome = token_pb2.LeaseOutcome(outcome=token_pb2.OUTCOME_OK, remaining_credits=2**63 - 1)

        assert outcome_report(outcome).remaining_credits == MAX_CREDITS

    def test_refuses_a_model_that_no_lease_has(self):
        with pytest.raises(InvalidArgument) as caught:
            lease_record(token_pb2.Lease(lease_id="lease", kind=token_pb2.KIND_IMAGE, upstream_model="m" * 201))

        assert field_of(caught.value) == "lease.upstream_model"


def test_a_report_of_credits_has_an_age():
    with pytest.raises(InvalidArgument) as caught:
        credits_report(pb.ReportCreditsRequest(remaining_credits=1, age=BEYOND_TIME))

    assert field_of(caught.value) == "age"


class TestSecret:
    @pytest.mark.parametrize("secret", ["a\r\nx-other: header", "two words", "naïve", "🐙", "a\tb"])
    def test_refuses_what_would_break_a_header(self, secret):
        with pytest.raises(InvalidArgument) as caught:
            new_token(pb.CreateTokenRequest(secret=secret))

        assert field_of(caught.value) == "secret"
        assert secret not in str(caught.value)

    def test_takes_the_document_of_a_service_account(self):
        document = '{\n "client_email": "nobody@example.com" }'

        assert new_token(pb.CreateTokenRequest(secret=document)).secret.value == document

    def test_refuses_a_remark_that_cannot_be_stored(self):
        with pytest.raises(InvalidArgument) as caught:
            new_token(pb.CreateTokenRequest(secret="secret", remark="a\0"))

        assert field_of(caught.value) == "remark"


class TestProject:
    @pytest.mark.parametrize("project_id", ["../other", "..", "a?b=c", "a#b", "a b", "ä"])
    def test_refuses_what_would_change_the_path_of_a_call(self, project_id):
        with pytest.raises(InvalidArgument) as caught:
            new_token(pb.CreateTokenRequest(secret="secret", project_id=project_id))

        assert field_of(caught.value) == "project_id"

    def test_refuses_it_in_a_change_too(self):
        token = token_pb2.Token(token_id=1, project_id="../other")

        with pytest.raises(InvalidArgument) as caught:
            token_update(pb.UpdateTokenRequest(token=token, update_mask=FieldMask(paths=["project_id"])))

        assert field_of(caught.value) == "project_id"


def test_a_lease_lasts_as_long_as_asked_for():
    assert lease_request(acquire()).duration == timedelta(seconds=60)


def limit(model: str = "veo-*", **numbers: int) -> token_pb2.ModelLimit:
    return token_pb2.ModelLimit(upstream_model=model, **numbers)


@pytest.mark.parametrize(
    "limits",
    [
        [limit()],
        [limit("", concurrency=1)],
        [limit("m" * 201, concurrency=1)],
        [limit("veo\0", concurrency=1)],
        [limit(concurrency=0)],
        [limit(requests_per_minute=0)],
        [limit(requests_per_minute=60_001)],
        [limit(concurrency=-2)],
        [limit(concurrency=1), limit(concurrency=2)],
        [limit(f"m{number}", concurrency=1) for number in range(51)],
    ],
)
def test_limits_of_a_token_that_make_no_sense_are_refused(limits: list[token_pb2.ModelLimit]) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        new_token(pb.CreateTokenRequest(secret="s", model_limits=limits))
    assert field_of(refusal.value) == "model_limits"
    mask = FieldMask(paths=["model_limits"])
    with pytest.raises(InvalidArgument):
        token_update(pb.UpdateTokenRequest(token=token_pb2.Token(model_limits=limits), update_mask=mask))
