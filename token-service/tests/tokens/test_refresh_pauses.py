"""When a refresh that proved nothing is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flow2api_common.settings import load_settings
from flow2api_token_service.credentials.refresh_pauses import LONGEST_PAUSE, RefreshPauses, next_attempt
from flow2api_token_service.redis_client import open_redis
from flow2api_token_service.settings import RedisSettings

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def pauses(redis_url):
    redis = open_redis(load_settings(RedisSettings, redis_url=redis_url))
    yield RefreshPauses(redis)
    await redis.aclose()


async def test_pauses_grow_until_a_refresh_works(pauses):
    grown = [await pauses.next(1, None) for _ in range(8)]

    assert all(2**at * MINUTE <= pause <= 2 ** (at + 1) * MINUTE for at, pause in enumerate(grown[:5]))
    assert all(LONGEST_PAUSE <= pause <= 2 * LONGEST_PAUSE for pause in grown[5:])
    assert await pauses.next(2, None) <= 2 * MINUTE
    await pauses.end(1)
    assert await pauses.next(1, None) <= 2 * MINUTE


async def test_pause_is_not_shorter_than_the_upstream_asks_for(pauses):
    assert await pauses.next(1, timedelta(hours=3)) == timedelta(hours=3)


def test_bearer_that_lives_is_tried_again_at_its_end_at_the_latest():
    assert next_attempt(NOON + 5 * MINUTE, pause=2 * MINUTE, now=NOON) == NOON + 2 * MINUTE
    assert next_attempt(NOON + 5 * MINUTE, pause=20 * MINUTE, now=NOON) == NOON + 5 * MINUTE
    assert next_attempt(NOON + timedelta(seconds=1), pause=20 * MINUTE, now=NOON) > NOON + timedelta(seconds=1)


def test_bearer_that_has_ended_waits_for_the_whole_pause():
    assert next_attempt(NOON - MINUTE, pause=20 * MINUTE, now=NOON) == NOON + 20 * MINUTE
    assert next_attempt(None, pause=20 * MINUTE, now=NOON) == NOON + 20 * MINUTE
