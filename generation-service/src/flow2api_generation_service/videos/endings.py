"""How jobs end badly: the final state, the code that OpenAI clients see, and a sentence for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flow2api_generation_service.ledger.states import Fate
from flow2api_generation_service.videos.states import JobState
from flow2api_upstream.failures import to_service_error
from flow2api_upstream.port import FailureClass, UpstreamFailure


@dataclass(frozen=True, slots=True)
class Ending:
    """A final state other than completed, with its reason. ``fate`` is that of a charge that the upstream has taken."""

    state: JobState
    code: str
    message: str
    fate: Fate = Fate.UNKNOWN


SUBMISSION_UNKNOWN: Final = Ending(
    JobState.FAILED,
    "submission_unknown",
    "The video was handed to the upstream but its answer was lost. Handing it in again could charge twice.",
)
NO_ACCOUNT: Final = Ending(
    JobState.FAILED, "no_account_available", "No account of the pool can make this video as the pool is now."
)
EXPIRED: Final = Ending(JobState.EXPIRED, "expired", "The video was not ready before its deadline.")
CANCELLED_UNPAID: Final = Ending(JobState.CANCELLED, "cancelled", "Cancelled before submission; nothing was charged.")
CANCELLED_PAID: Final = Ending(
    JobState.CANCELLED,
    "cancelled",
    "Cancelled after it was submitted; the upstream may have charged for it.",
    Fate.FOLLOWED,
)


def ending_of_failure(failure: UpstreamFailure, *, paid: bool) -> Ending:
    """The end of a job that nothing more can be tried for."""
    if failure.failure_class is FailureClass.CONTENT:
        return Ending(JobState.FILTERED, "content_policy_violation", failure.message)
    error = to_service_error(failure, paid=paid)
    return Ending(JobState.FAILED, error.reason.lower(), error.message)
