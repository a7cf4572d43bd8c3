"""Reading image jobs: one, or a page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import InvalidArgument
from flow2api_generation_service.image_jobs.errors import image_job_not_found
from flow2api_generation_service.image_jobs.job_to_grpc import JOB_STATES, image_job_of
from flow2api_generation_service.image_jobs.models import ImageJobRow
from flow2api_generation_service.image_jobs.repository import ImageJobRepository
from flow2api_generation_service.media.repository import MediaRepository
from flow2api_proto.generation.v1 import image_job_pb2

DEFAULT_PAGE_SIZE: Final = 20
LARGEST_PAGE_SIZE: Final = 100


class ImageJobReader:
    """Answers about jobs."""

    def __init__(self, *, database: Database, clock: Clock, retention: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._retention = retention

    async def get(self, generation_id: str, *, api_key_id: str = "") -> image_job_pb2.ImageJob:
        """One job. Raises NotFound IMAGE_JOB_NOT_FOUND, also when it is another key's."""
        async with self._database.transaction(read_only=True) as session:
            job = await ImageJobRepository(session).get(generation_id, api_key_id=api_key_id)
            if job is None:
                raise image_job_not_found(generation_id)
            (shown,) = await self._shown(session, [job])
        return shown

    async def page(self, request: image_job_pb2.ListImageJobsRequest) -> image_job_pb2.ListImageJobsResponse:
        """One page. Raises InvalidArgument for ``page_size`` and ``states``, NotFound for ``after_generation_id``."""
        if not 0 <= request.page_size <= LARGEST_PAGE_SIZE:
            raise InvalidArgument.of("page_size", f"A page has 1 to {LARGEST_PAGE_SIZE} jobs.")
        if any(state not in JOB_STATES for state in request.states):
            raise InvalidArgument.of("states", "There is no such state.")
        size = request.page_size or DEFAULT_PAGE_SIZE
        async with self._database.transaction(read_only=True) as session:
            jobs = ImageJobRepository(session)
            after = request.page_token or request.after_generation_id
            if after and not request.page_token and await jobs.get(after, api_key_id=request.api_key_id) is None:
                raise image_job_not_found(after)
            found = await jobs.page(
                limit=size + 1,
                after_generation_id=after,
                api_key_id=request.api_key_id,
                states=[JOB_STATES[state] for state in request.states],
                oldest_first=request.oldest_first,
            )
            shown = await self._shown(session, found[:size])
        return image_job_pb2.ListImageJobsResponse(
            jobs=shown, next_page_token=found[size - 1].generation_id if len(found) > size else ""
        )

    async def _shown(self, session: AsyncSession, jobs: Sequence[ImageJobRow]) -> list[image_job_pb2.ImageJob]:
        now = self._clock()
        pictures = await ImageJobRepository(session).pictures([job.generation_id for job in jobs]) if jobs else {}
        files = [each.media_id for rows in pictures.values() for each in rows if each.media_id is not None]
        kept = await MediaRepository(session).with_ids(files, now=now) if files else {}
        return [
            image_job_of(job, pictures[job.generation_id], kept_media=kept, retention=self._retention, now=now)
            for job in jobs
        ]
