"""Enumerations that exist on two sides of a border mean the same on both."""

from flow2api_proto.tokens.v1 import token_pb2
from flow2api_upstream.port import AccountTier, FailureClass, UpstreamFailure
from flow2api_upstream.port_to_tokens import outcome_of


def test_account_tiers_have_the_numbers_of_the_proto():
    assert {f"TIER_{tier.name}": tier.value for tier in AccountTier} == dict(token_pb2.Tier.items())


def test_every_failure_class_has_an_outcome():

    outcomes = {
        failure_class: outcome_of(UpstreamFailure(failure_class, "it failed")) for failure_class in FailureClass
    }
    assert all(outcome.outcome != token_pb2.OUTCOME_UNSPECIFIED for outcome in outcomes.values())
    assert outcomes[FailureClass.VERIFICATION].outcome == token_pb2.OUTCOME_VERIFICATION_REQUIRED
    assert outcomes[FailureClass.CONTENT].outcome == token_pb2.OUTCOME_CONTENT_REJECTED
