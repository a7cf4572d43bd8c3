"""Reading the ledger, and what time does to it; on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from flow2api_common.database import Database
from flow2api_common.errors import FailedPrecondition, InvalidArgument, NotFound
from flow2api_common.settings import load_settings
from flow2api_generation_service.ledger.amounts import Cost
from flow2api_generation_service.ledger.book import LedgerBook, NewEntry, Placement
from flow2api_generation_service.ledger.models import LedgerDayRow, LedgerEntryRow
from flow2api_generation_service.ledger.reading import Ledger
from flow2api_generation_service.ledger.settings import LedgerSettings
from flow2api_generation_service.ledger.upkeep import LedgerUpkeep
from flow2api_proto.generation.v1 import ledger_pb2 as pb

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class Books:
    """Writes entries at any time."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = NOW
        self.running: set[str] = set()
        self.ledger = Ledger(database=database, clock=self.clock)
        self.upkeep = LedgerUpkeep(
            database=database, settings=load_settings(LedgerSettings), unfinished=self.unfinished, clock=self.clock
        )

    def clock(self) -> datetime:
        return self.now

    async def unfinished(self, _session: Any, video_ids: Collection[str]) -> set[str]:
        return self.running & set(video_ids)

    async def write(
        self, name: str, state: str, *, key: str = "key_1", token_id: int = 3, credit_count: int = 20
    ) -> None:
        async with self.database.transaction() as session:
            book = LedgerBook(session, clock=self.clock)
            await book.reserve([NewEntry(name, "generate", "video", key, "omni", Cost(credit_count))])
            (row,) = await book.entries(name)
            if state != "reserved":
                await book.charge(row, Placement(token_id, "flow", "abra", "a", 900))
            if state == "settled":
                await book.settle(row, reason="completed", output_count=1)
            elif state == "released":
                await book.release(row, reason="filtered")
            elif state == "disputed":
                await book.dispute(row, reason="expired")

    async def state(self, name: str) -> tuple[str, str]:
        (entry,) = (await self.ledger.page(pb.ListLedgerEntriesRequest(generation_id=name))).entries
        return pb.LedgerState.Name(entry.state).removeprefix("LEDGER_STATE_").lower(), entry.reason

    async def usage(self, *group_by: str, **fields: Any) -> list[pb.UsageRow]:
        dimensions = [pb.UsageDimension.Value(f"USAGE_DIMENSION_{name}") for name in group_by]
        request = pb.GetUsageRequest(filter=pb.LedgerFilter(**fields), group_by=dimensions)
        return list((await self.ledger.usage(request)).rows)


@pytest.fixture
def books(database: Database) -> Books:
    return Books(database)


async def test_usage_is_summed_up_by_what_is_asked_for(books: Books) -> None:
    await books.write("video_1", "settled")
    await books.write("video_2", "released")
    await books.write("video_3", "disputed", token_id=4)
    await books.write("video_4", "reserved", key="key_2")
    (everything,) = await books.usage()
    assert everything.reserved_credits == 80
    assert (everything.open_credits, everything.settled_credits, everything.released_credits) == (40, 20, 20)
    assert (everything.disputed_credits, everything.entry_count, everything.output_count) == (20, 4, 1)

    by_key = {row.api_key_id: row.reserved_credits for row in await books.usage("API_KEY")}
    assert by_key == {"key_1": 60, "key_2": 20}
    by_token = {(row.day, row.token_id): row.entry_count for row in await books.usage("DAY", "TOKEN")}
    assert by_token == {("2026-11-23", 0): 1, ("2026-11-23", 3): 2, ("2026-11-23", 4): 1}
    assert [row.entry_count for row in await books.usage(token_id=3)] == [2]
    assert [row.entry_count for row in await books.usage(first_day="2026-11-24")] == [0]


async def test_pages_come_newest_first_and_end(books: Books) -> None:
    for number in range(5):
        books.now = NOW + timedelta(minutes=number)
        await books.write(f"video_{number}", "settled")
    names, token = [], ""
    while True:
        page = await books.ledger.page(pb.ListLedgerEntriesRequest(page_size=2, page_token=token))
        names += [entry.generation_id for entry in page.entries]
        token = page.next_page_token
        if not token:
            break
    assert names == [f"video_{number}" for number in (4, 3, 2, 1, 0)]


