"""Removing what has had its time: files, log entries, idempotency keys, delivered webhooks."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import Flow2APIError
from flow2api_common.logs import get_logger
from flow2api_generation_service.attempts.repository import AttemptRepository
from flow2api_generation_service.image_jobs.repository import ImageJobRepository
from flow2api_generation_service.images.idempotency import IdempotencyKeys
from flow2api_generation_service.ledger.upkeep import LedgerUpkeep
from flow2api_generation_service.media.retention import MediaRetention
from flow2api_generation_service.media.sweep import MediaSweep
from flow2api_generation_service.requestlog.repository import RequestLogRepository
from flow2api_generation_service.settings import MediaRetentionSettings
from flow2api_generation_service.webhooks.ledger import WebhookLedger

log = get_logger(__name__)

_AT_ONCE: Final = 500


class Cleanup:
    """Looks now and then for what has expired. Any number of replicas may do so."""

    def __init__(
        self,
        *,
        database: Database,
        retention: MediaRetention,
        sweep: MediaSweep,
        keys: IdempotencyKeys,
        image_job_retention: timedelta,
        ledger: LedgerUpkeep,
        webhooks: WebhookLedger,
        settings: MediaRetentionSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._retention = retention
        self._sweep = sweep
        self._keys = keys
        self._image_job_retention = image_job_retention
        self._ledger = ledger
        self._webhooks = webhooks
        self._settings = settings
        self._clock = clock

    async def run(self) -> None:
        """Clean up until cancelled; a store that is away is waited for."""
        while True:
            try:
                await self.clean()
            except Flow2APIError as error:
                log.warning("cleanup_waits", reason=error.reason, message=error.message)
            await asyncio.sleep(self._settings.cleanup_interval.total_seconds())

    async def clean(self) -> None:
        """Remove everything that has expired. Raises DependencyUnavailable."""
        await self._retention.run_once()
        await self._sweep.run_when_due()
        async with self._database.transaction() as session:
            oldest = self._clock() - self._settings.request_log_retention
            await RequestLogRepository(session).delete_before(oldest)
            await AttemptRepository(session).delete_before(oldest)
        await self._keys.delete_expired()
        await self._delete_image_jobs()
        await self._ledger.run_once()
        await self._webhooks.delete_expired()

    async def _delete_image_jobs(self) -> None:
        deleted = _AT_ONCE
        while deleted == _AT_ONCE:
            async with self._database.transaction() as session:
                oldest = self._clock() - self._image_job_retention
                deleted = await ImageJobRepository(session).delete_ended_before(oldest, limit=_AT_ONCE)
