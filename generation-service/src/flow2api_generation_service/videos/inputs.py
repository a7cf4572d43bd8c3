"""What goes into a job: the plan of the catalog, the input pictures, the clip that it continues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flow2api_common.database import Database
from flow2api_common.errors import FailedPrecondition
from flow2api_generation_service.catalog.catalog import Catalog
from flow2api_generation_service.catalog.video_plan import VideoOption, VideoPlan
from flow2api_generation_service.media.service import MediaService
from flow2api_generation_service.videos.models import JobInputImageRow, JobRow
from flow2api_generation_service.videos.planning import SourceClip, plan_of
from flow2api_generation_service.videos.repository import JobRepository
from flow2api_generation_service.videos.states import JobState
from flow2api_upstream.port import SourceImage


@dataclass(frozen=True, slots=True)
class JobInputs:
    """``images`` are in the order of the request; the plan's ``image_order`` is that of the call."""

    plan: VideoPlan
    options: tuple[VideoOption, ...]
    images: Sequence[JobInputImageRow]
    source: SourceClip | None


class VideoInputs:
    """Reads what goes into jobs."""

    def __init__(self, *, database: Database, catalog: Catalog, media: MediaService) -> None:
        self._database = database
        self._catalog = catalog
        self._media = media

    async def of(self, job: JobRow) -> JobInputs:
        """How to make the clip of this job now.

        Raises RequestError when it cannot be made any more: its model has left the catalog, its source is gone.
        """
        async with self._database.transaction(read_only=True) as session:
            repository = JobRepository(session)
            images = await repository.input_images(job.video_id)
            parent = await repository.get(job.source_video_id) if job.source_video_id else None
        source = source_clip(parent) if job.source_video_id else None
        plan = plan_of(self._catalog, job, images, source)
        return JobInputs(plan=plan, options=plan.options, images=images, source=source)

    async def load(self, inputs: JobInputs) -> list[SourceImage]:
        """The input pictures, as the call wants them in order. Raises NotFound when one has gone."""
        rows = [inputs.images[index] for index in inputs.plan.image_order]
        return [await self._media.load_input(row.media_id) for row in rows]


def source_clip(job: JobRow | None) -> SourceClip:
    """The finished clip of a job, to be continued. Raises FailedPrecondition VIDEO_NOT_READY."""
    if job is None or job.state != JobState.COMPLETED or not job.result_handle or job.token_id is None:
        raise FailedPrecondition("The video to continue is not completed.", reason="VIDEO_NOT_READY")
    return SourceClip(provider=job.provider or "", token_id=job.token_id, result_handle=job.result_handle)
