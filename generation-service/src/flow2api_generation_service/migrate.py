"""Bringing the schema ``generation`` up to date."""

from __future__ import annotations

from flow2api_common import migrations
from flow2api_common.settings import DatabaseSettings
from flow2api_generation_service.models_base import SCHEMA


async def migrate(settings: DatabaseSettings) -> None:
    """Create or upgrade the tables. Safe to repeat and to run from many processes. Raises DependencyUnavailable."""
    await migrations.migrate(
        settings.database_url, schema=SCHEMA, script_location="flow2api_generation_service:migrations"
    )
