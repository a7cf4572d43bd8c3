"""At which ages an operation is looked at: the plan that costs least, given how long such operations take.

A look costs something, and so does every second that a finished clip waits to be seen. With the distribution of
durations known, the ages that make the sum of both least follow by dynamic programming from the last possible age back
to the first, each given that the operation was not ready before. Looks are then dense where completion is likely and
absent where it is not. Source: Barlow, Hunter and Proschan, "Optimum checking procedures" (1963).

All numbers are seconds. Everything here is pure, so that every poller comes to the same ages.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

_USUAL_SPREAD: Final = (0.5, 0.65, 0.75, 0.85, 0.95, 1.05, 1.15, 1.3, 1.6)
"""Equally likely parts of a usual duration, for operations of which nothing else is known: docs/upstream/flow.md,
section 9, gives 60 to 120 s for a usual 90 s."""

_CANDIDATES_PER_LONGEST: Final = 8
_LATE_GROWTH: Final = 0.5
_LATE_SHARE: Final = 1 / 20
_ENOUGH: Final = 1000


@dataclass(frozen=True, slots=True)
class LookCosts:
    """``look``: so many seconds of waiting are worth one look. No two looks are closer than ``shortest``, and no pause
    is longer than ``longest``."""

    look: float
    shortest: float
    longest: float


class LookRule:
    """The looks at operations whose durations have this distribution, as `rule_for` makes it."""

    def __init__(self, quantiles: Sequence[float], costs: LookCosts) -> None:
        """``quantiles``: at least two ages, ascending, that cut the distribution into equally likely parts."""
        self._costs = costs
        self._ages = _candidates(quantiles, costs)
        self._ready = [_share_ready(quantiles, age) for age in self._ages]
        self._next = self._solve()

    def next_age(self, age: float) -> float:
        """When to look next at an operation that was not ready at ``age``."""
        if age <= 0 and not self._ages[-1]:
            return 0.0
        shortest = age + self._costs.shortest
        if age >= self._ages[-1]:
            # Later than any so far: nobody knows, so ever more seldom.
            lateness = max((age - self._ages[-1]) * _LATE_GROWTH, self._ages[-1] * _LATE_SHARE)
            return max(shortest, age + min(lateness, self._costs.longest))
        at = bisect_right(self._ages, age) - 1
        return max(self._ages[self._next[at]], shortest if age > 0 else 0.0)

    def expected_wait(self, age: float, next_age: float) -> float:
        """How long an operation has been ready, on average, that is found ready at ``next_age`` and was not at
        ``age``."""
        first, last = bisect_right(self._ages, age) - 1, bisect_right(self._ages, next_age) - 1
        share = self._ready[last] - self._ready[first]
        if share <= 0:
            return (next_age - age) / 2
        waited = sum(
            (self._ready[at + 1] - self._ready[at]) * (next_age - (self._ages[at] + self._ages[at + 1]) / 2)
            for at in range(first, last)
        )
        return waited / share

    def ages(self) -> Iterator[float]:
        """The looks at an operation that never gets ready, from the first on."""
        age = 0.0
        while True:
            age = self.next_age(age)
            yield age

    def _solve(self) -> list[int]:
        """For each candidate age, the index of the best next one."""
        ages, ready, costs = self._ages, self._ready, self._costs
        # Sum of the ages at completion up to each candidate, weighted by their likelihood.
        weighted = [0.0]
        for at, (earlier, later) in enumerate(pairwise(ages)):
            weighted.append(weighted[-1] + (ready[at + 1] - ready[at]) * (earlier + later) / 2)
        last = len(ages) - 1
        cost_from = [0.0] * len(ages)
        best_next = [last] * len(ages)
        for at in range(last - 1, -1, -1):
            best = float("inf")
            for to in range(at + 1, last + 1):
                pause = ages[to] - ages[at]
                if pause < costs.shortest and at > 0 and to < last:
                    continue
                if pause > costs.longest and best < float("inf"):
                    break
                wait = ages[to] * (ready[to] - ready[at]) - (weighted[to] - weighted[at])
                cost = costs.look * (1 - ready[at]) + wait + cost_from[to]
                if cost < best:
                    best, best_next[at] = cost, to
            cost_from[at] = best
        return best_next


def rule_for(quantiles: Sequence[float], usual: float, costs: LookCosts) -> LookRule:
    """The rule for this distribution; without one, for what usually takes ``usual``; without that, looks at once."""
    if len(quantiles) < 2:
        quantiles = [usual * share for share in _USUAL_SPREAD]
    return _cached_rule(tuple(quantiles), costs)


@lru_cache(maxsize=1024)
def _cached_rule(quantiles: tuple[float, ...], costs: LookCosts) -> LookRule:
    # The operations of a model that were submitted within some seconds carry the same distribution.
    return LookRule(sorted(max(age, 0.0) for age in quantiles), costs)


def _candidates(quantiles: Sequence[float], costs: LookCosts) -> list[float]:
    """Ages at which a look may be planned: the cuts of the distribution, and between them where they are far apart."""
    step = max(costs.longest / _CANDIDATES_PER_LONGEST, quantiles[-1] / _ENOUGH, costs.shortest)
    ages = [0.0]
    for cut in quantiles:
        if cut <= ages[-1]:
            continue
        ages += _between(ages[-1], cut, step, costs.shortest)
        ages.append(cut)
    return ages


def _between(start: float, end: float, step: float, shortest: float) -> Iterator[float]:
    """First close together, because whoever looked a little too early wants to look again soon, then ``step`` apart."""
    age, pause = start, shortest
    while end - age > 2 * pause:
        age += pause
        yield age
        pause = min(pause * 2, step)


def _share_ready(quantiles: Sequence[float], age: float) -> float:
    parts = len(quantiles) - 1
    at = bisect_right(quantiles, age)
    if at == 0:
        return 0.0
    if at > parts:
        return 1.0
    earlier, later = quantiles[at - 1], quantiles[at]
    return (at - 1 + (age - earlier) / (later - earlier)) / parts
