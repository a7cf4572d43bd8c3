"""The health of a proxy, and what changes it, as pure functions of time.

::

    active ──a call or a check fails──> suspect ──a check passes──> active

What a call reports is checked at once; a check that fails is repeated after a pause that doubles. A proxy that comes
back and fails again before a routine check has passed goes on where its pauses were.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class ProxyState(StrEnum):
    """The states; their names are those of flow2api.tokens.v1.ProxyState."""

    ACTIVE = "active"
    SUSPECT = "suspect"


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long a proxy rests after its first failed check, and at most."""

    first: timedelta
    longest: timedelta

    def at(self, level: int) -> timedelta:
        """The pause after ``level`` failures in a row."""
        # The exponent is bounded so that the product stays a valid timedelta.
        doublings: int = 2 ** min(max(level - 1, 0), 20)
        return min(self.first * doublings, self.longest)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyHealth:
    """The health of one proxy. ``pause_level`` counts what makes its pauses grow; ``checked_at`` None: never."""

    state: ProxyState = ProxyState.ACTIVE
    reason: str = ""
    since: datetime
    check_time: datetime
    checked_at: datetime | None = None
    consecutive_failures: int = 0
    pause_level: int = 0

    @property
    def is_confirmed(self) -> bool:
        """Whether a check has seen for itself that a suspect proxy does not work."""
        return self.state is ProxyState.SUSPECT and self.checked_at is not None and self.checked_at >= self.since


def new_health(now: datetime) -> ProxyHealth:
    """The health of a proxy that is new, has a new address or was switched on: used, and checked at once."""
    return ProxyHealth(since=now, check_time=now)


def after_report(health: ProxyHealth, *, reason: str, pauses: Pauses, now: datetime) -> ProxyHealth:
    """The health after a call did not get through. Calls that were under way when it was set aside change nothing."""
    if health.state is ProxyState.SUSPECT:
        return health
    pause = pauses.at(health.pause_level) if health.pause_level else timedelta(0)
    return replace(
        health,
        state=ProxyState.SUSPECT,
        reason=reason,
        since=now,
        check_time=now + pause,
        consecutive_failures=health.consecutive_failures + 1,
    )


def after_doubt(health: ProxyHealth, *, now: datetime) -> ProxyHealth:
    """The health after a call was lost on the way, which may be the proxy's fault: it is checked soon."""
    if health.state is ProxyState.SUSPECT or health.check_time <= now:
        return health
    return replace(health, check_time=now)


def after_check(
    health: ProxyHealth, *, failure: str | None, pauses: Pauses, interval: timedelta, now: datetime
) -> ProxyHealth:
    """The health after a look at it; ``failure`` None: it let us through. ``interval`` is to the next routine check."""
    if failure is None and health.state is ProxyState.SUSPECT:
        return replace(
            health,
            state=ProxyState.ACTIVE,
            reason="",
            since=now,
            check_time=now + interval,
            checked_at=now,
            consecutive_failures=0,
            pause_level=health.pause_level + 1,
        )
    if failure is None:
        return replace(health, check_time=now + interval, checked_at=now, consecutive_failures=0, pause_level=0)
    level = health.pause_level + 1
    return replace(
        health,
        state=ProxyState.SUSPECT,
        reason=failure,
        since=now if health.state is ProxyState.ACTIVE else health.since,
        check_time=now + pauses.at(level),
        checked_at=now,
        consecutive_failures=health.consecutive_failures + 1,
        pause_level=level,
    )
