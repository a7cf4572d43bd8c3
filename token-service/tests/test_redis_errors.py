"""What the refusals of a Redis in trouble mean."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from flow2api_common.errors import DependencyUnavailable, InternalError
from flow2api_common.settings import load_settings
from flow2api_token_service.redis_client import open_redis, redis_errors
from flow2api_token_service.settings import RedisSettings


@pytest.fixture
async def redis(own_redis):
    client = open_redis(load_settings(RedisSettings, redis_url=own_redis.url))
    yield client
    await client.aclose()


async def test_full_redis_is_away_for_a_while(redis: Redis) -> None:
    await redis.config_set("maxmemory", "1")
    with pytest.raises(DependencyUnavailable) as caught, redis_errors():
        await redis.set("key", "x")
    assert caught.value.retry_after is not None


async def test_full_redis_is_away_for_scripts_too(redis: Redis) -> None:
    await redis.config_set("maxmemory", "1")
    with pytest.raises(DependencyUnavailable), redis_errors():
        await redis.eval("return redis.call('SET', KEYS[1], 'x')", 1, "key")


async def test_redis_without_its_replicas_is_away_for_a_while(redis: Redis) -> None:
    await redis.config_set("min-replicas-to-write", "1")
    with pytest.raises(DependencyUnavailable), redis_errors():
        await redis.set("key", "x")


async def test_wrong_command_is_our_mistake(redis: Redis) -> None:
    await redis.set("key", "x")
    with pytest.raises(InternalError) as caught, redis_errors():
        await redis.lpush("key", "BUSYBODY")
    assert not isinstance(caught.value, DependencyUnavailable)
