"""Changes of keys, told over a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager

import pytest

from flow2api_common.errors import DependencyUnavailable
from flow2api_common.lifecycle import BackgroundTasks
from flow2api_common.settings import load_settings
from flow2api_testing.waiting import eventually
from flow2api_token_service.access.changes import AccessChanges
from flow2api_token_service.redis_client import open_redis
from flow2api_token_service.settings import RedisSettings

StartReplica = Callable[[], AbstractAsyncContextManager[AccessChanges]]


@pytest.fixture
def start_replica(redis_url: str) -> StartReplica:
    @asynccontextmanager
    async def start() -> AsyncIterator[AccessChanges]:
        redis = open_redis(load_settings(RedisSettings, redis_url=redis_url))
        changes = AccessChanges(redis=redis)
        async with BackgroundTasks() as background:
            background.start("access-changes", changes.serve())
            await eventually(lambda: hears(changes))
            yield changes
        await redis.aclose()

    return start


async def hears(changes: AccessChanges) -> bool:
    async with aclosing(changes.watch()) as watching:
        return await anext(watching) == ()


async def next_change(watching: AsyncIterator[tuple[str, ...]]) -> tuple[str, ...]:
    async with asyncio.timeout(10):
        while not (changed := await anext(watching)):
            pass
        return changed


async def test_every_watcher_of_every_replica_is_told(start_replica: StartReplica) -> None:
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(start_replica()) for _ in range(2)]
        watchers = [await stack.enter_async_context(aclosing(replicas[at].watch())) for at in (0, 1, 1)]
        for watching in watchers:
            assert await anext(watching) == ()
        await replicas[0].tell("key_1")
        assert [await next_change(watching) for watching in watchers] == [("key_1",)] * 3


async def test_quiet_stream_shows_life(start_replica: StartReplica) -> None:
    async with start_replica() as changes, aclosing(changes.watch()) as watching, asyncio.timeout(10):
        assert [await anext(watching) for _ in range(3)] == [(), (), ()]


async def test_lost_channel_ends_the_streams_and_comes_back(start_replica: StartReplica, redis_url: str) -> None:
    admin = open_redis(load_settings(RedisSettings, redis_url=redis_url))
    async with start_replica() as changes:
        async with aclosing(changes.watch()) as watching:
            await anext(watching)
            await admin.client_kill_filter(_type="pubsub")
            with pytest.raises(DependencyUnavailable):
                await next_change(watching)
        await eventually(lambda: hears(changes))
    await admin.aclose()


async def test_change_is_told_although_redis_pauses(start_replica: StartReplica, redis_url: str) -> None:
    admin = open_redis(load_settings(RedisSettings, redis_url=redis_url))
    async with start_replica() as changes, aclosing(changes.watch()) as watching:
        await anext(watching)
        # Redis takes no commands for a while, as when it fails over.
        await admin.execute_command("CLIENT", "PAUSE", "200", "ALL")
        telling = asyncio.create_task(changes.tell("key_1"))
        assert await next_change(watching) == ("key_1",)
        await telling
    await admin.aclose()


async def test_stopping_replica_sends_its_watchers_away(start_replica: StartReplica) -> None:
    async with start_replica() as changes, aclosing(changes.watch()) as watching:
        await anext(watching)
        changes.close()
        async with asyncio.timeout(10):
            assert [changed async for changed in watching if changed] == []
        with pytest.raises(DependencyUnavailable):
            await anext(changes.watch())


async def test_watcher_that_falls_far_behind_is_sent_away(start_replica: StartReplica) -> None:
    async with start_replica() as changes, aclosing(changes.watch()) as behind, aclosing(changes.watch()) as keeping_up:
        await anext(behind)
        await anext(keeping_up)
        for number in range(1100):
            await changes.tell(f"key_{number}")
            # A change may be told twice, when Redis is slow to answer.
            while await next_change(keeping_up) != (f"key_{number}",):
                pass
        with pytest.raises(DependencyUnavailable):
            await anext(behind)


async def test_nobody_watches_before_redis_is_there(unused_tcp_port: int) -> None:
    redis = open_redis(load_settings(RedisSettings, redis_url=f"redis://127.0.0.1:{unused_tcp_port}"))
    changes = AccessChanges(redis=redis)
    async with BackgroundTasks() as background:
        background.start("access-changes", changes.serve())
        with pytest.raises(DependencyUnavailable):
            await anext(changes.watch())
        await changes.tell("key_1")
    await redis.aclose()
