"""Requests per minute, counted in a real Redis. The window is short where a test waits for its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from flow2api_common.errors import CapacityError, DependencyUnavailable
from flow2api_common.settings import load_settings
from flow2api_testing.waiting import eventually
from flow2api_token_service.access.request_limit import WINDOW, Quota, RequestLimit
from flow2api_token_service.redis_client import KEY_PREFIX, open_redis
from flow2api_token_service.settings import RedisSettings

SHORT = timedelta(milliseconds=400)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    opened = open_redis(load_settings(RedisSettings, redis_url=redis_url))
    yield opened
    await opened.aclose()


@pytest.fixture
def limit(redis: Redis) -> RequestLimit:
    return RequestLimit(redis=redis)


async def test_counts_down_and_refuses(limit: RequestLimit) -> None:
    quotas = [await limit.count("key", limit=2, generation_id=f"g{number}") for number in range(2)]
    with pytest.raises(CapacityError) as caught:
        await limit.count("key", limit=2, generation_id="g2")

    assert [quota.remaining for quota in quotas] == [1, 0]
    assert timedelta(0) < quotas[1].reset <= WINDOW
    assert caught.value.reason == "REQUESTS_PER_MINUTE"
    assert caught.value.retry_after is not None
    assert timedelta(0) < caught.value.retry_after <= WINDOW
    assert caught.value.metadata["limit_requests"] == "2"
    assert caught.value.metadata["remaining_requests"] == "0"
    assert 0 < int(caught.value.metadata["reset_requests_ms"]) <= 60_000


async def test_same_generation_counts_once(limit: RequestLimit) -> None:
    for _ in range(3):
        quota = await limit.count("key", limit=1, generation_id="g1")
    assert quota.remaining == 0


async def test_keys_do_not_share(limit: RequestLimit) -> None:
    await limit.count("key", limit=1, generation_id="g1")
    assert (await limit.count("other", limit=1, generation_id="g1")).remaining == 0


async def test_raised_limit_counts_at_once_and_lowered_one_too(limit: RequestLimit) -> None:
    for number in range(4):
        await limit.count("key", limit=4, generation_id=f"g{number}")
    assert (await limit.count("key", limit=9, generation_id="g4")).remaining == 4
    with pytest.raises(CapacityError):
        await limit.count("key", limit=2, generation_id="g5")


async def test_no_more_begin_at_the_same_time_than_the_limit_allows(redis: Redis) -> None:
    replicas = [RequestLimit(redis=redis) for _ in range(3)]
    calls = [replicas[number % 3].count("key", limit=7, generation_id=f"g{number}") for number in range(60)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, Quota) for result in results) == 7
    assert sum(isinstance(result, CapacityError) for result in results) == 53


async def test_room_comes_back_with_time(redis: Redis) -> None:
    limit = RequestLimit(redis=redis, window=SHORT)
    await limit.count("key", limit=1, generation_id="g1")

    async def begun() -> bool:
        try:
            await limit.count("key", limit=1, generation_id="g2")
        except CapacityError:
            return False
        return True

    await eventually(begun)


async def test_nothing_is_left_behind(redis: Redis) -> None:
    limit = RequestLimit(redis=redis, window=SHORT)
    await limit.count("key", limit=1, generation_id="g1")
    assert 0 < await redis.pttl(f"{KEY_PREFIX}:requests:key") <= 400


async def test_fails_closed_without_redis(unused_tcp_port: int) -> None:
    away = open_redis(load_settings(RedisSettings, redis_url=f"redis://127.0.0.1:{unused_tcp_port}"))
    with pytest.raises(DependencyUnavailable):
        await RequestLimit(redis=away).count("key", limit=1, generation_id="g1")
    await away.aclose()
