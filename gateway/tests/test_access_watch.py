"""Keys that are remembered, and forgotten when they change. The clock of the cache is turned where time matters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from flow2api_common.errors import Unauthenticated
from flow2api_common.grpc_client import open_channel
from flow2api_gateway.auth.api_keys import ApiKeys
from flow2api_proto.access.v1 import access_service_pb2_grpc
from flow2api_testing.waiting import eventually

SECRET = "sk-good-key-0123456789"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def keys(world: Any, clock: Clock, service_token: Any) -> AsyncIterator[ApiKeys]:
    world.access.unwatched_cache_duration = timedelta(seconds=2)
    channel = open_channel(world.settings.token_addr, service_token=service_token)
    opened = ApiKeys(access_service_pb2_grpc.AccessServiceStub(channel), monotonic=clock)
    yield opened
    await opened.aclose()
    await channel.close()


class TestRemembered:
    async def test_for_long_while_changes_are_heard_of(self, keys: ApiKeys, world: Any, clock: Clock) -> None:
        for _ in range(10):
            keys.hear(())
            await keys.authenticate(SECRET)
            clock.now += 2.5
        assert world.access.key_checks == 1
        clock.now += 6
        keys.hear(())
        await keys.authenticate(SECRET)
        assert world.access.key_checks == 2

    async def test_shortly_when_nobody_tells_of_changes(self, keys: ApiKeys, world: Any, clock: Clock) -> None:
        await keys.authenticate(SECRET)
        clock.now += 1.9
        await keys.authenticate(SECRET)
        clock.now += 0.2
        await keys.authenticate(SECRET)
        assert world.access.key_checks == 2

    async def test_shortly_after_three_seconds_of_silence(self, keys: ApiKeys, world: Any, clock: Clock) -> None:
        keys.hear(())
        await keys.authenticate(SECRET)
        clock.now += 3
        world.access.revoked = True
        with pytest.raises(Unauthenticated):
            await keys.authenticate(SECRET)

    async def test_until_it_changes(self, keys: ApiKeys, world: Any) -> None:
        keys.hear(())
        await keys.authenticate(SECRET)
        keys.hear(("key_other",))
        await keys.authenticate(SECRET)
        assert world.access.key_checks == 1
        keys.hear(("key_1",))
        await keys.authenticate(SECRET)
        assert world.access.key_checks == 2

    async def test_not_over_a_gap_in_which_changes_may_have_been_missed(self, keys: ApiKeys, world: Any) -> None:
        keys.hear_anew()
        await keys.authenticate(SECRET)
        keys.hear_nothing()
        keys.hear_anew()
        await keys.authenticate(SECRET)
        assert world.access.key_checks == 2

    async def test_answer_that_was_overtaken_by_a_change_is_asked_again(self, keys: ApiKeys, world: Any) -> None:
        keys.hear(())
        world.access.key_gate = asyncio.Event()
        asking = asyncio.create_task(keys.authenticate(SECRET))
        await eventually(lambda: world.access.key_checks == 1)
        keys.hear(("key_1",))
        world.access.key_gate.set()
        await asking
        assert world.access.key_checks == 2


class TestWatch:
    async def test_revoked_key_is_refused_as_soon_as_it_is_told(self, client: httpx.AsyncClient, world: Any) -> None:
        assert (await client.get("/v1/models")).status_code == 200
        world.access.revoked = True
        assert (await client.get("/v1/models")).status_code == 200
        world.access.tell(("key_1",))

        async def is_refused() -> bool:
            return (await client.get("/v1/models")).status_code == 401

        await eventually(is_refused)

    async def test_changed_models_are_seen(self, client: httpx.AsyncClient, world: Any) -> None:
        await client.get("/v1/models")
        world.access.allowed_models = ["veo-*"]
        world.access.tell(("key_1",))

        async def is_shorter() -> bool:
            return len((await client.get("/v1/models")).json()["data"]) == 1

        await eventually(is_shorter)

    async def test_stream_that_ends_is_opened_again(self, client: httpx.AsyncClient, world: Any) -> None:
        await client.get("/v1/models")
        world.access.revoked = True
        world.access.tell(None)
        await eventually(lambda: len(world.access.watches) == 2)

        async def is_refused() -> bool:
            return (await client.get("/v1/models")).status_code == 401

        await eventually(is_refused)

    async def test_gateway_serves_without_being_told(self, open_client: Any, world: Any) -> None:
        world.access.is_deaf = True
        world.access.unwatched_cache_duration = timedelta(0)
        async with open_client() as client:
            assert (await client.get("/v1/models")).status_code == 200
            world.access.revoked = True
            assert (await client.get("/v1/models")).status_code == 401
