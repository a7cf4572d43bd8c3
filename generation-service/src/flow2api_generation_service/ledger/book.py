"""Every change of a ledger entry, each together with the row of its day.

All of it happens in the caller's transaction, so that an entry and the job that it is about say the same at all times.
Each change may be repeated: an entry that is closed stays as it is. Nothing here commits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock
from flow2api_common.logs import get_logger
from flow2api_generation_service.ledger.amounts import CURRENCY, NO_BUDGET, Budget, Cost
from flow2api_generation_service.ledger.days import LedgerDays, Standing, standing_of
from flow2api_generation_service.ledger.metrics import (
    BUDGET_REFUSALS_TOTAL,
    CREDITS_TOTAL,
    LATE_NEWS_TOTAL,
    MOVES_TOTAL,
)
from flow2api_generation_service.ledger.models import LedgerEntryRow
from flow2api_generation_service.ledger.states import CLOSED_STATES, MOVES, OPEN_STATES, EntryState

log = get_logger(__name__)

_MAX_REASON: Final = 64


@dataclass(frozen=True, slots=True)
class NewEntry:
    """A paid call that is about to be accepted, and the most that it can cost."""

    generation_id: str
    line: str
    operation: str
    api_key_id: str
    model_id: str
    cost: Cost


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a call was made. ``balance_after`` is what the account had left, as the upstream told it."""

    token_id: int | None = None
    provider: str | None = None
    upstream_model: str | None = None
    attempt_id: str | None = None
    balance_after: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A call that was not reserved, and how it stands. ``reason`` is a stable word."""

    entry: NewEntry
    state: EntryState
    reason: str
    placement: Placement = Placement()
    output_count: int = 0


class LedgerBook:
    """The entries, within one session."""

    def __init__(self, session: AsyncSession, *, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._days = LedgerDays(session)
        self._is_together = False

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Inside the block, changes are gathered, to be written at its end with few statements."""
        self._is_together = True
        self._days.gather()
        try:
            with self._session.no_autoflush:
                yield
                await self._session.flush()
                await self._days.write_gathered()
        finally:
            self._is_together = False

    async def reserve(self, entries: Sequence[NewEntry], budget: Budget = NO_BUDGET) -> None:
        """Accept the calls of one generation: all of them, or none.

        Raises CapacityError DAILY_BUDGET_EXHAUSTED when the key's budget does not hold them; the caller's transaction
        must not be committed then.
        """
        now = self._clock()
        total = Cost(
            sum(entry.cost.credits for entry in entries),
            sum(entry.cost.micros or 0 for entry in entries),
        )
        try:
            await self._days.reserve(entries[0].api_key_id, total, budget, now=now)
        except Exception:
            BUDGET_REFUSALS_TOTAL.inc()
            raise
        for entry in entries:
            self._session.add(self._row(entry, EntryState.RESERVED))
            _count(entry.operation, EntryState.RESERVED, entry.cost.credits)
        await self._flush()

    async def add(self, records: Sequence[Record]) -> None:
        """Write down calls that were not reserved, as they are now, in one statement; whatever the budget says."""
        rows = []
        for record in records:
            row = self._row(record.entry, record.state)
            if record.state is EntryState.RELEASED:
                _release_all(row)
            row.reason, row.output_count = record.reason[:_MAX_REASON], record.output_count
            _place(row, record.placement)
            rows.append(row)
            _count(row.operation, record.state, row.credits)
        self._session.add_all(rows)
        await self._flush()
        for row in rows:
            await self._days.add(row, Standing(), standing_of(row))

    async def entries(self, *generation_ids: str) -> Sequence[LedgerEntryRow]:
        """The entries of generations, locked until the transaction ends."""
        statement = (
            select(LedgerEntryRow)
            .where(LedgerEntryRow.generation_id.in_(generation_ids))
            .order_by(LedgerEntryRow.generation_id, LedgerEntryRow.line)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        return (await self._session.scalars(statement)).all()

    async def charge(self, row: LedgerEntryRow, placement: Placement, cost: Cost | None = None) -> bool:
        """The upstream has accepted the call; it takes ``cost``, or what was reserved."""
        if not self._may(row, EntryState.CHARGED):
            return False
        before = standing_of(row)
        if cost is not None:
            _reprice(row, cost)
        _place(row, placement)
        await self._enter(row, EntryState.CHARGED, before, reason="accepted")
        return True

    async def recount(self, row: LedgerEntryRow, cost: Cost) -> None:
        """The upstream has counted anew what an open entry takes: this, from now on."""
        if row.state not in {EntryState.CHARGED, EntryState.DISPUTED}:
            return
        before = standing_of(row)
        _reprice(row, cost)
        row.update_time = self._clock()
        await self._flush()
        await self._days.add(row, before, standing_of(row))

    async def settle(
        self,
        row: LedgerEntryRow,
        *,
        reason: str,
        cost: Cost | None = None,
        placement: Placement | None = None,
        output_count: int = 0,
    ) -> bool:
        """It is spent: ``cost``, or what the entry holds."""
        if not self._may(row, EntryState.SETTLED):
            return False
        before = standing_of(row)
        if cost is not None:
            _reprice(row, cost)
        if placement is not None:
            _place(row, placement)
        row.output_count = output_count
        await self._enter(row, EntryState.SETTLED, before, reason=reason)
        return True

    async def release(self, row: LedgerEntryRow, *, reason: str, placement: Placement | None = None) -> bool:
        """Nothing was taken, or it was given back."""
        if not self._may(row, EntryState.RELEASED):
            return False
        before = standing_of(row)
        if placement is not None:
            _place(row, placement)
        _release_all(row)
        await self._enter(row, EntryState.RELEASED, before, reason=reason)
        return True

    async def dispute(self, row: LedgerEntryRow, *, reason: str, placement: Placement | None = None) -> bool:
        """Nobody can tell whether it was taken: it counts as spent until somebody can."""
        if not self._may(row, EntryState.DISPUTED):
            return False
        if placement is not None:
            _place(row, placement)
        log.warning("ledger_entry_disputed", generation_id=row.generation_id, line=row.line, reason=reason)
        await self._enter(row, EntryState.DISPUTED, standing_of(row), reason=reason)
        return True

    def _may(self, row: LedgerEntryRow, target: EntryState) -> bool:
        if target in MOVES[EntryState(row.state)]:
            return True
        if row.state in CLOSED_STATES and target in CLOSED_STATES and row.state != target:
            LATE_NEWS_TOTAL.labels(row.operation).inc()
            log.warning(
                "ledger_entry_closed", generation_id=row.generation_id, line=row.line, state=row.state, told=target
            )
        return False

    async def _flush(self) -> None:
        if not self._is_together:
            await self._session.flush()

    async def _enter(self, row: LedgerEntryRow, state: EntryState, before: Standing, *, reason: str) -> None:
        row.state, row.reason, row.update_time = state, reason[:_MAX_REASON], self._clock()
        await self._flush()
        await self._days.add(row, before, standing_of(row))
        _count(row.operation, state, row.reserved_credits if state is EntryState.RELEASED else row.credits)

    def _row(self, entry: NewEntry, state: EntryState) -> LedgerEntryRow:
        now = self._clock()
        return LedgerEntryRow(
            generation_id=entry.generation_id,
            line=entry.line,
            operation=entry.operation,
            api_key_id=entry.api_key_id,
            day=now.astimezone(UTC).date(),
            model_id=entry.model_id,
            state=state,
            reason="",
            reserved_credits=entry.cost.credits,
            credits=entry.cost.credits,
            released_credits=0,
            reserved_micros=entry.cost.micros,
            micros=entry.cost.micros,
            released_micros=None if entry.cost.micros is None else 0,
            currency=None if entry.cost.micros is None else CURRENCY,
            output_count=0,
            create_time=now,
            update_time=now,
        )


def main_entry(rows: Collection[LedgerEntryRow], line: str, attempt_id: str | None = None) -> LedgerEntryRow | None:
    """The entry of a line: that of the attempt where it has one of its own, else the line's."""
    if attempt_id is not None:
        for row in rows:
            if row.attempt_id == attempt_id and row.line.startswith(f"{line}:") and row.state in OPEN_STATES:
                return row
    return next((row for row in rows if row.line == line), None)


def _reprice(row: LedgerEntryRow, cost: Cost) -> None:
    """Count ``cost`` from now on, and release the rest of the reservation; what costs more than that raises it."""
    row.reserved_credits = max(row.reserved_credits, cost.credits)
    row.credits = cost.credits
    row.released_credits = row.reserved_credits - cost.credits
    if cost.micros is None and row.reserved_micros is None:
        return
    # A route that costs no money gives back what was reserved for one that does.
    micros = cost.micros or 0
    row.reserved_micros = max(row.reserved_micros or 0, micros)
    row.micros = micros
    row.released_micros = row.reserved_micros - micros
    row.currency = CURRENCY


def _release_all(row: LedgerEntryRow) -> None:
    row.released_credits, row.credits = row.reserved_credits, 0
    if row.reserved_micros is not None:
        row.released_micros, row.micros = row.reserved_micros, 0


def _place(row: LedgerEntryRow, placement: Placement) -> None:
    row.token_id = placement.token_id
    row.provider = placement.provider
    row.upstream_model = placement.upstream_model
    row.attempt_id = placement.attempt_id
    row.balance_after = placement.balance_after


def _count(operation: str, state: EntryState, credit_count: int) -> None:
    MOVES_TOTAL.labels(operation, state).inc()
    if state in {EntryState.RESERVED, EntryState.SETTLED, EntryState.RELEASED} and credit_count:
        CREDITS_TOTAL.labels(operation, state).inc(credit_count)
