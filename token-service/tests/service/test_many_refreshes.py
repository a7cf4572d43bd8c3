"""A thousand access tokens that end within the same minute, three replicas, one of them killed in the middle."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from sqlalchemy import func, select

from flow2api_common.database import Database
from flow2api_common.ids import new_id
from flow2api_proto.tokens.v1 import token_pb2
from flow2api_proto.tokens.v1 import token_service_pb2 as pb
from flow2api_sandbox.faults import Fault
from flow2api_sandbox.server import running_sandbox
from flow2api_sandbox.settings import SandboxSettings
from flow2api_testing.waiting import eventually
from flow2api_token_service.credentials.proof import store_grant, store_secret
from flow2api_token_service.models_base import SCHEMA
from flow2api_token_service.secrets.hash_keys import HashKeys
from flow2api_token_service.secrets.key_check import KeyCheck
from flow2api_token_service.secrets.vault import Vault
from flow2api_token_service.tokens.models import TokenRow, TokenStatsRow
from flow2api_upstream.port import AccessGrant

TOKENS = 1000
CONCURRENCY = 8
REPLICAS = 3
MINUTE = timedelta(minutes=1)
CALLERS = 2
# Of a machine that has other things to do.
PATIENCE = 150
# Before, while and after refreshes are due.
MINUTES = (44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 62)
# No bearer ends in the hands of somebody who has just got it.
LEAST_LEFT_SECONDS = 60


@pytest.fixture
async def sandbox():
    settings = SandboxSettings(
        host="127.0.0.1", port=0, time_scale=0, seed_accounts=TOKENS, access_token_reuse=timedelta(minutes=20)
    )
    async with running_sandbox(settings) as running:
        yield running


@pytest.fixture
def sqlite_url(postgres_url) -> str:
    """Replicas of the distributed mode work on PostgreSQL."""
    return postgres_url


@pytest.fixture
async def database(token_settings, start_replica):
    database = Database(token_settings.database_url, schema=SCHEMA)
    yield database
    await database.aclose()


@pytest.fixture
async def thousand(database, token_settings, sandbox, clock) -> None:
    """A token per account, each with an access token that has just been bought."""
    hash_keys = HashKeys()
    vault = Vault(token_settings.secret_key, hash_keys)
    await KeyCheck(
        database=database, vault=vault, secret_key=token_settings.secret_key, hash_keys=hash_keys, clock=clock
    ).run()
    async with database.transaction() as session:
        session.add_all(row_of(account, sandbox.world, vault, clock()) for account in sandbox.world.accounts.values())


def row_of(account, world, vault, now) -> TokenRow:
    row = TokenRow(
        provider="flow",
        is_active=True,
        state="active",
        state_reason="",
        state_time=now,
        credential_version=0,
        email="",
        name="",
        credits=account.credits,
        credits_read_at=now,
        tier=1,
        project_id="p",
        image_enabled=True,
        video_enabled=True,
        image_concurrency=1,
        video_concurrency=1,
        created_at=now,
        updated_at=now,
        stats=TokenStatsRow(),
        rests=[],
    )
    bearer = world.access_token(account)
    grant = AccessGrant(bearer=bearer.value, expire_time=datetime.fromtimestamp(bearer.expires_at, UTC))
    store_secret(row, account.session_token, vault=vault)
    store_grant(row, grant, vault=vault, margin=timedelta(hours=1), now=now)
    return row


class Traffic:
    """Callers that lease tokens all the time, and see whether the upstream takes what they were given."""

    def __init__(self, world) -> None:
        self.world = world
        self.stubs = []
        self.served = 0
        self.failures: list[str] = []
        self.is_over = False

    async def call(self) -> None:
        for number in itertools.count():
            if self.is_over:
                return
            stub = self.stubs[number % len(self.stubs)]
            try:
                await self.generate(stub)
            except Exception as error:  # noqa: BLE001 - whatever a caller sees is what this is about
                self.failures.append(repr(error))
            await asyncio.sleep(0.5)

    async def generate(self, stub) -> None:
        request = pb.AcquireLeaseRequest(
            request_id=new_id(),
            kind=token_pb2.KIND_IMAGE,
            candidates=[token_pb2.LeaseCandidate(provider="flow", upstream_model="m")],
            lease_duration=Duration(seconds=60),
            wait_timeout=Duration(seconds=20),
        )
        answer = await stub.AcquireLease(request, timeout=30)
        bearer = answer.credential.bearer
        left = answer.credential.expire_time.seconds - self.world.clock.now()
        if self.world.account_of_bearer(bearer) is None or left < LEAST_LEFT_SECONDS:
            self.failures.append(f"a bearer with {left:.0f} s left, on token {answer.lease.token_id}")
        outcome = token_pb2.LeaseOutcome(outcome=token_pb2.OUTCOME_OK)
        await stub.ReleaseLease(pb.ReleaseLeaseRequest(lease=answer.lease, outcome=outcome), timeout=30)
        self.served += 1


@pytest.mark.timeout(2 * PATIENCE)
async def test_refreshes_of_a_thousand_tokens_spread_and_hurt_nobody(
    thousand, database, sandbox, clock, start_replica, start_replica_process
):
    world = sandbox.world
    # Long enough to be caught twice at the same time, and to be killed in.
    world.faults.add(Fault(kind="delay", route="flow.session", delay=0.02))
    settings = {
        "refresh_concurrency": CONCURRENCY,
        "refresh_interval": timedelta(seconds=0.8),
        # What is not looked at here shall not cost the test its time.
        "resync_interval": timedelta(seconds=30),
        "sweep_interval": timedelta(seconds=1),
        "stats_interval": timedelta(seconds=5),
    }
    traffic = Traffic(world)

    async def count_due() -> int:
        async with database.transaction(read_only=True) as session:
            due = select(func.count()).select_from(TokenRow).where(TokenRow.refresh_time <= clock())
            return (await session.execute(due)).scalar_one()

    async def turn_to(minutes: int) -> None:
        passed = minutes * MINUTE - clock.turned
        world.clock.advance(passed.total_seconds())
        clock.turned += passed

    async with AsyncExitStack() as stack:
        for _ in range(REPLICAS - 1):
            replica = await stack.enter_async_context(start_replica(**settings))
            traffic.stubs.append(replica.tokens)
        program, stub = await stack.enter_async_context(start_replica_process(**settings))
        traffic.stubs.append(stub)
        callers = [asyncio.create_task(traffic.call()) for _ in range(CALLERS)]

        is_killed = False
        for minute in MINUTES:
            await turn_to(minute)
            if not is_killed and len(world.ledger.sessions) > TOKENS / 3:
                traffic.stubs.remove(stub)
                await eventually(lambda: world.ledger.all_sessions.running > 0)
                program.kill()
                is_killed = True
            # What the killed replica had in hand waits for its locks to end.
            left_behind = CONCURRENCY if is_killed else 0
            await eventually(lambda most=left_behind: at_most(count_due, most), timeout=PATIENCE)
        await eventually(lambda: at_most(count_due, 0), timeout=PATIENCE)
        traffic.is_over = True
        await asyncio.gather(*callers)

        async with database.transaction(read_only=True) as session:
            rows = (await session.execute(select(TokenRow.state, TokenRow.bearer_expire_time))).all()

    sessions = world.ledger.sessions
    assert is_killed
    assert len(sessions) == TOKENS
    assert {watch.highest for watch in sessions.values()} == {1}, "a token was refreshed twice at the same time"
    assert sum(len(watch.times) for watch in sessions.values()) <= TOKENS + CONCURRENCY
    assert world.ledger.all_sessions.highest <= REPLICAS * CONCURRENCY
    per_minute = Counter(int(time // 60) for watch in sessions.values() for time in watch.times)
    assert len(per_minute) >= 7
    assert max(per_minute.values()) < TOKENS / 4
    assert {row.state for row in rows} == {"active"}
    assert all(row.bearer_expire_time > clock() for row in rows)
    assert traffic.failures == []
    assert traffic.served > 20


async def at_most(count, most: int) -> bool:
    return await count() <= most
