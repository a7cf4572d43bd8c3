"""The queries of stored files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_generation_service.media.models import MediaRow
from flow2api_generation_service.upserts import add_if_absent


class MediaRepository:
    """Reads and writes media rows within one session; never commits."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, row: MediaRow) -> None:
        """Store a row. A repeat with the same id changes nothing."""
        await add_if_absent(self._session, row)

    async def get(self, media_id: str, *, now: datetime) -> MediaRow | None:
        """The row, unless it has expired."""
        row = await self._session.get(MediaRow, media_id)
        if row is None or (row.expire_time is not None and row.expire_time <= now):
            return None
        return row

    async def of_key(self, api_key_id: str, *, before: str, limit: int, now: datetime) -> Sequence[MediaRow]:
        """Rows of a key that have not expired, newest first: ids grow with time."""
        statement = (
            select(MediaRow)
            .where(MediaRow.api_key_id == api_key_id, or_(MediaRow.expire_time.is_(None), MediaRow.expire_time > now))
            .order_by(MediaRow.media_id.desc())
            .limit(limit)
        )
        if before:
            statement = statement.where(MediaRow.media_id < before)
        return (await self._session.scalars(statement)).all()

    async def delete(self, media_ids: Sequence[str]) -> None:
        """Remove rows; missing ones are fine."""
        await self._session.execute(delete(MediaRow).where(MediaRow.media_id.in_(media_ids)))

    async def expired(self, before: datetime, *, limit: int) -> Sequence[MediaRow]:
        """Rows whose time was over before then, the oldest first."""
        statement = select(MediaRow).where(MediaRow.expire_time <= before).order_by(MediaRow.expire_time).limit(limit)
        return (await self._session.scalars(statement)).all()
