"""Delays, in every form that upstreams use."""

from datetime import UTC, datetime, timedelta

import pytest

from flow2api_upstream.retry_delays import (
    delay_of_duration,
    delay_of_header,
    delay_of_message,
    until_pacific_midnight,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", timedelta(seconds=7)),
        ("1.5", timedelta(seconds=1.5)),
        ("Mon, 23 Nov 2026 12:00:30 GMT", timedelta(seconds=30)),
        ("Mon, 23 Nov 2026 11:00:00 GMT", timedelta()),
        ("soon", None),
        ("", None),
    ],
)
def test_header(value, expected):
    assert delay_of_header({"retry-after": value}, NOW) == expected


@pytest.mark.parametrize(("value", "seconds"), [("22s", 22), ("1.5s", 1.5), ("22", None), ("", None)])
def test_duration(value, seconds):
    assert delay_of_duration(value) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("message", "seconds"), [("Please retry in 22.3s.", 22.3), ("Retry in 2m", 120), ("Later.", None)]
)
def test_message(message, seconds):
    assert delay_of_message(message) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        (datetime(2026, 11, 23, 7, 59, tzinfo=UTC), 1 / 60),
        (datetime(2026, 11, 23, 8, 0, tzinfo=UTC), 24),
        (datetime(2026, 7, 1, 8, 0, tzinfo=UTC), 23),
        (datetime(2026, 11, 1, 8, 0, tzinfo=UTC), 24),
    ],
)
def test_pacific_midnight_minds_summer_time(now, hours):
    assert until_pacific_midnight(now) == timedelta(hours=hours)
