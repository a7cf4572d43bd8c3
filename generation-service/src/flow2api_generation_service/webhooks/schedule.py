"""When a delivery that failed is tried again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

_GROWTH: Final = 3
_JITTER: Final = 0.2


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """Pauses that triple from the first to the longest, each a fifth longer or shorter by chance.

    ``chance`` gives numbers from 0 to 1.
    """

    first_pause: timedelta
    longest_pause: timedelta
    chance: Callable[[], float]

    def next_attempt(
        self, *, now: datetime, failures: int, give_up_time: datetime, retry_after: timedelta | None
    ) -> datetime | None:
        """When to try again after so many failures; None when it is given up.

        A receiver that asks for a longer pause (``Retry-After``) gets it, up to the longest one.
        """
        pause = self.longest_pause
        if failures <= 20:
            pause = min(self.first_pause * _GROWTH ** max(0, failures - 1), self.longest_pause)
        pause *= 1 - _JITTER + 2 * _JITTER * self.chance()
        if retry_after is not None:
            pause = max(pause, min(retry_after, self.longest_pause))
        after = now + pause
        return after if after <= give_up_time else None
