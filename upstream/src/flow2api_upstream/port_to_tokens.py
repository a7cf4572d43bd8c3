"""From the words of the provider port to those of the token pool, and back."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from flow2api_proto.tokens.v1 import token_pb2
from flow2api_upstream.port import Account, AccountTier, FailureClass, UpstreamFailure

_MAX_REASON: Final = 200

_OUTCOMES: Mapping[FailureClass, token_pb2.Outcome.ValueType] = MappingProxyType(
    {
        FailureClass.CONTENT: token_pb2.OUTCOME_CONTENT_REJECTED,
        FailureClass.BAD_INPUT: token_pb2.OUTCOME_BAD_INPUT,
        FailureClass.AUTH: token_pb2.OUTCOME_AUTH_REJECTED,
        FailureClass.THROTTLED: token_pb2.OUTCOME_RATE_LIMITED,
        FailureClass.QUOTA_MODEL: token_pb2.OUTCOME_MODEL_QUOTA_EXHAUSTED,
        FailureClass.QUOTA_ACCOUNT: token_pb2.OUTCOME_ACCOUNT_QUOTA_EXHAUSTED,
        FailureClass.CREDITS: token_pb2.OUTCOME_CREDITS_EXHAUSTED,
        FailureClass.TIER: token_pb2.OUTCOME_TIER_DENIED,
        FailureClass.VERIFICATION: token_pb2.OUTCOME_VERIFICATION_REQUIRED,
        FailureClass.FORBIDDEN: token_pb2.OUTCOME_FORBIDDEN,
        FailureClass.MODEL_GONE: token_pb2.OUTCOME_MODEL_GONE,
        FailureClass.MODEL_NOT_HERE: token_pb2.OUTCOME_MODEL_NOT_HERE,
        # A file that is gone says nothing about the account.
        FailureClass.MEDIA_GONE: token_pb2.OUTCOME_BAD_INPUT,
        # Nor does a project that somebody has deleted; another one is made.
        FailureClass.PROJECT_GONE: token_pb2.OUTCOME_BAD_INPUT,
        FailureClass.UPSTREAM: token_pb2.OUTCOME_UPSTREAM_ERROR,
        FailureClass.NETWORK: token_pb2.OUTCOME_NETWORK_ERROR,
        FailureClass.PROXY: token_pb2.OUTCOME_PROXY_FAILED,
    }
)


def account_of(credential: token_pb2.Credential) -> Account:
    """In whose name to speak to the upstream."""
    return Account(
        token_id=credential.token_id,
        bearer=credential.bearer,
        session_token=credential.session_token,
        project_id=credential.project_id,
        location=credential.location,
        tier=AccountTier(credential.tier),
        proxy_url=credential.proxy_url,
        credential_version=credential.version,
        proxy_id=credential.proxy_id,
    )


def outcome_of(failure: UpstreamFailure) -> token_pb2.LeaseOutcome:
    """What the pool learns from a failure."""
    outcome = token_pb2.LeaseOutcome(
        outcome=_OUTCOMES[failure.failure_class],
        upstream_reason=failure.reason[:_MAX_REASON],
        proxy_id=failure.proxy_id,
    )
    if failure.retry_after is not None:
        outcome.retry_delay.FromTimedelta(failure.retry_after)
    return outcome


def success(*, output_count: int = 1, remaining_credits: int | None = None) -> token_pb2.LeaseOutcome:
    """What the pool learns when it worked."""
    return token_pb2.LeaseOutcome(
        outcome=token_pb2.OUTCOME_OK, output_count=output_count, remaining_credits=remaining_credits
    )


def unused() -> token_pb2.LeaseOutcome:
    """What the pool is told when the lease was not used."""
    return token_pb2.LeaseOutcome(outcome=token_pb2.OUTCOME_UNUSED)
