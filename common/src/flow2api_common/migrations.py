"""Applying Alembic migrations: one runner at a time, all or nothing.

A service's ``migrations/env.py`` has two statements: ``from alembic import context`` and ``run_env(context,
Base.metadata, "generation")``. Its revisions name the schema (``op.create_table(…, schema="generation")``); on SQLite
it is translated away. What reflects a table (``op.batch_alter_table``) or is plain SQL takes `schema_in_use`.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from alembic import command
from alembic.config import Config
from pydantic import SecretStr
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flow2api_common.database import lost_server_as_unavailable, make_engine, refused_connection_as_unavailable
from flow2api_common.logs import get_logger
from flow2api_common.sqlite_wal import switch_to_wal

log = get_logger(__name__)

_CONNECTION = "connection"
_LOCK_WAIT = timedelta(minutes=5)
_VERSION_TABLE = "alembic_version"


async def migrate(url: SecretStr, *, schema: str, script_location: str) -> None:
    """Bring the schema to the newest revision; creates it when it is missing. Safe to call from many processes at once.

    ``script_location`` is a directory or ``package:folder``. All revisions run in one transaction: an error leaves
    everything as it was. Raises DependencyUnavailable when the database cannot be reached.
    """
    config = Config()
    config.set_main_option("script_location", script_location.replace("%", "%%"))
    # SQLite changes a table by copying it; with foreign keys on, dropping the old one would empty its children.
    engine = make_engine(url, schema=schema, pool_size=1, foreign_keys=False)
    try:
        if engine.dialect.name == "sqlite":
            await switch_to_wal(engine.url)
        with lost_server_as_unavailable():
            async with _transaction(engine) as connection:
                await connection.run_sync(_upgrade, config, schema)
    finally:
        await engine.dispose()
    log.info("database_migrated", schema=schema)


def run_env(context: Any, metadata: MetaData, schema: str) -> None:
    """What ``env.py`` does. ``context`` is ``alembic.context``, which is a proxy without a usable type.

    Run by `migrate`, or by the alembic command with ``-x url=…``, for writing a new revision.
    """
    connection = context.config.attributes.get(_CONNECTION)
    if connection is not None:
        _run(context, connection, metadata, schema)
        return
    url = context.get_x_argument(as_dictionary=True).get("url")
    if not url:
        raise SystemExit("alembic needs -x url=<database URL>")
    _run_by_command(context, SecretStr(url), metadata, schema)


def schema_in_use(connection: Connection, schema: str) -> str | None:
    """The schema's name in this database; nothing on SQLite. For reflection and plain SQL, which are not translated."""
    return None if connection.dialect.name == "sqlite" else schema


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    connection = engine.connect()
    with refused_connection_as_unavailable():
        await connection.start()
    try:
        async with connection.begin():
            yield connection
    finally:
        await connection.close()


def _upgrade(connection: Connection, config: Config, schema: str) -> None:
    if connection.dialect.name == "postgresql":
        # The timeouts of the engine are for serving; waiting for another runner may take as long as its migrations.
        connection.execute(text(f"SET LOCAL lock_timeout = {_LOCK_WAIT // timedelta(milliseconds=1)}"))
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(
            text("SELECT pg_advisory_xact_lock(:key)"), {"key": zlib.crc32(f"flow2api:{schema}".encode())}
        )
        connection.execute(text("SET LOCAL lock_timeout = '10s'"))
        connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
    # On SQLite the transaction is IMMEDIATE: it holds the write lock of the file from its begin.
    config.attributes[_CONNECTION] = connection
    command.upgrade(config, "head")


def _run(context: Any, connection: Connection, metadata: MetaData, schema: str) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=_VERSION_TABLE,
        version_table_schema=schema_in_use(connection, schema),
        include_schemas=connection.dialect.name != "sqlite",
        include_name=_only(schema),
        compare_type=True,
        render_as_batch=False,
    )
    with context.begin_transaction():
        context.run_migrations()


def _only(schema: str) -> Any:
    def include(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "schema" or name == schema

    return include


def _run_by_command(context: Any, url: SecretStr, metadata: MetaData, schema: str) -> None:
    async def run() -> None:
        engine = make_engine(url, schema=schema, pool_size=1, foreign_keys=False)
        try:
            async with _transaction(engine) as connection:
                await connection.run_sync(lambda sync: _run(context, sync, metadata, schema))
        finally:
            await engine.dispose()

    asyncio.run(run())
