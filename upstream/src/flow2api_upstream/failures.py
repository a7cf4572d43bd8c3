"""What a failure means for the client and for a retry: two tables of rows per failure class.

Source of both: docs/upstream/flow.md, section 12; the official APIs' classes were mapped onto the same rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Protocol

from flow2api_common.errors import (
    CapacityError,
    Flow2APIError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from flow2api_upstream.port import FailureClass, UpstreamFailure

VERIFICATION_MESSAGE = (
    "The Google account used for this request must pass a human check before it can generate. Its owner has to open "
    "Flow in a browser, or use an official API provider instead."
)

MAX_PROXY_SWITCHES = 3
"""How often one call is made over another proxy after one has failed."""

LONGEST_PAUSE_ON_TOKEN = timedelta(seconds=5)
"""A failure that asks for a longer pause is not repeated under the same lease, but on another token or later."""


@dataclass(frozen=True, slots=True)
class RetryRule:
    """What may be tried after a failure, while nothing has been paid for.

    ``same_token_attempts`` counts repeats on the same token, with backoff. ``refresh_first``, ``upload_again`` and
    ``other_proxy`` are what has to happen before them.
    """

    same_token_attempts: int = 0
    refresh_first: bool = False
    upload_again: bool = False
    other_project: bool = False
    other_proxy: bool = False
    other_token: bool = False
    other_route: bool = False


_FINAL = RetryRule()
_ELSEWHERE = RetryRule(other_token=True, other_route=True)

RETRY_POLICY: Mapping[FailureClass, RetryRule] = MappingProxyType(
    {
        FailureClass.CONTENT: _FINAL,
        FailureClass.BAD_INPUT: _FINAL,
        FailureClass.AUTH: RetryRule(same_token_attempts=1, refresh_first=True, other_token=True, other_route=True),
        FailureClass.THROTTLED: _ELSEWHERE,
        FailureClass.QUOTA_MODEL: _ELSEWHERE,
        FailureClass.QUOTA_ACCOUNT: _ELSEWHERE,
        FailureClass.CREDITS: _ELSEWHERE,
        FailureClass.TIER: _ELSEWHERE,
        # Trying other accounts would only spread the signal: docs/upstream/flow.md, section 13.
        FailureClass.VERIFICATION: _FINAL,
        FailureClass.FORBIDDEN: _ELSEWHERE,
        FailureClass.MODEL_GONE: RetryRule(other_route=True),
        FailureClass.MODEL_NOT_HERE: _ELSEWHERE,
        FailureClass.MEDIA_GONE: RetryRule(same_token_attempts=1, upload_again=True),
        FailureClass.PROJECT_GONE: RetryRule(
            same_token_attempts=1, upload_again=True, other_project=True, other_token=True, other_route=True
        ),
        FailureClass.UPSTREAM: RetryRule(same_token_attempts=2, other_token=True, other_route=True),
        FailureClass.NETWORK: RetryRule(same_token_attempts=2, other_token=True, other_route=True),
        FailureClass.PROXY: RetryRule(
            same_token_attempts=MAX_PROXY_SWITCHES, other_proxy=True, other_token=True, other_route=True
        ),
    }
)


def retry_rule(failure: UpstreamFailure) -> RetryRule:
    """The rule for this failure; nothing may be tried when the call may have been accepted."""
    return _FINAL if failure.may_have_been_accepted else RETRY_POLICY[failure.failure_class]


def asks_to_stay_away(failure: UpstreamFailure) -> bool:
    """Whether the upstream has failed and named a pause that is too long to be spent under the lease."""
    return (
        failure.failure_class is FailureClass.UPSTREAM
        and failure.retry_after is not None
        and failure.retry_after > LONGEST_PAUSE_ON_TOKEN
    )


def pause_before_repeat(failure: UpstreamFailure, backoff: timedelta) -> timedelta:
    """How long to wait before the same token is asked again: the backoff, and what the upstream asks for."""
    return max(backoff, min(failure.retry_after or timedelta(0), LONGEST_PAUSE_ON_TOKEN))


def to_service_error(failure: UpstreamFailure, *, paid: bool) -> Flow2APIError:
    """The error that a client of ours sees when nothing is left to try.

    ``paid`` says that the upstream had accepted the generation; a failure that may have been accepted counts as paid.
    """
    return _SERVICE_ERRORS[failure.failure_class](failure, paid=paid or failure.may_have_been_accepted)


class _Builder(Protocol):
    def __call__(self, failure: UpstreamFailure, *, paid: bool) -> Flow2APIError: ...


def _metadata(failure: UpstreamFailure) -> dict[str, str]:
    return {"upstream_reason": failure.reason[:128]} if failure.reason else {}


def _rejected(reason: str, *, message: str = "") -> _Builder:
    def build(failure: UpstreamFailure, *, paid: bool) -> Flow2APIError:
        return UpstreamRejected(message or failure.message, reason=reason, metadata=_metadata(failure), paid=paid)

    return build


def _capacity(reason: str) -> _Builder:
    def build(failure: UpstreamFailure, *, paid: bool) -> Flow2APIError:
        metadata = {**_metadata(failure), **({"paid": "true"} if paid else {})}
        return CapacityError(failure.message, reason=reason, metadata=metadata, retry_after=failure.retry_after)

    return build


def _unavailable(reason: str) -> _Builder:
    def build(failure: UpstreamFailure, *, paid: bool) -> Flow2APIError:
        metadata = _metadata(failure)
        if failure.timed_out:
            return UpstreamTimeout(
                failure.message,
                reason="UPSTREAM_TIMEOUT",
                metadata=metadata,
                retry_after=failure.retry_after,
                paid=paid,
            )
        return UpstreamUnavailable(
            failure.message, reason=reason, metadata=metadata, retry_after=failure.retry_after, paid=paid
        )

    return build


def _request_error(kind: type[InvalidArgument | NotFound | PermissionDenied], reason: str) -> _Builder:
    def build(failure: UpstreamFailure, *, paid: bool) -> Flow2APIError:
        metadata = {**_metadata(failure), **({"paid": "true"} if paid else {})}
        return kind(failure.message, reason=reason, metadata=metadata)

    return build


_SERVICE_ERRORS: Mapping[FailureClass, _Builder] = MappingProxyType(
    {
        FailureClass.CONTENT: _rejected("CONTENT_REJECTED"),
        FailureClass.BAD_INPUT: _request_error(InvalidArgument, "INVALID_REQUEST"),
        FailureClass.AUTH: _unavailable("UPSTREAM_UNAVAILABLE"),
        FailureClass.THROTTLED: _capacity("NO_TOKEN_AVAILABLE"),
        FailureClass.QUOTA_MODEL: _capacity("NO_TOKEN_AVAILABLE"),
        FailureClass.QUOTA_ACCOUNT: _capacity("NO_TOKEN_AVAILABLE"),
        FailureClass.CREDITS: _capacity("INSUFFICIENT_CREDITS"),
        FailureClass.TIER: _request_error(PermissionDenied, "TIER_NOT_ALLOWED"),
        FailureClass.VERIFICATION: _rejected("UPSTREAM_VERIFICATION_REQUIRED", message=VERIFICATION_MESSAGE),
        FailureClass.FORBIDDEN: _unavailable("UPSTREAM_FORBIDDEN"),
        FailureClass.MODEL_GONE: _unavailable("MODEL_GONE"),
        FailureClass.MODEL_NOT_HERE: _unavailable("MODEL_GONE"),
        FailureClass.MEDIA_GONE: _request_error(NotFound, "MEDIA_NOT_FOUND"),
        FailureClass.PROJECT_GONE: _unavailable("UPSTREAM_UNAVAILABLE"),
        FailureClass.UPSTREAM: _unavailable("UPSTREAM_UNAVAILABLE"),
        FailureClass.NETWORK: _unavailable("UPSTREAM_UNAVAILABLE"),
        FailureClass.PROXY: _unavailable("UPSTREAM_UNAVAILABLE"),
    }
)
