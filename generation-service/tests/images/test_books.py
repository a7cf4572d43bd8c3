"""What many pictures leave behind at the same time: the same as one by one, in far fewer transactions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.database import Database
from flow2api_common.errors import CapacityError
from flow2api_generation_service.catalog.catalog import load_catalog
from flow2api_generation_service.draining import DrainingTasks
from flow2api_generation_service.images.books import Closing, ImageBooks
from flow2api_generation_service.images.charges import PictureCharge, most_for
from flow2api_generation_service.images.request import ImageRequest, planned_request
from flow2api_generation_service.ledger.amounts import NO_BUDGET, Budget, Cost
from flow2api_generation_service.ledger.book import Placement
from flow2api_generation_service.ledger.models import LedgerDayRow, LedgerEntryRow
from flow2api_generation_service.ledger.states import EntryState, Fate
from flow2api_generation_service.media.models import MediaRow
from flow2api_generation_service.requestlog.models import DailyStatsRow, RequestLogRow
from flow2api_proto.generation.v1 import image_pb2

NOW = datetime(2026, 11, 23, 22, 30, tzinfo=UTC)
MODEL = "gemini-3.1-flash-image-square"
SPENT = Cost(0, 30_000)
COUNT = 20


class CountedDatabase:
    """The database, and how often it was written to."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.transactions = 0

    def transaction(self, *, read_only: bool = False) -> AbstractAsyncContextManager[AsyncSession]:
        self.transactions += 1
        return self._database.transaction(read_only=read_only)


@pytest.fixture
def counted(database: Database) -> CountedDatabase:
    return CountedDatabase(database)


@pytest.fixture
async def books(counted: CountedDatabase) -> AsyncIterator[ImageBooks]:
    async with DrainingTasks(timedelta(seconds=10)) as background:
        yield ImageBooks(database=counted, background=background, clock=lambda: NOW)  # type: ignore[arg-type] # its like


@cache
def request_of(api_key_id: str) -> ImageRequest:
    wanted = image_pb2.GenerateImageRequest(model_id=MODEL, prompt="a kite", api_key_id=api_key_id)
    return planned_request(wanted, [], load_catalog())


def closing_of(number: int, request: ImageRequest, *, is_made: bool) -> Closing:
    charge = PictureCharge(
        index=0,
        api_key_id=request.api_key_id,
        model_id=MODEL,
        cost=SPENT,
        fate=Fate.KEPT if is_made else Fate.GIVEN_BACK,
        reason="completed" if is_made else "upstream",
        placement=Placement(token_id=1, provider="gemini"),
        output_count=int(is_made),
    )
    return Closing(
        generation_id=f"image_{number}",
        model_id=MODEL,
        api_key_id=request.api_key_id,
        token_id=1,
        outcome="ok" if is_made else "UPSTREAM",
        made=int(is_made),
        failed=int(not is_made),
        started=NOW,
        key=None,
        results=[],
        charges=[charge],
        is_reserved=True,
    )


def file_of(number: int) -> MediaRow:
    return MediaRow(
        media_id=f"media_{number}",
        object_key=f"media/{number}.png",
        content_type="image/png",
        size_bytes=number,
        create_time=NOW,
        token_id=1 if number % 2 else None,
    )


async def test_generations_of_several_keys_are_reserved_and_closed_together(
    books: ImageBooks, counted: CountedDatabase, database: Database
) -> None:
    requests = [request_of(f"key_{number % 3}") for number in range(COUNT)]
    most = most_for(requests[0]).micros or 0
    await asyncio.gather(*(books.reserve(f"image_{number}", each, NO_BUDGET) for number, each in enumerate(requests)))
    assert counted.transactions <= 3
    await asyncio.gather(
        *(
            books.write(file_of(number) if number % 4 else None, closing_of(number, each, is_made=bool(number % 4)))
            for number, each in enumerate(requests)
        )
    )
    assert counted.transactions <= 6
    async with database.transaction(read_only=True) as session:
        states = dict(
            (await session.execute(select(LedgerEntryRow.state, func.count()).group_by(LedgerEntryRow.state))).all()
        )
        days = (await session.scalars(select(LedgerDayRow).order_by(LedgerDayRow.api_key_id))).all()
        files = await session.scalar(select(func.count()).select_from(MediaRow))
        logged = await session.scalar(select(func.count()).select_from(RequestLogRow))
        stats = (await session.scalars(select(DailyStatsRow))).one()
    made = [sum(1 for number in range(COUNT) if number % 3 == key and number % 4) for key in range(3)]
    asked = [sum(1 for number in range(COUNT) if number % 3 == key) for key in range(3)]
    assert states == {EntryState.SETTLED: 15, EntryState.RELEASED: 5}
    assert [(day.settled_micros, day.open_micros) for day in days] == [(count * SPENT.micros, 0) for count in made]
    assert [day.reserved_micros for day in days] == [count * most for count in asked]
    assert [day.reserved_micros - day.settled_micros for day in days] == [day.released_micros for day in days]
    assert (files, logged) == (15, COUNT)
    assert (stats.image_count, stats.image_error_count) == (15, 5)


async def test_of_many_at_once_those_pass_that_the_budget_holds(books: ImageBooks, database: Database) -> None:
    limited, free = request_of("limited"), request_of("free")
    most = most_for(limited).micros or 0
    results = await asyncio.gather(
        *(
            books.reserve(
                f"image_{number}", limited if number % 2 else free, Budget(micros=3 * most) if number % 2 else NO_BUDGET
            )
            for number in range(COUNT)
        ),
        return_exceptions=True,
    )
    refused = [each for each in results if each is not None]
    assert len(refused) == COUNT // 2 - 3
    assert all(isinstance(each, CapacityError) for each in refused)
    async with database.transaction(read_only=True) as session:
        days = (await session.scalars(select(LedgerDayRow).order_by(LedgerDayRow.api_key_id))).all()
        entries = await session.scalar(select(func.count()).select_from(LedgerEntryRow))
    assert [day.open_micros for day in days] == [COUNT // 2 * most, 3 * most]
    assert entries == COUNT // 2 + 3


async def test_what_was_written_already_is_written_once_more_without_harm(
    books: ImageBooks, database: Database
) -> None:
    """As when the answer to a commit is lost, and it is tried again beside others."""
    await books.write(file_of(1), None)
    await asyncio.gather(*(books.write(file_of(number), None) for number in range(4)))
    async with database.transaction(read_only=True) as session:
        assert await session.scalar(select(func.count()).select_from(MediaRow)) == 4
