"""Redis is killed with ``kill -9`` while a picture and a video are made and somebody waits, and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from flow2api_sandbox.server import running_sandbox
from flow2api_sandbox.settings import SandboxSettings
from flow2api_testing.installation import Installation, running_installation
from flow2api_testing.own_redis import OwnRedis
from flow2api_testing.pool_time import PoolTime
from flow2api_testing.waiting import eventually
from flow2api_token_service.redis_client import KEY_PREFIX

PICTURE = {"model": "gemini-3.1-flash-image"}
# Ended by moving the sandbox's time.
LONG = timedelta(hours=1)

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
async def system(
    tmp_path: Path, own_redis: OwnRedis, nats_url: str, pool_time: PoolTime
) -> AsyncIterator[Installation]:
    """All services over a Redis of their own; generations last until the test lets the upstream's time pass."""
    upstream = SandboxSettings(
        host="127.0.0.1", port=0, image_latency=LONG, fast_video_duration=LONG, access_token_lifetime=10 * LONG
    )
    async with (
        running_sandbox(upstream) as sandbox,
        running_installation(
            tmp_path / "system",
            sandbox=sandbox,
            redis_url=own_redis.url,
            nats_url=nats_url,
            time=pool_time,
            image_token_wait=timedelta(seconds=20),
            image_lease_duration=timedelta(seconds=10),
            lease_restore_grace=timedelta(seconds=6),
        ) as running,
    ):
        yield running


def ask(system: Installation, prompt: str) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(system.client.post("/v1/images/generations", json={**PICTURE, "prompt": prompt}))


async def in_flight(system: Installation, token_id: int) -> tuple[int, int]:
    token = await system.token(token_id)
    return token["image_in_flight"], token["video_in_flight"]


async def in_flight_is(system: Installation, token_id: int, wanted: tuple[int, int]) -> bool:
    return await in_flight(system, token_id) == wanted


async def status_is(status: Callable[[], Awaitable[str]], wanted: str) -> bool:
    found = await status()
    assert found == wanted, found
    return True


async def left_of_the_video_lease(system: Installation, server: OwnRedis) -> timedelta:
    async with Redis.from_url(server.url) as redis:
        ((_, deadline),) = await redis.zrange(f"{KEY_PREFIX}:deadlines:video", 0, -1, withscores=True)
    return datetime.fromtimestamp(deadline / 1000, UTC) - system.time()


async def somebody_waits(server: OwnRedis) -> bool:
    async with Redis.from_url(server.url) as redis:
        return bool(await redis.hlen(f"{KEY_PREFIX}:wait:tickets"))


async def is_ready(system: Installation) -> bool:
    return (await system.client.get("/readyz")).is_success


@pytest.mark.parametrize("loses_data", [True, False], ids=["empty", "with its data"])
async def test_what_is_under_way_ends_well_and_who_comes_meanwhile_is_told(
    system: Installation, own_redis: OwnRedis, loses_data: bool
) -> None:
    token_id = await system.add_token(provider="flow", st="sandbox-st-1", image_concurrency=1, video_concurrency=1)
    picture = ask(system, "a lighthouse")
    body = {"model": "veo-3.1-fast", "prompt": "waves", "size": "1280x720", "seconds": "8"}
    video_id = (await system.client.post("/v1/videos", json=body)).raise_for_status().json()["id"]

    async def video_status() -> str:
        return str((await system.client.get(f"/v1/videos/{video_id}")).json()["status"])

    await eventually(lambda: in_flight_is(system, token_id, (1, 1)))
    await eventually(lambda: status_is(video_status, "in_progress"), timeout=30)
    waiting = ask(system, "somebody who waits")
    watch = system.sandbox.world.accounts["sandbox-st-1"].watch
    await eventually(lambda: watch.running == {"image": 1, "video": 1})

    lease_time = await left_of_the_video_lease(system, own_redis)

    own_redis.kill(loses_data=loses_data)

    # Whoever waits and whoever comes is told at once, and when to come back.
    for refused in (await waiting, await ask(system, "a stranger")):
        assert refused.status_code == 503, refused.text
        assert refused.json()["error"]["code"] == "service_unavailable"
        assert int(refused.headers["retry-after"]) >= 1
    assert not picture.done()
    assert await video_status() == "in_progress"

    own_redis.start()

    # By their renewals, within one lease time, both count again, and leave no room for others.
    await eventually(lambda: is_ready(system), timeout=30)
    system.time.advance(lease_time - timedelta(seconds=60))
    await eventually(lambda: in_flight_is(system, token_id, (1, 1)), timeout=30)
    later = ask(system, "somebody who comes later")
    await eventually(lambda: somebody_waits(own_redis))
    assert watch.running == {"image": 1, "video": 1}

    system.sandbox.world.clock.advance(2 * LONG.total_seconds())
    assert (await picture).is_success
    await eventually(lambda: watch.running["image"] == 1)
    system.sandbox.world.clock.advance(2 * LONG.total_seconds())
    assert (await later).is_success
    await eventually(lambda: status_is(video_status, "completed"), timeout=60)
    await eventually(lambda: in_flight_is(system, token_id, (0, 0)), timeout=30)
    assert watch.highest == {"image": 1, "video": 1}
    accepted = {prompt: seen.accepted for prompt, seen in system.sandbox.world.ledger.submissions.items()}
    assert accepted == {"a lighthouse": 1, "waves": 1, "somebody who comes later": 1}
    assert await system.token(token_id) | {"state": "active", "error_count": 0} == await system.token(token_id)


