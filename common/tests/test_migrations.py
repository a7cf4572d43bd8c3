"""Migrations run once, all or nothing, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable
from flow2api_common.migrations import migrate

SCHEMA = "sample"
REVISIONS = Path(__file__).with_name("sample_migrations")

FAILING_REVISION = '''
"""Add a table, then fail."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("half", sa.Column("x", sa.Integer()), schema="sample")
    raise ZeroDivisionError
'''


def table(database: Database, name: str) -> str:
    return name if database.dialect == "sqlite" else f"{SCHEMA}.{name}"


async def scalar(url: str, statement: str, name: str) -> object:
    """The answer to a statement in which ``{}`` stands for the table."""
    database = Database(SecretStr(url), schema=SCHEMA)
    try:
        async with database.transaction() as session:
            result = await session.execute(text(statement.format(table(database, name))))
            return result.scalar() if result.returns_rows else None
    finally:
        await database.aclose()


async def apply(url: str, revisions: Path = REVISIONS) -> None:
    await migrate(SecretStr(url), schema=SCHEMA, script_location=str(revisions))


async def test_an_empty_database_gets_the_newest_revision(database_url: str) -> None:
    await apply(database_url)
    assert await scalar(database_url, "SELECT version_num FROM {}", "alembic_version") == "0002"
    assert await scalar(database_url, "SELECT count(*) FROM {} WHERE name = 'x'", "authors") == 0


async def test_many_runners_at_once_are_one(database_url: str) -> None:
    await asyncio.gather(*[apply(database_url) for _ in range(5)])
    assert await scalar(database_url, "SELECT count(*) FROM {}", "alembic_version") == 1


async def test_again_changes_nothing(database_url: str) -> None:
    await apply(database_url)
    await scalar(database_url, "INSERT INTO {} (author_id) VALUES ('kept') RETURNING author_id", "authors")
    await apply(database_url)
    assert await scalar(database_url, "SELECT count(*) FROM {} WHERE author_id = 'kept'", "authors") == 1


async def test_a_failing_revision_leaves_everything_as_it_was(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    await apply(database_url)
    revisions = tmp_path_factory.mktemp("revisions") / "migrations"
    shutil.copytree(REVISIONS, revisions)
    (revisions / "versions" / "2026_01_03_0003_fails.py").write_text(FAILING_REVISION, encoding="utf-8")
    with pytest.raises(ZeroDivisionError):
        await apply(database_url, revisions)
    assert await scalar(database_url, "SELECT version_num FROM {}", "alembic_version") == "0002"
    # What the failed one had made is gone: it can be made again.
    assert await scalar(database_url, "CREATE TABLE {} (x INTEGER)", "half") is None


async def test_copying_a_table_on_sqlite_keeps_what_refers_to_it(sqlite_url: str) -> None:
    """The second revision fills both tables and then copies ``authors``; a cascade would have emptied ``books``."""
    await apply(sqlite_url)
    assert await scalar(sqlite_url, "SELECT count(*) FROM {}", "books") == 1
    with pytest.raises(IntegrityError):
        await scalar(sqlite_url, "INSERT INTO {} (book_id, author_id) VALUES ('x', 'nobody')", "books")


async def test_a_database_that_is_away(unused_tcp_port: int) -> None:
    with pytest.raises(DependencyUnavailable):
        await apply(f"postgresql+asyncpg://u@127.0.0.1:{unused_tcp_port}/x")
