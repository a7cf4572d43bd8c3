"""When an operation is looked at next.

The first look comes at 60 % of the usual time, the later ones every 5 to 10 seconds (docs/upstream/flow.md, section 9):
closer together around the usual end, further apart long after it. Looks at the operations of one token are drawn to the
same moments, so that one call asks about all of them.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Final

FIRST_LOOK_SHARE: Final = 0.6
SHORTEST: Final = timedelta(seconds=5)
LONGEST: Final = timedelta(seconds=10)
_GRID: Final = timedelta(seconds=5)
_LATE: Final = 2.0
"""Times the usual duration, after which an operation is asked about less often."""


def first_look(submit_time: datetime, usual: timedelta, fixed: timedelta | None) -> datetime:
    """When a fresh operation is due."""
    return submit_time + (fixed if fixed is not None else usual * FIRST_LOOK_SHARE)


def next_delay(
    *, now: datetime, submit_time: datetime, usual: timedelta, token_id: int, fixed: timedelta | None
) -> timedelta:
    """How long an operation that is still running is left alone."""
    if fixed is not None:
        return fixed
    is_late = usual > timedelta(0) and now - submit_time > usual * _LATE
    return _on_grid(now + (LONGEST if is_late else SHORTEST), token_id) - now


def slowed_delay(*, attempt: int, asked_for: timedelta | None, fixed: timedelta | None) -> timedelta:
    """How long a token's operations are left alone after its status call failed: as asked, else growing to a minute."""
    if asked_for is not None:
        return asked_for
    base = fixed if fixed is not None else LONGEST
    delay = min(base * 2.0 ** min(attempt, 4), timedelta(minutes=1))
    return delay * random.uniform(0.8, 1.2)  # noqa: S311 - it spreads retries


def _on_grid(time: datetime, token_id: int) -> datetime:
    # Each token has moments of its own, or the looks of the whole pool would fall together.
    phase = _GRID * (token_id * 0.618 % 1.0)
    grid = _GRID.total_seconds()
    since = (time - phase).timestamp() % grid
    return time if since == 0 else time + timedelta(seconds=grid - since)
