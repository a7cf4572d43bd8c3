"""What came of an attempt, and what followed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from flow2api_upstream.failures import RetryRule, asks_to_stay_away
from flow2api_upstream.port import FailureClass, UpstreamFailure

ACCEPTED: Final = "accepted"
"""The upstream has taken it, and charges for it."""

UNANSWERED: Final = "unanswered"
"""The upstream may have taken it: its answer was lost."""

ABANDONED: Final = "abandoned"
"""Nothing was asked: its process ended, or somebody else was faster."""

_LONGEST_REASON: Final = 200
_LONGEST_OUTCOME: Final = 64
_WITHOUT_ROOM: Final = frozenset(
    {FailureClass.THROTTLED, FailureClass.QUOTA_MODEL, FailureClass.QUOTA_ACCOUNT, FailureClass.CREDITS}
)


class NextStepAfter(StrEnum):
    """What followed an attempt that did not succeed."""

    NONE = ""
    SAME_ACCOUNT = "same_account"
    """A repeat there, after what the failure asks for: a fresh bearer, another project, a pause."""
    OTHER_ACCOUNT = "other_account"
    """Whichever is free of those that were not tried, on any route."""
    ROOM_ELSEWHERE = "room_elsewhere"
    """Whichever has room: this account rests, and is asked again when that is over."""
    OTHER_ROUTE = "other_route"
    """The upstream does not know this model any more."""
    TAKEN_OVER = "taken_over"
    """It was begun anew, because nothing had been asked."""
    BASE_CLIP = "base_clip"
    """It was not enlarged: the smaller clip is kept."""
    END = "end"
    """Nothing that could be tried was left, or the failure allows no other try."""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """``outcome`` is one of the words above, the class of a failure, or the code that the job ended with; ``reason``
    the upstream's own word."""

    outcome: str
    reason: str = ""
    next_step: NextStepAfter = NextStepAfter.NONE

    def __post_init__(self) -> None:
        object.__setattr__(self, "outcome", self.outcome[:_LONGEST_OUTCOME])
        object.__setattr__(self, "reason", self.reason[:_LONGEST_REASON])


def result_of(failure: UpstreamFailure, next_step: NextStepAfter) -> AttemptResult:
    """What to note of a failure."""
    if failure.may_have_been_accepted:
        return AttemptResult(UNANSWERED, failure.reason or failure.failure_class.value, next_step)
    status = f"HTTP {failure.http_status}" if failure.http_status else ""
    return AttemptResult(failure.failure_class.value, failure.reason or status, next_step)


def next_step_of(failure: UpstreamFailure, rule: RetryRule) -> NextStepAfter:
    """How a generation goes on after this failure, if it does."""
    if failure.failure_class in _WITHOUT_ROOM or asks_to_stay_away(failure):
        return NextStepAfter.ROOM_ELSEWHERE
    return NextStepAfter.OTHER_ACCOUNT if rule.other_token else NextStepAfter.OTHER_ROUTE
