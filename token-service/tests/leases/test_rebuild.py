"""Building the index from SQL: whatever Redis loses, also in the middle of it, is there again."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from flow2api_common.settings import load_settings
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.leases.rebuild import IndexBuilder
from flow2api_token_service.leases.redis_lock import RedisLocks
from flow2api_token_service.redis_client import open_redis
from flow2api_token_service.settings import RedisSettings


async def nothing() -> None:
    return None


def builder_of(redis: Redis, put_tokens) -> IndexBuilder:
    return IndexBuilder(index=PoolIndex(redis), locks=RedisLocks(redis), put_tokens=put_tokens, put_keys=nothing)


@pytest.fixture
async def own(own_redis):
    client = open_redis(load_settings(RedisSettings, redis_url=own_redis.url))
    yield client
    await client.aclose()


async def test_a_flush_during_the_build_is_made_good(redis, entry):
    index, rounds = PoolIndex(redis), []

    async def put_tokens() -> None:
        rounds.append(len(rounds))
        await index.put([entry(1)])
        if len(rounds) == 1:
            await redis.flushall()
        await index.put([entry(2)])

    await builder_of(redis, put_tokens).ensure_built()

    assert await index.token_ids() == {1, 2}


async def test_builders_at_the_same_time_do_not_undo_each_other(redis, entry):
    index, rounds = PoolIndex(redis), []

    async def put_tokens() -> None:
        rounds.append(len(rounds))
        if len(rounds) == 1:
            await builder_of(redis, put_tokens).build()
        await index.put([entry(1)])

    await builder_of(redis, put_tokens).build()

    assert await index.is_built()
    assert len(rounds) == 2


async def test_what_a_restart_has_lost_is_written_again(own, own_redis, entry):
    index = PoolIndex(own)

    async def put_tokens() -> None:
        await index.put([entry(1), entry(2)])

    builder = builder_of(own, put_tokens)
    await builder.build()
    # As Redis comes back from a snapshot that was taken before the second token was added.
    await index.remove([2])
    own_redis.kill(loses_data=False)
    own_redis.start()

    await builder.ensure_current()

    assert await index.token_ids() == {1, 2}


async def test_a_server_that_goes_on_is_left_alone(redis, entry):
    index, rounds = PoolIndex(redis), []

    async def put_tokens() -> None:
        rounds.append(len(rounds))
        await index.put([entry(1)])

    builder = builder_of(redis, put_tokens)
    await builder.build()
    await builder.ensure_current()

    assert len(rounds) == 1
