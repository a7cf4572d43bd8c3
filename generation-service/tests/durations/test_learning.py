"""Durations kept in SQL, by any number of replicas; on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable
from flow2api_generation_service.durations.learning import Durations, Observation
from flow2api_generation_service.durations.repository import DurationRepository
from flow2api_generation_service.durations.series import Series
from flow2api_generation_service.durations.sketch import PARTS, DurationSketch

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FAST = Series(provider="flow", upstream_model="veo", kind="text", duration_seconds=8, resolution="720p")
LONG = Series(provider="flow", upstream_model="veo", kind="text", duration_seconds=4, resolution="720p")
TWENTY = Observation(not_ready_seconds=19.0, ready_seconds=21.0, usual_seconds=90)


def durations_of(database: Database) -> Durations:
    return Durations(database=database, clock=lambda: NOW, interval=timedelta(0))


async def kept(database: Database, series: Series = FAST) -> DurationSketch:
    async with database.transaction(read_only=True) as session:
        return await DurationRepository(session).get(series.key)


async def median_of(durations: Durations, series: Series = FAST) -> float:
    return (await durations.quantiles_ms(series, 90))[PARTS // 2] / 1000


async def test_before_anything_was_learned_the_usual_duration_holds(database: Database) -> None:
    assert await median_of(durations_of(database)) == pytest.approx(90, rel=0.05)


async def test_what_one_replica_learns_another_knows(database: Database) -> None:
    learner = durations_of(database)
    for _ in range(100):
        learner.observe(FAST, TWENTY)
    await learner.write()
    other = durations_of(database)
    assert await median_of(other) == pytest.approx(20, rel=0.05)
    assert await median_of(other, LONG) == pytest.approx(90, rel=0.05)


async def test_replicas_that_write_at_the_same_time_lose_nothing(database: Database) -> None:
    replicas = [durations_of(database) for _ in range(4)]
    for replica in replicas:
        for series in (FAST, LONG):
            for _ in range(10):
                replica.observe(series, TWENTY)
    await asyncio.gather(*(replica.write() for replica in replicas))
    assert [(await kept(database, series)).clip_count for series in (FAST, LONG)] == [40, 40]


async def test_nothing_is_written_twice(database: Database) -> None:
    durations = durations_of(database)
    durations.observe(FAST, TWENTY)
    await durations.write()
    await durations.write()
    assert (await kept(database)).clip_count == 1


async def test_while_sql_is_away_nothing_is_lost_and_nothing_fails(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    durations = durations_of(database)
    durations.observe(FAST, TWENTY)
    with monkeypatch.context() as away:
        away.setattr(database, "transaction", _unavailable)
        assert await median_of(durations) == pytest.approx(90, rel=0.05)
        with pytest.raises(DependencyUnavailable):
            await durations.write()
    await durations.write()
    assert (await kept(database)).clip_count == 1


def _unavailable(**_options: object) -> object:
    raise DependencyUnavailable("The database is not reachable.")
