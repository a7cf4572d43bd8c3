"""What a key has spent on a day: the row that every reservation passes, and that follows every change of an entry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, and_, update
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.errors import CapacityError
from flow2api_generation_service.ledger.amounts import NO_BUDGET, Budget, Cost
from flow2api_generation_service.ledger.models import LedgerDayRow, LedgerEntryRow
from flow2api_generation_service.ledger.states import EntryState
from flow2api_generation_service.upserts import insert_into

DAILY_BUDGET_EXHAUSTED = "DAILY_BUDGET_EXHAUSTED"


@dataclass(frozen=True, slots=True)
class Standing:
    """How an entry counts in the row of its day."""

    reserved_credits: int = 0
    open_credits: int = 0
    settled_credits: int = 0
    released_credits: int = 0
    reserved_micros: int = 0
    open_micros: int = 0
    settled_micros: int = 0
    released_micros: int = 0


def standing_of(row: LedgerEntryRow) -> Standing:
    """How it counts as it is now."""
    is_settled = row.state == EntryState.SETTLED
    micros = row.micros or 0
    return Standing(
        reserved_credits=row.reserved_credits,
        open_credits=0 if is_settled else row.credits,
        settled_credits=row.credits if is_settled else 0,
        released_credits=row.released_credits,
        reserved_micros=row.reserved_micros or 0,
        open_micros=0 if is_settled else micros,
        settled_micros=micros if is_settled else 0,
        released_micros=row.released_micros or 0,
    )


class LedgerDays:
    """Changes the rows within one session; never commits."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._gathered: dict[tuple[str, date], Counter[str]] | None = None

    def gather(self) -> None:
        """Keep changes that no budget decides about until `write_gathered`."""
        self._gathered = {}

    async def write_gathered(self) -> None:
        """Write the sums, each row once and all in the same order everywhere, so that replicas do not lock each other
        out."""
        gathered, self._gathered = self._gathered or {}, None
        for (api_key_id, day), changes in sorted(gathered.items(), key=lambda each: each[0]):
            await self._change(api_key_id, day, {name: change for name, change in changes.items() if change})

    async def reserve(self, api_key_id: str, cost: Cost, budget: Budget, *, now: datetime) -> None:
        """Take this much out of the key's day, if its budget still holds it. One statement: replicas cannot both pass.

        Raises CapacityError DAILY_BUDGET_EXHAUSTED; then nothing has changed.
        """
        if cost.is_free:
            return
        micros = cost.micros or 0
        day = now.astimezone(UTC).date()
        if self._gathered is not None and budget == NO_BUDGET:
            await self._change(
                api_key_id,
                day,
                {
                    "reserved_credits": cost.credits,
                    "open_credits": cost.credits,
                    "reserved_micros": micros,
                    "open_micros": micros,
                },
            )
            return
        statement = insert_into(self._session, LedgerDayRow).values(
            api_key_id=api_key_id,
            day=day,
            reserved_credits=cost.credits,
            open_credits=cost.credits,
            reserved_micros=micros,
            open_micros=micros,
        )
        guards = []
        if budget.credits is not None and cost.credits:
            spent = LedgerDayRow.open_credits + LedgerDayRow.settled_credits
            guards.append(spent + cost.credits <= budget.credits)
        if budget.micros is not None and micros:
            spent = LedgerDayRow.open_micros + LedgerDayRow.settled_micros
            guards.append(spent + micros <= budget.micros)
        upsert = statement.on_conflict_do_update(
            index_elements=[LedgerDayRow.api_key_id, LedgerDayRow.day],
            set_={
                "reserved_credits": LedgerDayRow.reserved_credits + cost.credits,
                "open_credits": LedgerDayRow.open_credits + cost.credits,
                "reserved_micros": LedgerDayRow.reserved_micros + micros,
                "open_micros": LedgerDayRow.open_micros + micros,
            },
            where=and_(*guards) if guards else None,
        )
        # The first row of a day meets no other that its guard could look at.
        if not _fits(cost, budget):
            raise _exhausted(now)
        result = cast("CursorResult[Any]", await self._session.execute(upsert))
        if result.rowcount != 1:
            raise _exhausted(now)

    async def add(self, row: LedgerEntryRow, before: Standing, after: Standing) -> None:
        """Follow a change of an entry, also a first one; whatever the budget says, because it has happened."""
        changes = {
            name: getattr(after, name) - getattr(before, name)
            for name in Standing.__dataclass_fields__
            if getattr(after, name) != getattr(before, name)
        }
        await self._change(row.api_key_id, row.day, changes)

    async def _change(self, api_key_id: str, day: date, changes: Mapping[str, int]) -> None:
        if not changes:
            return
        if self._gathered is not None:
            self._gathered.setdefault((api_key_id, day), Counter()).update(changes)
        elif not await self._update(api_key_id, day, changes):
            zeros = dict.fromkeys(Standing.__dataclass_fields__, 0)
            empty = insert_into(self._session, LedgerDayRow).values(api_key_id=api_key_id, day=day, **zeros)
            await self._session.execute(empty.on_conflict_do_nothing())
            await self._update(api_key_id, day, changes)

    async def _update(self, api_key_id: str, day: date, changes: Mapping[str, int]) -> bool:
        statement = (
            update(LedgerDayRow)
            .where(LedgerDayRow.api_key_id == api_key_id, LedgerDayRow.day == day)
            .values({name: getattr(LedgerDayRow, name) + change for name, change in changes.items()})
            .execution_options(synchronize_session=False)
        )
        return cast("CursorResult[Any]", await self._session.execute(statement)).rowcount == 1


def until_next_day(now: datetime) -> timedelta:
    """How long the UTC day of a time still lasts."""
    midnight = datetime.combine(_next_day(now), datetime.min.time(), UTC)
    return midnight - now


def _next_day(now: datetime) -> date:
    return now.astimezone(UTC).date() + timedelta(days=1)


def _fits(cost: Cost, budget: Budget) -> bool:
    if budget.credits is not None and cost.credits > budget.credits:
        return False
    return budget.micros is None or (cost.micros or 0) <= budget.micros


def _exhausted(now: datetime) -> CapacityError:
    return CapacityError(
        "The daily budget of this API key does not hold this generation. It begins anew at midnight UTC.",
        reason=DAILY_BUDGET_EXHAUSTED,
        retry_after=until_next_day(now),
    )
