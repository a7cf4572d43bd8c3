"""The queries of stored files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, CompoundSelect, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_generation_service.media.models import MediaRow
from flow2api_generation_service.upserts import add_if_absent

_MOST_SURPLUS: Final = 100


class MediaRepository:
    """Reads and writes media rows within one session; never commits."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, *rows: MediaRow) -> None:
        """Store rows. A repeat with the same id changes nothing."""
        await add_if_absent(self._session, *rows)

    async def get(self, media_id: str, *, now: datetime | None) -> MediaRow | None:
        """The row, unless it has expired by ``now``; without that, also then."""
        row = await self._session.get(MediaRow, media_id)
        if row is None or (now is not None and row.expire_time is not None and row.expire_time <= now):
            return None
        return row

    async def of_key(self, api_key_id: str, *, before: str, limit: int, now: datetime) -> Sequence[MediaRow]:
        """Rows of a key that have not expired, newest first: ids grow with time."""
        statement = (
            select(MediaRow)
            .where(MediaRow.api_key_id == api_key_id, MediaRow.derived_from.is_(None), _is_live(now))
            .order_by(MediaRow.media_id.desc())
            .limit(limit)
        )
        if before:
            statement = statement.where(MediaRow.media_id < before)
        return (await self._session.scalars(statement)).all()

    async def with_ids(self, media_ids: Collection[str], *, now: datetime) -> dict[str, MediaRow]:
        """Those of these that are there and have not expired."""
        statement = select(MediaRow).where(MediaRow.media_id.in_(media_ids), _is_live(now))
        return {row.media_id: row for row in await self._session.scalars(statement)}

    async def derived_from(self, media_ids: Collection[str], *, now: datetime) -> dict[tuple[str, str], MediaRow]:
        """What was made of these files, by the file and the variant."""
        statement = select(MediaRow).where(MediaRow.derived_from.in_(media_ids), _is_live(now))
        rows = await self._session.scalars(statement)
        return {(row.derived_from, row.variant): row for row in rows if row.derived_from is not None}

    async def derivative(self, media_id: str, variant: str, *, now: datetime) -> MediaRow | None:
        """What was made of a file under that name."""
        statement = select(MediaRow).where(
            MediaRow.derived_from == media_id, MediaRow.variant == variant, _is_live(now)
        )
        return (await self._session.scalars(statement.limit(1))).first()

    async def oldest_derivatives(self, media_id: str, *, keep: int, now: datetime) -> Sequence[str]:
        """Ids of what was made of a file, without the newest so many."""
        statement = select(MediaRow.media_id).where(MediaRow.derived_from == media_id, _is_live(now))
        statement = statement.order_by(MediaRow.create_time.desc(), MediaRow.media_id).offset(keep)
        return (await self._session.scalars(statement.limit(_MOST_SURPLUS))).all()

    async def expire(self, media_ids: Collection[str], *, now: datetime) -> None:
        """Let files, and what was made of them, be over: nobody is given them any more, and they are removed."""
        concerned = or_(MediaRow.media_id.in_(media_ids), MediaRow.derived_from.in_(media_ids))
        await self._session.execute(update(MediaRow).where(concerned, _is_live(now)).values(expire_time=now))

    async def delete(self, media_ids: Collection[str]) -> None:
        """Remove rows; missing ones are fine."""
        await self._session.execute(delete(MediaRow).where(MediaRow.media_id.in_(media_ids)))

    async def expired(
        self,
        before: datetime,
        *,
        limit: int,
        spared: CompoundSelect[str] | None = None,
        media_ids: Collection[str] | None = None,
    ) -> Sequence[MediaRow]:
        """Rows whose time was over before then, the oldest first; of these files and what was made of them alone."""
        statement = select(MediaRow).where(MediaRow.expire_time <= before)
        if spared is not None:
            statement = statement.where(MediaRow.media_id.not_in(spared))
        if media_ids is not None:
            statement = statement.where(or_(MediaRow.media_id.in_(media_ids), MediaRow.derived_from.in_(media_ids)))
        return (await self._session.scalars(statement.order_by(MediaRow.expire_time).limit(limit))).all()

    async def total_bytes(self, *, now: datetime) -> int:
        """Bytes of all files that have not expired."""
        return int(await self._session.scalar(select(func.sum(MediaRow.size_bytes)).where(_is_live(now))) or 0)

    async def derived_bytes(self, media_ids: Collection[str]) -> dict[str, int]:
        """Bytes of what was made of each of these files; those of which nothing was made are left out."""
        statement = select(MediaRow.derived_from, func.sum(MediaRow.size_bytes))
        statement = statement.where(MediaRow.derived_from.in_(media_ids)).group_by(MediaRow.derived_from)
        rows = await self._session.execute(statement)
        return {media_id: int(size_bytes) for media_id, size_bytes in rows if media_id is not None}

    async def oldest(
        self, *, created_before: datetime, now: datetime, limit: int, spared: CompoundSelect[str] | None = None
    ) -> Sequence[MediaRow]:
        """Files of their own that were made before then and have not expired, the oldest first."""
        statement = select(MediaRow).where(
            MediaRow.create_time < created_before,
            MediaRow.derived_from.is_(None),
            _is_live(now),
        )
        if spared is not None:
            statement = statement.where(MediaRow.media_id.not_in(spared))
        statement = statement.order_by(MediaRow.create_time, MediaRow.media_id).limit(limit)
        return (await self._session.scalars(statement)).all()

    async def known_keys(self, object_keys: Collection[str]) -> set[str]:
        """Those of these places that a row names, expired or not."""
        statement = select(MediaRow.object_key).where(MediaRow.object_key.in_(object_keys))
        return set(await self._session.scalars(statement))

    async def page(self, *, after_media_id: str, created_before: datetime, limit: int) -> Sequence[MediaRow]:
        """Rows that were made before then, by their ids."""
        statement = select(MediaRow).where(MediaRow.media_id > after_media_id, MediaRow.create_time < created_before)
        return (await self._session.scalars(statement.order_by(MediaRow.media_id).limit(limit))).all()


def _is_live(now: datetime) -> ColumnElement[bool]:
    return or_(MediaRow.expire_time.is_(None), MediaRow.expire_time > now)
