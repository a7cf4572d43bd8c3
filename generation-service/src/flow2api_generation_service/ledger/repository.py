"""The queries of the ledger that read, and those that make room."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Select, and_, case, delete, func, literal, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_generation_service.ledger.models import LedgerDayRow, LedgerEntryRow, LedgerSumRow
from flow2api_generation_service.ledger.states import CLOSED_STATES, OPEN_STATES, EntryState
from flow2api_generation_service.upserts import insert_into

MOST_ROWS: Final = 10_000
DIMENSIONS: Final = ("day", "api_key_id", "token_id", "model_id", "operation", "provider")
SUMS: Final = (
    "entry_count",
    "settled_count",
    "output_count",
    "reserved_credits",
    "open_credits",
    "disputed_credits",
    "settled_credits",
    "released_credits",
    "reserved_micros",
    "open_micros",
    "disputed_micros",
    "settled_micros",
    "released_micros",
)


@dataclass(frozen=True, slots=True)
class LedgerFilter:
    """Which entries are meant; None and empty leave the choice open."""

    api_key_id: str = ""
    token_id: int = 0
    model_id: str = ""
    first_day: date | None = None
    last_day: date | None = None


@dataclass(frozen=True, slots=True)
class EntryCursor:
    """The last entry of a page."""

    create_time: datetime
    generation_id: str
    line: str


class LedgerRepository:
    """Reads the ledger within one session, and removes what is old; never commits."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def page(
        self,
        wanted: LedgerFilter,
        *,
        limit: int,
        generation_id: str = "",
        states: Collection[EntryState] = (),
        after: EntryCursor | None = None,
    ) -> Sequence[LedgerEntryRow]:
        """Entries, newest first, that come after the cursor."""
        order = (LedgerEntryRow.create_time, LedgerEntryRow.generation_id, LedgerEntryRow.line)
        statement = _filtered(select(LedgerEntryRow), LedgerEntryRow, wanted)
        if generation_id:
            statement = statement.where(LedgerEntryRow.generation_id == generation_id)
        if states:
            statement = statement.where(LedgerEntryRow.state.in_(states))
        if after is not None:
            cursor = tuple_(after.create_time, after.generation_id, after.line)
            statement = statement.where(tuple_(*order) < cursor)
        statement = statement.order_by(*(column.desc() for column in order)).limit(limit)
        return (await self._session.scalars(statement)).all()

    async def usage(self, wanted: LedgerFilter, group_by: Collection[str]) -> Sequence[Mapping[str, Any]]:
        """Sums of entries, those that have been removed included: rows with the names of ``group_by`` and ``SUMS``."""
        parts = union_all(_entry_sums(wanted), _kept_sums(wanted)).subquery()
        dimensions = [parts.c[name] for name in DIMENSIONS if name in group_by]
        statement = select(*dimensions, *(func.coalesce(func.sum(parts.c[name]), 0).label(name) for name in SUMS))
        if dimensions:
            statement = statement.group_by(*dimensions).order_by(*dimensions)
        rows = await self._session.execute(statement.limit(MOST_ROWS))
        return [dict(row) for row in rows.mappings()]

    async def left_open(self, before: datetime, *, operation: str, limit: int) -> Sequence[LedgerEntryRow]:
        """Entries that were reserved or charged before that time and have not been decided since."""
        statement = select(LedgerEntryRow).where(
            LedgerEntryRow.state.in_((EntryState.RESERVED, EntryState.CHARGED)),
            LedgerEntryRow.update_time < before,
            LedgerEntryRow.operation == operation,
        )
        return (await self._session.scalars(statement.order_by(LedgerEntryRow.update_time).limit(limit))).all()

    async def disputed_before(self, before: datetime, *, limit: int) -> Sequence[LedgerEntryRow]:
        """Entries that have been in dispute since before that time."""
        statement = select(LedgerEntryRow).where(
            LedgerEntryRow.state == EntryState.DISPUTED, LedgerEntryRow.update_time < before
        )
        return (await self._session.scalars(statement.order_by(LedgerEntryRow.update_time).limit(limit))).all()

    async def first_closed_day(self, before: date) -> date | None:
        """The oldest day before that one which still has entries that are closed."""
        statement = select(func.min(LedgerEntryRow.day)).where(
            LedgerEntryRow.day < before, LedgerEntryRow.state.in_(CLOSED_STATES)
        )
        return await self._session.scalar(statement)

    async def sum_up(self, day: date) -> None:
        """Replace the closed entries of a day by their sums."""
        closed = and_(LedgerEntryRow.day == day, LedgerEntryRow.state.in_(CLOSED_STATES))
        is_settled = LedgerEntryRow.state == EntryState.SETTLED
        columns = {
            "day": LedgerEntryRow.day,
            "api_key_id": LedgerEntryRow.api_key_id,
            "model_id": LedgerEntryRow.model_id,
            "operation": LedgerEntryRow.operation,
            "provider": func.coalesce(LedgerEntryRow.provider, ""),
            "token_id": func.coalesce(LedgerEntryRow.token_id, 0),
        }
        sums = {
            "entry_count": func.count(),
            "settled_count": func.sum(case((is_settled, 1), else_=0)),
            "output_count": func.sum(LedgerEntryRow.output_count),
            "reserved_credits": func.sum(LedgerEntryRow.reserved_credits),
            "settled_credits": func.sum(LedgerEntryRow.credits),
            "released_credits": func.sum(LedgerEntryRow.released_credits),
            "reserved_micros": func.sum(func.coalesce(LedgerEntryRow.reserved_micros, 0)),
            "settled_micros": func.sum(func.coalesce(LedgerEntryRow.micros, 0)),
            "released_micros": func.sum(func.coalesce(LedgerEntryRow.released_micros, 0)),
        }
        rows = await self._session.execute(
            select(*(value.label(name) for name, value in (columns | sums).items()))
            .where(closed)
            .group_by(*columns.values())
        )
        for row in rows.mappings().all():
            insert = insert_into(self._session, LedgerSumRow).values(**row)
            await self._session.execute(
                insert.on_conflict_do_update(
                    index_elements=list(columns),
                    set_={name: getattr(LedgerSumRow, name) + insert.excluded[name] for name in sums},
                )
            )
        await self._session.execute(delete(LedgerEntryRow).where(closed))

    async def delete_days_before(self, day: date) -> None:
        """Remove the sums of older days, and the rows of their budgets where nothing is open any more."""
        await self._session.execute(delete(LedgerSumRow).where(LedgerSumRow.day < day))
        await self._session.execute(
            delete(LedgerDayRow).where(
                LedgerDayRow.day < day, LedgerDayRow.open_credits == 0, LedgerDayRow.open_micros == 0
            )
        )

    async def open_by_state(self) -> dict[str, tuple[int, int]]:
        """How many entries are open, and their credits, by state."""
        statement = (
            select(LedgerEntryRow.state, func.count(), func.sum(LedgerEntryRow.credits))
            .where(LedgerEntryRow.state.in_(OPEN_STATES))
            .group_by(LedgerEntryRow.state)
        )
        return {state: (count, int(total)) for state, count, total in await self._session.execute(statement)}


