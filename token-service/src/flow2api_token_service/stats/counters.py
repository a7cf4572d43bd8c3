"""Counters of a token as values: those that SQL has, and what Redis has counted since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from flow2api_token_service.tokens.models import TokenRow

_FIRST_DAY = date(1970, 1, 1)
_TODAY_FIELDS = {"images": "today_image_count", "videos": "today_video_count", "errors": "today_error_count"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """All counters of one token. ``today_*`` belong to ``today_date``, a UTC day; None before the first use."""

    use_count: int = 0
    last_used_at: datetime | None = None
    image_count: int = 0
    video_count: int = 0
    success_count: int = 0
    error_count: int = 0
    consecutive_error_count: int = 0
    last_success_at: datetime | None = None
    last_error_at: datetime | None = None
    today_image_count: int = 0
    today_video_count: int = 0
    today_error_count: int = 0
    today_date: date | None = None
    credits: int | None = None


def counters_of(row: TokenRow) -> Counters:
    """The counters that SQL has; the row's stats must be loaded."""
    stats = row.stats
    return Counters(
        use_count=row.use_count,
        last_used_at=row.last_used_at,
        image_count=stats.image_count,
        video_count=stats.video_count,
        success_count=stats.success_count,
        error_count=stats.error_count,
        consecutive_error_count=stats.consecutive_error_count,
        last_success_at=stats.last_success_at,
        last_error_at=stats.last_error_at,
        today_image_count=stats.today_image_count,
        today_video_count=stats.today_video_count,
        today_error_count=stats.today_error_count,
        today_date=stats.today_date,
        credits=row.credits,
    )


def store_counters(row: TokenRow, counters: Counters) -> None:
    """Write counters into a row; its stats must be loaded. What belongs to its health is left alone."""
    stats = row.stats
    row.use_count = counters.use_count
    row.last_used_at = counters.last_used_at
    row.credits = counters.credits
    stats.image_count = counters.image_count
    stats.video_count = counters.video_count
    stats.success_count = counters.success_count
    stats.error_count = counters.error_count
    stats.last_success_at = counters.last_success_at
    stats.last_error_at = counters.last_error_at
    stats.today_image_count = counters.today_image_count
    stats.today_video_count = counters.today_video_count
    stats.today_error_count = counters.today_error_count
    stats.today_date = counters.today_date


def with_counted(counters: Counters, counted: Mapping[str, str]) -> Counters:
    """The counters with what the scripts have counted since (fields: ``leases/scripts/release.lua``)."""
    totals = replace(
        counters,
        use_count=counters.use_count + _number(counted, "uses"),
        image_count=counters.image_count + _number(counted, "images"),
        video_count=counters.video_count + _number(counted, "videos"),
        success_count=counters.success_count + _number(counted, "successes"),
        error_count=counters.error_count + _number(counted, "errors"),
        last_used_at=_later(counters.last_used_at, counted.get("last_use")),
        last_success_at=_later(counters.last_success_at, counted.get("last_success")),
        last_error_at=_later(counters.last_error_at, counted.get("last_error")),
        credits=int(counted["credits"]) if "credits" in counted else counters.credits,
    )
    return _with_today(totals, counted)


def _with_today(counters: Counters, counted: Mapping[str, str]) -> Counters:
    by_day: dict[date, dict[str, int]] = {}
    for name, value in counted.items():
        field, separator, number = name.partition(":")
        if separator:
            counted_on = by_day.setdefault(_FIRST_DAY + timedelta(days=int(number)), {})
            counted_on[_TODAY_FIELDS[field]] = int(value)
    if not by_day:
        return counters
    day = max(by_day)
    if counters.today_date is not None and counters.today_date > day:
        return counters
    if counters.today_date != day:
        counters = replace(counters, today_date=day, today_image_count=0, today_video_count=0, today_error_count=0)
    added = by_day[day]
    return replace(
        counters,
        today_image_count=counters.today_image_count + added.get("today_image_count", 0),
        today_video_count=counters.today_video_count + added.get("today_video_count", 0),
        today_error_count=counters.today_error_count + added.get("today_error_count", 0),
    )


def _number(counted: Mapping[str, str], name: str) -> int:
    return int(counted.get(name, "0"))


def _later(known: datetime | None, epoch_ms: str | None) -> datetime | None:
    if epoch_ms is None:
        return known
    time = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(epoch_ms))
    return time if known is None else max(known, time)
