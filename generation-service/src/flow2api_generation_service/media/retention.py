"""What has to go: files whose time is over, input pictures that nobody needs any more, the oldest where all take too
much."""

from __future__ import annotations

from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.logs import get_logger
from flow2api_generation_service.input_media import needed_input_media, spent_input_media
from flow2api_generation_service.media.repository import MediaRepository
from flow2api_generation_service.media.service import MediaService
from flow2api_generation_service.settings import MediaRetentionSettings

log = get_logger(__name__)

_AT_ONCE: Final = 200


class MediaRetention:
    """Lets files go. Any number of replicas may do so at the same time: they choose the same files."""

    def __init__(
        self, *, database: Database, media: MediaService, settings: MediaRetentionSettings, clock: Clock
    ) -> None:
        self._database = database
        self._media = media
        self._settings = settings
        self._clock = clock

    async def run_once(self) -> None:
        """Let go what has to. Raises DependencyUnavailable; what was left is found the next time."""
        await self._expire_spent_inputs()
        await self._expire_oldest()
        await self._remove_expired()

    async def _expire_spent_inputs(self) -> None:
        now = self._clock()
        while True:
            async with self._database.transaction() as session:
                spent = await spent_input_media(session, now=now, limit=_AT_ONCE)
                if not spent:
                    return
                await MediaRepository(session).expire(spent, now=now)

    async def _expire_oldest(self) -> None:
        limit = self._settings.media_max_total_bytes
        while limit is not None:
            async with self._database.transaction() as session:
                excess = await MediaRepository(session).total_bytes(now=self._clock()) - limit
                expired = await self._expire_some(session, excess) if excess > 0 else 0
            if not expired:
                return
            log.info("media_over_total_size", excess_bytes=excess, file_count=expired)

    async def _expire_some(self, session: AsyncSession, excess_bytes: int) -> int:
        now = self._clock()
        repository = MediaRepository(session)
        oldest = await repository.oldest(
            created_before=now - self._settings.media_size_grace,
            now=now,
            limit=_AT_ONCE,
            spared=needed_input_media(),
        )
        derived = await repository.derived_bytes([row.media_id for row in oldest])
        chosen: list[str] = []
        for row in oldest:
            if excess_bytes <= 0:
                break
            chosen.append(row.media_id)
            excess_bytes -= row.size_bytes + derived.get(row.media_id, 0)
        await repository.expire(chosen, now=now)
        return len(chosen)

    async def _remove_expired(self) -> None:
        while True:
            async with self._database.transaction(read_only=True) as session:
                rows = await MediaRepository(session).expired(
                    self._clock(), limit=_AT_ONCE, spared=needed_input_media()
                )
            if not rows:
                return
            await self._media.remove(rows)
            log.info("media_expired", file_count=len(rows))
