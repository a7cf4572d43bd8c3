"""The queries of learned durations."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_generation_service.durations.models import VideoDurationRow
from flow2api_generation_service.durations.sketch import NOTHING_LEARNED, DurationSketch
from flow2api_generation_service.upserts import add_if_absent


class DurationRepository:
    """Reads and writes sketches, within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, series: str) -> DurationSketch:
        """What was learned of a series; an empty sketch when nothing was."""
        row = await self._session.get(VideoDurationRow, series)
        return _sketch_of(row)

    async def lock(self, series: str, *, now: datetime) -> DurationSketch:
        """The same, for changing it: until the transaction ends nobody else does."""
        await add_if_absent(self._session, VideoDurationRow(series=series, weights=[], clip_count=0, update_time=now))
        statement = select(VideoDurationRow).where(VideoDurationRow.series == series).with_for_update()
        return _sketch_of(await self._session.scalar(statement))

    async def save(self, series: str, sketch: DurationSketch, *, now: datetime) -> None:
        """Keep a sketch that was locked before."""
        row = await self._session.get_one(VideoDurationRow, series)
        row.weights = [(bucket, round(weight, 6)) for bucket, weight in sorted(sketch.weights.items())]
        row.clip_count = sketch.clip_count
        row.update_time = now
        await self._session.flush()


def _sketch_of(row: VideoDurationRow | None) -> DurationSketch:
    return DurationSketch(dict(row.weights), row.clip_count) if row is not None else NOTHING_LEARNED
