"""Cancelling and deleting jobs.

A job that is cancelled before its submission costs nothing. After it, the upstream works on whatever we do: the poller,
which knows nothing of jobs, goes on following the operation, so that the token counts as busy for as long as it really
is and the lease ends with the truth. What it reports is dropped, and a file that it has stored is removed (see
`events`).
"""

from __future__ import annotations

from dataclasses import dataclass

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import FailedPrecondition
from flow2api_common.logs import get_logger
from flow2api_generation_service.media.repository import MediaRepository
from flow2api_generation_service.media.service import MediaService
from flow2api_generation_service.videos.changes import VideoChanges
from flow2api_generation_service.videos.endings import CANCELLED_PAID, CANCELLED_UNPAID
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.read import video_not_found
from flow2api_generation_service.videos.repository import JobRepository
from flow2api_generation_service.videos.states import FINAL_STATES
from flow2api_generation_service.videos.transitions import JobTransitions
from flow2api_proto.generation.v1 import video_pb2

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Charge:
    """What a job has cost when it was cancelled. ``credits`` is None where nothing was charged, or not in credits."""

    kind: video_pb2.VideoCharge.ValueType
    credits: int | None = None


class VideoEnd:
    """Ends jobs because their owner wants it."""

    def __init__(self, *, database: Database, media: MediaService, changes: VideoChanges, clock: Clock) -> None:
        self._database = database
        self._media = media
        self._changes = changes
        self._clock = clock

    async def cancel(self, video_id: str, *, api_key_id: str) -> Charge:
        """Stop a job, and say what it has cost. Raises NotFound, FailedPrecondition VIDEO_ALREADY_FINAL."""
        while True:
            job = await self._get(video_id, api_key_id)
            if job.state in FINAL_STATES:
                raise FailedPrecondition(f"The video is already {job.state}.", reason="VIDEO_ALREADY_FINAL")
            if await self._cancel(job):
                return charge_of(job)

    async def delete(self, video_id: str, *, api_key_id: str) -> None:
        """Remove a job and its file; a running one is cancelled first. Raises NotFound."""
        while (job := await self._get(video_id, api_key_id)).state not in FINAL_STATES:
            await self._cancel(job)
        async with self._database.transaction() as session:
            repository = JobRepository(session)
            files = [job.media_id] if job.media_id else []
            files += await repository.own_input_media(video_id)
            await repository.delete(video_id, states=FINAL_STATES)
            # With the job, so that a crash before the bytes are gone leaves somebody who knows of them.
            await MediaRepository(session).expire(files, now=self._clock())
        if files:
            await self._media.remove_expired(files)
        log.info("video_deleted", video_id=video_id)
        await self._changes.announce(video_id)

    async def _get(self, video_id: str, api_key_id: str) -> JobRow:
        async with self._database.transaction(read_only=True) as session:
            job = await JobRepository(session).get(video_id, api_key_id=api_key_id)
        if job is None:
            raise video_not_found(video_id)
        return job

    async def _cancel(self, job: JobRow) -> bool:
        # The version is part of the guard, so that what is said about the charge is true of the state that is left.
        is_paid = charge_of(job).kind != video_pb2.VIDEO_CHARGE_NONE
        async with self._database.transaction() as session:
            cancelled = await JobTransitions(session, clock=self._clock).end(
                job.video_id, CANCELLED_PAID if is_paid else CANCELLED_UNPAID, version=job.version
            )
        if cancelled:
            log.info("video_cancelled", video_id=job.video_id, from_state=job.state)
            await self._changes.announce(job.video_id)
        return cancelled


def charge_of(job: JobRow) -> Charge:
    """What a job that is not final has cost so far."""
    if job.submit_time is not None:
        return Charge(video_pb2.VIDEO_CHARGE_CHARGED, job.credits)
    if job.submit_started_at is not None:
        return Charge(video_pb2.VIDEO_CHARGE_UNKNOWN, job.credits)
    return Charge(video_pb2.VIDEO_CHARGE_NONE)
