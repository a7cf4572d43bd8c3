"""Adding what Redis has counted to what SQL has."""

from __future__ import annotations

from datetime import UTC, date, datetime

from flow2api_token_service.stats.counters import Counters, with_counted

DAY = (date(2026, 11, 23) - date(1970, 1, 1)).days
COUNTED = {
    "uses": "3",
    "successes": "2",
    "errors": "1",
    "images": "2",
    f"images:{DAY}": "2",
    f"errors:{DAY}": "1",
    "last_success": "1795435200000",
    "credits": "7",
}


def test_adds_totals_and_the_day():
    counters = with_counted(
        Counters(use_count=10, image_count=5, today_image_count=1, today_date=date(2026, 11, 23)), COUNTED
    )

    assert (counters.use_count, counters.image_count, counters.success_count, counters.error_count) == (13, 7, 2, 1)
    assert (counters.today_image_count, counters.today_error_count) == (3, 1)
    assert counters.last_success_at == datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert counters.credits == 7


def test_new_day_begins_at_zero():
    counters = with_counted(Counters(today_image_count=9, today_video_count=4, today_date=date(2026, 11, 22)), COUNTED)

    assert counters.today_date == date(2026, 11, 23)
    assert (counters.today_image_count, counters.today_video_count) == (2, 0)


def test_counts_of_an_older_day_add_to_the_totals_only():
    counters = with_counted(Counters(today_image_count=9, today_date=date(2026, 11, 24)), COUNTED)

    assert (counters.image_count, counters.today_image_count, counters.today_date) == (2, 9, date(2026, 11, 24))
