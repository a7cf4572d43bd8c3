"""The queries of video jobs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import CursorResult, Select, delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_generation_service.ledger.models import LedgerEntryRow
from flow2api_generation_service.ledger.states import EntryState
from flow2api_generation_service.media.models import MediaRow
from flow2api_generation_service.videos.endings import EXPIRED, SUBMISSION_UNKNOWN
from flow2api_generation_service.videos.models import JobInputImageRow, JobRow
from flow2api_generation_service.videos.states import FINAL_STATES, LIVE_STATES, JobState

_UNCERTAIN_STATES: Final = (JobState.QUEUED, JobState.SUBMITTING)


def needed_video_inputs() -> Select[str]:
    """The query for the files of input pictures of all jobs that are not certain to be handed in."""
    statement = select(JobInputImageRow.media_id).join(JobRow, JobRow.video_id == JobInputImageRow.video_id)
    return statement.where(JobRow.state.in_(_UNCERTAIN_STATES))


class JobRepository:
    """Reads and writes jobs within one session; never commits. Changes of a job are in `transitions`."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, job: JobRow, images: Sequence[JobInputImageRow] = ()) -> None:
        """Store a new job and its input pictures. Raises sqlalchemy's IntegrityError when the request id is taken."""
        self._session.add(job)
        await self._session.flush()
        self._session.add_all(images)
        await self._session.flush()

    async def get(self, video_id: str, *, api_key_id: str = "") -> JobRow | None:
        """The job as it is now; only if it is this key's, unless that is empty."""
        statement = select(JobRow).where(JobRow.video_id == video_id)
        if api_key_id:
            statement = statement.where(JobRow.api_key_id == api_key_id)
        return await self._session.scalar(statement.execution_options(populate_existing=True))

    async def with_ids(self, video_ids: Sequence[str]) -> Sequence[JobRow]:
        """Those of these jobs that are there, as they are now."""
        statement = select(JobRow).where(JobRow.video_id.in_(video_ids))
        return (await self._session.scalars(statement)).all()

    async def find_by_request(self, api_key_id: str, request_id: str) -> JobRow | None:
        """The job that this key made with this idempotency key."""
        statement = select(JobRow).where(JobRow.api_key_id == api_key_id, JobRow.request_id == request_id)
        return await self._session.scalar(statement)

    async def find_by_clip(self, api_key_id: str, sha256: bytes) -> JobRow | None:
        """The newest job of this key whose clip has these bytes."""
        statement = select(JobRow).where(
            JobRow.clip_sha256 == sha256.hex(), JobRow.api_key_id == api_key_id, JobRow.state == JobState.COMPLETED
        )
        return await self._session.scalar(statement.order_by(JobRow.video_id.desc()).limit(1))

    async def forget_requests(self, job: JobRow, *, before: datetime) -> None:
        """Take the idempotency key of a new job away from an older one whose time is over."""
        if job.request_id is None:
            return
        await self._session.execute(
            update(JobRow)
            .where(
                JobRow.api_key_id == job.api_key_id,
                JobRow.request_id == job.request_id,
                JobRow.create_time <= before,
            )
            .values(request_id=None)
            .execution_options(synchronize_session=False)
        )

    async def input_images(self, video_id: str) -> Sequence[JobInputImageRow]:
        """The input pictures of a job, in order."""
        statement = select(JobInputImageRow).where(JobInputImageRow.video_id == video_id)
        return (await self._session.scalars(statement.order_by(JobInputImageRow.position))).all()

    async def own_input_media(self, video_id: str) -> list[str]:
        """Files of input pictures that were stored for this job alone."""
        statement = select(MediaRow.media_id).join(JobInputImageRow, JobInputImageRow.media_id == MediaRow.media_id)
        statement = statement.where(JobInputImageRow.video_id == video_id, MediaRow.generation_id == video_id)
        return list(await self._session.scalars(statement))

    async def spent_input_media(self, *, now: datetime, limit: int) -> list[str]:
        """Files that were stored as input pictures of one job, which does not need them any more."""
        statement = (
            select(MediaRow.media_id)
            .join(JobInputImageRow, JobInputImageRow.media_id == MediaRow.media_id)
            .join(JobRow, JobRow.video_id == JobInputImageRow.video_id)
            .where(
                MediaRow.generation_id == JobRow.video_id,
                MediaRow.expire_time > now,
                JobRow.state.not_in(_UNCERTAIN_STATES),
            )
        )
        return list(await self._session.scalars(statement.limit(limit)))

    async def page(
        self,
        *,
        limit: int,
        after_video_id: str = "",
        api_key_id: str = "",
        states: Collection[JobState] = (),
        oldest_first: bool = False,
        model_ids: Collection[str] = (),
        created_from: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Sequence[JobRow]:
        """Jobs by creation, newest first. Ids are time-ordered, so that the id is the cursor."""
        statement = select(JobRow).limit(limit)
        if api_key_id:
            statement = statement.where(JobRow.api_key_id == api_key_id)
        if states:
            statement = statement.where(JobRow.state.in_(states))
        if model_ids:
            statement = statement.where(JobRow.model_id.in_(model_ids))
        if created_from is not None:
            statement = statement.where(JobRow.create_time >= created_from)
        if created_before is not None:
            statement = statement.where(JobRow.create_time < created_before)
        if after_video_id and oldest_first:
            statement = statement.where(JobRow.video_id > after_video_id)
        elif after_video_id:
            statement = statement.where(JobRow.video_id < after_video_id)
        order = JobRow.video_id.asc() if oldest_first else JobRow.video_id.desc()
        return (await self._session.scalars(statement.order_by(order))).all()

    async def queue_positions(self, video_ids: Collection[str]) -> dict[str, int]:
        """How many queued jobs are before each of these queued jobs."""
        if not video_ids:
            return {}
        # One pass over the queue, however many are asked for.
        place = (func.row_number().over(order_by=JobRow.video_id) - 1).label("position")
        queue = select(JobRow.video_id, place).where(JobRow.state == JobState.QUEUED).subquery()
        statement = select(queue.c.video_id, queue.c.position).where(queue.c.video_id.in_(video_ids))
        return {row.video_id: row.position for row in await self._session.execute(statement)}

    async def past_deadline(self, before: datetime, *, states: Collection[JobState], limit: int) -> Sequence[JobRow]:
        """Jobs in one of these states whose deadline was before that time, the most overdue first."""
        statement = select(JobRow).where(JobRow.state.in_(states), JobRow.deadline_time <= before)
        return (await self._session.scalars(statement.order_by(JobRow.deadline_time).limit(limit))).all()

    async def count_by_state(self) -> dict[JobState, int]:
        """How many jobs stand where."""
        rows = await self._session.execute(select(JobRow.state, func.count()).group_by(JobRow.state))
        return {JobState(state): count for state, count in rows}

    async def count_completed_since(self, since: datetime) -> int:
        """Clips made since that time."""
        statement = select(func.count()).where(JobRow.state == JobState.COMPLETED, JobRow.complete_time >= since)
        return await self._session.scalar(statement) or 0

    async def delete(self, video_id: str, *, states: Collection[JobState]) -> bool:
        """Remove a job, if it is in one of these states."""
        statement = delete(JobRow).where(JobRow.video_id == video_id, JobRow.state.in_(states))
        result = cast("CursorResult[Any]", await self._session.execute(statement))
        return result.rowcount == 1

    async def followed_leases(self) -> Sequence[bytes]:
        """The leases of all videos that the upstream works on: also of those that have ended before it, which are
        followed to their end while their charge is open."""
        is_charged = exists().where(
            LedgerEntryRow.generation_id == JobRow.video_id, LedgerEntryRow.state == EntryState.CHARGED
        )
        is_live = JobRow.state.in_(LIVE_STATES - {JobState.QUEUED})
        statement = select(JobRow.lease).where(JobRow.lease.is_not(None), or_(is_live, is_charged))
        return [lease for lease in (await self._session.scalars(statement)).all() if lease]

    async def unfollowed_leases(self, *, since: datetime) -> Sequence[tuple[bytes, datetime]]:
        """The leases of videos that the upstream may work on although nobody asks about them, and when each was given
        up: the answer to the submission was lost, or the video was not ready in time."""
        statement = select(JobRow.lease, JobRow.complete_time).where(
            JobRow.lease.is_not(None),
            JobRow.error_code.in_((SUBMISSION_UNKNOWN.code, EXPIRED.code)),
            JobRow.complete_time > since,
        )
        rows = (await self._session.execute(statement)).all()
        return [(lease, ended) for lease, ended in rows if lease and ended]


async def unfinished_videos(session: AsyncSession, video_ids: Collection[str]) -> set[str]:
    """Those of these videos that have not ended."""
    statement = select(JobRow.video_id).where(JobRow.video_id.in_(video_ids), JobRow.state.not_in(FINAL_STATES))
    return set((await session.scalars(statement)).all())
