"""Ends what would otherwise be left: jobs past their deadline that no message brings to a worker any more.

Any number of replicas may sweep: each job is claimed.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import Flow2APIError
from flow2api_common.logs import get_logger
from flow2api_generation_service.image_jobs.repository import ImageJobRepository
from flow2api_generation_service.image_jobs.run import ImageJobRuns

log = get_logger(__name__)

_BATCH: Final = 100


class ImageJobSweeper:
    """Looks for abandoned jobs every now and then."""

    def __init__(self, *, database: Database, runs: ImageJobRuns, clock: Clock, interval: timedelta) -> None:
        self._database = database
        self._runs = runs
        self._clock = clock
        self._interval = interval

    async def run(self) -> None:
        """Sweep until cancelled. A store that is away is waited for."""
        while True:
            try:
                await self.sweep_once()
            except Flow2APIError as error:
                log.warning("image_job_sweep_waits", reason=error.reason)
            await asyncio.sleep(self._interval.total_seconds())

    async def sweep_once(self) -> int:
        """End every job that is abandoned now; answers how many."""
        async with self._database.transaction(read_only=True) as session:
            abandoned = await ImageJobRepository(session).abandoned(self._clock(), limit=_BATCH)
        for generation_id in abandoned:
            await self._runs.step(generation_id)
            log.warning("image_job_swept", generation_id=generation_id)
        return len(abandoned)
