"""One service's database: SQLite in the all-in-one mode, PostgreSQL in the distributed one; the same models on both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal, cast

import asyncpg  # type: ignore[import-untyped] # it comes without types
from pydantic import SecretStr
from sqlalchemy import Connection, DateTime, Dialect, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator

from flow2api_common.errors import DependencyUnavailable, InvalidArgument
from flow2api_common.sqlite_connection import RollingBackConnection
from flow2api_common.sqlite_wal import switch_to_wal

DatabaseDialect = Literal["sqlite", "postgresql"]

_BUSY_TIMEOUT = timedelta(seconds=30)
_CONNECT_TIMEOUT = timedelta(seconds=5)
_STATEMENT_TIMEOUT = timedelta(seconds=30)
_LOCK_TIMEOUT = timedelta(seconds=10)
_IDLE_IN_TRANSACTION_TIMEOUT = timedelta(minutes=1)
_RETRY_AFTER = timedelta(seconds=1)
_READ_ONLY = "flow2api_read_only"

# SQLSTATEs, by their beginnings, that mean "the server cannot serve now", not "the statement is wrong": connection
# exceptions, transaction rollback (deadlock), insufficient resources, lock not available, operator intervention.
# Source: PostgreSQL documentation, appendix A.
_AWAY_SQLSTATES = ("08", "40", "53", "55P03", "57")

# Character not in repertoire, untranslatable character: a text with U+0000, which PostgreSQL cannot keep.
_NUL_SQLSTATES = ("22021", "22P05")


class UtcDateTime(TypeDecorator[datetime]):
    """A time, aware and in UTC on both databases; a naive one is refused with ValueError."""

    impl: DateTime = DateTime(timezone=True)  # type: ignore[mutable-override] # as SQLAlchemy documents it
    cache_ok: bool | None = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """SQLite keeps text without an offset: it is given UTC, so that the texts sort like the times."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time needs its time zone")
        in_utc = value.astimezone(UTC)
        return in_utc.replace(tzinfo=None) if dialect.name == "sqlite" else in_utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware again, whatever the database gave back."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Database:
    """The connections to one database. Nothing connects before the first use; a server that was away is found again."""

    def __init__(self, url: SecretStr, *, schema: str, pool_size: int = 10) -> None:
        self.engine: AsyncEngine = make_engine(url, schema=schema, pool_size=pool_size)
        self.dialect = cast("DatabaseDialect", self.engine.dialect.name)
        # SQLite has one writer. Waiting for it here is fair and holds no connection; SQLite's own waiting polls.
        self._writer = asyncio.Lock() if self.dialect == "sqlite" else None
        self._is_prepared = self.dialect != "sqlite"

    @asynccontextmanager
    async def transaction(self, *, read_only: bool = False) -> AsyncIterator[AsyncSession]:
        """A session that commits on leaving, and rolls back when an exception leaves it.

        Transactions do not nest, and no network call belongs into one. ``read_only`` is a promise of the caller that
        lets readers of SQLite run beside its writer. Raises DependencyUnavailable when the database cannot be reached,
        stays locked, or is lost on the way; whether a commit that was under way happened is then unknown. Raises
        InvalidArgument on PostgreSQL when a text has a NUL character.
        """
        if not self._is_prepared:
            await switch_to_wal(self.engine.url)
            self._is_prepared = True
        writer = nullcontext() if read_only or self._writer is None else _held(self._writer)
        async with writer:
            session = AsyncSession(self.engine, expire_on_commit=False)
            try:
                with lost_server_as_unavailable():
                    with refused_connection_as_unavailable():
                        await session.connection(execution_options={_READ_ONLY: read_only})
                    yield session
                    await _to_its_end(session.commit())
            finally:
                # Rolls back what was not committed, before the next writer may begin.
                await _to_its_end(session.close())

    async def ping(self) -> None:
        """Ask the database for an answer. Raises DependencyUnavailable."""
        async with self.transaction(read_only=True) as session:
            await session.execute(text("SELECT 1"))

    async def aclose(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def make_engine(url: SecretStr, *, schema: str, pool_size: int = 10, foreign_keys: bool = True) -> AsyncEngine:
    """An engine as `Database` uses it. On SQLite, which has no schemas, the schema's tables have their bare names.

    ``foreign_keys`` is for migrations of SQLite; PostgreSQL always checks them.
    """
    parsed = make_url(url.get_secret_value())
    if parsed.get_backend_name() == "sqlite":
        engine = create_async_engine(
            parsed,
            pool_size=pool_size,
            max_overflow=0,
            execution_options={"schema_translate_map": {schema: None}},
            connect_args={"timeout": _BUSY_TIMEOUT.total_seconds(), "factory": RollingBackConnection},
            hide_parameters=True,
        )
        event.listen(engine.sync_engine, "connect", partial(_set_up_sqlite, foreign_keys=foreign_keys))
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    return create_async_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        connect_args={
            "timeout": _CONNECT_TIMEOUT.total_seconds(),
            "server_settings": {
                "application_name": f"flow2api-{schema}",
                "statement_timeout": _milliseconds(_STATEMENT_TIMEOUT),
                "lock_timeout": _milliseconds(_LOCK_TIMEOUT),
                "idle_in_transaction_session_timeout": _milliseconds(_IDLE_IN_TRANSACTION_TIMEOUT),
            },
        },
        hide_parameters=True,
    )


