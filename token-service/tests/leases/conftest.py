"""A pool index on the real Redis of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from flow2api_common.ids import new_id
from flow2api_common.settings import load_settings
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.leases.records import Candidate, IndexState, LeaseKind, LeaseRequest, PoolEntry
from flow2api_token_service.redis_client import open_redis
from flow2api_token_service.settings import RedisSettings


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = open_redis(load_settings(RedisSettings, redis_url=redis_url))
    yield client
    await client.aclose()


@pytest.fixture
async def index(redis: Redis) -> PoolIndex:
    index = PoolIndex(redis)
    await index.mark_built("epoch")
    return index


@pytest.fixture
def entry() -> Callable[..., PoolEntry]:
    def build(token_id: int, **changes: Any) -> PoolEntry:
        fields: dict[str, Any] = {
            "token_id": token_id,
            "provider": "flow",
            "tier": 1,
            "credits": 100,
            "revision": 1,
            "state": IndexState.ACTIVE,
            "state_until": None,
            "image_limit": 1,
            "video_limit": 1,
            "is_sick": False,
        }
        return PoolEntry(**{**fields, **changes})

    return build


@pytest.fixture
def wish() -> Callable[..., LeaseRequest]:
    def build(*candidates: Candidate, **changes: Any) -> LeaseRequest:
        fields: dict[str, Any] = {
            "lease_id": new_id("lease"),
            "request_id": new_id("request"),
            "kind": LeaseKind.IMAGE,
            "candidates": candidates or (Candidate(provider="flow", upstream_model="banana"),),
            "api_key_id": "",
            "duration": timedelta(minutes=1),
        }
        return LeaseRequest(**{**fields, **changes})

    return build