async def test_an_empty_redis_lets_no_second_video_onto_a_busy_account(
    system: Installation, own_redis: OwnRedis
) -> None:
    await system.add_token(provider="flow", st="sandbox-st-1", video_concurrency=1)
    first = await ask_for_video(system, "the first")
    await eventually(lambda: video_is(system, first, "in_progress"), timeout=30)

    own_redis.kill(loses_data=True)
    own_redis.start()
    second = await eventually(lambda: ask_for_video(system, "the second"), timeout=30)

    # It waits while the lease of the first comes back, and goes on waiting when it has.
    await eventually(lambda: is_restoring(own_redis), timeout=30)
    await eventually(lambda: has_restored(own_redis), timeout=30)
    await eventually(lambda: somebody_waits(own_redis), timeout=30)
    watch = system.sandbox.world.accounts["sandbox-st-1"].watch
    assert watch.highest == {"video": 1}

    for video_id in (first, second):
        await eventually(lambda: watch.running == {"video": 1}, timeout=60)
        system.sandbox.world.clock.advance(2 * LONG.total_seconds())
        await eventually(lambda video_id=video_id: video_is(system, video_id, "completed"), timeout=60)
    assert watch.highest == {"video": 1}


async def test_an_empty_redis_lets_no_video_beside_one_that_was_given_up(
    system: Installation, own_redis: OwnRedis
) -> None:
    token_id = await system.add_token(provider="flow", st="sandbox-st-1", video_concurrency=1)
    given_up = await ask_for_video(system, "the first", expires_after=5)
    await eventually(lambda: video_is(system, given_up, "failed"), timeout=60)

    own_redis.kill(loses_data=True)
    own_redis.start()
    await eventually(lambda: is_restoring(own_redis), timeout=30)
    await eventually(lambda: in_flight_is(system, token_id, (0, 1)), timeout=30)

    # Longer than a lease that somebody renews would be given, shorter than the upstream may work.
    assert await left_of_the_video_lease(system, own_redis) > timedelta(minutes=5)
    assert system.sandbox.world.accounts["sandbox-st-1"].watch.running == {"video": 1}


async def ask_for_video(system: Installation, prompt: str, **fields: object) -> str:
    body = {"model": "veo-3.1-fast", "prompt": prompt, "size": "1280x720", "seconds": "8", **fields}
    headers = {"idempotency-key": prompt}
    answer = await system.client.post("/v1/videos", json=body, headers=headers)
    return str(answer.raise_for_status().json()["id"])


async def video_is(system: Installation, video_id: str, wanted: str) -> bool:
    status = (await system.client.get(f"/v1/videos/{video_id}")).json()["status"]
    assert status == wanted, status
    return True


async def is_restoring(server: OwnRedis) -> bool:
    async with Redis.from_url(server.url) as redis:
        return bool(await redis.exists(f"{KEY_PREFIX}:restoring"))


async def has_restored(server: OwnRedis) -> bool:
    return not await is_restoring(server)