def _entry_sums(wanted: LedgerFilter) -> Select[Any]:
    row = LedgerEntryRow
    micros = func.coalesce(row.micros, 0)
    is_settled, is_disputed = row.state == EntryState.SETTLED, row.state == EntryState.DISPUTED
    is_open = row.state.in_(OPEN_STATES)
    columns: list[Any] = [
        row.day,
        row.api_key_id,
        func.coalesce(row.token_id, 0).label("token_id"),
        row.model_id,
        row.operation,
        func.coalesce(row.provider, "").label("provider"),
        literal(1).label("entry_count"),
        case((is_settled, 1), else_=0).label("settled_count"),
        row.output_count,
        row.reserved_credits,
        case((is_open, row.credits), else_=0).label("open_credits"),
        case((is_disputed, row.credits), else_=0).label("disputed_credits"),
        case((is_settled, row.credits), else_=0).label("settled_credits"),
        row.released_credits,
        func.coalesce(row.reserved_micros, 0).label("reserved_micros"),
        case((is_open, micros), else_=0).label("open_micros"),
        case((is_disputed, micros), else_=0).label("disputed_micros"),
        case((is_settled, micros), else_=0).label("settled_micros"),
        func.coalesce(row.released_micros, 0).label("released_micros"),
    ]
    return _filtered(select(*columns), row, wanted)


def _kept_sums(wanted: LedgerFilter) -> Select[Any]:
    row = LedgerSumRow
    columns: list[Any] = [
        row.day,
        row.api_key_id,
        row.token_id,
        row.model_id,
        row.operation,
        row.provider,
        row.entry_count,
        row.settled_count,
        row.output_count,
        row.reserved_credits,
        literal(0).label("open_credits"),
        literal(0).label("disputed_credits"),
        row.settled_credits,
        row.released_credits,
        row.reserved_micros,
        literal(0).label("open_micros"),
        literal(0).label("disputed_micros"),
        row.settled_micros,
        row.released_micros,
    ]
    return _filtered(select(*columns), row, wanted)


def _filtered(
    statement: Select[Any], row: type[LedgerEntryRow] | type[LedgerSumRow], wanted: LedgerFilter
) -> Select[Any]:
    if wanted.api_key_id:
        statement = statement.where(row.api_key_id == wanted.api_key_id)
    if wanted.token_id:
        statement = statement.where(row.token_id == wanted.token_id)
    if wanted.model_id:
        statement = statement.where(row.model_id == wanted.model_id)
    if wanted.first_day is not None:
        statement = statement.where(row.day >= wanted.first_day)
    if wanted.last_day is not None:
        statement = statement.where(row.day <= wanted.last_day)
    return statement
