"""A pool index, and replicas that lease from it, on the real Redis of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings
from redis.asyncio import Redis

from flow2api_common.ids import new_id
from flow2api_common.settings import load_settings
from flow2api_testing.waiting import eventually
from flow2api_token_service.leases.owned_tasks import OwnedTasks
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.leases.queue import LeaseQueue
from flow2api_token_service.leases.rebuild import IndexBuilder
from flow2api_token_service.leases.records import Candidate, IndexState, KeyShare, LeaseKind, LeaseRequest, PoolEntry
from flow2api_token_service.leases.redis_lock import RedisLocks
from flow2api_token_service.leases.waiting_line import WaitingLine
from flow2api_token_service.redis_client import KEY_PREFIX, open_redis
from flow2api_token_service.settings import QueueSettings, RedisSettings

settings.register_profile("thorough", deadline=None, max_examples=1000, stateful_step_count=100)


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


@dataclass
class Replica:
    """The leasing half of a token service: everything but gRPC and SQL."""

    redis: Redis
    index: PoolIndex
    queue: LeaseQueue
    tasks: OwnedTasks
    serving: asyncio.Task[None]

    async def stop(self) -> None:
        """End as the service does: those who wait are sent away, and what they held is given back."""
        self.queue.stop_waiting()
        await self.serving
        await self.tasks.aclose(timedelta(seconds=5))
        await self.redis.aclose()

    async def kill(self) -> None:
        """End as a killed process does: Redis hears nothing any more."""
        self.queue.give_back = lambda _: None
        self.queue.stop_waiting()
        await self.serving
        await self.tasks.aclose(timedelta(seconds=5))
        await self.redis.aclose()


StartReplica = Callable[..., Replica]


@pytest.fixture
def open_replica(redis_url: str) -> StartReplica:
    """Starts a replica over the test's Redis, with the tokens that a flushed index is built from; the test stops it.

    ``stored`` in place of the tokens may change while the replica runs, as SQL does.
    """

    def start(
        *entries: PoolEntry,
        url: str = redis_url,
        weights: Mapping[str, int] | None = None,
        stored: Mapping[int, PoolEntry] | None = None,
        **queue_settings: Any,
    ) -> Replica:
        redis = open_redis(load_settings(RedisSettings, redis_url=url))
        index, tasks = PoolIndex(redis), OwnedTasks()

        async def put_tokens() -> None:
            await index.put(entries if stored is None else list(stored.values()))

        async def put_keys() -> None:
            await index.put_keys([KeyShare(api_key_id=key, weight=weight) for key, weight in (weights or {}).items()])

        builder = IndexBuilder(index=index, locks=RedisLocks(redis), put_tokens=put_tokens, put_keys=put_keys)
        queue = LeaseQueue(
            index=index,
            line=WaitingLine(redis),
            builder=builder,
            tasks=tasks,
            settings=load_settings(QueueSettings, **queue_settings),
        )
        return Replica(redis, index, queue, tasks, asyncio.get_running_loop().create_task(queue.serve()))

    return start


@pytest.fixture
async def start_replica(open_replica: StartReplica) -> AsyncIterator[StartReplica]:
    """The same, stopped after the test."""
    started: list[Replica] = []

    def start(*entries: PoolEntry, **settings: Any) -> Replica:
        started.append(open_replica(*entries, **settings))
        return started[-1]

    yield start
    for replica in started:
        if not replica.serving.done():
            await replica.stop()


@pytest.fixture
def waiting(redis: Redis) -> Callable[[int], Awaitable[None]]:
    """Returns when as many wait in Redis."""

    async def until(count: int) -> None:
        async def as_many() -> bool:
            return await redis.hlen(f"{KEY_PREFIX}:wait:tickets") == count

        await eventually(as_many)

    return until
