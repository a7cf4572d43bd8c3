"""When a job shall be given up, in the forms in which clients say so; an extension of ours."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from flow2api_common.clock import utc_now
from flow2api_common.errors import InvalidArgument

_LONGEST: Final = timedelta(days=7)
_SHORTEST: Final = timedelta(seconds=1)


def deadline_of(deadline: str | float | None, expires_after: Any) -> Timestamp | None:
    """The time at which to give up; None when the client leaves it to the model.

    ``deadline``: Unix seconds, or RFC 3339. ``expires_after``: seconds from now, or OpenAI's
    ``{"anchor": "created_at", "seconds": n}``. Raises InvalidArgument naming the field.
    """
    if deadline in (None, "") and expires_after in (None, "", {}):
        return None
    if deadline not in (None, "") and expires_after not in (None, "", {}):
        raise InvalidArgument.of("expires_after", "Only one of 'deadline' and 'expires_after' can be given.")
    now = utc_now()
    if deadline not in (None, ""):
        return _checked("deadline", _point_in_time(deadline), now)
    return _checked("expires_after", now + _span(expires_after), now)


def _checked(param: str, time: datetime, now: datetime) -> Timestamp:
    # A second of the network's own is let pass, so that exactly one second is accepted.
    if not _SHORTEST - timedelta(milliseconds=1) <= time - now <= _LONGEST + _SHORTEST:
        raise InvalidArgument.of(param, f"'{param}' must lie between 1 second and 7 days from now.")
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp


def _point_in_time(value: Any) -> datetime:
    seconds = _number(value)
    try:
        if seconds is not None:
            return datetime.fromtimestamp(seconds, UTC)
        time = datetime.fromisoformat(value)
    except (ValueError, OverflowError, OSError) as exc:
        message = "'deadline' must be Unix seconds or a time such as 2026-01-31T12:00:00Z."
        raise InvalidArgument.of("deadline", message) from exc
    if time.tzinfo is None:
        raise InvalidArgument.of("deadline", "'deadline' needs its time zone.")
    return time


def _span(value: Any) -> timedelta:
    param = "expires_after"
    if isinstance(value, dict):
        if value.get("anchor", "created_at") != "created_at":
            raise InvalidArgument.of("expires_after.anchor", "'expires_after.anchor' must be 'created_at'.")
        param, value = "expires_after.seconds", value.get("seconds")
    seconds = _number(value)
    if seconds is None or not 1 <= seconds <= _LONGEST.total_seconds():
        raise InvalidArgument.of(param, f"'{param}' must be a number of seconds from 1 to {_LONGEST // _SHORTEST}.")
    return timedelta(seconds=seconds)


def _number(value: Any) -> float | None:
    """Numbers, also as text, because forms have nothing else."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
