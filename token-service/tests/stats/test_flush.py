"""Counters reach SQL once, wherever the process is killed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from flow2api_common.database import Database
from flow2api_common.settings import DatabaseSettings, load_settings
from flow2api_testing.migrated import migrate_by_copy
from flow2api_token_service.health.events import Cause
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.leases.records import LeaseKind, LeaseRecord, Verdict
from flow2api_token_service.migrate import migrate
from flow2api_token_service.models_base import SCHEMA
from flow2api_token_service.redis_client import open_redis
from flow2api_token_service.settings import RedisSettings
from flow2api_token_service.stats.flush import StatsFlush
from flow2api_token_service.tokens.changes import TokenChanges
from flow2api_token_service.tokens.models import TokenRow, TokenStatsRow
from flow2api_token_service.tokens.repository import TokenRepository


def clock() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def database(database_url):
    await migrate_by_copy(load_settings(DatabaseSettings, database_url=database_url), migrate)
    database = Database(SecretStr(database_url), schema=SCHEMA)
    yield database
    await database.aclose()


@pytest.fixture
async def index(redis_url):
    client = open_redis(load_settings(RedisSettings, redis_url=redis_url))
    index = PoolIndex(client)
    await index.mark_built("epoch")
    yield index
    await client.aclose()


@pytest.fixture
async def token_id(database, index) -> int:
    row = TokenRow(
        provider="flow",
        sealed_secret="s",
        secret_fingerprint="f",
        masked_secret="…",
        state_reason="",
        is_active=True,
        state="active",
        state_time=clock(),
        image_enabled=True,
        video_enabled=True,
        image_concurrency=-1,
        video_concurrency=-1,
        tier=1,
        cooldown_level=0,
        suspect_level=0,
        revision=1,
        created_at=clock(),
        updated_at=clock(),
        stats=TokenStatsRow(consecutive_error_count=0),
    )
    changes = TokenChanges(database=database, index=index, clock=clock)
    return (await changes.add(row, cause=Cause(actor="admin", cause="created"))).id


async def count_success(index, token_id, number) -> None:
    lease = LeaseRecord(
        lease_id=f"lease_{number}", token_id=token_id, kind=LeaseKind.IMAGE, api_key_id="", upstream_model="m"
    )
    await index.release(lease, nonce="n", verdict=Verdict.OK, output_count=1)


async def success_count(database, token_id) -> int:
    async with database.transaction(read_only=True) as session:
        return (await TokenRepository(session).get(token_id)).stats.success_count


async def test_counters_are_written_and_leave_redis(database, index, token_id):
    flush = StatsFlush(database=database, index=index, clock=clock)
    for number in range(3):
        await count_success(index, token_id, number)

    assert await flush.run_round() == 1
    assert await flush.run_round() == 0
    assert await success_count(database, token_id) == 3


async def test_batch_that_was_written_before_a_kill_is_not_written_again(database, index, token_id, monkeypatch):
    flush = StatsFlush(database=database, index=index, clock=clock)
    await count_success(index, token_id, 1)
    batch = await index.take_stats("batch", 10)
    assert batch is not None
    await flush._write(batch, clock())

    await count_success(index, token_id, 2)
    await flush.run_round()

    assert await success_count(database, token_id) == 2


async def test_batch_that_was_taken_before_a_kill_is_written(database, index, token_id):
    await count_success(index, token_id, 1)
    await index.take_stats("batch", 10)

    await StatsFlush(database=database, index=index, clock=clock).run_round()

    assert await success_count(database, token_id) == 1


async def test_counters_on_their_way_are_seen(index, token_id):
    await count_success(index, token_id, 1)
    await index.take_stats("batch", 10)
    await count_success(index, token_id, 2)

    assert (await index.read_live([token_id])).tokens[token_id].pending_stats["successes"] == "2"
