"""The queries of image jobs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, Select, delete, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_generation_service.image_jobs.models import ImageJobInputRow, ImageJobPictureRow, ImageJobRow
from flow2api_generation_service.image_jobs.states import (
    FINAL_STATES,
    LIVE_STATES,
    OPEN_PICTURES,
    ImageJobState,
)
from flow2api_generation_service.media.models import MediaRow


def needed_image_inputs() -> Select[str]:
    """The query for the files that go into jobs which have not ended."""
    statement = select(ImageJobInputRow.media_id)
    statement = statement.join(ImageJobRow, ImageJobRow.generation_id == ImageJobInputRow.generation_id)
    return statement.where(ImageJobRow.state.in_(LIVE_STATES))


class ImageJobRepository:
    """Reads and writes jobs within one session; never commits. Changes of a job are in `transitions`."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(
        self, job: ImageJobRow, pictures: Sequence[ImageJobPictureRow], inputs: Sequence[ImageJobInputRow] = ()
    ) -> None:
        """Store a new job."""
        self._session.add(job)
        await self._session.flush()
        self._session.add_all([*pictures, *inputs])
        await self._session.flush()

    async def get(self, generation_id: str, *, api_key_id: str = "") -> ImageJobRow | None:
        """The job as it is now; only if it is this key's, unless that is empty."""
        statement = select(ImageJobRow).where(ImageJobRow.generation_id == generation_id)
        if api_key_id:
            statement = statement.where(ImageJobRow.api_key_id == api_key_id)
        return await self._session.scalar(statement.execution_options(populate_existing=True))

    async def locked(self, generation_id: str) -> ImageJobRow | None:
        """The job, which nobody else changes until the transaction ends."""
        return await self._session.get(ImageJobRow, generation_id, populate_existing=True, with_for_update=True)

    async def pictures(self, generation_ids: Collection[str]) -> dict[str, list[ImageJobPictureRow]]:
        """The pictures of these jobs, in order."""
        statement = (
            select(ImageJobPictureRow)
            .where(ImageJobPictureRow.generation_id.in_(generation_ids))
            .order_by(ImageJobPictureRow.generation_id, ImageJobPictureRow.image_index)
            .execution_options(populate_existing=True)
        )
        found: dict[str, list[ImageJobPictureRow]] = {generation_id: [] for generation_id in generation_ids}
        for row in await self._session.scalars(statement):
            found[row.generation_id].append(row)
        return found

    async def input_media(self, generation_id: str) -> list[str]:
        """The files that go into a job, in order."""
        statement = select(ImageJobInputRow.media_id).where(ImageJobInputRow.generation_id == generation_id)
        return list(await self._session.scalars(statement.order_by(ImageJobInputRow.position)))

    async def own_input_media(self, generation_id: str) -> list[str]:
        """Those of them that were stored for this job alone."""
        statement = select(MediaRow.media_id).join(ImageJobInputRow, ImageJobInputRow.media_id == MediaRow.media_id)
        statement = statement.where(
            ImageJobInputRow.generation_id == generation_id, MediaRow.generation_id == generation_id
        )
        return list(await self._session.scalars(statement))

    async def spent_input_media(self, *, now: datetime, limit: int) -> list[str]:
        """Files that were stored for one job, which does not need them any more."""
        statement = (
            select(MediaRow.media_id)
            .join(ImageJobInputRow, ImageJobInputRow.media_id == MediaRow.media_id)
            .join(ImageJobRow, ImageJobRow.generation_id == ImageJobInputRow.generation_id)
            .where(
                MediaRow.generation_id == ImageJobRow.generation_id,
                MediaRow.expire_time > now,
                ImageJobRow.state.in_(FINAL_STATES),
            )
        )
        return list(await self._session.scalars(statement.limit(limit)))

    async def page(
        self,
        *,
        limit: int,
        after_generation_id: str = "",
        api_key_id: str = "",
        states: Collection[ImageJobState] = (),
        oldest_first: bool = False,
    ) -> Sequence[ImageJobRow]:
        """Jobs by creation, newest first. Ids are time-ordered, so that the id is the cursor."""
        statement = select(ImageJobRow).limit(limit)
        if api_key_id:
            statement = statement.where(ImageJobRow.api_key_id == api_key_id)
        if states:
            statement = statement.where(ImageJobRow.state.in_(states))
        if after_generation_id and oldest_first:
            statement = statement.where(ImageJobRow.generation_id > after_generation_id)
        elif after_generation_id:
            statement = statement.where(ImageJobRow.generation_id < after_generation_id)
        order = ImageJobRow.generation_id.asc() if oldest_first else ImageJobRow.generation_id.desc()
        return (await self._session.scalars(statement.order_by(order))).all()

    async def abandoned(self, now: datetime, *, limit: int) -> Sequence[str]:
        """Jobs past their deadline that nobody is at, although some of their pictures are open."""
        is_open = exists().where(
            ImageJobPictureRow.generation_id == ImageJobRow.generation_id,
            ImageJobPictureRow.state.in_(OPEN_PICTURES),
        )
        statement = select(ImageJobRow.generation_id).where(
            ImageJobRow.deadline_time <= now,
            or_(ImageJobRow.claimed_until.is_(None), ImageJobRow.claimed_until <= now),
            is_open,
        )
        return (await self._session.scalars(statement.order_by(ImageJobRow.deadline_time).limit(limit))).all()

    async def claim(self, generation_id: str, attempt_id: str, *, now: datetime, until: datetime) -> bool:
        """Be the one who is at a job, unless somebody else is."""
        statement = (
            update(ImageJobRow)
            .where(
                ImageJobRow.generation_id == generation_id,
                or_(ImageJobRow.claimed_until.is_(None), ImageJobRow.claimed_until <= now),
            )
            .values(attempt_id=attempt_id, claimed_until=until)
        )
        return await self._changes_one(statement)

    async def keep_claim(self, generation_id: str, attempt_id: str, *, until: datetime | None) -> bool:
        """Stay the one who is at a job; without ``until``, give that up."""
        statement = (
            update(ImageJobRow)
            .where(ImageJobRow.generation_id == generation_id, ImageJobRow.attempt_id == attempt_id)
            .values(claimed_until=until)
        )
        return await self._changes_one(statement)

    async def note_no_account(self, generation_id: str, since: datetime | None) -> None:
        """Remember since when no account of the pool could ever serve a job."""
        statement = update(ImageJobRow).where(ImageJobRow.generation_id == generation_id)
        await self._changes_one(statement.values(no_account_since=since))

    async def delete(self, generation_id: str) -> bool:
        """Remove a job that has ended."""
        return await self._changes_one(
            delete(ImageJobRow).where(ImageJobRow.generation_id == generation_id, ImageJobRow.state.in_(FINAL_STATES))
        )

    async def delete_ended_before(self, time: datetime, *, limit: int) -> int:
        """Remove jobs that ended before then and whose pictures have all ended; answers how many."""
        is_open = exists().where(
            ImageJobPictureRow.generation_id == ImageJobRow.generation_id,
            ImageJobPictureRow.state.in_(OPEN_PICTURES),
        )
        old = select(ImageJobRow.generation_id).where(ImageJobRow.complete_time <= time, ~is_open).limit(limit)
        ids = (await self._session.scalars(old)).all()
        if ids:
            await self._session.execute(
                delete(ImageJobRow)
                .where(ImageJobRow.generation_id.in_(ids))
                .execution_options(synchronize_session=False)
            )
        return len(ids)

    async def _changes_one(self, statement: Any) -> bool:
        executed = await self._session.execute(statement.execution_options(synchronize_session=False))
        return cast("CursorResult[Any]", executed).rowcount == 1


async def unfinished_image_jobs(session: AsyncSession, generation_ids: Collection[str]) -> set[str]:
    """Those of these jobs with pictures that have not ended."""
    statement = select(ImageJobPictureRow.generation_id).where(
        ImageJobPictureRow.generation_id.in_(generation_ids), ImageJobPictureRow.state.in_(OPEN_PICTURES)
    )
    return set((await session.scalars(statement)).all())
