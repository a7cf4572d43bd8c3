"""Writes counters from Redis to SQL, in batches, each once.

A generation counts in Redis, in the scripts that take and release its lease; SQL is not asked. A batch is taken out of
Redis under an id, stays there until SQL has it, and SQL refuses an id that it has had: killing this process at any
point neither loses nor doubles a count. Only what Redis itself loses (without persistence: the last seconds) is lost.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.ids import new_id
from flow2api_common.logs import get_logger
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.leases.records import StatsBatch
from flow2api_token_service.stats.counters import counters_of, store_counters, with_counted
from flow2api_token_service.stats.models import StatsBatchRow
from flow2api_token_service.tokens.repository import TokenRepository

log = get_logger(__name__)

_BATCH = 200
_MEMORY = timedelta(days=1)


class StatsFlush:
    """`run_round` is called again and again by the service's background loop, and once at its end."""

    def __init__(self, *, database: Database, index: PoolIndex, clock: Clock) -> None:
        self._database = database
        self._index = index
        self._clock = clock

    async def run_round(self) -> int:
        """Write everything that is there; gives the number of tokens. Raises DependencyUnavailable."""
        count = 0
        while batch := await self._index.take_stats(new_id("batch"), _BATCH):
            await self._write(batch, self._clock())
            await self._index.drop_stats(batch.batch_id)
            count += len(batch.counters)
        return count

    async def _write(self, batch: StatsBatch, now: datetime) -> None:
        try:
            async with self._database.transaction() as session:
                session.add(StatsBatchRow(batch_id=batch.batch_id, written_at=now))
                await session.flush()
                # In the order of their ids, as two replicas that lock rows in different orders could block each other.
                for row in await TokenRepository(session).lock_many(sorted(batch.counters)):
                    store_counters(row, with_counted(counters_of(row), batch.counters[row.id]))
                await session.execute(delete(StatsBatchRow).where(StatsBatchRow.written_at < now - _MEMORY))
        except IntegrityError:
            log.info("stats_batch_known", batch_id=batch.batch_id)
