"""When an operation is looked at next: the ages of its rule, drawn to moments that the operations of a token share.

Nothing of it depends on anything but the message and the settings. Any poller therefore knows when the others have
looked before, although nobody keeps it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from flow2api_poller_service.look_rule import LookCosts, LookRule, rule_for
from flow2api_poller_service.settings import FollowSettings
from flow2api_proto.events.v1 import video_events_pb2

_FINEST_GRID: Final = 0.5
_COARSEST_GRID: Final = 4.0
_GRID_SHARE: Final = 0.5
"""Of the wait that is expected anyway, so much is added at most in order to ask about many operations at once."""

_SLOWEST: Final = timedelta(minutes=1)
_SLOW_START: Final = timedelta(seconds=10)
_PUNCTUAL: Final = 2.0
_PUNCTUAL_SHARE: Final = 0.05
_EARLY: Final = 0.05
_MANY_LOOKS: Final = 500


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at: an operation of a token, submitted then, with this distribution of durations in seconds."""

    token_id: int
    submit_time: datetime
    quantiles: tuple[float, ...]
    usual: float


class Schedule:
    """Answers when to look."""

    def __init__(self, *, costs: LookCosts, fixed: timedelta | None) -> None:
        """``fixed`` takes the place of every chosen delay."""
        self._costs = costs
        self._fixed = fixed

    @classmethod
    def of(cls, settings: FollowSettings) -> Schedule:
        """As the settings say."""
        costs = LookCosts(
            look=settings.poller_look_cost.total_seconds(),
            shortest=settings.poller_shortest_delay.total_seconds(),
            longest=settings.poller_longest_delay.total_seconds(),
        )
        return cls(costs=costs, fixed=settings.video_poll_interval)

    def first_look(self, subject: Subject) -> datetime:
        """When a fresh operation is due."""
        return subject.submit_time + timedelta(seconds=self._after(subject, self._rule(subject), 0.0))

    def next_delay(self, subject: Subject, *, now: datetime, deadline_time: datetime) -> timedelta:
        """How long an operation that is still running is left alone; not much longer than until its deadline."""
        age = _age(subject, now)
        delay = timedelta(seconds=self._after(subject, self._rule(subject), age) - age)
        return min(delay, max(deadline_time - now, timedelta(seconds=self._costs.shortest)))

    def slowed_delay(self, *, attempt: int, asked_for: timedelta | None) -> timedelta:
        """How long a token's operations are left alone after its status call failed: as asked, else growing to a
        minute."""
        if asked_for is not None:
            return asked_for
        delay = min((self._fixed or _SLOW_START) * 2.0 ** min(attempt, 4), _SLOWEST)
        return delay * random.uniform(0.8, 1.2)  # noqa: S311 - it spreads retries

    def observed(self, subject: Subject, now: datetime) -> video_events_pb2.ObservedDuration | None:
        """How long an operation took that is found ready now: between the look that was planned before and this one.

        None when this look did not come as planned, so that nobody can say when the one before it was, and for an
        operation about which nothing is to be learned.
        """
        if not subject.quantiles:
            return None
        age, planned, before = _age(subject, now), 0.0, 0.0
        rule = self._rule(subject)
        for _ in range(_MANY_LOOKS):
            following = self._after(subject, rule, planned)
            if following > age + _EARLY:
                break
            planned, before = following, planned
        if planned == 0.0 or age - planned > max(_PUNCTUAL, age * _PUNCTUAL_SHARE):
            return None
        return video_events_pb2.ObservedDuration(not_ready_ms=int(before * 1000), ready_ms=int(age * 1000))

    def _rule(self, subject: Subject) -> LookRule:
        return rule_for(subject.quantiles, subject.usual, self._costs)

    def _after(self, subject: Subject, rule: LookRule, age: float) -> float:
        """The next age to look at."""
        if self._fixed is not None:
            return age + self._fixed.total_seconds()
        next_age = rule.next_age(age)
        return _on_grid(subject, next_age, rule.expected_wait(age, next_age) * _GRID_SHARE)


def _age(subject: Subject, now: datetime) -> float:
    return (now - subject.submit_time).total_seconds()


def _on_grid(subject: Subject, age: float, at_most: float) -> float:
    """The next moment that the operations of this token share; ``at_most`` says how far these may be apart."""
    grid = _FINEST_GRID
    while grid * 2 <= min(at_most, _COARSEST_GRID):
        grid *= 2
    # Each token has moments of its own, or the looks of the whole pool would fall together. Those of a coarse grid are
    # among those of every finer one.
    phase = _COARSEST_GRID * (subject.token_id * 0.618 % 1.0)
    since = (subject.submit_time.timestamp() + age - phase) % grid
    return age if since == 0 else age + grid - since
