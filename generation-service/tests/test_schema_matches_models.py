"""The newest revision makes exactly the tables that the code declares."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.schema import BLANK_SCHEMA

from flow2api_common.database import Database
from flow2api_common.migrations import schema_in_use
from flow2api_generation_service.models_base import SCHEMA
from flow2api_generation_service.tables import metadata


def differences(connection: Connection) -> list[object]:
    schema = schema_in_use(connection, SCHEMA)
    translated = metadata
    if schema is None:
        translated = type(metadata)(naming_convention=metadata.naming_convention)
        for table in metadata.tables.values():
            table.to_metadata(translated, schema=None, referred_schema_fn=lambda *_: BLANK_SCHEMA)
    context = MigrationContext.configure(
        connection,
        opts={
            "target_metadata": translated,
            "include_schemas": schema is not None,
            "include_name": lambda name, kind, _: kind != "schema" or name == schema,
            "compare_type": True,
            "version_table_schema": schema,
        },
    )
    return list(compare_metadata(context, translated))


async def test_migrated_database_is_what_the_models_say(database: Database) -> None:
    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
