"""The revisions make the tables that the models describe, on both databases."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import Connection, MetaData
from sqlalchemy.schema import BLANK_SCHEMA

from flow2api_common.database import Database
from flow2api_common.migrations import schema_in_use
from flow2api_common.settings import DatabaseSettings, load_settings
from flow2api_token_service.migrate import migrate
from flow2api_token_service.models_base import SCHEMA
from flow2api_token_service.tables import METADATA


def differences(connection: Connection) -> list[object]:
    schema = schema_in_use(connection, SCHEMA)
    wanted = METADATA
    if schema is None:
        # What is reflected is not translated: SQLite has no schemas.
        wanted = MetaData(naming_convention=METADATA.naming_convention)
        for table in METADATA.tables.values():
            table.to_metadata(wanted, schema=None, referred_schema_fn=lambda *_: BLANK_SCHEMA)
    options = {
        "compare_type": True,
        "include_schemas": schema is not None,
        "include_name": lambda name, kind, _: kind != "schema" or name == schema,
        "version_table_schema": schema,
    }
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), wanted))


async def test_models_and_head_are_the_same(database_url):
    settings = load_settings(DatabaseSettings, database_url=database_url)
    await migrate(settings)
    await migrate(settings)

    database = Database(SecretStr(database_url), schema=SCHEMA)
    try:
        async with database.engine.connect() as connection:
            assert await connection.run_sync(differences) == []
    finally:
        await database.aclose()