def _set_up_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry, *, foreign_keys: bool) -> None:
    # The driver must not begin transactions by itself: `_begin_sqlite` does.
    # Source: SQLAlchemy documentation, "SQLite", section "Serializable isolation / Savepoints / Transactional DDL".
    cast("Any", connection).isolation_level = None
    cursor = connection.cursor()
    # In WAL mode, NORMAL may lose the last commits when the machine loses power, and none when the process dies; FULL
    # loses neither, and an accepted job must not be lost.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads, then writes, fails at once when another wrote between; IMMEDIATE waits first.
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Await ``work`` also while being cancelled; the cancellation goes on afterwards.

    A commit that is cut short leaves an unknown outcome, and a rollback that is cut short leaves SQLite locked. The
    timeouts of the database bound the wait.
    """
    task = asyncio.create_task(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is not None:
        task.exception()  # Seen: the cancellation says more than it.
        raise cancellation
    task.result()


@asynccontextmanager
async def _held(lock: asyncio.Lock) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_BUSY_TIMEOUT.total_seconds()):
            await lock.acquire()
    except TimeoutError as error:
        raise _unavailable("the database stayed locked") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def refused_connection_as_unavailable() -> Iterator[None]:
    """Around the first use of a connection: what asyncpg raises while connecting is not wrapped by SQLAlchemy."""
    try:
        yield
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise _unavailable() from error


@contextmanager
def lost_server_as_unavailable() -> Iterator[None]:
    """Around statements: a database that cannot serve now becomes DependencyUnavailable, a text that it cannot keep
    InvalidArgument; a wrong statement stays."""
    try:
        yield
    except PoolTimeoutError as error:
        raise _unavailable("every connection to the database is in use") from error
    except DBAPIError as error:
        if _is_away(error):
            raise _unavailable() from error
        if getattr(error.orig, "sqlstate", None) in _NUL_SQLSTATES:
            raise InvalidArgument("The request has a NUL character.") from error
        raise


def _is_away(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    sqlstate = getattr(error.orig, "sqlstate", None)
    if isinstance(sqlstate, str):
        return sqlstate.startswith(_AWAY_SQLSTATES)
    # SQLITE_BUSY, LOCKED, IOERR, FULL, CANTOPEN in the low byte. Source: sqlite.org, "Result and Error Codes".
    sqlite_code = getattr(error.orig, "sqlite_errorcode", None)
    return isinstance(sqlite_code, int) and sqlite_code & 0xFF in {5, 6, 10, 13, 14}


def _unavailable(message: str = "the database is away") -> DependencyUnavailable:
    return DependencyUnavailable(message, metadata={"dependency": "database"}, retry_after=_RETRY_AFTER)


def _milliseconds(duration: timedelta) -> str:
    return str(duration // timedelta(milliseconds=1))