async def test_an_entry_tells_where_and_what(books: Books) -> None:
    await books.write("video_1", "settled")
    (entry,) = (await books.ledger.page(pb.ListLedgerEntriesRequest())).entries
    assert (entry.provider, entry.upstream_model, entry.token_id, entry.balance_after) == ("flow", "abra", 3, 900)
    assert not entry.HasField("micros")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"filter": pb.LedgerFilter(first_day="yesterday")}, "first_day"),
        ({"page_token": "x"}, "page_token"),
        ({"page_size": 5000}, "page_size"),
        ({"states": [99]}, "states"),
    ],
)
async def test_a_wrong_question_is_refused(books: Books, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await books.ledger.page(pb.ListLedgerEntriesRequest(**fields))
    assert refused.value.violations[0].field == field


class TestResolve:
    @pytest.mark.parametrize(
        ("state", "name"), [(pb.LEDGER_STATE_SETTLED, "settled"), (pb.LEDGER_STATE_RELEASED, "released")]
    )
    async def test_decides_a_dispute_once(self, books: Books, state: pb.LedgerState.ValueType, name: str) -> None:
        await books.write("video_1", "disputed")
        request = pb.ResolveLedgerEntryRequest(generation_id="video_1", line="generate", state=state)
        await books.ledger.resolve(request)
        await books.ledger.resolve(request)
        assert await books.state("video_1") == (name, "resolved_by_operator")

    async def test_refuses_what_is_not_disputed(self, books: Books) -> None:
        await books.write("video_1", "settled")
        request = pb.ResolveLedgerEntryRequest(generation_id="video_1", line="generate", state=pb.LEDGER_STATE_RELEASED)
        with pytest.raises(FailedPrecondition):
            await books.ledger.resolve(request)

    async def test_does_not_find_what_is_not_there(self, books: Books) -> None:
        request = pb.ResolveLedgerEntryRequest(generation_id="x", line="generate", state=pb.LEDGER_STATE_RELEASED)
        with pytest.raises(NotFound):
            await books.ledger.resolve(request)


class TestUpkeep:
    async def test_disputes_what_nobody_works_on_any_more(self, books: Books) -> None:
        await books.write("video_1", "charged")
        await books.write("video_2", "charged")
        books.running = {"video_2"}
        books.now += timedelta(hours=2)
        await books.upkeep.run_once()
        assert await books.state("video_1") == ("disputed", "left_behind")
        assert await books.state("video_2") == ("charged", "accepted")

    async def test_settles_a_dispute_that_nobody_decides(self, books: Books) -> None:
        await books.write("video_1", "disputed")
        books.now += timedelta(days=8)
        await books.upkeep.run_once()
        assert await books.state("video_1") == ("settled", "dispute_period_over")

    async def test_sums_of_days_outlive_their_entries(self, books: Books, database: Database) -> None:
        for name, state in (("video_1", "settled"), ("video_2", "released"), ("video_3", "settled")):
            await books.write(name, state)
        await books.write("video_4", "charged")
        books.running = {"video_4"}
        before = await books.usage("DAY", "API_KEY", "TOKEN", "MODEL", "OPERATION", "PROVIDER")
        books.now += timedelta(days=40)
        await books.upkeep.run_once()
        async with database.transaction(read_only=True) as session:
            assert await session.scalar(select(func.count()).select_from(LedgerEntryRow)) == 1
        assert await books.usage("DAY", "API_KEY", "TOKEN", "MODEL", "OPERATION", "PROVIDER") == before

        async with database.transaction() as session:
            book = LedgerBook(session, clock=books.clock)
            await book.settle((await book.entries("video_4"))[0], reason="late", output_count=1)
        await books.upkeep.run_once()
        (row,) = await books.usage()
        assert (row.settled_credits, row.open_credits, row.entry_count) == (60, 0, 4)
        books.now += timedelta(days=400)
        await books.upkeep.run_once()
        (row,) = await books.usage()
        assert row.entry_count == 0
        async with database.transaction(read_only=True) as session:
            assert await session.scalar(select(func.count()).select_from(LedgerDayRow)) == 0
