"""When a stage of a job is given up."""

from __future__ import annotations

from datetime import datetime, timedelta

from flow2api_generation_service.videos.models import JobRow


def stage_deadline(job: JobRow, begin: datetime) -> datetime:
    """The model's time for a stage that begins now, or the deadline of the client when that is earlier."""
    deadline_time = begin + timedelta(seconds=job.deadline_seconds)
    return min(deadline_time, job.client_deadline_time) if job.client_deadline_time is not None else deadline_time
