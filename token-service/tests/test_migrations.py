"""The revisions make the tables that the models describe, on both databases."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import MetaData

from flow2api_common.database import Database
from flow2api_common.settings import DatabaseSettings, load_settings
from flow2api_token_service.migrate import migrate
from flow2api_token_service.models_base import SCHEMA
from flow2api_token_service.tables import METADATA


async def test_models_and_head_are_the_same(database_url):
    settings = load_settings(DatabaseSettings, database_url=database_url)
    await migrate(settings)
    await migrate(settings)

    database = Database(SecretStr(database_url), schema=SCHEMA)
    is_sqlite = database.dialect == "sqlite"
    wanted = METADATA
    if is_sqlite:
        # Reflection is not translated: SQLite has no schemas.
        wanted = MetaData(naming_convention=METADATA.naming_convention)
        for table in METADATA.sorted_tables:
            table.to_metadata(wanted, schema=None, referred_schema_fn=lambda *_: None)

    def differences(connection):
        options = {
            "compare_type": True,
            "include_schemas": not is_sqlite,
            "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
            "include_object": lambda _, name, kind, *rest: not (kind == "table" and name == "alembic_version"),
        }
        return compare_metadata(MigrationContext.configure(connection, opts=options), wanted)

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await database.aclose()
