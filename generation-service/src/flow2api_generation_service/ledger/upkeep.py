"""What time does to the ledger: what was left behind becomes disputed, disputes end, old entries become sums.

Any number of replicas may do it; each step is one transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.logs import get_logger
from flow2api_generation_service.ledger.book import LedgerBook
from flow2api_generation_service.ledger.models import LedgerEntryRow
from flow2api_generation_service.ledger.repository import LedgerRepository
from flow2api_generation_service.ledger.settings import LedgerSettings
from flow2api_generation_service.ledger.states import OPEN_STATES

log = get_logger(__name__)

OPEN_ENTRIES: Final = Gauge("flow2api_ledger_open_entries", "Ledger entries not decided yet, by state", ["state"])
OPEN_CREDITS: Final = Gauge(
    "flow2api_ledger_open_credits", "Credits not decided yet, by state of their entry", ["state"]
)

_BATCH: Final = 200
_LEFT_BEHIND: Final = timedelta(hours=1)
"""Longer than any picture takes, and than an upstream's last report about a video is late."""


UnfinishedJobs = Callable[[AsyncSession, Collection[str]], Awaitable[set[str]]]
"""Tells which of these generations are jobs that have not ended."""


class LedgerUpkeep:
    """`run_once` is called every now and then."""

    def __init__(
        self, *, database: Database, settings: LedgerSettings, unfinished: UnfinishedJobs, clock: Clock
    ) -> None:
        self._database = database
        self._settings = settings
        self._unfinished = unfinished
        self._clock = clock

    async def run_once(self) -> None:
        """Do everything that is due. Raises DependencyUnavailable."""
        now = self._clock()
        await self._dispute_what_was_left(now)
        await self._settle_old_disputes(now)
        await self._sum_up(now)
        async with self._database.transaction(read_only=True) as session:
            by_state = await LedgerRepository(session).open_by_state()
        for state in OPEN_STATES:
            count, credit_count = by_state.get(state, (0, 0))
            OPEN_ENTRIES.labels(state).set(count)
            OPEN_CREDITS.labels(state).set(credit_count)

    async def _dispute_what_was_left(self, now: datetime) -> None:
        before = now - _LEFT_BEHIND
        async with self._database.transaction() as session:
            repository = LedgerRepository(session)
            found = list(await repository.left_open(before, operation="image", limit=_BATCH))
            found += await repository.left_open(before, operation="video", limit=_BATCH)
            running = await self._unfinished(session, {row.generation_id for row in found})
            left = [row for row in found if row.generation_id not in running]
            await self._move(session, left, is_disputed=True)

    async def _settle_old_disputes(self, now: datetime) -> None:
        while True:
            async with self._database.transaction() as session:
                old = await LedgerRepository(session).disputed_before(
                    now - self._settings.ledger_dispute_period, limit=_BATCH
                )
                await self._move(session, old, is_disputed=False)
            if len(old) < _BATCH:
                return

    async def _move(self, session: AsyncSession, rows: Sequence[LedgerEntryRow], *, is_disputed: bool) -> None:
        book = LedgerBook(session, clock=self._clock)
        for generation_id, line in sorted((row.generation_id, row.line) for row in rows):
            for row in await book.entries(generation_id):
                if row.line != line:
                    continue
                if is_disputed:
                    await book.dispute(row, reason="left_behind")
                else:
                    await book.settle(row, reason="dispute_period_over")

    async def _sum_up(self, now: datetime) -> None:
        oldest = (now - self._settings.ledger_entry_retention).astimezone(UTC).date()
        while True:
            async with self._database.transaction() as session:
                repository = LedgerRepository(session)
                day = await repository.first_closed_day(oldest)
                if day is None:
                    break
                await repository.sum_up(day)
            log.info("ledger_day_summed_up", day=day.isoformat())
        async with self._database.transaction() as session:
            last = (now - self._settings.ledger_day_retention).astimezone(UTC).date()
            await LedgerRepository(session).delete_days_before(last)
