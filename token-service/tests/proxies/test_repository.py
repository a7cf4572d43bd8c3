"""Queries on proxies, and assignments, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from flow2api_common.errors import Conflict, NotFound
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.proxies.assignments import ProxyAssignments
from flow2api_token_service.proxies.repository import ProxyRepository
from flow2api_token_service.tokens.changes import TokenChanges
from flow2api_token_service.tokens.repository import TokenRepository

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def add(database):
    async def add_all(*rows) -> list[int]:
        async with database.transaction() as session:
            session.add_all(rows)
            await session.flush()
        return [row.id for row in rows]

    return add_all


@pytest.fixture
async def redis(redis_url) -> AsyncIterator[Redis]:
    redis = Redis.from_url(redis_url, decode_responses=True)
    yield redis
    await redis.aclose()


@pytest.fixture
def replicas(database, redis) -> list[ProxyAssignments]:
    """As two processes would have them."""
    changes = [TokenChanges(database=database, index=PoolIndex(redis), clock=lambda: NOON) for _ in range(2)]
    return [ProxyAssignments(database=database, changes=each) for each in changes]


async def counts(database) -> Counter[int]:
    async with database.transaction(read_only=True) as session:
        return Counter(await ProxyRepository(session).token_counts())


async def test_known_address_is_a_conflict(database, proxy_row):
    async with database.transaction() as session:
        await ProxyRepository(session).add(proxy_row("a"))
    with pytest.raises(Conflict):
        async with database.transaction() as session:
            await ProxyRepository(session).add(proxy_row("a"))


async def test_usable_are_those_that_are_on_and_work(database, add, proxy_row):
    ids = await add(
        proxy_row("a"), proxy_row("b", enabled=False), proxy_row("c", state="suspect"), proxy_row("d", port=1)
    )
    async with database.transaction() as session:
        assert list(await ProxyRepository(session).lock_usable()) == [ids[0], ids[3]]


async def test_checks_are_due_in_order_and_not_for_what_is_off(database, add, proxy_row):
    ids = await add(
        proxy_row("a", next_check_at=NOON - HOUR),
        proxy_row("b", next_check_at=NOON - 2 * HOUR, state="suspect"),
        proxy_row("c", next_check_at=NOON + HOUR),
        proxy_row("d", next_check_at=NOON - HOUR, enabled=False),
    )
    async with database.transaction(read_only=True) as session:
        assert list(await ProxyRepository(session).ids_to_check(now=NOON, limit=9)) == [ids[1], ids[0]]


async def test_deleted_proxy_leaves_its_tokens_without_one_and_its_id_unused(database, add, proxy_row, token_row):
    proxy_id, other = await add(proxy_row("a"), proxy_row("b"))
    (token_id,) = await add(token_row("t", proxy_id=proxy_id))
    async with database.transaction() as session:
        repository = ProxyRepository(session)
        await repository.delete(await repository.get(proxy_id, lock=True))

    async with database.transaction(read_only=True) as session:
        assert (await TokenRepository(session).get(token_id)).proxy_id is None
        with pytest.raises(NotFound):
            await ProxyRepository(session).get(proxy_id)
    assert await counts(database) == {}
    assert (await add(proxy_row("c")))[0] > other


async def test_tokens_that_are_assigned_at_once_by_two_replicas_are_spread_evenly(
    database, replicas, add, proxy_row, token_row
):
    proxy_ids = await add(*(proxy_row(f"{number}") for number in range(4)))
    token_ids = await add(*(token_row(f"{number}") for number in range(20)))

    await asyncio.gather(*(replicas[token_id % 2].assign(token_id) for token_id in token_ids))

    assert await counts(database) == dict.fromkeys(proxy_ids, 5)


async def test_token_moves_only_when_its_proxy_cannot_be_used(database, replicas, add, proxy_row, token_row):
    first, second, third = await add(proxy_row("a"), proxy_row("b"), proxy_row("c"))
    token_id, _ = await add(token_row("t", proxy_id=second), token_row("u", proxy_id=second))
    assert (await replicas[0].assign(token_id)).proxy_id == second

    async with database.transaction() as session:
        (await ProxyRepository(session).get(second, lock=True)).state = "suspect"
        (await ProxyRepository(session).get(first, lock=True)).enabled = False
    moved = await replicas[1].assign(token_id)
    assert moved.proxy_id == third

    async with database.transaction() as session:
        (await ProxyRepository(session).get(second, lock=True)).state = "active"
    assert (await replicas[0].assign(token_id)).proxy_id == third


async def test_token_stays_where_it_is_when_none_can_be_used(database, replicas, add, proxy_row, token_row):
    (proxy_id,) = await add(proxy_row("a", state="suspect"))
    (token_id,) = await add(token_row("t", proxy_id=proxy_id))
    before = await replicas[0].assign(token_id)
    assert (before.proxy_id, before.revision) == (proxy_id, 1)


async def test_token_with_a_proxy_of_its_own_is_left_alone(replicas, add, proxy_row, token_row):
    await add(proxy_row("a"))
    (token_id,) = await add(token_row("t", sealed_proxy_url="sealed"))
    assert (await replicas[0].assign(token_id)).proxy_id is None
