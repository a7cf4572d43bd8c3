"""When an upstream wants to be asked again."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)s$")
_RETRY_IN = re.compile(r"retry in (\d+(?:\.\d+)?)\s*(ms|s|m|h)?", re.IGNORECASE)
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PACIFIC_STANDARD_TIME = timezone(timedelta(hours=-8))


def delay_of_header(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """``retry-after`` as seconds or as a date. Source: RFC 9110, section 10.2.3."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.replace(".", "", 1).isdigit():
        return timedelta(seconds=float(value))
    try:
        return max(timedelta(), parsedate_to_datetime(value) - now)
    except (TypeError, ValueError):
        return None


def delay_of_duration(value: str) -> timedelta | None:
    """A protobuf JSON duration such as ``22s`` or ``1.5s``."""
    match = _DURATION.match(value)
    return timedelta(seconds=float(match[1])) if match else None


def delay_of_message(message: str) -> timedelta | None:
    """A sentence such as "Please retry in 22.3s."; Google puts the delay there too.

    Source: docs/upstream/google-official.md, section 10.
    """
    match = _RETRY_IN.search(message)
    return timedelta(seconds=float(match[1]) * _UNIT_SECONDS[(match[2] or "s").lower()]) if match else None


def until_pacific_midnight(now: datetime) -> timedelta:
    """Time until daily quotas start anew. Source: docs/upstream/google-official.md, section 10."""
    try:
        pacific: tzinfo = ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:  # No time zone data on this machine: at most an hour late.
        pacific = _PACIFIC_STANDARD_TIME
    tomorrow = now.astimezone(pacific).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), tzinfo=pacific).astimezone(UTC) - now
