"""How far a job is, as an honest estimate: Flow tells no percentage, so the time that has passed is set against the
time that such clips take in all, given that this one was not ready before.

The distribution is that by which the job is polled; it is kept with the job when it is submitted. The estimate depends
on nothing but the state, the time and the row, so that every replica tells the same. It never goes back: within a state
it does not fall with time, and every next state begins where the one before ends at most.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final

from flow2api_generation_service.durations.sketch import usual_quantiles
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.states import FINAL_STATES, JobState

_SUBMITTED: Final = 2
_GENERATED: Final = 90
_GENERATED_BEFORE_UPSCALING: Final = 60
_STORING: Final = 95


def progress_percent(job: JobRow, now: datetime) -> int:
    """Estimate in percent, 0 to 100; 100 only when completed."""
    match job.state:
        case JobState.COMPLETED:
            return 100
        case JobState.QUEUED | JobState.SUBMITTING:
            return job.progress_percent
        case JobState.STORING:
            return max(job.progress_percent, _STORING)
        case JobState.UPSCALING:
            share = _share(now - job.state_time, job.upscale_quantiles_ms, job.upscale_typical_seconds)
            estimate = _span(_GENERATED_BEFORE_UPSCALING, _GENERATED, share)
        case _:
            estimate = _while_generating(job, now)
    return min(max(job.progress_percent, estimate), 99)


def share_done(quantiles: Sequence[float], age: float) -> float:
    """The part of its time that a clip has behind it at this age, 0 to 1: its age over the mean duration of those that
    take longer. Never falls with age, although one that is not ready in spite of its age may have longer to go than it
    had before."""
    shares = _shares_at(tuple(quantiles))
    at = bisect_right(quantiles, age)
    if at >= len(quantiles):
        return shares[-1]
    earlier, low = (quantiles[at - 1], shares[at - 1]) if at else (0.0, 0.0)
    return low + (shares[at] - low) * max(age - earlier, 0.0) / (quantiles[at] - earlier)


def _while_generating(job: JobRow, now: datetime) -> int:
    if job.submit_time is None:
        return 0
    end = job.complete_time if job.state in FINAL_STATES and job.complete_time else now
    top = _GENERATED_BEFORE_UPSCALING if job.upsampler_model else _GENERATED
    share = _share(end - job.submit_time, job.duration_quantiles_ms, job.typical_duration_seconds)
    return _span(_SUBMITTED, top, share)


def _share(elapsed: timedelta, quantiles_ms: Sequence[int] | None, usual_seconds: int) -> float:
    quantiles = [each / 1000 for each in quantiles_ms] if quantiles_ms else usual_quantiles(usual_seconds)
    return share_done(quantiles, elapsed.total_seconds())


def _span(bottom: int, top: int, share: float) -> int:
    return bottom + int((top - bottom) * share)


@lru_cache(maxsize=1024)
def _shares_at(quantiles: tuple[float, ...]) -> tuple[float, ...]:
    """At each quantile the age over the mean duration of the clips that take longer, and no less than at the one
    before."""
    shares: list[float] = []
    longer = [(earlier + later) / 2 for earlier, later in pairwise(quantiles)]
    # Each part is equally likely, so the clips that take longer than a quantile are those of the parts after it.
    rest = sum(longer)
    for at, age in enumerate(quantiles[:-1]):
        mean = rest / (len(longer) - at)
        shares.append(max(age / mean if mean else 1.0, shares[-1] if shares else 0.0))
        rest -= longer[at]
    return (*shares, 1.0)
