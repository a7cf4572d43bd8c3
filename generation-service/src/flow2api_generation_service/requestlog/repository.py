"""The queries of the request log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_generation_service.requestlog.models import DailyStatsRow, RequestLogRow
from flow2api_generation_service.upserts import add_if_absent, insert_into


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last entry of a page."""

    create_time: datetime
    generation_id: str


@dataclass(frozen=True, slots=True)
class ImageTotals:
    """Pictures in all and of one day."""

    image_count: int
    image_error_count: int
    today_image_count: int


class RequestLogRepository:
    """Reads and writes the log within one session; never commits."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, *rows: RequestLogRow) -> None:
        """Store entries. A repeat with the same id changes nothing."""
        await add_if_absent(self._session, *rows)

    async def count_images(self, day: date, *, made: int, failed: int) -> None:
        """Add to the sums of a day."""
        statement = insert_into(self._session, DailyStatsRow).values(
            day=day, image_count=made, image_error_count=failed
        )
        upsert = statement.on_conflict_do_update(
            index_elements=[DailyStatsRow.day],
            set_={
                "image_count": DailyStatsRow.image_count + statement.excluded.image_count,
                "image_error_count": DailyStatsRow.image_error_count + statement.excluded.image_error_count,
            },
        )
        await self._session.execute(upsert)

    async def image_totals(self, today: date) -> ImageTotals:
        """The sums of all days and of today."""
        row = (
            await self._session.execute(
                select(
                    func.coalesce(func.sum(DailyStatsRow.image_count), 0),
                    func.coalesce(func.sum(DailyStatsRow.image_error_count), 0),
                )
            )
        ).one()
        of_today = await self._session.scalar(select(DailyStatsRow.image_count).where(DailyStatsRow.day == today))
        return ImageTotals(int(row[0]), int(row[1]), of_today or 0)

    async def page(self, *, limit: int, after: Cursor | None) -> Sequence[RequestLogRow]:
        """Entries, newest first, that come after the cursor."""
        order = (RequestLogRow.create_time, RequestLogRow.generation_id)
        statement = select(RequestLogRow).order_by(*(column.desc() for column in order)).limit(limit)
        if after is not None:
            statement = statement.where(tuple_(*order) < tuple_(after.create_time, after.generation_id))
        return (await self._session.scalars(statement)).all()

    async def delete_before(self, time: datetime) -> None:
        """Remove entries that are older."""
        await self._session.execute(delete(RequestLogRow).where(RequestLogRow.create_time < time))
