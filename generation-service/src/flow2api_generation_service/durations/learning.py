"""Keeps the durations: answers what is known of a series, and learns from finished clips in the background.

Learning never holds up or fails what a job does: observations are collected in memory and written now and then, many in
one transaction per series. Each is made by whoever moved the job on, by compare-and-set, so that a redelivered event is
not counted again; a process that dies takes those of its last moments with it, which costs nothing but them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Final

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable
from flow2api_common.logs import get_logger
from flow2api_generation_service.durations.repository import DurationRepository
from flow2api_generation_service.durations.series import Series
from flow2api_generation_service.durations.sketch import NOTHING_LEARNED

log = get_logger(__name__)

_MAX_COLLECTED: Final = 300
"""Of one series between two writes: a sketch forgets faster than it would need more."""
_MAX_CACHED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Observation:
    """A clip was not ready at one age and ready at another; ``usual_seconds`` is what the catalog says."""

    not_ready_seconds: float
    ready_seconds: float
    usual_seconds: float


@dataclass(frozen=True, slots=True)
class _Known:
    until: float
    usual_seconds: float
    quantiles_ms: tuple[int, ...]


class Durations:
    """What is known of how long clips take. Any number of replicas learn into the same rows."""

    def __init__(self, *, database: Database, clock: Clock, interval: timedelta) -> None:
        """``interval``: how often is written, and how old an answer may be."""
        self._database = database
        self._clock = clock
        self._interval = interval.total_seconds()
        self._collected: defaultdict[Series, list[Observation]] = defaultdict(list)
        self._cached: OrderedDict[Series, _Known] = OrderedDict()

    async def quantiles_ms(self, series: Series, usual_seconds: float) -> tuple[int, ...]:
        """Ages in milliseconds that cut the distribution into equally likely parts.

        Never fails: while SQL is away, the usual duration has to do.
        """
        cached = self._cached.get(series)
        if cached is not None and cached.usual_seconds == usual_seconds and monotonic() < cached.until:
            return cached.quantiles_ms
        try:
            async with self._database.transaction(read_only=True) as session:
                sketch = await DurationRepository(session).get(series.key)
        except DependencyUnavailable as error:
            log.warning("durations_not_read", series=series.key, reason=error.reason)
            sketch = NOTHING_LEARNED
        quantiles_ms = tuple(round(each * 1000) for each in sketch.quantiles(usual_seconds))
        self._cached[series] = _Known(monotonic() + self._interval, usual_seconds, quantiles_ms)
        self._cached.move_to_end(series)
        if len(self._cached) > _MAX_CACHED:
            self._cached.popitem(last=False)
        return quantiles_ms

    def observe(self, series: Series, observation: Observation) -> None:
        """Learn from one clip, soon. Of very many at a time, or while SQL is away, only so many are kept."""
        collected = self._collected[series]
        if len(collected) < _MAX_COLLECTED:
            collected.append(observation)

    async def run(self) -> None:
        """Write until cancelled. A database that is away is waited for."""
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.write()
            except DependencyUnavailable as error:
                log.warning("durations_wait", reason=error.reason)

    async def write(self) -> None:
        """Learn what was collected. Raises DependencyUnavailable; what was not written then is kept."""
        while self._collected:
            series, observations = next(iter(self._collected.items()))
            known = len(observations)
            async with self._database.transaction() as session:
                repository = DurationRepository(session)
                now = self._clock()
                sketch = await repository.lock(series.key, now=now)
                for each in observations[:known]:
                    sketch = sketch.learned(each.not_ready_seconds, each.ready_seconds, usual=each.usual_seconds)
                await repository.save(series.key, sketch, now=now)
            # Others may have come during the transaction.
            del observations[:known]
            if not observations:
                del self._collected[series]
            self._cached.pop(series, None)
            log.debug("durations_learned", series=series.key, observation_count=known, clip_count=sketch.clip_count)
