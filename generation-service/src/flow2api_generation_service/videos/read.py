"""Reading jobs: one, a page, the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import InvalidArgument, NotFound
from flow2api_generation_service.media.models import MediaRow
from flow2api_generation_service.media.repository import MediaRepository
from flow2api_generation_service.media.service import media_to_grpc
from flow2api_generation_service.videos.job_to_grpc import JOB_STATES, video_of
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.repository import JobRepository
from flow2api_generation_service.videos.states import JobState
from flow2api_generation_service.videos.stored_clip import SPRITESHEET, THUMBNAIL
from flow2api_proto.generation.v1 import media_pb2, video_pb2

DEFAULT_PAGE_SIZE: Final = 20
LARGEST_PAGE_SIZE: Final = 100


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """A job as it was read; it can be shown at any later time, because only its estimated progress depends on that."""

    job: JobRow
    queue_position: int
    media: media_pb2.Media | None
    thumbnail: media_pb2.Media | None = None
    spritesheet: media_pb2.Media | None = None

    def video(self, now: datetime) -> video_pb2.Video:
        """The job as its readers see it."""
        return video_of(
            self.job,
            now=now,
            queue_position=self.queue_position,
            media=self.media,
            thumbnail=self.thumbnail,
            spritesheet=self.spritesheet,
        )


class VideoReader:
    """Answers about jobs."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def get(self, video_id: str, *, api_key_id: str = "") -> video_pb2.Video:
        """One job. Raises NotFound VIDEO_NOT_FOUND, also when it is another key's."""
        async with self._database.transaction(read_only=True) as session:
            job = await JobRepository(session).get(video_id, api_key_id=api_key_id)
            if job is None:
                raise video_not_found(video_id)
            (video,) = await self._described(session, [job])
        return video

    async def page(self, request: video_pb2.ListVideosRequest) -> video_pb2.ListVideosResponse:
        """One page. Raises InvalidArgument for ``page_size`` and ``states``, NotFound for ``after_video_id``."""
        if not 0 <= request.page_size <= LARGEST_PAGE_SIZE:
            raise InvalidArgument.of("page_size", f"A page has 1 to {LARGEST_PAGE_SIZE} videos.")
        if any(state not in JOB_STATES for state in request.states):
            raise InvalidArgument.of("states", "There is no such state.")
        size = request.page_size or DEFAULT_PAGE_SIZE
        async with self._database.transaction(read_only=True) as session:
            repository = JobRepository(session)
            after = request.page_token or request.after_video_id
            if after and await repository.get(after, api_key_id=request.api_key_id) is None and not request.page_token:
                raise video_not_found(after)
            jobs = await repository.page(
                limit=size + 1,
                after_video_id=after,
                api_key_id=request.api_key_id,
                states=[JOB_STATES[state] for state in request.states],
                oldest_first=request.order == video_pb2.VIDEO_ORDER_OLDEST_FIRST,
                model_ids=request.model_ids,
                created_from=_time(request, "create_time_from"),
                created_before=_time(request, "create_time_before"),
            )
            videos = await self._described(session, jobs[:size])
        return video_pb2.ListVideosResponse(
            videos=videos, next_page_token=jobs[size - 1].video_id if len(jobs) > size else ""
        )

    async def counts(self) -> tuple[dict[str, int], int]:
        """Jobs per state by its name, and clips completed today (UTC)."""
        midnight = self._clock().replace(hour=0, minute=0, second=0, microsecond=0)
        async with self._database.transaction(read_only=True) as session:
            repository = JobRepository(session)
            counts = await repository.count_by_state()
            today = await repository.count_completed_since(midnight)
        return {state.value: count for state, count in counts.items()}, today

    async def snapshots(self, video_ids: Sequence[str]) -> dict[str, JobSnapshot]:
        """Those of these jobs that are there."""
        async with self._database.transaction(read_only=True) as session:
            jobs = await JobRepository(session).with_ids(video_ids)
            return {snapshot.job.video_id: snapshot for snapshot in await self._snapshots(session, jobs)}

    async def _described(self, session: AsyncSession, jobs: Sequence[JobRow]) -> list[video_pb2.Video]:
        now = self._clock()
        return [snapshot.video(now) for snapshot in await self._snapshots(session, jobs)]

    async def _snapshots(self, session: AsyncSession, jobs: Sequence[JobRow]) -> list[JobSnapshot]:
        now = self._clock()
        repository = JobRepository(session)
        positions = await repository.queue_positions([job.video_id for job in jobs if job.state == JobState.QUEUED])
        clips = [job.media_id for job in jobs if job.media_id is not None]
        media = MediaRepository(session)
        files = await media.with_ids(clips, now=now) if clips else {}
        stills = await media.derived_from(list(files), now=now) if files else {}
        return [
            JobSnapshot(
                job,
                queue_position=positions.get(job.video_id, 0),
                media=_to_grpc(files.get(job.media_id or "")),
                thumbnail=_to_grpc(stills.get((job.media_id or "", THUMBNAIL))),
                spritesheet=_to_grpc(stills.get((job.media_id or "", SPRITESHEET))),
            )
            for job in jobs
        ]


def video_not_found(video_id: str) -> NotFound:
    """The job does not exist, or is somebody else's."""
    return NotFound("The video does not exist.", reason="VIDEO_NOT_FOUND", metadata={"video_id": video_id[:64]})


def _time(
    request: video_pb2.ListVideosRequest, name: Literal["create_time_from", "create_time_before"]
) -> datetime | None:
    return getattr(request, name).ToDatetime(tzinfo=UTC) if request.HasField(name) else None


def _to_grpc(row: MediaRow | None) -> media_pb2.Media | None:
    return media_to_grpc(row) if row is not None else None
