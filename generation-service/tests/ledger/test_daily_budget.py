"""The budget of an API key: exact, whoever reserves at the same time; on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from flow2api_common.database import Database
from flow2api_common.errors import CapacityError
from flow2api_generation_service.ledger.amounts import NO_BUDGET, Budget, Cost
from flow2api_generation_service.ledger.book import LedgerBook, NewEntry
from flow2api_generation_service.ledger.models import LedgerDayRow, LedgerEntryRow

NOW = datetime(2026, 11, 23, 22, 30, tzinfo=UTC)


def entry(number: int, cost: Cost, api_key_id: str = "key_1") -> NewEntry:
    return NewEntry(f"video_{number}", "generate", "video", api_key_id, "omni", cost)


async def reserve(
    database: Database, number: int, cost: Cost, budget: Budget, *, api_key_id: str = "key_1", now: datetime = NOW
) -> bool:
    try:
        async with database.transaction() as session:
            await LedgerBook(session, clock=lambda: now).reserve([entry(number, cost, api_key_id)], budget)
    except CapacityError:
        return False
    return True


async def close(database: Database, number: int, *, is_kept: bool, cost: Cost | None = None) -> None:
    async with database.transaction() as session:
        book = LedgerBook(session, clock=lambda: NOW)
        (row,) = await book.entries(f"video_{number}")
        await (book.settle(row, reason="x", cost=cost) if is_kept else book.release(row, reason="x"))


async def test_of_many_at_once_exactly_those_pass_that_fit(database: Database) -> None:
    budget = Budget(credits=150)
    passed = await asyncio.gather(*(reserve(database, number, Cost(20), budget) for number in range(24)))
    assert sum(passed) == 7
    async with database.transaction(read_only=True) as session:
        (day,) = (await session.scalars(select(LedgerDayRow))).all()
        entries = (await session.scalars(select(LedgerEntryRow))).all()
    assert (day.reserved_credits, day.open_credits, day.settled_credits) == (140, 140, 0)
    assert len(entries) == 7


async def test_the_refusal_says_when_the_day_ends(database: Database) -> None:
    with pytest.raises(CapacityError) as refused:
        async with database.transaction() as session:
            await LedgerBook(session, clock=lambda: NOW).reserve([entry(1, Cost(20))], Budget(credits=19))
    assert refused.value.reason == "DAILY_BUDGET_EXHAUSTED"
    assert refused.value.retry_after == timedelta(minutes=90)


async def test_what_is_released_can_be_spent_again(database: Database) -> None:
    assert await reserve(database, 1, Cost(20), Budget(credits=30))
    assert not await reserve(database, 2, Cost(20), Budget(credits=30))
    await close(database, 1, is_kept=False)
    assert await reserve(database, 2, Cost(20), Budget(credits=30))


async def test_what_was_cheaper_than_reserved_leaves_room(database: Database) -> None:
    assert await reserve(database, 1, Cost(20), Budget(credits=30))
    await close(database, 1, is_kept=True, cost=Cost(10))
    assert await reserve(database, 2, Cost(20), Budget(credits=30))
    assert not await reserve(database, 3, Cost(1), Budget(credits=30))


async def test_each_key_and_each_day_has_a_budget_of_its_own(database: Database) -> None:
    budget = Budget(credits=20)
    assert await reserve(database, 1, Cost(20), budget)
    assert await reserve(database, 2, Cost(20), budget, api_key_id="key_2")
    assert await reserve(database, 3, Cost(20), budget, now=NOW + timedelta(minutes=90))
    assert not await reserve(database, 4, Cost(20), budget)


async def test_what_is_free_is_never_refused(database: Database) -> None:
    assert await reserve(database, 1, Cost(20), Budget(credits=20))
    assert await reserve(database, 2, Cost(0), Budget(credits=20))


async def test_a_budget_in_money_holds_beside_one_in_credits(database: Database) -> None:
    budget = Budget(credits=100, micros=1_000_000)
    assert await reserve(database, 1, Cost(0, 600_000), budget)
    assert not await reserve(database, 2, Cost(0, 600_000), budget)
    assert await reserve(database, 3, Cost(100), budget)
    assert not await reserve(database, 4, Cost(1), budget)


async def test_without_a_budget_everything_passes_and_is_counted(database: Database) -> None:
    assert all(await asyncio.gather(*(reserve(database, number, Cost(500), NO_BUDGET) for number in range(8))))
    async with database.transaction(read_only=True) as session:
        (day,) = (await session.scalars(select(LedgerDayRow))).all()
    assert day.open_credits == 4000


async def test_what_costs_more_than_reserved_is_written_down_all_the_same(database: Database) -> None:
    assert await reserve(database, 1, Cost(20), Budget(credits=20))
    await close(database, 1, is_kept=True, cost=Cost(30))
    async with database.transaction(read_only=True) as session:
        (day,) = (await session.scalars(select(LedgerDayRow))).all()
    assert (day.reserved_credits, day.settled_credits, day.released_credits) == (30, 30, 0)
