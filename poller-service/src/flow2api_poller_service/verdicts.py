"""What one look at one operation means: wait, go on to the next stage, store the clip, or end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from flow2api_poller_service.carry import Carried
from flow2api_poller_service.look import Look
from flow2api_poller_service.schedule import Schedule
from flow2api_proto.events.v1 import video_events_pb2
from flow2api_proto.tokens.v1 import token_pb2
from flow2api_upstream.failures import to_service_error
from flow2api_upstream.port import (
    FailureClass,
    MediaHandle,
    OperationState,
    OperationStatus,
    UpstreamFailure,
    UsageCount,
)
from flow2api_upstream.port_to_tokens import outcome_of, success

MISSING_LIMIT: Final = 3
"""Source: docs/upstream/flow.md, section 9: missing from one answer is no failure, three times in a row is."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again after ``delay``. ``carried`` is what has to be remembered until then."""

    delay: timedelta
    carried: Carried
    progress: float | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """The clip is there upstream. ``observed`` is how long it took, ``usage`` what it counted for, where they are
    known."""

    media: MediaHandle
    observed: video_events_pb2.ObservedDuration | None = None
    usage: UsageCount | None = None


@dataclass(frozen=True, slots=True)
class End:
    """It ended badly. ``may_still_run``: we have given up, and the upstream perhaps has not."""

    failed: video_events_pb2.VideoFailed
    outcome: token_pb2.LeaseOutcome
    may_still_run: bool = False


Verdict: TypeAlias = Wait | Ready | End


def judge(look: Look, status: OperationStatus, *, now: datetime, schedule: Schedule) -> Verdict:
    """What the answer of the upstream means."""
    if status.state is OperationState.SUCCEEDED and status.media is not None:
        is_regular = not look.carried.is_irregular and look.carried.store_until is None
        observed = schedule.observed(look.subject, now) if is_regular else None
        return Ready(status.media, observed, status.usage)
    if status.state is OperationState.FAILED and status.failure is not None:
        return ended_by(status.failure)
    if now >= look.deadline_time:
        return expired()
    delay = schedule.next_delay(look.subject, now=now, deadline_time=look.deadline_time)
    if status.state is not OperationState.MISSING:
        return Wait(delay, replace(look.carried, missing_count=0), progress=status.progress)
    missing_count = look.carried.missing_count + 1
    if missing_count >= MISSING_LIMIT:
        failure = UpstreamFailure(
            FailureClass.UPSTREAM, "The upstream does not know the video any more.", reason="missing"
        )
        # Whether it was charged is not known.
        return ended_by(failure, is_refunded=False)
    return Wait(delay, replace(look.carried, missing_count=missing_count))


def unanswered(look: Look, *, now: datetime, delay: timedelta) -> Verdict:
    """The upstream could not be asked: no failure of the job, before its deadline."""
    return expired() if now >= look.deadline_time else Wait(delay, replace(look.carried, is_irregular=True))


def ended_by(failure: UpstreamFailure, *, is_refunded: bool = True) -> End:
    """It failed. Where the upstream says so, it charges nothing (docs/upstream/flow.md, section 4)."""
    if failure.failure_class is FailureClass.CONTENT:
        kind, code = video_events_pb2.VIDEO_FAILURE_KIND_FILTERED, "content_policy_violation"
    else:
        kind = video_events_pb2.VIDEO_FAILURE_KIND_FAILED
        code = to_service_error(failure, paid=True).reason.lower()
    failed = video_events_pb2.VideoFailed(kind=kind, code=code, message=failure.message, refunded=is_refunded)
    return End(failed, outcome_of(failure))


def expired() -> End:
    """It was not ready before its deadline. Whether it was charged is not known."""
    failed = video_events_pb2.VideoFailed(
        kind=video_events_pb2.VIDEO_FAILURE_KIND_EXPIRED,
        code="expired",
        message="The video was not ready before its deadline.",
    )
    outcome = token_pb2.LeaseOutcome(outcome=token_pb2.OUTCOME_UPSTREAM_ERROR, upstream_reason="expired")
    return End(failed, outcome, may_still_run=True)


def account_removed() -> End:
    """Nobody can ask any more: the token has been deleted."""
    failed = video_events_pb2.VideoFailed(
        kind=video_events_pb2.VIDEO_FAILURE_KIND_FAILED,
        code="account_removed",
        message="The account that made this video was removed before it was ready.",
    )
    return End(failed, token_pb2.LeaseOutcome(outcome=token_pb2.OUTCOME_UNUSED, upstream_reason="account_removed"))


def not_stored(message: str) -> End:
    """The clip was made and charged, but the upstream did not give it out."""
    outcome = token_pb2.LeaseOutcome(outcome=token_pb2.OUTCOME_UPSTREAM_ERROR, upstream_reason="not_stored")
    return End(_not_stored(message), outcome)


def not_stored_by_us(message: str) -> End:
    """The clip was made and charged, but we could not take it. Its account has done what it should."""
    return End(_not_stored(message), success())


def _not_stored(message: str) -> video_events_pb2.VideoFailed:
    return video_events_pb2.VideoFailed(
        kind=video_events_pb2.VIDEO_FAILURE_KIND_FAILED,
        code="media_not_stored",
        message=f"The video was made but could not be fetched. {message}",
        charge_kept=True,
    )
