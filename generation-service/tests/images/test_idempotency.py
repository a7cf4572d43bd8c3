"""Idempotency keys across replicas."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from flow2api_common.clock import utc_now
from flow2api_common.database import Database
from flow2api_common.errors import Conflict
from flow2api_generation_service.images.idempotency import (
    CLAIM,
    Claimed,
    Finished,
    IdempotencyKeys,
    IdempotencyRepository,
    RequestKey,
    RunningElsewhere,
    result_of,
)
from flow2api_proto.generation.v1 import image_pb2, media_pb2

KEY = RequestKey("key_1", "order-66")
EVENT = image_pb2.GenerateImageResponse(
    generation_id="image_1",
    image_index=0,
    image=image_pb2.GeneratedImage(media=media_pb2.Media(media_id="abc", size_bytes=2**40), seed=7),
)


class TurnedClock:
    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def keys(database: Database, clock: TurnedClock) -> IdempotencyKeys:
    return IdempotencyKeys(database=database, clock=clock, retention=timedelta(hours=24))


async def finish(database: Database, generation_id: str) -> None:
    async with database.transaction() as session:
        await IdempotencyRepository(session).change(KEY, generation_id, result=result_of([EVENT]))


async def test_second_replica_waits_for_the_first(keys: IdempotencyKeys) -> None:
    assert await keys.claim(KEY, "hash", "image_1") == Claimed()
    assert await keys.claim(KEY, "hash", "image_2") == RunningElsewhere()


async def test_repeat_gets_the_stored_events(keys: IdempotencyKeys, database: Database) -> None:
    await keys.claim(KEY, "hash", "image_1")
    await finish(database, "image_1")
    assert await keys.claim(KEY, "hash", "image_2") == Finished((EVENT,))


async def test_other_body_is_a_conflict_while_running_and_after(keys: IdempotencyKeys, database: Database) -> None:
    await keys.claim(KEY, "hash", "image_1")
    with pytest.raises(Conflict) as running:
        await keys.claim(KEY, "other", "image_2")
    await finish(database, "image_1")
    with pytest.raises(Conflict) as finished:
        await keys.claim(KEY, "other", "image_2")
    assert running.value.reason == finished.value.reason == "IDEMPOTENCY_CONFLICT"


async def test_key_belongs_to_its_api_key(keys: IdempotencyKeys) -> None:
    await keys.claim(KEY, "hash", "image_1")
    assert await keys.claim(RequestKey("key_2", KEY.request_id), "other", "image_2") == Claimed()


async def test_claim_of_a_dead_replica_is_taken_over(keys: IdempotencyKeys, clock: TurnedClock) -> None:
    await keys.claim(KEY, "hash", "image_1")
    clock.ahead = CLAIM + timedelta(seconds=1)
    assert await keys.claim(KEY, "hash", "image_2") == Claimed()
    assert await keys.claim(KEY, "hash", "image_3") == RunningElsewhere()


async def test_renewed_claim_is_kept(keys: IdempotencyKeys, clock: TurnedClock) -> None:
    await keys.claim(KEY, "hash", "image_1")
    clock.ahead = CLAIM / 2
    await keys.renew(KEY, "image_1")
    clock.ahead = CLAIM + timedelta(seconds=1)
    assert await keys.claim(KEY, "hash", "image_2") == RunningElsewhere()


async def test_result_is_forgotten_after_its_time(
    keys: IdempotencyKeys, database: Database, clock: TurnedClock
) -> None:
    await keys.claim(KEY, "hash", "image_1")
    await finish(database, "image_1")
    clock.ahead = timedelta(hours=25)
    await keys.delete_expired()
    assert await keys.claim(KEY, "other", "image_2") == Claimed()
