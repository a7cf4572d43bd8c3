"""How far a job is, as an honest estimate: Flow tells no percentage, so the time that has passed is set against the
usual time.

The estimate depends on nothing but the state, the time and the row, so that every replica tells the same; it never goes
back, because within a state it grows with time and every next state begins where the one before ends at most.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Final

from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.states import FINAL_STATES, JobState

_SUBMITTED: Final = 2
_GENERATED: Final = 90
_GENERATED_BEFORE_UPSCALING: Final = 60
_STORING: Final = 95
_USUAL_SHARE: Final = 0.8
"""Share of a stage's span that is reached after the usual time; the rest is approached ever more slowly."""


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
            usual = timedelta(seconds=job.upscale_typical_seconds)
            estimate = _span(_GENERATED_BEFORE_UPSCALING, _GENERATED, now - job.state_time, usual)
        case _:
            estimate = _while_generating(job, now)
    return min(max(job.progress_percent, estimate), 99)


def _while_generating(job: JobRow, now: datetime) -> int:
    if job.submit_time is None:
        return 0
    end = job.complete_time if job.state in FINAL_STATES and job.complete_time else now
    top = _GENERATED_BEFORE_UPSCALING if job.upsampler_model else _GENERATED
    return _span(_SUBMITTED, top, end - job.submit_time, timedelta(seconds=job.typical_duration_seconds))


def _span(bottom: int, top: int, elapsed: timedelta, usual: timedelta) -> int:
    part = max(0.0, elapsed / usual) if usual else 1.0
    share = _USUAL_SHARE * part if part <= 1 else 1 - (1 - _USUAL_SHARE) * math.exp(1 - part)
    return bottom + int((top - bottom) * share)
