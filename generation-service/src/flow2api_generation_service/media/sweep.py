"""Finds bytes that no row names, and rows whose bytes are gone.

Bytes are written before their row, in another process or transaction: a crash in between leaves them, and only a look
through the whole store finds them again. What is younger than a grace may still get its row.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import NotFound
from flow2api_common.logs import get_logger
from flow2api_common.media_store import MediaStore
from flow2api_generation_service.media.models import MediaRow
from flow2api_generation_service.media.repository import MediaRepository
from flow2api_generation_service.settings import MediaRetentionSettings

log = get_logger(__name__)

_PAGE: Final = 500
_SUSPICIOUS_SHARE: Final = 0.5
_SUSPICIOUS_COUNT: Final = 10


class MediaSweep:
    """Goes through the store and the table now and then. Any number of replicas may do so."""

    def __init__(
        self, *, database: Database, store: MediaStore, settings: MediaRetentionSettings, clock: Clock
    ) -> None:
        self._database = database
        self._store = store
        self._settings = settings
        self._clock = clock
        self._next_time: datetime | None = None

    async def run_when_due(self) -> None:
        """Sweep, if the interval is over. The first is an interval after the start, or replicas that are restarted
        would sweep all the time. Raises DependencyUnavailable."""
        now = self._clock()
        if self._next_time is None:
            self._next_time = now + self._settings.media_sweep_interval
        if now >= self._next_time:
            await self.run_once()
            self._next_time = now + self._settings.media_sweep_interval

    async def run_once(self) -> None:
        """Sweep. Raises DependencyUnavailable; the next sweep begins anew."""
        before = self._clock() - self._settings.media_orphan_grace
        orphans = await self._remove_orphans(before)
        missing = await self._remove_empty_rows(before)
        log.info("media_swept", orphan_count=orphans, missing_count=missing)

    async def _remove_orphans(self, before: datetime) -> int:
        removed = 0
        async for listed in self._store.pages(page_size=_PAGE):
            keys = [file.key for file in listed if file.modified_time < before]
            if not keys:
                continue
            async with self._database.transaction(read_only=True) as session:
                known = await MediaRepository(session).known_keys(keys)
            for key in keys:
                if key not in known:
                    await self._store.delete(key)
                    removed += 1
        return removed

    async def _remove_empty_rows(self, before: datetime) -> int:
        removed, after = 0, ""
        while rows := await self._page(after, before):
            after = rows[-1].media_id
            missing = [row.media_id for row in rows if not await self._has_bytes(row)]
            if len(missing) >= _SUSPICIOUS_COUNT and len(missing) > len(rows) * _SUSPICIOUS_SHARE:
                # More likely a folder that is not mounted, or another bucket, than so many lost files.
                log.error("media_store_misses_much", missing_count=len(missing), row_count=len(rows))
                return removed
            if missing:
                log.warning("media_bytes_missing", media_ids=missing[:20], missing_count=len(missing))
                async with self._database.transaction() as session:
                    await MediaRepository(session).delete(missing)
                removed += len(missing)
        return removed

    async def _page(self, after: str, before: datetime) -> list[MediaRow]:
        async with self._database.transaction(read_only=True) as session:
            return list(await MediaRepository(session).page(after_media_id=after, created_before=before, limit=_PAGE))

    async def _has_bytes(self, row: MediaRow) -> bool:
        try:
            await self._store.size(row.object_key)
        except NotFound:
            return False
        return True
