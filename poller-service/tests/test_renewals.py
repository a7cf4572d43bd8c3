"""Leases kept alive with few calls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from flow2api_poller_service.renewals import LeaseRenewals
from flow2api_proto.tokens.v1 import token_pb2

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def lease(lease_id: str, lives: timedelta = timedelta(0)) -> token_pb2.Lease:
    made = token_pb2.Lease(lease_id=lease_id, token_id=1)
    made.expire_time.FromDatetime(NOW + lives)
    return made


class Pool:
    """Keeps the calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], timedelta]] = []

    async def renew(self, leases: Sequence[token_pb2.Lease], duration: timedelta) -> None:
        self.calls.append(([each.lease_id for each in leases], duration))


@pytest.fixture
def pool() -> Pool:
    return Pool()


def renewals_of(pool: Pool, batch: int = 256) -> LeaseRenewals:
    return LeaseRenewals(pool=pool, clock=lambda: NOW, batch=batch)


async def test_a_lease_that_lives_long_enough_costs_no_call(pool: Pool) -> None:
    await renewals_of(pool).keep([lease("a", 3 * MINUTE)], until=NOW + 2 * MINUTE)
    assert pool.calls == []


async def test_groups_at_the_same_time_share_one_call(pool: Pool) -> None:
    renewals = renewals_of(pool)
    async with asyncio.TaskGroup() as group:
        for name, until in (("a", 1), ("b", 3), ("c", 2)):
            group.create_task(renewals.keep([lease(name)], until=NOW + until * MINUTE))
    assert pool.calls == [(["a", "b", "c"], 3 * MINUTE)]


async def test_a_call_does_not_grow_without_bound(pool: Pool) -> None:
    renewals = renewals_of(pool, batch=2)
    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(renewals.keep([lease(str(number))], until=NOW + MINUTE))
    assert sorted(len(names) for names, _ in pool.calls) == [1, 2, 2]


async def test_whoever_is_cancelled_leaves_the_others_free(pool: Pool) -> None:
    renewals = renewals_of(pool)
    first = asyncio.create_task(renewals.keep([lease("a")], until=NOW + MINUTE))
    second = asyncio.create_task(renewals.keep([lease("b")], until=NOW + MINUTE))
    await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(5):
        await second
    await renewals.keep([lease("c")], until=NOW + MINUTE)
    assert [names for names, _ in pool.calls] == [["c"]]
