"""Keys, administrators and sessions as both databases keep them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from flow2api_common.database import Database
from flow2api_common.errors import FailedPrecondition, NotFound
from flow2api_common.settings import DatabaseSettings, load_settings
from flow2api_testing.migrated import migrate_by_copy
from flow2api_token_service.access.admin_accounts import AdminAccounts
from flow2api_token_service.access.models import AdminSessionRow, ApiKeyRow
from flow2api_token_service.access.passwords import Passwords
from flow2api_token_service.access.repository import AdminRepository, ApiKeyRepository
from flow2api_token_service.access.sessions import Sessions
from flow2api_token_service.migrate import migrate
from flow2api_token_service.models_base import SCHEMA

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class QuickPasswords(Passwords):
    """Hashes that cost nothing."""

    async def hash(self, password: str) -> str:
        return f"hash of {password}"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await migrate_by_copy(load_settings(DatabaseSettings, database_url=database_url), migrate)
    opened = Database(SecretStr(database_url), schema=SCHEMA)
    yield opened
    await opened.aclose()


@pytest.fixture
def accounts(database: Database) -> AdminAccounts:
    return AdminAccounts(database=database, passwords=QuickPasswords(), clock=lambda: NOW)


@pytest.fixture
def sessions(database: Database) -> Sessions:
    return Sessions(database=database, clock=lambda: NOW)


async def open_session(database: Database, admin_id: str, session_id: str | None, *, age: timedelta) -> None:
    row = AdminSessionRow(
        token_hash=f"{session_id}{admin_id}",
        id=session_id,
        admin_id=admin_id,
        created_at=NOW - age,
        expires_at=NOW - age + timedelta(hours=12),
    )
    async with database.transaction() as session:
        session.add(row)


async def test_key_keeps_what_it_may_do(database: Database) -> None:
    row = ApiKeyRow(id="key_1", name="n", prefix="p", secret_hash="h", max_concurrency=-1, created_at=NOW)
    row.daily_credit_budget, row.allowed_models, row.weight = 2**40, ["veo-*", "m"], 7
    async with database.transaction() as session:
        await ApiKeyRepository(session).add(row)
    async with database.transaction() as session:
        read = await ApiKeyRepository(session).get("key_1", lock=True)
        assert (read.daily_credit_budget, read.allowed_models, read.weight) == (2**40, ["veo-*", "m"], 7)
        read.allowed_models = []
        read.revision += 1
    async with database.transaction(read_only=True) as session:
        read = await ApiKeyRepository(session).get("key_1")
    assert (read.allowed_models, read.requests_per_minute, read.revision) == ([], -1, 2)


async def test_administrators_by_name(accounts: AdminAccounts) -> None:
    for name in ("carol", "alice", "bob"):
        await accounts.create(username=name, password="long enough")
    first = await accounts.page(after_username="", limit=2)
    rest = await accounts.page(after_username="bob", limit=2)
    assert [row.username for row in (*first, *rest)] == ["alice", "bob", "carol"]


async def test_removed_administrator_comes_back_under_the_same_id(accounts: AdminAccounts) -> None:
    alice = await accounts.create(username="alice", password="long enough")
    await accounts.create(username="bob", password="long enough")
    await accounts.delete(alice.id)
    with pytest.raises(NotFound):
        await accounts.reset_password(alice.id, "another word")
    again = await accounts.create(username="alice", password="another word")
    assert again.id == alice.id
    assert len(await accounts.page(after_username="", limit=9)) == 2


async def test_of_many_that_remove_each_other_one_stays(accounts: AdminAccounts) -> None:
    rows = [await accounts.create(username=f"admin{number}", password="long enough") for number in range(4)]
    results = await asyncio.gather(*(accounts.delete(row.id) for row in rows), return_exceptions=True)
    refused = [result for result in results if result is not None]
    assert [type(result) for result in refused] == [FailedPrecondition]
    assert len(await accounts.page(after_username="", limit=9)) == 1


async def test_sessions_newest_first_without_those_that_are_over(
    database: Database, accounts: AdminAccounts, sessions: Sessions
) -> None:
    alice = await accounts.create(username="alice", password="long enough")
    bob = await accounts.create(username="bob", password="long enough")
    for number, admin in enumerate((alice, bob, alice)):
        await open_session(database, admin.id, f"session_{number}", age=timedelta(hours=number))
    await open_session(database, bob.id, "session_same_time", age=timedelta(hours=1))
    await open_session(database, alice.id, "session_over", age=timedelta(hours=13))
    await open_session(database, alice.id, None, age=timedelta(hours=1))

    first = await sessions.page(admin_id="", after_id="", limit=2)
    rest = await sessions.page(admin_id="", after_id=first[-1][0].id or "", limit=9)
    of_bob = await sessions.page(admin_id=bob.id, after_id="", limit=9)

    ids = [row.id for row, _ in (*first, *rest)]
    assert ids == ["session_0", "session_same_time", "session_1", "session_2"]
    assert {admin.username for _, admin in of_bob} == {"bob"}


async def test_all_sessions_end_but_one(database: Database, accounts: AdminAccounts, sessions: Sessions) -> None:
    alice = await accounts.create(username="alice", password="long enough")
    for session_id in ("session_1", "session_2", None):
        await open_session(database, alice.id, session_id, age=timedelta(hours=1))
    assert await sessions.revoke_all(admin_id="", except_session_id="session_1") == 2
    async with database.transaction(read_only=True) as session:
        left = await AdminRepository(session).sessions(admin_id="", now=NOW, after=None, limit=9)
    assert [row.id for row, _ in left] == ["session_1"]
