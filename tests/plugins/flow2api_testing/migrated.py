"""Migrated databases without running all migrations for each test: the first one of a process is copied."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import URL, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from flow2api_common.settings import DatabaseSettings

Migrate = Callable[[DatabaseSettings], Awaitable[None]]

_folder: Final = tempfile.TemporaryDirectory(prefix="flow2api-test-migrated-")
_OWN_SCHEMAS: Final = text(
    "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('public', 'information_schema')"
)


async def migrate_by_copy(settings: DatabaseSettings, migrate: Migrate) -> None:
    """Do what ``migrate(settings)`` does; a database with nothing in it becomes a copy of one that it made."""
    url = make_url(settings.database_url.get_secret_value())
    if url.get_backend_name() == "sqlite":
        await _migrate_sqlite(url, settings, migrate)
    else:
        await _migrate_postgres(url, settings, migrate)


async def _migrate_sqlite(url: URL, settings: DatabaseSettings, migrate: Migrate) -> None:
    target = Path(url.database or "")
    made = Path(_folder.name) / f"{migrate.__module__}.db"
    if _existing(target):
        await migrate(settings)
    elif not _existing(made):
        await migrate(settings)
        # Nobody has it open any more: nothing of it may be left in a log beside it.
        assert not _existing(target.with_name(f"{target.name}-wal"))
        shutil.copyfile(target, made)
    else:
        shutil.copyfile(made, target)


async def _migrate_postgres(url: URL, settings: DatabaseSettings, migrate: Migrate) -> None:
    made = f"migrated by {migrate.__module__}"
    async with _connected(url) as connection:
        is_empty = not (await connection.scalars(_OWN_SCHEMAS)).all()
    if not is_empty:
        await migrate(settings)
        return
    async with _connected(url.set(database="postgres")) as server:
        if await server.scalar(text("SELECT 1 FROM pg_database WHERE datname = :made"), {"made": made}):
            await server.execute(text(f'DROP DATABASE "{url.database}"'))
            await server.execute(text(f'CREATE DATABASE "{url.database}" TEMPLATE "{made}"'))
        else:
            await migrate(settings)
            await server.execute(text(f'CREATE DATABASE "{made}" TEMPLATE "{url.database}"'))


@asynccontextmanager
async def _connected(url: URL) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


def _existing(*paths: Path) -> list[Path]:
    return [path for path in paths if path.exists()]
