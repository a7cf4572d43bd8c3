"""Cancelling and deleting image jobs.

A picture that the upstream has not been asked for costs nothing once its job is cancelled: the mark before its paid
call is refused (`transitions`), whatever its worker does meanwhile. The others are charged, so that they are made and
kept with the job.
"""

from __future__ import annotations

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.logs import get_logger
from flow2api_generation_service.image_jobs.errors import already_final, image_job_not_found
from flow2api_generation_service.image_jobs.models import ImageJobRow
from flow2api_generation_service.image_jobs.repository import ImageJobRepository
from flow2api_generation_service.image_jobs.states import FINAL_STATES, PictureState
from flow2api_generation_service.image_jobs.transitions import ImageJobTransitions
from flow2api_generation_service.media.repository import MediaRepository
from flow2api_generation_service.media.service import MediaService
from flow2api_generation_service.videos.changes import VideoChanges
from flow2api_proto.generation.v1 import image_job_pb2

log = get_logger(__name__)


class ImageJobEnd:
    """Ends jobs because their owner wants it."""

    def __init__(self, *, database: Database, media: MediaService, changes: VideoChanges, clock: Clock) -> None:
        self._database = database
        self._media = media
        self._changes = changes
        self._clock = clock

    async def cancel(self, generation_id: str, *, api_key_id: str) -> image_job_pb2.ImageJobCharge.ValueType:
        """Stop a job, and say what it has cost. Raises NotFound, FailedPrecondition IMAGE_JOB_ALREADY_FINAL."""
        async with self._database.transaction() as session:
            jobs = ImageJobRepository(session)
            if await jobs.get(generation_id, api_key_id=api_key_id) is None:
                raise image_job_not_found(generation_id)
            cancelled = await ImageJobTransitions(session, clock=self._clock).cancel(generation_id)
            if cancelled is None:
                job = await jobs.get(generation_id)
                raise already_final(job.state) if job is not None else image_job_not_found(generation_id)
            pictures = (await jobs.pictures([generation_id]))[generation_id]
        log.info("image_job_cancelled", generation_id=generation_id)
        await self._changes.announce(generation_id)
        if any(each.state in (PictureState.ASKED, PictureState.MADE) for each in pictures):
            return image_job_pb2.IMAGE_JOB_CHARGE_CHARGED
        return image_job_pb2.IMAGE_JOB_CHARGE_NONE

    async def delete(self, generation_id: str, *, api_key_id: str) -> None:
        """Remove a job and its files; a running one is cancelled first. Raises NotFound."""
        job: ImageJobRow | None
        async with self._database.transaction() as session:
            jobs = ImageJobRepository(session)
            job = await jobs.get(generation_id, api_key_id=api_key_id)
            if job is None:
                raise image_job_not_found(generation_id)
            if job.state not in FINAL_STATES:
                await ImageJobTransitions(session, clock=self._clock).cancel(generation_id)
            pictures = (await jobs.pictures([generation_id]))[generation_id]
            files = [each.media_id for each in pictures if each.media_id is not None]
            files += await jobs.own_input_media(generation_id)
            await session.flush()
            session.expunge_all()
            await jobs.delete(generation_id)
            # With the job, so that a crash before the bytes are gone leaves somebody who knows of them.
            await MediaRepository(session).expire(files, now=self._clock())
        if files:
            await self._media.remove_expired(files)
        log.info("image_job_deleted", generation_id=generation_id)
        await self._changes.announce(generation_id)
