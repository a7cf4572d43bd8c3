"""Ends what would otherwise be left: a job past its deadline gets a final state and a reason.

The poller ends the jobs that it follows by itself; the sweeper comes later than that, for those that nobody follows any
more. Any number of replicas may sweep: each end is a compare-and-set.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable
from flow2api_common.logs import get_logger
from flow2api_generation_service.videos.changes import VideoChanges
from flow2api_generation_service.videos.endings import EXPIRED, SUBMISSION_UNKNOWN, Ending
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.repository import JobRepository
from flow2api_generation_service.videos.settings import VideoSettings
from flow2api_generation_service.videos.states import FOLLOWED_STATES, JobState
from flow2api_generation_service.videos.transitions import JobTransitions

log = get_logger(__name__)

_BATCH: Final = 200
_NOT_FOLLOWED_STATES: Final = frozenset({JobState.QUEUED, JobState.SUBMITTING})


class Sweeper:
    """Looks for overdue jobs every now and then."""

    def __init__(self, *, database: Database, changes: VideoChanges, clock: Clock, settings: VideoSettings) -> None:
        self._database = database
        self._changes = changes
        self._clock = clock
        self._settings = settings

    async def run(self) -> None:
        """Sweep until cancelled. A database that is away is waited for."""
        while True:
            try:
                await self.sweep_once()
            except DependencyUnavailable as error:
                log.warning("sweep_waits", reason=error.reason)
            await asyncio.sleep(self._settings.video_sweep_interval.total_seconds())

    async def sweep_once(self) -> int:
        """End every job that is overdue now; answers how many."""
        now = self._clock()
        async with self._database.transaction(read_only=True) as session:
            repository = JobRepository(session)
            overdue = [
                *await repository.past_deadline(now, states=_NOT_FOLLOWED_STATES, limit=_BATCH),
                *await repository.past_deadline(
                    now - self._settings.video_overdue_grace, states=FOLLOWED_STATES, limit=_BATCH
                ),
            ]
        ended = 0
        for job in overdue:
            if not self._may_be_in_its_call(job, now) and await self._end(job):
                ended += 1
                log.warning("video_swept", video_id=job.video_id, state=job.state)
                await self._changes.announce(job.video_id)
        return ended

    def _may_be_in_its_call(self, job: JobRow, now: datetime) -> bool:
        if job.state != JobState.SUBMITTING or job.submit_started_at is None:
            return False
        patience = self._settings.video_submit_limit + self._settings.video_unknown_grace
        return job.submit_started_at + patience > now

    async def _end(self, job: JobRow) -> bool:
        state = JobState(job.state)
        async with self._database.transaction() as session:
            return await JobTransitions(session, clock=self._clock).end(
                job.video_id, _ending(job, state), expected={state}, version=job.version
            )


def _ending(job: JobRow, state: JobState) -> Ending:
    if state is JobState.SUBMITTING and job.submit_started_at is not None:
        return SUBMISSION_UNKNOWN
    if state is JobState.QUEUED and job.error_code and job.error_message:
        # Other tokens were tried before, and this is how the last of them refused.
        return Ending(JobState.FAILED, job.error_code, job.error_message)
    return EXPIRED
