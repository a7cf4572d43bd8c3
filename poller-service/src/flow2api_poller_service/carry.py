"""What has to be remembered of an operation between two looks.

The poller keeps nothing. Mostly the message itself is enough and goes back to JetStream with a delay; only when
something new has to be remembered, a successor is published, which carries it in its headers, and the old message is
acknowledged. A crash between the two brings the old message again, whose successor then has the same ``Nats-Msg-Id``
and is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

MISSING_COUNT: Final = "flow2api-missing-count"
NOT_BEFORE: Final = "flow2api-not-before"
STORE_UNTIL: Final = "flow2api-store-until"
IRREGULAR: Final = "flow2api-irregular"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Carried:
    """``missing_count``: looks in a row whose answer did not mention the operation. ``not_before``: a successor is
    delivered at once, and this is when it is due. ``store_until``: the clip is ready but could not be fetched so far,
    and this is when that is given up. ``is_irregular``: a look was not answered, so that the looks do not tell any more
    how long the operation took."""

    missing_count: int = 0
    not_before: datetime | None = None
    store_until: datetime | None = None
    is_irregular: bool = False

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Carried:
        """Read it; headers that are not ours to understand count as absent."""
        missing = headers.get(MISSING_COUNT, "")
        return cls(
            missing_count=int(missing) if missing.isdecimal() else 0,
            not_before=_time_of(headers.get(NOT_BEFORE, "")),
            store_until=_time_of(headers.get(STORE_UNTIL, "")),
            is_irregular=IRREGULAR in headers,
        )

    def headers(self) -> dict[str, str]:
        """Write it; only what is set."""
        written: dict[str, str] = {}
        if self.missing_count:
            written[MISSING_COUNT] = str(self.missing_count)
        if self.not_before is not None:
            written[NOT_BEFORE] = _milliseconds(self.not_before)
        if self.store_until is not None:
            written[STORE_UNTIL] = _milliseconds(self.store_until)
        if self.is_irregular:
            written[IRREGULAR] = "1"
        return written


def _milliseconds(time: datetime) -> str:
    return str((time - _EPOCH) // timedelta(milliseconds=1))


def _time_of(text: str) -> datetime | None:
    return _EPOCH + timedelta(milliseconds=int(text)) if text.isdecimal() and len(text) <= 15 else None
