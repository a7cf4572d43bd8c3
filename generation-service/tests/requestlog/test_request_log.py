"""The request log is paged newest first; sums of days outlive it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from flow2api_common.database import Database
from flow2api_common.errors import InvalidArgument
from flow2api_generation_service.requestlog.listing import RequestLogListing
from flow2api_generation_service.requestlog.models import RequestLogRow
from flow2api_generation_service.requestlog.repository import RequestLogRepository
from flow2api_proto.generation.v1 import generation_service_pb2

START = datetime(2026, 11, 1, tzinfo=UTC)


def entry(number: int, *, minute: int) -> RequestLogRow:
    return RequestLogRow(
        generation_id=f"image_{number:02}",
        operation="image",
        model_id="gemini-3.1-flash-image",
        api_key_id="key_1",
        token_id=1 if number % 2 else None,
        outcome="ok",
        duration_ms=number,
        output_count=1,
        create_time=START + timedelta(minutes=minute),
    )


async def add(database: Database, *rows: RequestLogRow) -> None:
    async with database.transaction() as session:
        for row in rows:
            await RequestLogRepository(session).add(row)


async def test_pages_follow_each_other_without_gaps_although_times_are_equal(database: Database) -> None:
    await add(database, *(entry(number, minute=number // 3) for number in range(10)))
    listing = RequestLogListing(database=database)
    seen: list[str] = []
    token = ""
    while True:
        page = await listing.page(generation_service_pb2.ListRequestLogsRequest(page_size=4, page_token=token))
        seen += [log.generation_id for log in page.request_logs]
        token = page.next_page_token
        if not token:
            break
    assert seen == [f"image_{number:02}" for number in reversed(range(10))]


@pytest.mark.parametrize("request_fields", [{"page_size": -1}, {"page_size": 1001}, {"page_token": "nonsense"}])
async def test_wrong_paging_is_refused(database: Database, request_fields: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        await RequestLogListing(database=database).page(generation_service_pb2.ListRequestLogsRequest(**request_fields))


async def test_sums_survive_the_log(database: Database) -> None:
    await add(database, entry(1, minute=0))
    async with database.transaction() as session:
        repository = RequestLogRepository(session)
        await repository.count_images(date(2026, 11, 1), made=2, failed=1)
        await repository.count_images(date(2026, 11, 1), made=1, failed=0)
        await repository.count_images(date(2026, 11, 2), made=5, failed=0)
        await repository.delete_before(START + timedelta(days=1))
    async with database.transaction(read_only=True) as session:
        totals = await RequestLogRepository(session).image_totals(date(2026, 11, 2))
    assert (totals.image_count, totals.image_error_count, totals.today_image_count) == (8, 1, 5)
    page = await RequestLogListing(database=database).page(generation_service_pb2.ListRequestLogsRequest())
    assert list(page.request_logs) == []
