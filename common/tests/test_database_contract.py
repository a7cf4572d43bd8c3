"""What a database promises, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import ForeignKey, MetaData, func, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, StatementError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flow2api_common.database import Database, UtcDateTime
from flow2api_common.errors import DependencyUnavailable, InvalidArgument

SCHEMA = "sample"
NOON = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)


class Base(DeclarativeBase):
    metadata = MetaData(schema=SCHEMA)


class Author(Base):
    __tablename__ = "authors"
    name: Mapped[str] = mapped_column(primary_key=True)
    book_count: Mapped[int] = mapped_column(default=0)
    create_time: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Book(Base):
    __tablename__ = "books"
    title: Mapped[str] = mapped_column(primary_key=True)
    author: Mapped[str] = mapped_column(ForeignKey("sample.authors.name"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(SecretStr(database_url), schema=SCHEMA)
    async with database.transaction() as session:
        connection = await session.connection()
        if database.dialect == "postgresql":
            await connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        await connection.run_sync(Base.metadata.create_all)
    yield database
    await database.aclose()


async def names(database: Database) -> list[str]:
    async with database.transaction(read_only=True) as session:
        return list(await session.scalars(select(Author.name).order_by(Author.name)))


class TestTransaction:
    async def test_commits_on_leaving(self, database: Database) -> None:
        async with database.transaction() as session:
            session.add(Author(name="ada"))
        assert await names(database) == ["ada"]

    async def test_rolls_back_on_an_exception(self, database: Database) -> None:
        async def add_and_fail() -> None:
            async with database.transaction() as session:
                session.add(Author(name="ada"))
                await session.flush()
                raise ValueError("changed my mind")

        with pytest.raises(ValueError, match="changed my mind"):
            await add_and_fail()
        assert await names(database) == []

    async def test_rolls_back_when_cancelled(self, database: Database) -> None:
        flushed = asyncio.Event()

        async def add_and_hang() -> None:
            async with database.transaction() as session:
                session.add(Author(name="ada"))
                await session.flush()
                flushed.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(add_and_hang())
        await flushed.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await names(database) == []

    async def test_a_cancellation_at_any_step_leaves_nothing_locked(self, database: Database) -> None:
        async def write(name: str) -> None:
            async with database.transaction() as session:
                session.add(Author(name=name))
                await session.flush()

        for step in range(60):
            writing = asyncio.create_task(write(f"author {step}"))
            for _ in range(step):
                await asyncio.sleep(0)
            writing.cancel()
            await asyncio.sleep(0)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            async with asyncio.timeout(5), database.transaction() as session:
                session.add(Author(name=f"after {step}"))

        assert {f"after {step}" for step in range(60)} <= set(await names(database))

    async def test_what_was_read_stays_readable_after_it(self, database: Database) -> None:
        async with database.transaction() as session:
            author = Author(name="ada")
            session.add(author)
        assert author.name == "ada"

    async def test_foreign_keys_are_checked(self, database: Database) -> None:
        async def add_orphan() -> None:
            async with database.transaction() as session:
                session.add(Book(title="none", author="nobody"))

        with pytest.raises(IntegrityError):
            await add_orphan()

    async def test_read_and_write_in_many_transactions_at_once_lose_no_update(self, database: Database) -> None:
        async with database.transaction() as session:
            session.add(Author(name="ada"))

        async def count_up() -> None:
            async with database.transaction() as session:
                author = await session.get_one(Author, "ada", with_for_update=True)
                await asyncio.sleep(0)
                author.book_count += 1

        await asyncio.gather(*[count_up() for _ in range(40)])
        async with database.transaction(read_only=True) as session:
            assert (await session.get_one(Author, "ada")).book_count == 40

    async def test_a_reader_does_not_wait_for_the_writer(self, database: Database) -> None:
        async with database.transaction() as session:
            session.add(Author(name="ada"))
            await session.flush()
            assert await asyncio.wait_for(names(database), 10) == []

    async def test_a_guarded_update_wins_once(self, database: Database) -> None:
        async with database.transaction() as session:
            session.add(Author(name="ada"))

        async def take() -> int:
            async with database.transaction() as session:
                statement = update(Author).where(Author.book_count == 0).values(book_count=1).returning(Author.name)
                return len(list(await session.scalars(statement)))

        assert sum(await asyncio.gather(*[take() for _ in range(10)])) == 1

    async def test_a_wrong_statement_is_not_called_unavailable(self, database: Database) -> None:
        async def ask_nonsense() -> None:
            async with database.transaction() as session:
                await session.execute(text("SELECT * FROM no_such_table"))

        with pytest.raises((OperationalError, ProgrammingError)):
            await ask_nonsense()

    async def test_a_nul_character_is_the_callers_mistake_where_it_cannot_be_kept(self, postgres_url: str) -> None:
        database = Database(SecretStr(postgres_url), schema=SCHEMA)
        try:
            with pytest.raises(InvalidArgument):
                async with database.transaction() as session:
                    await session.execute(text("SELECT CAST(:name AS text)"), {"name": "a\0b"})
        finally:
            await database.aclose()


class TestTimes:
    @pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30))])
    async def test_come_back_aware_and_equal(self, database: Database, zone: timezone) -> None:
        async with database.transaction() as session:
            session.add(Author(name="ada", create_time=NOON.astimezone(zone)))
        async with database.transaction(read_only=True) as session:
            seen = (await session.get_one(Author, "ada")).create_time
        assert seen == NOON
        assert seen is not None
        assert seen.utcoffset() == timedelta(0)

    async def test_compare_and_sort_as_times(self, database: Database) -> None:
        async with database.transaction() as session:
            for hours in (3, -2, 0):
                zone = timezone(timedelta(hours=hours))
                session.add(Author(name=str(hours), create_time=(NOON + timedelta(minutes=hours)).astimezone(zone)))
        async with database.transaction(read_only=True) as session:
            later = select(func.count()).where(Author.create_time > NOON.astimezone(timezone(timedelta(hours=-9))))
            assert await session.scalar(later) == 1
            ordered = await session.scalars(select(Author.name).order_by(Author.create_time))
            assert list(ordered) == ["-2", "0", "3"]

    async def test_a_naive_one_is_refused(self, database: Database) -> None:
        async def add() -> None:
            async with database.transaction() as session:
                session.add(Author(name="ada", create_time=NOON.replace(tzinfo=None)))

        with pytest.raises(StatementError, match="time zone"):
            await add()


class TestAway:
    async def test_a_server_that_is_not_there(self, unused_tcp_port: int) -> None:
        database = Database(SecretStr(f"postgresql+asyncpg://u:hunter2@127.0.0.1:{unused_tcp_port}/x"), schema=SCHEMA)
        with pytest.raises(DependencyUnavailable) as caught:
            await database.ping()
        assert "hunter2" not in f"{caught.value}{caught.value.__cause__}{database.engine!r}"
        assert caught.value.retry_after is not None
        await database.aclose()

    async def test_a_file_that_cannot_be_made(self, tmp_path: Path) -> None:
        database = Database(SecretStr(f"sqlite+aiosqlite:///{tmp_path}/absent/x.db"), schema=SCHEMA)
        with pytest.raises(DependencyUnavailable):
            await database.ping()
        await database.aclose()

    async def test_a_connection_lost_between_transactions_is_not_noticed(
        self, postgres_url: str, postgres_server: Any
    ) -> None:
        database = Database(SecretStr(postgres_url), schema=SCHEMA)
        await database.ping()
        cut_connections(postgres_server, postgres_url)
        await database.ping()
        await database.aclose()

    async def test_a_connection_lost_within_a_transaction(self, postgres_url: str, postgres_server: Any) -> None:
        database = Database(SecretStr(postgres_url), schema=SCHEMA)

        async def lose() -> None:
            async with database.transaction() as session:
                await session.execute(text("SELECT 1"))
                cut_connections(postgres_server, postgres_url)
                await session.execute(text("SELECT 1"))

        with pytest.raises(DependencyUnavailable):
            await lose()
        await database.ping()
        await database.aclose()

    async def test_a_database_that_stays_locked(self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("flow2api_common.database._BUSY_TIMEOUT", timedelta(milliseconds=50))
        first, second = (Database(SecretStr(sqlite_url), schema=SCHEMA) for _ in range(2))

        async def write(database: Database) -> None:
            async with database.transaction() as session:
                await session.execute(text("SELECT 1"))

        async with first.transaction() as session:
            await session.execute(text("CREATE TABLE held (x)"))
            # Another process, and another task of this one.
            for database in (second, first):
                with pytest.raises(DependencyUnavailable):
                    await write(database)
        await write(second)
        await first.aclose()
        await second.aclose()

    async def test_a_row_that_stays_locked(self, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("flow2api_common.database._LOCK_TIMEOUT", timedelta(milliseconds=50))
        database = Database(SecretStr(postgres_url), schema=SCHEMA)

        async def lock(*keys: int) -> None:
            async with database.transaction() as session:
                for key in keys:
                    await session.execute(text(f"SELECT pg_advisory_xact_lock({key})"))

        async with database.transaction() as session:
            await session.execute(text("SELECT pg_advisory_xact_lock(1)"))
            with pytest.raises(DependencyUnavailable):
                await lock(1)
        await lock(1)
        await database.aclose()

    async def test_a_deadlock_between_transactions(self, postgres_url: str) -> None:
        database = Database(SecretStr(postgres_url), schema=SCHEMA)
        both_hold = asyncio.Barrier(2)

        async def lock(first: int, second: int) -> None:
            async with database.transaction() as session:
                await session.execute(text(f"SELECT pg_advisory_xact_lock({first})"))
                await both_hold.wait()
                await session.execute(text(f"SELECT pg_advisory_xact_lock({second})"))

        outcomes = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {type(None), DependencyUnavailable}
        await database.aclose()


async def test_sqlite_is_durable_and_lets_readers_in(sqlite_url: str) -> None:
    database = Database(SecretStr(sqlite_url), schema=SCHEMA)
    async with database.transaction(read_only=True) as session:
        assert await pragma(session, "journal_mode") == "wal"
        assert await pragma(session, "foreign_keys") == 1
        assert await pragma(session, "synchronous") == 2
    await database.aclose()


async def test_sqlite_is_free_although_a_query_outlives_its_connection(sqlite_url: str) -> None:
    """As when a task is cancelled between two steps of a query: its CancelledError keeps the query alive."""
    database = Database(SecretStr(sqlite_url), schema=SCHEMA)
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE held (x)"))
        connection = await session.connection()
        driver_connection: Any = (await connection.get_raw_connection()).driver_connection
        query = await driver_connection.execute("SELECT 1 UNION SELECT 2")
        await session.invalidate()
    with closing(sqlite3.connect(make_url(sqlite_url).database or "", timeout=1)) as other:
        other.execute("CREATE TABLE held (x)")
    del query
    await database.aclose()


async def pragma(session: AsyncSession, name: str) -> Any:
    return await session.scalar(text(f"PRAGMA {name}"))


def cut_connections(postgres_server: Any, url: str) -> None:
    name = url.rpartition("/")[2]
    statement = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608 - our name
    postgres_server.execute(statement)
